"""Three of vCenter's four ways in: its own certificate, its signing request, and a pair that is made here.

What was handed over is shown first, and counts with the second click alone: the form carries what was looked at.
"""

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from keyrack.domain.instances import ClientCertificate, Instance
from keyrack.domain.rights import Right
from keyrack.service.office import admissions
from keyrack.service.office.certificates import Offered, read
from keyrack.service.office.material import certificates_in
from keyrack.service.office.refusals import CertificateElsewhere, CertificateThere, NameTaken, Unusable
from keyrack.service.office.requests import OfferedRequest, read_request
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.certificates import as_file
from keyrack.shell.console.rooms.certificates_shown import looked, own_authority
from keyrack.shell.console.rooms.instances import framed
from keyrack.shell.rest.v1.certificates import (
    CertificateIssued,
    CertificateWish,
    SigningRequest,
    issue_certificate,
    sign_certificate,
    taken,
)

room = Room()
LONGEST: Final = 100_000
"""Characters of what is handed over: a certificate has a few thousand."""
DAYS: Final = 3650


@room.shows("/instances/{instance}/certificates/add")
async def show_adding(call: Call) -> Response:
    """Drop, pick or paste a certificate."""
    return await _adding(call)


@room.does("/instances/{instance}/certificates/add", again=show_adding)
async def add_certificate(call: Call) -> Response:
    """Show what it is; with the second click, trust it."""
    instance = await where_added(call)
    with beside("pem"):
        offered = read(handed(call, "pem"), instance=instance.identifier, at=call.now, name=call.typed.get("name")[:40])
        await admissions.check_new(call.administration, offered.certificate)
    if call.typed.get("seen") != seal(call, "pem"):
        return await _adding(call, offered)
    with beside("pem"):
        added = await admissions.add(call.administration, offered.certificate)
    await taken(call.known, call.premises)
    return call.go(path_of(call, added), done="certificate-added")


async def _adding(call: Call, offered: Offered | None = None) -> Response:
    instance = await where_added(call)
    many = len(certificates_in(handed(call, "pem"))) if offered else 0
    look = looked(offered.certificate, call.now, own_authority(call.config)) if offered else None
    return call.show(
        "certificates/add.html",
        instance=instance,
        tab="certificates",
        look=look,
        key=offered.key if offered else "",
        many=many,
        seal=seal(call, "pem"),
    )


@room.shows("/instances/{instance}/certificates/sign")
async def show_signing(call: Call) -> Response:
    """Drop, pick or paste a signing request."""
    return await _signing(call)


@room.does("/instances/{instance}/certificates/sign", again=show_signing)
async def sign(call: Call) -> Response:
    """Show what is asked for; with the second click, sign it."""
    instance = await where_added(call)
    with beside("request"):
        request = read_request(handed(call, "request"))
    body = SigningRequest(request=call.typed.get("request"), days=number(call, "days", DAYS))
    if call.typed.get("seen") != seal(call, "request"):
        return await _signing(call, request)
    with beside("request"):
        signed = await sign_certificate(
            call.known, call.premises, instance.identifier, body=body, response=Response(), dry_run=False
        )
    where = f"/instances/{quote(call.path['instance'])}/certificates/{signed.fingerprint}"
    return call.go(f"{where}?next=upload", done="certificate-signed")


async def _signing(call: Call, request: OfferedRequest | None = None) -> Response:
    instance = await where_added(call)
    names = [str(each.value)[:200] for each in request.alternative or ()][:20] if request else []
    return call.show(
        "certificates/sign.html",
        instance=instance,
        tab="certificates",
        request=request,
        names=names,
        days=DAYS,
        seal=seal(call, "request"),
    )


@room.shows("/instances/{instance}/certificates/issue")
async def show_issuing(call: Call) -> Response:
    """What the pair is to be called, how long it is good, and in which form it comes."""
    return call.show("certificates/issue.html", instance=await where_added(call), tab="certificates", days=DAYS)


@room.does("/instances/{instance}/certificates/issue", again=show_issuing)
async def issue(call: Call) -> Response:
    """Make it, trust it, and answer with the file: nothing of the key is kept, here or in a page."""
    instance = await where_added(call)
    packed = call.typed.get("form") == "pkcs12"
    if packed and call.typed.raw("password") != call.typed.raw("again"):
        raise Unusable("the two passwords differ; nothing was made", field="again")
    wish = CertificateWish(
        name=call.typed.get("name") or None,
        days=number(call, "days", DAYS),
        form="pkcs12" if packed else "pem",
        password=call.typed.raw("password") if packed else None,
    )
    issued = await issue_certificate(call.known, call.premises, instance.identifier, wish)
    name = f"{instance.name}-{issued.fingerprint[:8]}"
    if issued.pkcs12 is not None:
        return as_file(base64.b64decode(issued.pkcs12), f"{name}.p12", "application/x-pkcs12")
    return as_file(_zipped(issued), f"{name}.zip", "application/zip")


def _zipped(issued: CertificateIssued) -> bytes:
    """The two files that vCenter asks for, and who has signed; the key is readable for its owner alone."""
    packed = io.BytesIO()
    files = {"client.pem": issued.certificate, "client.key": issued.private_key, "ca.pem": issued.issuer}
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o600 if name.endswith(".key") else 0o644) << 16
            file.writestr(entry, content or "")
    return packed.getvalue()


async def where_added(call: Call) -> Instance:
    """The instance, for whoever may let clients in to it: what nobody may add is not looked at either."""
    instance = await framed(call)
    call.administration.require(Right.CERTIFICATE_ADD, instance.identifier)
    return instance


def handed(call: Call, name: str) -> bytes:
    """What was typed, pasted or dropped into a field; raises ``Unusable`` for nothing, or for far too much."""
    text = call.typed.get(name)
    if not text:
        raise Unusable("there is nothing in it yet: drop a file, pick one, or paste what vCenter shows", field=name)
    if len(text) > LONGEST:
        raise Unusable(f"it has {len(text)} characters, and nothing of use has more than {LONGEST}", field=name)
    return text.encode()


def seal(call: Call, *names: str) -> str:
    """What was looked at: with other words in the fields, it is looked at anew."""
    told = "\0".join("\n".join(call.typed.get(name).split()) for name in names)
    return hashlib.sha256(told.encode()).hexdigest()


def number(call: Call, name: str, usual: int) -> Any:
    """A whole number, or what was typed in its place: the model refuses that beside the field."""
    text = call.typed.get(name, str(usual))
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text


@contextmanager
def beside(field: str) -> Iterator[None]:
    """What is wrong with something handed over is told beside the field that it was handed over in."""
    try:
        yield
    except (Unusable, CertificateThere, CertificateElsewhere, NameTaken) as refused:
        refused.field = refused.field or field
        raise


def path_of(call: Call, certificate: ClientCertificate) -> str:
    """The page of a certificate."""
    return f"/instances/{quote(call.path['instance'])}/certificates/{certificate.fingerprint}"
