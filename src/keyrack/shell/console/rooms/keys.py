"""``/instances/{instance}/keys``: the table of its keys, and the page of one; never any material."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from keyrack.domain import lifecycle
from keyrack.domain.approvals import Approval, ApprovalState
from keyrack.domain.attribute_words import algorithm_of, in_words
from keyrack.domain.instances import Instance
from keyrack.domain.journal import Entry
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.domain.rights import Right
from keyrack.ports.key_affairs import KeyRow
from keyrack.service.journal import reading
from keyrack.service.journal.naming import entry_of
from keyrack.service.office import approvals, keys
from keyrack.service.office.impact import Named, label, named_of
from keyrack.service.office.key_steps import MOST_AT_ONCE, keys_of
from keyrack.service.office.keys import DATES, KeyTold
from keyrack.service.office.refusals import Unusable
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.instances import framed
from keyrack.shell.console.rooms.keys_asked import AGES, FETCHES, KINDS, Asked
from keyrack.shell.console.rooms.keys_words import ACTS, HAPPENED, STATES, StateWords, Who, possible, who
from keyrack.shell.console.words import mark
from keyrack.shell.office import windows_of

room = Room()
ON_A_PAGE: Final = 50
EVENTS_ON_A_PAGE: Final = 12
NEWEST: Final = "newest"
_LABELS: Final = ("x-Vendor", "x-Product", "x-Product_Version", "x-Component", "x-Identifier", "x-Name")


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the table."""

    named: Named
    state: StateWords | None
    withheld: bool
    purged: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """A point of a key's life line."""

    title: str
    at: int
    past: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """A point of a key's time line, as the journal has it."""

    entry: Entry
    what: str
    by: Who

    @property
    def good(self) -> bool:
        """Whether it was done."""
        return self.entry.outcome == "success"


@room.shows("/instances/{instance}/keys")
async def show_keys(call: Call) -> Response:
    """One page of them, filtered and sorted as the address says."""
    instance, asked = await framed(call), Asked.of(call.typed)
    backwards = "before" in call.typed
    cursor = call.typed.get("before") or call.typed.get("after") or None
    try:
        found = await keys.page(
            call.administration,
            call.catalog,
            instance,
            asked.filter(call.now),
            order=asked.order,
            descending=asked.descending is not backwards,
            cursor=cursor,
            limit=ON_A_PAGE,
        )
    except Unusable:
        # An address of another order, or one that somebody has cut off: it still means these keys.
        return call.go(f"{base_of(call, instance)}/keys{asked.query()}")
    rows = found.rows[::-1] if backwards else found.rows
    earlier, later = (found.next, found.back) if backwards else (found.back if cursor else None, found.next)
    return call.show(
        "keys/keys.html",
        instance=instance,
        tab="keys",
        base=base_of(call, instance),
        asked=asked,
        lines=[line_of(row, call.now) for row in rows],
        earlier=earlier,
        later=later,
        states=STATES.values(),
        ages=[(name, title) for name, (title, _) in AGES.items()],
        fetches=[(name, title) for name, (title, _) in FETCHES.items()],
        kinds=KINDS,
        acts=[act for act in ACTS.values() if call.may(act.right, instance.identifier)],
        most=MOST_AT_ONCE,
    )


@room.refreshes("/live/instances/{instance}/keys/figures")
async def refresh_figures(call: Call) -> Response:
    """How many there are, in all and by state: counted apart from the table, which is not to wait for it."""
    instance = await framed(call)
    counted = await keys.count_by_state(call.administration, call.catalog, instance)
    figures = [(words, counted.get(state, 0)) for state, words in STATES.items()]
    base = base_of(call, instance)
    return call.show("keys/figures.html", instance=instance, base=base, figures=figures, asked=Asked())


