"""REST of certificates, authorities, who knocked and the server's certificate: rights, previews, secrets shown once."""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12

from keyrack.domain.instances import SeenCertificate
from keyrack.domain.rights import Grant, Role
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.back_office import OnBehalf
from keyrack.ports.catalog import Unit
from keyrack.service.office.administration import Administration
from keyrack.service.people.door import caller_of_token
from keyrack.shell import pki
from keyrack.shell.config.whole import Config, load
from keyrack.shell.office import clock
from keyrack.shell.web.certificate_acts import FILE_ACTS
from keyrack.testing.certificates import Identity, authority, client, issue
from keyrack.testing.rest import Face, NobodyThere, open_face

BASE = "/api/v1/instances/prod"


class FileDesk(NobodyThere):
    """Does what needs the deployment's files, as a serving process does."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.face: Face

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """In the name of whoever has the token."""
        catalog = self.face.catalog
        administrator = await caller_of_token(
            catalog, who.token, now=clock() // 1000, address=who.address, correlation=who.correlation
        )
        return await FILE_ACTS[act](self.config, Administration(catalog, {}, administrator, clock), arguments)


@dataclass(slots=True)
class Place:
    """The API with an instance and people."""

    face: Face
    config: Config
    administrator: str
    viewer: str
    stranger: str

    async def ask(self, method: str, path: str, body: Any = None, *, who: str = "", etag: str = "") -> Any:
        """As the administrator, unless somebody else is named."""
        headers = {"if-match": etag} if etag else None
        return await self.face.ask(method, path, who or self.administrator, body, headers=headers)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """A deployment's files, without anything that serves."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "keyrack.toml").write_text(
        f'[deployment]\nid = "rest"\ndirectory = "{tmp_path}"\n[key_managers.embedded]\ntype = "embedded"\n'
        'keystore = "keystore"\nunlock = { key_file = "keystore.key" }\n'
    )
    config = load(tmp_path / "keyrack.toml")
    now = datetime.now(UTC)
    ca = pki.make_authority("tests", now=now, key=pki.make_key("ec-p256"))
    ca.write(tmp_path / "tls/ca.pem", tmp_path / "tls/ca.key")
    server = pki.issue_server(ca, ["kms.example.com"], now=now, key=pki.make_key("ec-p256"))
    server.write(tmp_path / "tls/server.pem", tmp_path / "tls/server.key", issuer=ca.certificate)
    desk = FileDesk(config)
    async with open_face(tmp_path, back_office=desk, config=config) as face:
        desk.face = face
        prod, other = await face.instance("prod"), await face.instance("other")
        yield Place(
            face,
            config,
            await face.person("ada", Grant(Role.ADMINISTRATOR)),
            await face.person("vera", Grant(Role.VIEWER, prod.identifier)),
            await face.person("otto", Grant(Role.ADMINISTRATOR, other.identifier)),
        )


async def test_a_certificate_is_previewed_added_listed_and_removed(place: Place) -> None:
    """By its PEM, and by its whole fingerprint from then on."""
    mine = client()
    body = {"pem": mine.pem.decode()}

    preview = await place.ask("POST", f"{BASE}/certificates?dry_run=true", body)
    before = await place.ask("GET", f"{BASE}/certificates")
    added = await place.ask("POST", f"{BASE}/certificates", body)
    again = await place.ask("POST", f"{BASE}/certificates", body)
    listed = await place.ask("GET", f"{BASE}/certificates", who=place.viewer)
    url = f"{BASE}/certificates/{mine.fingerprint}"
    shown = await place.ask("GET", url)
    unseen = await place.ask("DELETE", url)
    stale = await place.ask("DELETE", url, etag='"stale"')
    removed = await place.ask("DELETE", url, etag=shown.etag)
    after = await place.ask("GET", url)

    assert (preview.status, preview.json()["fingerprint"], before.json()["items"]) == (200, mine.fingerprint, [])
    assert (added.status, added.json()["in_force"]["of"], added.etag) == (201, 0, shown.etag)
    assert (again.status, again.code) == (409, "certificate-there")
    assert [each["fingerprint"] for each in listed.json()["items"]] == [mine.fingerprint]
    assert [unseen.status, stale.status, removed.status, after.status] == [428, 412, 204, 404]


@pytest.mark.parametrize("path", ["certificates", "authorities"])
async def test_rights_and_foreign_instances(place: Place, path: str) -> None:
    """A viewer adds nothing; what is another's and what is nowhere answer byte for byte alike."""
    body = {"pem": authority().pem.decode()}

    refused = await place.ask("POST", f"{BASE}/{path}", body, who=place.viewer)
    foreign = await place.ask("GET", f"{BASE}/{path}", who=place.stranger)
    absent = await place.ask("GET", f"/api/v1/instances/nowhere/{path}", who=place.stranger)

    assert (refused.status, refused.code) == (403, "forbidden")
    assert (foreign.status, foreign.code) == (absent.status, absent.code) == (404, "not-found")


@pytest.mark.parametrize(
    ("pem", "told"), [("nonsense", "there is no certificate in it"), ("-----BEGIN PRIVATE KEY-----", "a private key")]
)
async def test_bad_material_is_told_by_its_name(place: Place, pem: str, told: str) -> None:
    """As a problem with a code."""
    answer = await place.ask("POST", f"{BASE}/certificates", {"pem": pem})

    assert (answer.status, answer.code, told in answer.json()["detail"]) == (422, "unusable", True)


