"""``/instances/new``: one panel, and what is made is usable at once."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from keyrack.domain.rights import Right
from keyrack.service.office.installing import check_description, check_instance_name
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.instances.frame import room
from keyrack.shell.console.rooms.instances.home import LATER, home_in, home_values
from keyrack.shell.rest.v1 import instances as rest


@room.shows("/instances/new")
async def show_new(call: Call) -> Response:
    """An empty form, or what was typed into it."""
    call.administration.require(Right.INSTANCE_CREATE)
    return call.show("instances/new.html", **await home_values(call))


@room.does("/instances/new", again=show_new)
async def create(call: Call) -> Response:
    """Make it, with its home where one was chosen; or only list the root keys of the key manager that was chosen."""
    call.administration.require(Right.INSTANCE_CREATE)
    if "show" in call.typed:
        return await show_new(call)
    _check_lengths(call)
    told: Mapping[str, Any] = {"name": call.typed.get("name") or None, "description": call.typed.get("description")}
    if call.typed.get("key_manager") == LATER:
        made = await rest.create_instance(call.known, rest.InstanceNew(**told), Response())
        return call.go(f"/instances/{made.identifier}/key-manager", done="instance-entered")
    made = await rest.create_instance(call.known, rest.InstanceNew(**told, **home_in(call)), Response())
    return call.go(f"/instances/{made.identifier}/certificates", done="instance-created")


def _check_lengths(call: Call) -> None:
    """With the words of the use cases, before REST's model counts characters."""
    if name := call.typed.get("name"):
        check_instance_name(name)
    check_description(call.typed.get("description"))
