"""``/``: what is well and what is not, at one look."""

from starlette.responses import Response

from keyrack.shell.console.calls import Call, Room

room = Room()


@room.shows("/")
async def show_overview(call: Call) -> Response:
    """The first page after a log-in."""
    return call.show("overview/overview.html", instances=await call.administration.instances())