async def test_an_authority_is_previewed_trusted_and_removed(place: Place) -> None:
    """Whom it would let in is told; the deployment's own authority is not trusted."""
    root = authority("root")
    body = {"pem": root.pem.decode(), "subject_pattern": "CN=vc*", "name": "vcenters"}

    preview = await place.ask("POST", f"{BASE}/authorities?dry_run=true", body)
    own = await place.ask("POST", f"{BASE}/authorities", {"pem": (place.config.directory / "tls/ca.pem").read_text()})
    leaf = await place.ask("POST", f"{BASE}/authorities", {"pem": client(root).pem.decode()})
    added = await place.ask("POST", f"{BASE}/authorities", body)
    shown = await place.ask("GET", f"{BASE}/authorities/vcenters")
    removed = await place.ask("DELETE", f"{BASE}/authorities/vcenters", etag=shown.etag)
    listed = await place.ask("GET", f"{BASE}/authorities")

    assert (preview.status, "whose subject is like CN=vc*" in preview.json()["admits"]) == (200, True)
    assert (own.code, "the deployment's own authority" in own.json()["detail"]) == ("unusable", True)
    assert "is no certificate authority" in leaf.json()["detail"]
    assert (added.status, shown.json()["fingerprint"]) == (201, root.fingerprint)
    assert (removed.status, listed.json()["items"]) == (204, [])


async def test_a_pair_is_issued_once(place: Place) -> None:
    """The answer is not kept by anybody, and a repetition of the request does not show it again."""
    wish = {"name": "vc1", "form": "pkcs12", "password": "correct horse"}
    headers = {"idempotency-key": "issue-1"}

    issued = await place.face.ask("POST", f"{BASE}/certificates/issue", place.administrator, wish, headers=headers)
    again = await place.face.ask("POST", f"{BASE}/certificates/issue", place.administrator, wish, headers=headers)
    short = await place.ask("POST", f"{BASE}/certificates/issue", {"form": "pkcs12"})

    told = issued.json()
    _, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(told["pkcs12"]), b"correct horse")
    assert certificate is not None
    assert certificate.fingerprint(hashes.SHA256()).hex() == told["fingerprint"]
    assert (issued.status, issued.headers["cache-control"]) == (201, "no-store")
    assert (again.status, again.code, short.status) == (409, "shown-once", 422)


async def test_a_request_is_signed(place: Place) -> None:
    """Previewed first; one that wants to be an authority is refused."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(client(name="vc1").certificate.subject)
    plain = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    greedy = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    bad = greedy.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    preview = await place.ask("POST", f"{BASE}/certificates/sign?dry_run=true", {"request": plain})
    refused = await place.ask("POST", f"{BASE}/certificates/sign", {"request": bad})
    signed = await place.ask("POST", f"{BASE}/certificates/sign", {"request": plain})

    assert (preview.status, preview.json()["subject"], preview.json()["certificate"]) == (200, "CN=vc1", None)
    assert (refused.status, "wants to be a certificate authority" in refused.json()["detail"]) == (422, True)
    certificate = x509.load_pem_x509_certificate(signed.json()["certificate"].encode())
    assert (signed.status, certificate.public_key()) == (201, key.public_key())


async def test_who_knocked_is_listed_and_trusted(place: Place) -> None:
    """By the whole fingerprint."""
    stranger: Identity = issue("waits")
    knocked = SeenCertificate(
        fingerprint=stranger.fingerprint,
        der=stranger.der,
        subject="CN=waits",
        address="192.0.2.1",
        reason="certificate not trusted",
        first_at=1,
        last_at=2,
        count=3,
    )
    await place.face.catalog.commit(Unit(entries=(), admissions=AdmissionChanges(seen=(knocked,))))

    listed = await place.ask("GET", "/api/v1/seen-certificates")
    refused = await place.ask("GET", "/api/v1/seen-certificates", who=place.viewer)
    trusted = await place.ask("POST", f"{BASE}/certificates/trust", {"fingerprint": stranger.fingerprint})
    after = await place.ask("GET", "/api/v1/seen-certificates")

    assert [(each["subject"], each["count"]) for each in listed.json()["items"]] == [("CN=waits", 3)]
    assert (refused.status, trusted.status, after.json()["items"]) == (403, 201, [])


async def test_the_servers_certificate_is_shown_renewed_requested_and_replaced(place: Place) -> None:
    """Each time another one; its key is in no answer."""
    before = await place.ask("GET", "/api/v1/server-certificate")
    renewed = await place.ask("POST", "/api/v1/server-certificate/renew", {})
    request = await place.ask("POST", "/api/v1/server-certificate/request", {"names": ["new.example.com"]})
    misfit = await place.ask("POST", "/api/v1/server-certificate/replace", {"certificate": issue("x").pem.decode()})
    refused = await place.ask("POST", "/api/v1/server-certificate/renew", {}, who=place.viewer)

    assert before.json()["names"] == renewed.json()["names"] == ["kms.example.com"]
    assert before.json()["fingerprint"] != renewed.json()["fingerprint"]
    assert "BEGIN CERTIFICATE REQUEST" in request.json()["pem"]
    assert (misfit.code, "do not belong together" in misfit.json()["detail"]) == ("unusable", True)
    assert refused.status == 403
    assert all("PRIVATE KEY" not in each.body.decode() for each in (before, renewed, request, misfit))
