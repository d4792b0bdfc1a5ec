"""The server's own certificate: made anew, replaced, or asked of another authority; vCenter has to trust each anew."""

from starlette.responses import Response

from keyrack.domain.rights import Right
from keyrack.service.office.refusals import ConfirmationNeeded, Unusable
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.overview.seen import server_of
from keyrack.shell.console.rooms.server import certificate
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.seen import (
    ServerRenewal,
    ServerReplacement,
    ServerRequest,
    renew_server_certificate,
    replace_server_certificate,
    request_server_certificate,
)

room = Room()
tells(
    {
        "server-certificate": mark(
            "The server shows its new certificate. Have vCenter trust it now, for each key provider that names this"
            " server."
        )
    }
)


@room.shows("/server/certificate/renew")
async def show_renewing(call: Call) -> Response:
    """What a new one means, and what vCenter has to be told."""
    return await _shown(call, "server/renew.html")


@room.does("/server/certificate/renew", again=show_renewing)
async def renew(call: Call) -> Response:
    """Make a key and a certificate with the deployment's own authority."""
    wish = ServerRenewal(names=_names(call), days=_days(call))
    _confirm(call)
    await renew_server_certificate(call.known, call.premises, wish)
    return call.go("/server", done="server-certificate")


@room.shows("/server/certificate/replace")
async def show_replacing(call: Call) -> Response:
    """Where the answer to a request, or a pair that was made elsewhere, is handed over."""
    return await _shown(call, "server/replace.html")


@room.does("/server/certificate/replace", again=show_replacing)
async def replace(call: Call) -> Response:
    """Show clients the certificate that was handed over."""
    if not call.typed.get("certificate"):
        raise Unusable("hand over the certificate", field="certificate")
    key = call.typed.get("private_key") or None
    wish = ServerReplacement(certificate=call.typed.get("certificate"), private_key=key)
    _confirm(call)
    await replace_server_certificate(call.known, call.premises, wish)
    return call.go("/server", done="server-certificate")


@room.shows("/server/certificate/request")
async def show_requesting(call: Call) -> Response:
    """For which names."""
    return await _shown(call, "server/request.html")


@room.does("/server/certificate/request", again=show_requesting)
async def request(call: Call) -> Response:
    """Make a key, which stays here, and a signing request, which is shown."""
    made = await request_server_certificate(call.known, ServerRequest(names=_names(call)))
    return await _shown(call, "server/request.html", pem=made.pem)


async def _shown(call: Call, template: str, pem: str = "") -> Response:
    call.administration.require(Right.SERVER_CHANGE)
    return call.show(template, **await certificate(call, await server_of(call)), pem=pem)


def _names(call: Call) -> list[str] | None:
    """One on each line, or with commas or blanks between them; none: those of the certificate that is there."""
    return call.typed.get("names").replace(",", " ").split() or None


def _days(call: Call) -> int:
    typed = call.typed.get("days", "3650")
    if not typed.isdecimal() or len(typed) > 5:
        raise Unusable("a certificate is valid for 1 to 7300 days", field="days")
    return int(typed)


def _confirm(call: Call) -> None:
    name = call.config.deployment.id
    if call.typed.get("confirmation") != name:
        told = "from then on vCenter refuses this server, until it trusts the new certificate"
        raise ConfirmationNeeded(f"{told}; a host that restarts meanwhile gets no key from it", name, {})