@room.shows("/instances/{instance}/keys/{key}")
async def show_key(call: Call) -> Response:
    """One, whole: its life, its machine, who made it and who fetched it, and what wraps it."""
    instance = await framed(call)
    told = await keys.tell(call.administration, call.catalog, instance, call.path["key"], windows_of(call.config))
    names = await names_of(call, instance)
    managed = told.managed
    return call.show(
        "keys/key.html",
        instance=instance,
        tab="keys",
        base=base_of(call, instance),
        told=told,
        line=line_of(told.row, call.now),
        algorithm=algorithm_of(managed),
        life=life_of(told, call.now),
        labels={name: label(managed, name) for name in _LABELS},
        attributes={name: held for name, held in in_words(managed).items() if name not in {*DATES, *_LABELS}},
        made_by=who(told.row.created_by, names),
        let_in_by=who(told.let_in_by, names),
        changed_by=who(told.row.changed_by, names),
        destroyed_by=who(told.row.destroyed_by, names),
        fetched_by=who(told.row.fetch.initiator, names) if told.row.fetch else None,
        acts=[act for act in possible(managed) if call.may(act.right, instance.identifier)],
        waiting=await waiting_for(call, instance, managed.unique_identifier),
        **await _timeline(call, instance, managed.unique_identifier, names),
    )


@room.refreshes("/live/instances/{instance}/keys/{key}/events")
async def refresh_events(call: Call) -> Response:
    """What was done with one lately, and by whom."""
    instance, key = await framed(call), call.path["key"]
    call.administration.require(Right.KEY_READ, instance.identifier)
    parts = await _timeline(call, instance, key, await names_of(call, instance))
    return call.show("keys/events.html", instance=instance, base=base_of(call, instance), uid=key, **parts)


async def _timeline(call: Call, instance: Instance, key: str, names: Mapping[str, str]) -> dict[str, Any]:
    """A page of what the journal tells of a key; nothing for who may not read it. A journal may be long: the page of
    the key asks for it once it is there, or by a link."""
    asked = call.typed.get("events")
    may = call.may(Right.JOURNAL_READ, instance.identifier)
    told: dict[str, Any] = {"happenings": None, "older": None, "newest": asked in {"", NEWEST}, "readable": may}
    if not may or (not asked and "/live/" not in call.request.url.path):
        return told
    wanted = reading.Wanted(instance=instance.identifier, key=key)
    before = int(asked) if asked.isdecimal() and len(asked) < 18 else None
    with call.premises.searching.taken(call.administration.administrator.initiator):
        found = await reading.look(call.administration, call.catalog, wanted, before=before, limit=EVENTS_ON_A_PAGE)
    happenings = [_happening(entry_of(record), names) for record in found.records]
    return told | {"happenings": happenings, "older": found.older}


def _happening(entry: Entry, names: Mapping[str, str]) -> Happening:
    return Happening(entry, HAPPENED.get(entry.action, entry.action), who(entry.initiator, names))


async def waiting_for(call: Call, instance: Instance, key: str) -> Sequence[Approval]:
    """What was asked for with this key, and waits for a second person."""
    if instance.dual_control_at is None or not call.may(Right.APPROVAL_READ, instance.identifier):
        return ()
    held = await approvals.approvals(call.administration, call.catalog, instance.identifier)
    return [each for each in held if each.state(call.now) is ApprovalState.WAITING and key in keys_of(each.arguments)]


async def names_of(call: Call, instance: Instance) -> Mapping[str, str]:
    """What client certificates of the instance are called, by fingerprint."""
    return {each.fingerprint: each.name for each in await call.administration.certificates(instance)}


def line_of(row: KeyRow, now: int) -> Line:
    """A key as the table has it."""
    managed, named = lifecycle.tick(row.managed, now), named_of(row, now)
    return Line(
        named=named,
        state=STATES[managed.state] if named.state else None,
        withheld=managed.withheld_at is not None,
        purged=_is_purged(managed),
    )


def _is_purged(managed: ManagedObject) -> bool:
    return managed.state in DESTROYED_STATES and managed.sealed is None


def life_of(told: KeyTold, now: int) -> Sequence[Moment]:
    """The dates of its life cycle by KMIP's names, those to come too, in the order in which they come."""
    points = [Moment(name, at, at <= now) for name, at in told.life.items()]
    if told.purge_at is not None:
        points.append(Moment(mark("Purged by the server"), told.purge_at, told.purge_at <= now))
    if told.managed.withheld_at is not None:
        points.append(Moment(mark("Withheld"), told.managed.withheld_at, True))
    return sorted(points, key=lambda each: each.at)


def base_of(call: Call, instance: Instance) -> str:
    """Where the pages of the instance are."""
    return f"/instances/{quote(call.path.get('instance', instance.identifier))}"
