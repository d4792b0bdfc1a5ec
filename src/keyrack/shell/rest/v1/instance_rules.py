"""``/instances/{instance}/quotas``, ``/credential`` and ``/dual-control``: what an instance is held to."""

from typing import Annotated

from fastapi import Response
from pydantic import Field

from keyrack.domain.instances import Instance
from keyrack.domain.secret import Secret
from keyrack.service.office import instance_rules
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.etags import IfMatch
from keyrack.shell.rest.v1.instances import tag_of
from keyrack.shell.rest.v1.models import Body, Flag, InstanceName, Instant, Resource, Whole, given, instant
from keyrack.shell.rest.v1.premises import Keeper
from keyrack.shell.rest.v1.routing import noun

router = noun("instances")


class QuotaShown(Resource):
    """One quota, and what of it is used."""

    quota: int
    used: Annotated[int | None, Field(description="Null for requests, which are counted by the second.")]


class QuotasShown(Resource):
    """What an instance may have and ask for."""

    keys: Annotated[QuotaShown, Field(description="Keys that are not destroyed.")]
    certificates: Annotated[QuotaShown, Field(description="Client certificates and trusted authorities.")]
    requests: Annotated[QuotaShown, Field(description="KMIP requests a second, to each server process.")]


class QuotasChange(Body):
    """Quotas to set; what is not sent stays. What there is beyond a quota stays too."""

    keys: Annotated[Whole, Field(ge=0, le=instance_rules.MOST.keys)] | None = None
    certificates: Annotated[Whole, Field(ge=0, le=instance_rules.MOST.certificates)] | None = None
    requests: Annotated[Whole, Field(ge=1, le=instance_rules.MOST.requests)] | None = None


class CredentialShown(Resource):
    """What clients prove beside their certificate; the password is kept as a hash, and never shown."""

    username: str | None = Field(description="Null where the certificate alone counts.")
    required: bool


class CredentialNew(Body):
    """A username and password that clients are to send."""

    username: Annotated[str, Field(min_length=1, max_length=instance_rules.LONGEST_USERNAME)]
    password: Annotated[
        str, Field(min_length=instance_rules.SHORTEST_PASSWORD, max_length=instance_rules.LONGEST_PASSWORD, repr=False)
    ]
    required: Annotated[Flag, Field(description="Refuse requests for keys that come without it.")] = False


class DualControlShown(Resource):
    """Whether two people must want what ends keys."""

    on: bool
    since: Instant | None


class DualControlChange(Body):
    """Switches it; off takes two people."""

    on: Flag


async def _quotas(caller: Visit, found: Instance, response: Response) -> QuotasShown:
    response.headers["etag"] = tag_of(found)
    held = len(await caller.catalog.certificates(found.identifier))
    held += len(await caller.catalog.authorities(found.identifier))
    quotas = found.quotas
    return QuotasShown(
        keys=QuotaShown(quota=quotas.keys, used=await caller.catalog.living(found.identifier)),
        certificates=QuotaShown(quota=quotas.certificates, used=held),
        requests=QuotaShown(quota=quotas.requests, used=None),
    )


@router.get("/instances/{instance}/quotas")
async def show_quotas(caller: Caller, instance: InstanceName, response: Response) -> QuotasShown:
    """Show the quotas of an instance, and what of them is used."""
    return await _quotas(caller, await caller.administration.instance(instance), response)


@router.patch("/instances/{instance}/quotas")
async def change_quotas(
    caller: Caller, instance: InstanceName, seen: IfMatch, body: QuotasChange, response: Response
) -> QuotasShown:
    """Set quotas of an instance, or ask for it where two people must want it."""
    found = await caller.administration.instance(instance)
    seen.holds(tag_of(found))
    changed, _ = await instance_rules.set_quotas(
        caller.administration, caller.catalog, found.identifier, seen=found, **given(body)
    )
    return await _quotas(caller, changed, response)


def _credential(found: Instance, response: Response) -> CredentialShown:
    response.headers["etag"] = tag_of(found)
    held = found.credential
    return CredentialShown(username=held.username if held else None, required=held is not None and held.required)


@router.get("/instances/{instance}/credential")
async def show_credential(caller: Caller, instance: InstanceName, response: Response) -> CredentialShown:
    """Show which username clients prove, never the password."""
    return _credential(await caller.administration.instance(instance), response)


@router.put("/instances/{instance}/credential")
async def set_credential(
    caller: Caller, instance: InstanceName, seen: IfMatch, body: CredentialNew, *, keeper: Keeper, response: Response
) -> CredentialShown:
    """Have clients prove a username and password beside their certificate."""
    found = await caller.administration.instance(instance)
    seen.holds(tag_of(found))
    with Secret(bytearray(body.password.encode(errors="surrogatepass"))) as password:
        changed = await instance_rules.set_credential(
            caller.administration,
            keeper.passwords,
            found.identifier,
            body.username,
            password,
            required=body.required,
            seen=found,
        )
    return _credential(changed, response)


@router.delete("/instances/{instance}/credential", status_code=204)
async def clear_credential(caller: Caller, instance: InstanceName, seen: IfMatch) -> None:
    """Ask clients for their certificate alone again."""
    found = await caller.administration.instance(instance)
    seen.holds(tag_of(found))
    await instance_rules.clear_credential(caller.administration, found.identifier, seen=found)


def _dual_control(found: Instance, response: Response) -> DualControlShown:
    response.headers["etag"] = tag_of(found)
    return DualControlShown(on=found.dual_control_at is not None, since=instant(found.dual_control_at))


@router.get("/instances/{instance}/dual-control")
async def show_dual_control(caller: Caller, instance: InstanceName, response: Response) -> DualControlShown:
    """Show whether two people must want what ends keys."""
    return _dual_control(await caller.administration.instance(instance), response)


@router.put("/instances/{instance}/dual-control")
async def switch_dual_control(
    caller: Caller, instance: InstanceName, seen: IfMatch, body: DualControlChange, response: Response
) -> DualControlShown:
    """Switch it on, where two people can agree; or ask for it to be switched off, to which a second one agrees."""
    found = await caller.administration.instance(instance)
    seen.holds(tag_of(found))
    if body.on:
        found, _ = await instance_rules.require_two(caller.administration, caller.catalog, found.identifier, seen=found)
    else:
        found, _ = await instance_rules.let_one_decide(caller.administration, caller.catalog, found.identifier)
    return _dual_control(found, response)
