"""The journal read by people and their programs: searched, followed, as events."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from keyrack.domain import cadf
from keyrack.domain.cadf_actions import ACTS
from keyrack.domain.checkpoints import SignedCheckpoint
from keyrack.domain.rights import EVERYWHERE, Right
from keyrack.ports.journal import JournalQuery, JournalRecord, matches
from keyrack.ports.key_affairs import KeyFilter
from keyrack.service.journal.book import Book
from keyrack.service.journal.naming import entry_of, names_of, place_of
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import NotThere, Refused

MOST: Final = 500
"""Records of one page."""
KINDS: Final[Mapping[str, bool | None]] = {"": None, "data": True, "administration": False}
"""What clients do with keys, and what is administered; empty: both."""
STRIDE: Final = 10_000
"""Records that are looked at before the time is looked at."""
PATIENCE: Final = 0.2
"""Seconds for which a page of records is looked for: what is not found by then is looked for where it is asked for."""
MOST_NAMED: Final = 100
"""Keys that a machine's name may mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asks for, in their own words; every field narrows, and an empty one does not."""

    since: int | None = None
    until: int | None = None
    """Milliseconds since 1970."""
    instance: str = ""
    """Name or identifier."""
    key: str = ""
    """What the target begins with: a key's Unique Identifier, a certificate's fingerprint, whatever was acted on."""
    action: str = ""
    """As the journal names it (``Get``), as the event does, or an ending of that (``kmip-key.read``)."""
    outcome: str = ""
    initiator: str = ""
    text: str = ""
    address: str = ""
    """What the source address begins with."""
    who: str = ""
    """The beginning of somebody's name, or of a certificate's name or fingerprint, as people know them."""
    kind: str = ""
    """One of :data:`KINDS`."""
    machine: str = ""
    """What the target begins with, or part of what vCenter called the machine or host of a key."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first, and where the next page begins."""

    events: Sequence[Mapping[str, Any]]
    before: int | None


async def search(
    administration: Administration, catalog: Book, wanted: Wanted, *, before: int | None = None, limit: int = 100
) -> Page:
    """One page; only of instances whose journal whoever asks may read. Raises ``Refused``."""
    query = await query_of(administration, wanted)
    found = await catalog.find(query, before=before, limit=min(limit, MOST))
    return Page(await events(catalog, found.records, of=query.instances), found.before)


async def events(
    catalog: Book, records: Sequence[JournalRecord], deployment: str = "", of: Collection[str] | None = None
) -> list[Mapping[str, Any]]:
    """Records as events, with the names of now; ``of``: no other instances' names, whatever a record speaks of."""
    names = await names_of(catalog, deployment, of)
    return [cadf.event(entry_of(record), place_of(record), names) for record in records]


@dataclass(frozen=True, slots=True)
class Look:
    """Records, newest first, and where to look on either way."""

    records: Sequence[JournalRecord]
    older: int | None
    """``before`` of the next page; ``None`` where nothing older is wanted."""
    whole: bool
    """Whether the page is full, or all was looked at; else nothing more was found up to ``older``."""
    newer: bool
    """Whether there may be newer ones than those."""
    of: Collection[str] | None = None
    """The instances that may be named."""


async def look(
    administration: Administration,
    catalog: Book,
    wanted: Wanted,
    *,
    before: int | None = None,
    after: int | None = None,
    limit: int = 50,
    patience: float = PATIENCE,
) -> Look:
    """One page: from before a record backwards, or the one behind a record, for so many seconds. Raises ``Refused``."""
    query = await asked(administration, catalog, wanted)
    until = time.monotonic() + patience
    if after is not None and (found := await _behind(catalog, query, after, limit, until)) is not None:
        return found
    kept, at = list[JournalRecord](), before
    while True:
        found_so_far = await catalog.find(query, before=at, limit=limit - len(kept), within=STRIDE)
        kept += found_so_far.records
        at = found_so_far.before
        if at is None or len(kept) == limit or time.monotonic() >= until:
            break
    newer = before is not None and after is None
    return Look(kept, at, at is None or len(kept) == limit, newer, query.instances)


async def _behind(catalog: Book, query: JournalQuery, after: int, limit: int, until: float) -> Look | None:
    """The page that ends behind a record; ``None`` where it is the newest one, which is looked for from the end."""
    kept, at = list[JournalRecord](), after
    while True:
        found = await catalog.find_on(query, after=at, limit=limit - len(kept), within=STRIDE)
        kept += found.records
        if found.before is None:
            return None
        at = found.before
        if len(kept) == limit or time.monotonic() >= until:
            break
    return Look(kept[::-1], kept[0].number if kept else after + 1, bool(kept), True, query.instances)


async def asked(administration: Administration, catalog: Book, wanted: Wanted) -> JournalQuery:
    """As :func:`query_of`, with the keys that somebody means by a machine's name, and with whom by a name: records know
    both by their identifiers alone. Raises ``Refused``."""
    query = await query_of(administration, wanted)
    if wanted.machine:
        named = await _keys_of_machines(administration, catalog, query.instances, wanted.machine)
        query = replace(query, target=wanted.machine, targets=frozenset(named))
    if wanted.who:
        names = await names_of(catalog, of=query.instances)
        query = replace(query, initiators=_initiators(wanted.who, names.certificates))
    return query


