"""``/instances``: all of them at one look; and where the address of one leads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.ports.catalog import Validation
from keyrack.ports.key_affairs import Holding
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.instances.frame import framed, room

ON_A_PAGE: Final = 50
LONGEST_SEARCH: Final = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One instance in the table."""

    instance: Instance
    held: Holding
    found: Validation | None
    """What the server has found out about its root key."""


@room.shows("/instances")
async def show_instances(call: Call) -> Response:
    """By name, with what each has and when a key of it was last fetched."""
    return call.show("instances/instances.html", first=True, **await _table(call))


@room.refreshes("/live/instances")
async def refresh_instances(call: Call) -> Response:
    """The same table, as it is now; the first time right behind the page, which does not wait for the journal."""
    await call.catalog.catch_up()
    return call.show("instances/table.html", first=False, **await _table(call))


async def _table(call: Call) -> Mapping[str, Any]:
    wanted = call.typed.get("search")[:LONGEST_SEARCH]
    every = await call.administration.instances()
    found = [each for each in every if _fits(each, wanted.casefold())]
    last = max(1, -(-len(found) // ON_A_PAGE))
    page = min(last, int(told)) if (told := call.typed.get("page", "1")).isdecimal() and len(told) < 7 else 1
    page = max(1, page)
    return {
        "lines": await _lines(call, found[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]),
        "search": wanted,
        "total": len(every),
        "fitting": len(found),
        "number_of_page": page,
        "last_page": last,
    }


def _fits(instance: Instance, wanted: str) -> bool:
    """Whether what is searched for stands in anything that people know it by."""
    known = (
        instance.name,
        instance.description,
        instance.identifier,
        instance.status,
        instance.key_manager,
        instance.root_key,
    )
    return any(wanted in each.casefold() for each in known)


async def _lines(call: Call, shown: Sequence[Instance]) -> Sequence[Line]:
    held = await call.catalog.holdings()
    found = await call.catalog.validations()
    return [
        Line(each, held.get(each.identifier, Holding()), found.get(each.identifier) if each.configured else None)
        for each in shown
    ]


@room.shows("/instances/{instance}")
async def show_instance(call: Call) -> Response:
    """Its keys: what people look for most."""
    await framed(call)
    return call.go(f"/instances/{quote(call.path['instance'])}/keys")


@room.refreshes("/live/instances/{instance}/state")
async def refresh_state(call: Call) -> Response:
    """The status of one instance, as it is now."""
    return call.show("instances/state.html", instance=await framed(call))
