"""What stops an instance, each on a page of its own: deactivate it, seal it, remove it in the safe order."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from keyrack.domain.instance_status import STATUSES, StatusEvent
from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.ports.key_affairs import KeyFilter
from keyrack.service.office import instances, safe_removal, seals
from keyrack.service.office.refusals import ConfirmationNeeded, Unusable
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.instances.frame import (
    address_of,
    as_seen,
    confirmation_in,
    framed,
    held_by,
    offered,
    room,
)
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.instances import tag_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step on the way to removing an instance."""

    what: str
    """Which one: the template has its words."""
    left: int
    """How many things of its kind are in the way; 0: it is done."""


@room.shows("/instances/{instance}/deactivate")
async def show_deactivate(call: Call) -> Response:
    """What it means."""
    instance = await framed(call)
    offered(call, Right.INSTANCE_CHANGE, instance)
    return call.show("instances/deactivate.html", instance=instance, seen=tag_of(instance))


@room.does("/instances/{instance}/deactivate", again=show_deactivate)
async def deactivate(call: Call) -> Response:
    """Out of service, once what it stops is confirmed."""
    found = await as_seen(call, Right.INSTANCE_CHANGE)
    await instances.deactivate(
        call.administration,
        call.catalog,
        found.identifier,
        why=call.typed.get("why"),
        confirmation=confirmation_in(call),
        seen=found,
    )
    return call.go(address_of(call, found, "settings"), done="instance-deactivated")


@room.shows("/instances/{instance}/seal")
async def show_seal(call: Call) -> Response:
    """What it means."""
    instance = await framed(call)
    offered(call, Right.INSTANCE_SEAL, instance)
    return call.show("instances/seal.html", instance=instance)


@room.does("/instances/{instance}/seal", again=show_seal)
async def seal(call: Call) -> Response:
    """No key is handed out any more, once what it stops is confirmed. In an emergency no older page is in the way."""
    found = await framed(call)
    await seals.seal(call.administration, call.catalog, found.identifier, confirmation=confirmation_in(call))
    return call.go(address_of(call, found, "settings"), done="instance-sealed")


@room.shows("/instances/{instance}/remove")
async def show_remove(call: Call) -> Response:
    """The safe order: what is done of it, and what is left."""
    instance = await framed(call)
    offered(call, Right.INSTANCE_REMOVE, instance)
    steps = await _steps(call, instance)
    return call.show(
        "instances/remove.html",
        instance=instance,
        seen=tag_of(instance),
        steps=steps,
        removable=not any(each.left for each in steps),
    )


@room.does("/instances/{instance}/remove", again=show_remove)
async def remove(call: Call) -> Response:
    """Away with it, where nothing hangs on it and its name is typed."""
    found = await as_seen(call, Right.INSTANCE_REMOVE)
    await safe_removal.check(call.catalog, found)
    if (typed := confirmation_in(call)) is None:
        told = mark("an instance that is removed does not come back: its name and settings are forgotten")
        raise ConfirmationNeeded(told, found.name, {})
    if typed != found.name:
        raise Unusable(
            f"the confirmation is not the instance's name, {found.name!r}; nothing was changed", field="confirmation"
        )
    await safe_removal.remove(call.administration, call.catalog, found.identifier, seen=found)
    return call.go("/instances", done="instance-removed")


async def _steps(call: Call, instance: Instance) -> Sequence[Step]:
    """From what is counted: the use case looks at each key, and has the last word."""
    catalog, identifier = call.catalog, instance.identifier
    held = await held_by(call, instance)
    return (
        Step(what="deactivate", left=int((instance.status, StatusEvent.REMOVE) not in STATUSES)),
        Step(what="destroy", left=held.keys),
        Step(what="purge", left=await catalog.count_keys(identifier, KeyFilter(recoverable=True), call.now)),
        Step(what="making", left=sum(each.instance == identifier for each in await catalog.intents())),
        Step(what="certificates", left=held.certificates),
        Step(what="authorities", left=held.authorities),
    )
