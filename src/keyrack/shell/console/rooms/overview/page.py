"""The page, and the two parts of it that are asked again."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.overview.needs import verdict
from keyrack.shell.console.rooms.overview.plots import figures, minutes
from keyrack.shell.console.rooms.overview.room import room
from keyrack.shell.console.rooms.overview.seen import Seen, look, managers_tried
from keyrack.shell.console.words import mark

MOST_INSTANCES: Final = 12
"""That the page shows; the table of all of them is another page."""
MOST_LAPSES: Final = 8
MOST_NEEDS: Final = 12
ACTS: Final[Mapping[str, str]] = {
    "Revoke": mark("revoked by a client"),
    "Destroy": mark("destroyed by a client"),
    "key.activate": mark("activated"),
    "key.reactivate": mark("restored to active"),
    "key.deactivate": mark("deactivated"),
    "key.compromise": mark("marked as compromised"),
    "key.destroy": mark("destroyed"),
    "key.recover": mark("taken back from its destruction"),
    "key.purge": mark("purged for good"),
}
"""What became of a key, by the journal's name of the act."""


@room.shows("/")
async def show_overview(call: Call) -> Response:
    """The first page after a log-in."""
    seen = await look(call)
    return call.show("overview/overview.html", **_above(call, seen), **_below(call, seen), **minutes(call))


@room.refreshes("/live/overview")
async def refresh_overview(call: Call) -> Response:
    """The verdict, what needs somebody, the figures and the instances, as they are now."""
    return call.show("overview/above.html", **_above(call, await look(call)))


@room.refreshes("/live/overview/more")
async def refresh_more(call: Call) -> Response:
    """What stands below the plots."""
    seen = await look(call)
    return call.show("overview/below.html", **_above(call, seen), **_below(call, seen))


def _above(call: Call, seen: Seen) -> Mapping[str, Any]:
    judged = verdict(seen, call.config)
    troubled = {need.values["instance"].identifier for need in judged.needs if "instance" in need.values}
    # Those that need somebody first; else by name, as they come.
    ordered = sorted(seen.instances, key=lambda each: each.instance.identifier not in troubled)
    return {
        "seen": seen,
        "verdict": judged,
        "most_needs": MOST_NEEDS,
        "shown": ordered[:MOST_INSTANCES],
        "figures": figures(call),
        "tried": list(managers_tried(seen)),
    }


def _below(call: Call, seen: Seen) -> Mapping[str, Any]:
    return {"lapses": seen.lapses[:MOST_LAPSES], "acts": ACTS}
