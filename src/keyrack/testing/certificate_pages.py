"""The console's pages of certificates in this process: a catalog, a deployment's files, people who have logged in."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from keyrack.domain.instances import Instance, SeenCertificate
from keyrack.domain.rights import Grant, Role
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.back_office import OnBehalf
from keyrack.ports.catalog import Unit
from keyrack.service.office.administration import Administration
from keyrack.service.office.certificates import read
from keyrack.shell import pki
from keyrack.shell.config.whole import Config, load
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.shell.web.certificate_acts import FILE_ACTS
from keyrack.testing.certificates import Identity, authority
from keyrack.testing.clock import Clock
from keyrack.testing.people import House
from keyrack.testing.rest import Answer, Face, NobodyThere, asked, open_face

ROLES: Final[Mapping[str, tuple[Role, ...]]] = {
    "adam": (Role.ADMINISTRATOR,),
    "sofia": (Role.SECURITY_OFFICER,),
    "omar": (Role.OPERATOR,),
    "vera": (Role.VIEWER,),
    "aud": (Role.AUDITOR,),
}


@dataclass(slots=True)
class Place(NobodyThere):
    """The console over a catalog with people who have logged in, and a deployment's files; nothing serves."""

    clock: Clock
    config: Config
    ca: pki.Pair
    tokens: dict[str, str] = field(default_factory=dict)
    face: Face = field(init=False)
    house: House = field(init=False)
    prod: Instance = field(init=False)
    other: Instance = field(init=False)

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """As a serving process does it, in the name of whoever has the token."""
        administrator = await self.face.app.premises.recognise(who.token, who.address, who.correlation)
        office = Administration(self.face.catalog, {}, administrator, lambda: int(self.clock() * 1000))
        return await FILE_ACTS[act](self.config, office, arguments)

    async def person(self, name: str, *grants: Grant) -> None:
        """Somebody who has logged in just now."""
        await self.house.person(name, *grants)
        self.tokens[name] = (await self.house.log_in(name)).token

    async def get(self, who: str, path: str) -> Answer:
        """Look at a page."""
        return await asked(self.face.app, "GET", path, headers=await self._headers(who))

    async def post(self, who: str, path: str, **fields: str) -> Answer:
        """Send a form, as a page or around every page."""
        mine = await self._headers(who)
        body = urlencode({"csrf": csrf_of(self.tokens[who]), **fields}).encode()
        told = {"content-type": "application/x-www-form-urlencoded", "content-length": str(len(body))}
        return await asked(self.face.app, "POST", path, headers={**mine, **told}, body=body)

    async def _headers(self, who: str) -> Mapping[str, str]:
        if who not in self.tokens:
            await self.person(who, *map(Grant, ROLES[who]))
        return {"host": "localhost", "accept": "text/html", "cookie": f"{COOKIE}={self.tokens[who]}"}

    async def pinned(self, instance: Instance, identity: Identity) -> None:
        """Into the catalog, past every page."""
        offered = read(identity.pem, instance=instance.identifier, at=int(self.clock()))
        await self.face.catalog.commit(Unit(entries=(), certificates=(offered.certificate,)))

    async def knocks(self, identity: Identity) -> None:
        """As a serving process writes it down."""
        now = int(self.clock())
        seen = SeenCertificate(
            fingerprint=identity.fingerprint,
            der=identity.der,
            subject=identity.certificate.subject.rfc4514_string(),
            address="192.0.2.77",
            reason="certificate not trusted",
            first_at=now,
            last_at=now,
            count=3,
        )
        await self.face.catalog.commit(Unit(entries=(), admissions=AdmissionChanges(seen=(seen,))))

    async def trusted(self) -> set[str]:
        """Fingerprints of what is pinned, and of authorities."""
        catalog = self.face.catalog
        pins, authorities = await catalog.certificates(), await catalog.authorities()
        return {each.fingerprint for each in pins} | {each.fingerprint for each in authorities}


@asynccontextmanager
async def pages_of_certificates(tmp_path: Path) -> AsyncIterator[Place]:
    """With two instances, ``prod`` and ``other``; somebody of :data:`ROLES` logs in when first asked as."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "keyrack.toml").write_text(
        f'[deployment]\nid = "rest"\ndirectory = "{tmp_path}"\n[key_managers.embedded]\ntype = "embedded"\n'
        'keystore = "keystore"\nunlock = { key_file = "keystore.key" }\n'
    )
    now = datetime.now(UTC)
    ca = pki.make_authority("tests", now=now, key=pki.make_key("ec-p256"))
    ca.write(tmp_path / "tls/ca.pem", tmp_path / "tls/ca.key")
    server = pki.issue_server(ca, ["kms.example.com"], now=now, key=pki.make_key("ec-p256"))
    server.write(tmp_path / "tls/server.pem", tmp_path / "tls/server.key", issuer=ca.certificate)
    made = Place(Clock(time.time()), load(tmp_path / "keyrack.toml"), ca)
    async with open_face(
        tmp_path, back_office=made, config=made.config, clock=lambda: int(made.clock() * 1000)
    ) as face:
        made.face, made.house = face, House(face.catalog, clock=made.clock)
        face.app.premises.passwords = made.house.passwords
        made.prod, made.other = await face.instance("prod"), await face.instance("other")
        yield made


def text_of(answer: Answer) -> str:
    """What a page says, without its marks."""
    page = answer.body.decode().partition("<main")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def seal_of(answer: Answer) -> str:
    """What a preview carries to the second click; empty where there is no preview."""
    found = re.search(r'name="seen" value="([0-9a-f]{64})"', answer.body.decode())
    return found[1] if found else ""


def wrong(answer: Answer, name: str) -> str:
    """What is told beside a field."""
    found = re.search(rf'id="{name}-wrong"[^>]*>(.*?)</p>', answer.body.decode(), re.DOTALL)
    return unescape(found[1]) if found else ""


def kept(answer: Answer, name: str) -> str:
    """What stands in a text area."""
    found = re.search(rf'<textarea id="{name}".*?>(.*?)</textarea>', answer.body.decode(), re.DOTALL)
    return unescape(found[1]) if found else ""


def request_of(name: str, *, wants_authority: bool = False) -> bytes:
    """A signing request."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder(subject)
    builder = builder.add_extension(x509.BasicConstraints(ca=wants_authority, path_length=None), critical=True)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def vmca() -> Identity:
    """A root that looks like a vCenter's own."""
    made = authority("CA")
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA"),
            x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, "VMware Engineering"),
        ]
    )
    builder = (
        x509.CertificateBuilder(
            issuer_name=name,
            subject_name=name,
            public_key=made.key.public_key(),
            serial_number=7,
            not_valid_before=made.certificate.not_valid_before_utc,
            not_valid_after=made.certificate.not_valid_after_utc,
        )
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Identity(certificate=builder.sign(made.key, hashes.SHA256()), key=made.key)


ADD: Final = "/instances/prod/certificates/add"
SIGN: Final = "/instances/prod/certificates/sign"
ISSUE: Final = "/instances/prod/certificates/issue"
TRUST: Final = "/instances/prod/authorities/add"
