"""``/seen-certificates`` and ``/server-certificate``: who knocked, and what the server itself shows."""

from typing import Annotated, Any

from pydantic import Field

from keyrack.domain.instances import SeenCertificate
from keyrack.domain.rights import Right
from keyrack.service.office import authorities
from keyrack.service.office.certificates import alarm_due, days_left
from keyrack.service.office.refusals import NotThere
from keyrack.shell.kmip.taken import certificate_shown, in_force
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.certificates import Days, Material, TakenBy, told_of
from keyrack.shell.rest.v1.models import Body, Instant, Resource, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.premises import Keeper, Premises
from keyrack.shell.rest.v1.routing import noun
from keyrack.shell.server_pair import ServerPair

router = noun("seen-certificates")
server = noun("server-certificate")

HostName = Annotated[str, Field(min_length=1, max_length=253)]


class SeenShown(Resource):
    """A certificate that knocked and is not trusted; nothing that it says is proved."""

    fingerprint: str
    subject: str
    address: str
    reason: str
    first_at: Instant
    last_at: Instant
    count: int


class ServerCertificateShown(Resource):
    """The certificate that clients see; vCenter pins it, and has to trust each new one anew."""

    fingerprint: str
    subject: str
    issuer: str
    serial: str
    names: list[str]
    not_before: Instant
    not_after: Instant
    key: str
    days_left: int
    alarm: int | None
    in_force: TakenBy


class ServerRenewal(Body):
    """A certificate to make with the deployment's own authority."""

    names: Annotated[list[HostName] | None, Field(min_length=1, max_length=50)] = None
    days: Days = 3650


class ServerReplacement(Body):
    """A certificate to show; without its key, that of the last request is taken."""

    certificate: Material
    private_key: Annotated[str | None, Field(min_length=1, max_length=20_000)] = None


class ServerRequest(Body):
    """A request to make."""

    names: Annotated[list[HostName] | None, Field(min_length=1, max_length=50)] = None


class ServerRequestShown(Resource):
    """A signing request for the server's next certificate."""

    pem: str


@router.get("/seen-certificates")
async def list_seen_certificates(caller: Caller, page: Paging) -> Listing[SeenShown]:
    """List certificates that knocked and are not trusted."""
    found = await authorities.seen(caller.administration, caller.catalog)
    return page.of(sorted(found, key=lambda each: each.fingerprint), lambda each: each.fingerprint, _seen)


@server.get("/server-certificate")
async def show_server_certificate(caller: Caller, keeper: Keeper) -> ServerCertificateShown:
    """Show the server's certificate, and how many processes show it to clients."""
    caller.administration.require(Right.SERVER_READ)
    return await _shown(caller, keeper)


@server.post("/server-certificate/renew")
async def renew_server_certificate(caller: Caller, keeper: Keeper, body: ServerRenewal) -> ServerCertificateShown:
    """Make the server a new key and certificate, without a restart; vCenter has to trust it anew."""
    return await _act(caller, keeper, "server-certificate.renew", body.model_dump(exclude_none=True))


@server.post("/server-certificate/replace")
async def replace_server_certificate(caller: Caller, keeper: Keeper, body: ServerReplacement) -> ServerCertificateShown:
    """Show clients another certificate, without a restart; vCenter has to trust it anew."""
    return await _act(caller, keeper, "server-certificate.install", body.model_dump(exclude_none=True))


@server.post("/server-certificate/request")
async def request_server_certificate(caller: Caller, body: ServerRequest) -> ServerRequestShown:
    """Make a key and a signing request for another authority to sign."""
    caller.administration.require(Right.SERVER_CHANGE)
    told = await caller.back_office.act(
        caller.on_behalf, "server-certificate.request", body.model_dump(exclude_none=True)
    )
    return ServerRequestShown(pem=told["pem"])


async def _act(caller: Visit, keeper: Premises, act: str, arguments: dict[str, Any]) -> ServerCertificateShown:
    caller.administration.require(Right.SERVER_CHANGE)
    await caller.back_office.act(caller.on_behalf, act, arguments)
    return await _shown(caller, keeper)


async def _shown(caller: Visit, keeper: Premises) -> ServerCertificateShown:
    if keeper.config is None:
        raise NotThere("there is no server here")
    kmip = keeper.config.kmip
    found = ServerPair(keeper.config.path(kmip.certificate), keeper.config.path(kmip.key)).shown()
    by = await in_force(keeper.config.run_directory, certificate_shown(found.fingerprint))
    return ServerCertificateShown(
        fingerprint=found.fingerprint,
        subject=found.subject,
        issuer=found.issuer,
        serial=f"{found.serial:X}",
        names=list(found.names),
        not_before=since(found.not_before),
        not_after=since(found.not_after),
        key=found.key,
        days_left=days_left(found, caller.now),
        alarm=alarm_due(found, caller.now),
        in_force=told_of(by),
    )


def _seen(knocked: SeenCertificate) -> SeenShown:
    return SeenShown(
        fingerprint=knocked.fingerprint,
        subject=knocked.subject,
        address=knocked.address,
        reason=knocked.reason,
        first_at=since(knocked.first_at),
        last_at=since(knocked.last_at),
        count=knocked.count,
    )
