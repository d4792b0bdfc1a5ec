"""What is done with a root key: a page for each act, with what may stop before its words are typed."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from keyrack.service.office.refusals import NotThere
from keyrack.service.office.root_keys import impact_of_root_key
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.root_keys import base_of, bound_of, found_in, state_of
from keyrack.shell.console.rooms.root_keys_words import ACTS, Act
from keyrack.shell.rest.v1 import root_keys as rest
from keyrack.shell.rest.v1.root_key_shapes import RootKeyAct

room = Room()
_DO: Final[Mapping[str, Any]] = {
    "rotate": rest.rotate_root_key,
    "disable": rest.disable_root_key,
    "enable": rest.enable_root_key,
    "delete": rest.delete_root_key,
    "keep": rest.unset_root_key_for_deletion,
    "restore": rest.restore_root_key,
}


@room.shows("/root-keys/{manager}/{root_key}/{act}")
async def show_act(call: Call) -> Response:
    """What an act would do, and its form."""
    act, found = _act(call), await found_in(call)
    details = found.told.details
    before = {"rotate": "rotate_from", "enable": "return_from", "restore": "return_from"}.get(act.name)
    return call.show(
        "root_keys/act.html",
        base=base_of(call, found),
        found=found,
        act=act,
        state=state_of(found.told.state),
        impact=await impact_of_root_key(call.catalog, found.users, call.now) if act.stops else None,
        bound=bound_of(call.config, call.path["manager"]),
        earliest=getattr(details, before) if details is not None and before is not None else None,
        may=call.may(act.right),
    )


@room.does("/root-keys/{manager}/{root_key}/{act}", again=show_act)
async def do_act(call: Call) -> Response:
    """Do it."""
    act, found = _act(call), await found_in(call)
    more = [RootKeyAct(confirmation=call.typed.get("confirmation") or None)] if act.stops else []
    after = await _DO[act.name](call.known, call.path["manager"], found.told.identifier, *more)
    waits = act.name == "delete" and bool(after.set_for_deletion_by)
    return call.go(base_of(call, found), done="root-key-set-for-deletion" if waits else f"root-key-{act.name}")


def _act(call: Call) -> Act:
    act = ACTS.get(call.path["act"])
    if act is None:
        raise NotThere("there is no such act")
    return act
