"""``/instances``: the table of them, and the frame of the page of one, which other rooms' tabs extend."""

from urllib.parse import quote

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.shell.console.calls import Call, Room

room = Room()


async def framed(call: Call) -> Instance:
    """The instance that the address names, by identifier or name; one that whoever asks may not see is not there."""
    return await call.administration.instance(call.path["instance"])


@room.shows("/instances/{instance}")
async def show_instance(call: Call) -> Response:
    """Its keys: what people look for most."""
    await framed(call)
    return call.go(f"/instances/{quote(call.path['instance'])}/keys")


@room.refreshes("/live/instances/{instance}/state")
async def refresh_state(call: Call) -> Response:
    """The status of one instance, as it is now."""
    return call.show("instances/state.html", instance=await framed(call))
