"""The tab Key manager: where the keys of an instance are wrapped, how that does, and how soon a revocation counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.ports.back_office import BackOfficeUnavailable, KeyManagerTold, RootKeyTold, Trial
from keyrack.ports.key_manager import KeyManagerFailed
from keyrack.service.office.refusals import Refused
from keyrack.shell.config.key_managers import Lease
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.instances.frame import address_of, framed, offered, room
from keyrack.shell.console.rooms.instances.home import home_in, home_values
from keyrack.shell.rest.v1 import instances as rest

SEAL_SECONDS: Final = 1
"""Within which a seal has emptied every process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How key manager and root key do just now, as far as whoever asks may know."""

    manager: KeyManagerTold | None = None
    root_key: RootKeyTold | None = None
    trials: Sequence[Trial] = ()
    """The last real unwrap of each serving process."""
    told: str = ""
    """Why it could not be asked; empty where it could."""


@room.shows("/instances/{instance}/key-manager")
async def show_key_manager(call: Call) -> Response:
    """What the catalog knows at once; what the key manager says comes after, or with ``?ask=now``."""
    instance = await framed(call)
    values: dict[str, Any] = {
        "instance": instance,
        "tab": "key-manager",
        "lease": _lease(call, instance),
        "seal_seconds": SEAL_SECONDS,
        "each_time": call.config.cache.mode == "off",
        "found": (await call.catalog.validations()).get(instance.identifier),
        "condition": await _condition(call, instance) if call.typed.get("ask") == "now" else None,
    }
    return call.show("instances/key_manager.html", **values, **await _home(call, instance))


@room.does("/instances/{instance}/configure", again=show_key_manager)
async def configure(call: Call) -> Response:
    """Give an instance its home; it serves once its root key is proved."""
    instance = await framed(call)
    offered(call, Right.INSTANCE_CHANGE, instance)
    if "show" in call.typed:
        return await show_key_manager(call)
    home = rest.HomeWanted(**home_in(call))
    await rest.configure_instance(call.known, instance.identifier, home, Response())
    return call.go(address_of(call, instance, "key-manager"), done="instance-configured")


@room.refreshes("/live/instances/{instance}/key-manager")
async def refresh_key_manager(call: Call) -> Response:
    """What the key manager says now."""
    instance = await framed(call)
    return call.show("instances/condition.html", instance=instance, condition=await _condition(call, instance))


async def _home(call: Call, instance: Instance) -> Mapping[str, Any]:
    """For the panel that gives it a home, where it can have one now."""
    can = call.may(Right.INSTANCE_CHANGE, instance.identifier) and not instance.serves and instance.former is None
    return {"configurable": can, **(await home_values(call, instance) if can else {})}


def _lease(call: Call, instance: Instance) -> Lease | None:
    configured = call.config.key_managers.get(instance.key_manager)
    return configured.lease if configured is not None else None


async def _condition(call: Call, instance: Instance) -> Condition:
    if not instance.configured:
        return Condition()
    trials: Sequence[Trial] = ()
    if call.may(Right.SERVER_READ):
        workers = (await call.premises.looking.look()).workers
        home = (instance.key_manager, instance.root_key)
        trials = [each for one in workers for each in one.trials if (each.key_manager, each.root_key) == home]
    if not call.may(Right.KEY_MANAGER_READ):
        return Condition(trials=trials)
    try:
        managers = {each.name: each for each in await call.back_office.key_managers()}
        listed = {each.identifier: each for each in await call.back_office.root_keys(instance.key_manager)}
    except (BackOfficeUnavailable, KeyManagerFailed, Refused) as error:
        # What the catalog and the last unwraps tell is of use all the same.
        return Condition(trials=trials, told=str(error))
    return Condition(manager=managers.get(instance.key_manager), root_key=listed.get(instance.root_key), trials=trials)