async def _keys_of_machines(
    administration: Administration, catalog: Book, readable: Collection[str] | None, machine: str
) -> Sequence[str]:
    allow = administration.administrator.grants.allow
    named: list[str] = []
    for instance in await administration.instances():
        identifier = instance.identifier
        if (readable is None or identifier in readable) and allow(Right.KEY_READ, identifier):
            page = await catalog.key_page(
                identifier, KeyFilter(named=machine), administration.now, limit=MOST_NAMED + 1
            )
            named += [row.managed.unique_identifier for row in page.rows]
    if len(named) > MOST_NAMED:
        raise Refused(
            f"more than {MOST_NAMED} keys are of machines that are called so",
            field="machine",
            hint="name more of it, or choose an instance",
        )
    return named


def _initiators(who: str, certificates: Mapping[str, str]) -> Collection[str]:
    """Everybody who is called so, as the journal names them; ``certificates``: names by fingerprint."""
    lowered = who.lower()
    called = [each for each, name in certificates.items() if name.lower().startswith(lowered)]
    fingerprint = lowered.replace(":", "")
    return {
        who,
        f"person-{lowered}",
        f"local-user-{who}",
        f"{cadf.CERTIFICATE}{fingerprint}",
        *(f"{cadf.CERTIFICATE}{each}" for each in called[:MOST_NAMED]),
    }


async def has_news(administration: Administration, catalog: Book, wanted: Wanted, after: int) -> bool:
    """Whether something that is wanted was written behind the record of this number, or so much that it is not looked
    through. Raises ``Refused``."""
    query = await asked(administration, catalog, wanted)
    found = await catalog.find_on(query, after=after, limit=1, within=STRIDE)
    return bool(found.records) or found.before is not None


async def record(administration: Administration, catalog: Book, number: int) -> JournalRecord:
    """The record of this number; one of an instance whose journal is not to be read is as one that is not there.

    Raises ``NotThere``, ``Forbidden`` for who may read nobody's journal.
    """
    readable = await _readable(administration, "")
    found = await catalog.journal(number - 1, 1) if 0 < number < 2**62 else ()
    if not found or found[0].number != number:
        raise NotThere(f"there is no record {number}")
    if readable is not None and entry_of(found[0]).instance not in readable:
        raise NotThere(f"there is no record {number}")
    return found[0]


async def covering(administration: Administration, catalog: Book, number: int) -> SignedCheckpoint | None:
    """The checkpoint that vouches for the record of this number, by halving; ``None`` while there is none."""
    administration.require(Right.JOURNAL_VERIFY)
    last = await catalog.last_checkpoint()
    if last is None or last.statement.through < number:
        return None
    low, high, found = 1, last.number, last
    while low < high:
        middle = (low + high) // 2
        (seen,) = await catalog.checkpoints(middle - 1, 1)
        if seen.statement.through < number:
            low = middle + 1
        else:
            high, found = seen.number, seen
    return found


async def query_of(administration: Administration, wanted: Wanted) -> JournalQuery:
    """What the catalog is asked for; raises ``Refused``, ``Forbidden`` for who may read nobody's journal."""
    return JournalQuery(
        since=wanted.since,
        until=wanted.until,
        instances=await _readable(administration, wanted.instance),
        target=wanted.key or wanted.machine,
        address=wanted.address,
        data=KINDS.get(wanted.kind),
        actions=actions_of(wanted.action),
        outcome=wanted.outcome,
        initiator=wanted.initiator,
        text=wanted.text,
    )


async def _readable(administration: Administration, name: str) -> Collection[str] | None:
    """The instances whose records may be told; ``None`` for all, and what is of no instance."""
    if name:
        instance = await administration.instance(name)
        administration.require(Right.JOURNAL_READ, instance.identifier)
        return {instance.identifier}
    allow = administration.administrator.grants.allow
    if allow(Right.JOURNAL_READ, EVERYWHERE):
        return None
    mine = {each.identifier for each in await administration.instances() if allow(Right.JOURNAL_READ, each.identifier)}
    if not mine:
        administration.require(Right.JOURNAL_READ)
    return mine


def actions_of(said: str) -> Collection[str]:
    """The journal's names for an action as somebody says it; raises :class:`Refused` for one that is none."""
    if not said:
        return ()
    lowered = said.lower()
    found = [
        name for name, act in ACTS.items() if lowered in {name.lower(), act.event} or act.event.endswith(f".{lowered}")
    ]
    if not found:
        raise Refused(
            f"{said!r} is no action; the journal has for example Get, kmip-key.read and certificate.add, and "
            "docs/journal.md lists them all",
            field="action",
        )
    return found


def brief(event: Mapping[str, Any]) -> list[str]:
    """A line for people: when, what, with which outcome, on what, by whom and from where."""
    initiator = event["initiator"]
    host = initiator["host"]
    outcome = "success" if event["outcome"] == "success" else event["responseData"].get("reasonForFailure", "failure")
    address = f"{host['address']}:{host['port']}" if "port" in host else host.get("address", "")
    return [
        event["eventTime"],
        event["action"].removeprefix("vmware-solutions."),
        outcome,
        event["target"]["id"],
        initiator["id"],
        address,
    ]


async def follow(
    administration: Administration, catalog: Book, wanted: Wanted, after: int, limit: int = MOST
) -> tuple[Sequence[Mapping[str, Any]], int]:
    """What was written behind the record of this number and is wanted, oldest first; and where to go on."""
    query = await query_of(administration, wanted)
    records = await catalog.journal(after, limit)
    if not records:
        return (), after
    kept = [record for record in records if matches(query, entry_of(record), record.text)]
    return await events(catalog, kept, of=query.instances), records[-1].number
