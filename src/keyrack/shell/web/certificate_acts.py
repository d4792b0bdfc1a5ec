"""Acts that need the deployment's files: its authority's key, and the pair of the listener.

They are done in a serving process, in the name of a person who asked the web process; what comes back is shown once.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from keyrack.domain.rights import Right
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Unusable
from keyrack.service.office.requests import read_request
from keyrack.service.office.server_certificates import requested, require_change, require_replacement, written_down
from keyrack.shell import issuing, pki
from keyrack.shell.config.whole import Config
from keyrack.shell.server_pair import ServerPair, Shown, today

Arguments = Mapping[str, Any]
Do = Callable[[Config, Administration, Arguments], Awaitable[Mapping[str, Any]]]
LEAST_PASSWORD: Final = 8
_REPLACING: Final = asyncio.Lock()
"""The listener's files are replaced by one act at a time."""


async def _issue(config: Config, administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``instance``, ``name``, ``days``, and ``password`` where it is to be a PKCS #12 file."""
    instance = await administration.instance(_text(arguments, "instance"))
    administration.require(Right.CERTIFICATE_ADD, instance.identifier)
    password = arguments.get("password")
    if isinstance(password, str) and len(password) < LEAST_PASSWORD:
        raise Unusable(f"the password has less than {LEAST_PASSWORD} characters", field="password")
    issued = await asyncio.to_thread(
        issuing.issue,
        issuing.authority_of(config),
        instance,
        name=arguments.get("name"),
        days=_days(arguments),
        at=administration.now,
        password=password.encode() if isinstance(password, str) else None,
    )
    await issuing.enter(administration, issued)
    return _handed_out(issued)


async def _sign(config: Config, administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``instance``, ``request`` (PEM) and ``days``."""
    instance = await administration.instance(_text(arguments, "instance"))
    administration.require(Right.CERTIFICATE_ADD, instance.identifier)
    request = read_request(_text(arguments, "request").encode())
    signed = await asyncio.to_thread(
        issuing.sign, issuing.authority_of(config), instance, request, days=_days(arguments), at=administration.now
    )
    await issuing.enter(administration, signed)
    return _handed_out(signed)


def _handed_out(issued: issuing.Issued) -> Mapping[str, Any]:
    files = {
        what: base64.b64encode(content).decode() if what == "pkcs12" else content.decode()
        for what, content in issued.files.items()
    }
    return {"fingerprint": issued.offered.certificate.fingerprint, "files": files}


async def _renew(config: Config, administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``names`` (those of the old one without them) and ``days``."""
    require_replacement(administration)
    async with _REPLACING:
        pair = await asyncio.to_thread(pair_of, config)
        before, authority = pair.shown(), issuing.authority_of(config)
        names = arguments.get("names") or before.names or ["localhost"]
        now, days = today(administration.now), _days(arguments)
        key = await asyncio.to_thread(pki.make_key, "rsa-2048")
        made = await asyncio.to_thread(pki.issue_server, authority, names, now=now, key=key, days=days)
        chain = made.certificate_pem + authority.certificate_pem
        return await _replaced(pair, before, chain, bytearray(made.key_pem), administration, "server-certificate.renew")


async def _replace(config: Config, administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``certificate`` and ``private_key`` in PEM; without the key, that of the last request."""
    require_replacement(administration)
    certificate, private = _text(arguments, "certificate").encode(), arguments.get("private_key")
    async with _REPLACING:
        pair = await asyncio.to_thread(pair_of, config)
        if not isinstance(private, str) and not pair.pending.exists():
            raise Unusable("no request waits for this certificate, so its key is not here", field="private_key")
        key = bytearray(private.encode()) if isinstance(private, str) else bytearray(pair.pending.read_bytes())
        answer = await _replaced(pair, pair.shown(), certificate, key, administration, "server-certificate.install")
        if not isinstance(private, str):
            pair.pending.unlink(missing_ok=True)
        return answer


async def _replaced(  # noqa: PLR0917 - the parts of one act
    pair: ServerPair, before: Shown, certificate: bytes, key: bytearray, administration: Administration, action: str
) -> Mapping[str, Any]:
    # It waits for the disk, and this process serves KMIP.
    new = await asyncio.to_thread(pair.replace, certificate, key, at=administration.now)
    await written_down(administration, action, before.lapsing, new.lapsing)
    return {"fingerprint": new.fingerprint}


async def _request(config: Config, administration: Administration, arguments: Arguments) -> Mapping[str, Any]:
    """``names`` (those of the certificate that is there without them)."""
    require_change(administration)
    async with _REPLACING:
        pair = await asyncio.to_thread(pair_of, config)
        names = arguments.get("names") or pair.shown().names or ["localhost"]
        made = await asyncio.to_thread(pair.request, names)
    await requested(administration)
    return {"pem": made.decode()}


def pair_of(config: Config) -> ServerPair:
    """The pair of the KMIP listener."""
    pair = ServerPair(Path(config.path(config.kmip.certificate)), Path(config.path(config.kmip.key)))
    pair.finish()
    return pair


FILE_ACTS: Final[Mapping[str, Do]] = {
    "certificate.issue": _issue,
    "certificate.sign": _sign,
    "server-certificate.renew": _renew,
    "server-certificate.install": _replace,
    "server-certificate.request": _request,
}
"""By name; each asks for its right itself."""


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise Unusable(f"{name} is missing", field=name)
    return value


def _days(arguments: Arguments) -> int:
    days = arguments.get("days", 3650)
    if not isinstance(days, int) or not 1 <= days <= 7300:
        raise Unusable("a certificate is valid for 1 to 7300 days", field="days")
    return days
