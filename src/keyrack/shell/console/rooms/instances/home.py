"""Where an instance is to be at home: its key manager, and a root key picked from the live list, or a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.ports.back_office import BackOfficeUnavailable, RootKeyTold
from keyrack.ports.key_manager import KeyManagerFailed
from keyrack.service.office.refusals import Refused, Unusable
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.instances.frame import room
from keyrack.shell.console.words import mark

MAKE_ONE: Final = "+new"
"""In the place of a root key's identifier: have the key manager make one. No identifier begins so."""
LATER: Final = "+later"
"""In the place of a key manager's name: none yet."""
MOST_LISTED: Final = 50
"""Root keys to pick from; the identifier of any other can be typed."""
_ACTIVE: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The root keys of a key manager, to pick one from."""

    key_manager: str
    root_keys: Sequence[RootKeyTold] = ()
    """Those first that can be picked, the newest of them before others."""
    more: int = 0
    """How many there are beside these."""
    told: str = ""
    """Why none are listed; empty where they are."""


@room.refreshes("/live/root-keys-to-pick")
async def refresh_root_keys(call: Call) -> Response:
    """The root keys of a key manager, as it lists them now."""
    return call.show("instances/root_keys.html", choice=await _choice(call, call.typed.get("key_manager")), picked="")


async def home_values(call: Call, instance: Instance | None = None) -> Mapping[str, Any]:
    """What the fields of a home are shown with; ``instance``: the one that is to have it."""
    names = sorted(call.config.key_managers) if call.may(Right.KEY_MANAGER_READ) else []
    before = instance.key_manager if instance is not None else ""
    chosen = call.typed.get("key_manager") or before or (names[0] if len(names) == 1 else "")
    # The list is asked for behind the page, unless the form was sent: then what was picked has to stand in it.
    listed = await _choice(call, chosen) if "key_manager" in call.typed and chosen in names else None
    picked = call.typed.get("root_key") or (instance.root_key if instance is not None else "")
    return {
        "key_manager_choices": [(name, call.config.key_managers[name].type) for name in names],
        "chosen": chosen,
        "choice": listed,
        "picked": picked,
        "make_one": MAKE_ONE,
        "later": LATER,
    }


async def _choice(call: Call, key_manager: str) -> Choice | None:
    call.administration.require(Right.KEY_MANAGER_READ)
    if key_manager not in call.config.key_managers:
        return None
    try:
        found = await call.back_office.root_keys(key_manager)
    except (BackOfficeUnavailable, KeyManagerFailed, Refused) as error:
        return Choice(key_manager=key_manager, told=str(error))
    ordered = sorted(found, key=lambda each: (each.state != _ACTIVE, -each.created_at, each.identifier))
    return Choice(key_manager=key_manager, root_keys=ordered[:MOST_LISTED], more=max(0, len(ordered) - MOST_LISTED))


def home_in(call: Call) -> Mapping[str, Any]:
    """The home that was chosen; raises ``Unusable``, with the field."""
    key_manager, root_key = call.typed.get("key_manager"), call.typed.get("root_key")
    if not key_manager and call.may(Right.KEY_MANAGER_READ):
        raise Unusable(mark("choose a key manager"), field="key_manager")
    root_key = call.typed.get("root_key_typed") or root_key
    if not root_key:
        raise Unusable(mark("choose a root key, or have a new one made"), field="root_key")
    return {
        "key_manager": key_manager or None,
        "root_key": None if root_key == MAKE_ONE else root_key,
        "new_root_key": root_key == MAKE_ONE,
        "storage": call.typed.get("storage") or None,
        "hierarchy": call.typed.get("hierarchy") or None,
    }
