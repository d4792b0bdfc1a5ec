"""``/activity``: the journal, newest first, searched and followed; one record; and the tab of an instance."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain.checkpoints import SignedCheckpoint
from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.service.journal import reading
from keyrack.service.journal.naming import entry_of
from keyrack.service.journal.reading import Look, Wanted
from keyrack.service.office.refusals import Refused
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms import activity_proof
from keyrack.shell.console.rooms.activity_asked import address_of, is_narrowed, place, wanted
from keyrack.shell.console.rooms.activity_export import exported
from keyrack.shell.console.rooms.activity_rows import rows
from keyrack.shell.console.rooms.activity_words import choices
from keyrack.shell.console.rooms.instances import framed
from keyrack.shell.console.troubles import trouble_of

PAGE: Final = 35
"""Records of one page."""
room = Room()


@room.shows("/activity")
async def show_activity(call: Call) -> Response:
    """The journal of all that whoever asks may read."""
    shown, told = await _table(call)
    proof = await activity_proof.standing(call) if call.may(Right.JOURNAL_VERIFY) else None
    seen = await call.administration.instances()
    instances = [each for each in seen if call.may(Right.JOURNAL_READ, each.identifier)]
    return shown.show("activity/activity.html", proof=proof, instances=instances, choices=choices(), **told)


@room.refreshes("/live/activity")
async def refresh_records(call: Call) -> Response:
    """The newest page again, where something was written that belongs on it."""
    tab = await _framed_or_none(call)
    asked = wanted(call, tab.identifier if tab else None)
    after = place(call, "after") or 0
    if not await reading.has_news(call.administration, call.catalog, asked, after):
        return Response(status_code=204)
    told = await _records(call, asked, tab, newest=True)
    return call.show("activity/table.html", **told)


async def _framed_or_none(call: Call) -> Instance | None:
    """The instance of whose tab this is a part."""
    name = call.typed.get("tab")
    return await call.administration.instance(name) if name else None


@room.shows("/instances/{instance}/activity")
async def show_instance_activity(call: Call) -> Response:
    """The journal of one instance, on its page."""
    instance = await framed(call)
    call.administration.require(Right.JOURNAL_READ, instance.identifier)
    shown, told = await _table(call, instance)
    return shown.show("activity/instance.html", instance=instance, tab="activity", choices=choices(), **told)


async def _table(call: Call, tab: Instance | None = None) -> tuple[Call, dict[str, Any]]:
    """A page of records; what is wrong with a field is told beside it, and then there is none."""
    try:
        return call, await _records(call, wanted(call, tab.identifier if tab else None), tab)
    except Refused as error:
        if not error.field:
            raise
        told = replace(call, trouble=trouble_of(error))
        nothing = Look((), None, whole=True, newer=False)
        return told, await _told(told, nothing, tab, 0)


async def _records(call: Call, asked: Wanted, tab: Instance | None, *, newest: bool = False) -> dict[str, Any]:
    before, after = (None, None) if newest else (place(call, "before"), place(call, "after"))
    with call.premises.searching.taken(call.administration.administrator.initiator):
        # What is written while it is looked is news.
        end = await call.catalog.journal_end()
        found = await reading.look(call.administration, call.catalog, asked, before=before, after=after, limit=PAGE)
    return await _told(call, found, tab, end)


async def _told(call: Call, found: Look, tab: Instance | None, end: int) -> dict[str, Any]:
    """Everything that the table's templates look at."""
    dropped = ("instance",) if tab else ()
    following = "follow" in call.typed and not found.newer and not call.trouble
    further = None
    if not found.whole and found.older is not None:
        further = next((entry_of(each).at // 1000 for each in await call.catalog.journal(found.older - 1, 1)), None)
    scope = {"tab": tab.identifier} if tab else {}
    first = found.records[0].number if found.records else 0
    links = {
        "older": address_of(call, without=dropped, before=found.older) if found.older is not None else "",
        "newer": address_of(call, without=dropped, after=first) if found.newer and first else "",
        "newest": address_of(call, without=dropped),
        "live": address_of(call, without=dropped, follow="yes", after=end, **scope),
        "follow": address_of(call, without=dropped, follow="yes"),
        "export": address_of(call, **({"instance": tab.identifier} if tab else {}), without=dropped),
    }
    return {
        "rows": await rows(call, found.records, found.of),
        "found": found,
        "further": further,
        "following": following,
        "links": links,
        "narrowed": is_narrowed(call),
        "tabbed": tab,
    }


@room.shows("/activity/export")
async def export_activity(call: Call) -> Response:
    """What is asked for, as a file."""
    return await exported(call, wanted(call))


@room.shows("/activity/{number:int}")
async def show_record(call: Call) -> Response:
    """All of one record, and what proves it."""
    number = int(call.path["number"])
    found = await reading.record(call.administration, call.catalog, number)
    entry = entry_of(found)
    readable = None if call.may(Right.JOURNAL_READ) else {entry.instance}
    (row,) = await rows(call, [found], readable)
    return call.show(
        "activity/record.html",
        row=row,
        record=found,
        milliseconds=entry.at % 1000,
        fields=list(_flat(row.event_whole)),
        event=json.dumps(row.event_whole, indent=2, ensure_ascii=True),
        checkpoint=await _covering(call, number) if call.may(Right.JOURNAL_VERIFY) else None,
    )


async def _covering(call: Call, number: int) -> SignedCheckpoint | None:
    try:
        return await reading.covering(call.administration, call.catalog, number)
    except ValueError:
        return None  # A checkpoint that cannot be read vouches for nothing; a verification tells of it.


def _flat(told: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Every field of an event with its whole name."""
    for name, value in told.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value if isinstance(value, str) else json.dumps(value)


@room.refreshes("/live/activity/proof")
async def refresh_proof(call: Call) -> Response:
    """Whether the journal is as it was written, as far as anybody has looked."""
    call.administration.require(Right.JOURNAL_VERIFY)
    return call.show("activity/proof.html", proof=await activity_proof.standing(call))


@room.does("/activity/verify", again=show_activity)
async def verify(call: Call) -> Response:
    """Begin to verify; the page tells how far it has got."""
    activity_proof.begin(call)
    return call.go("/activity#proof")
