"""The journal read by people and their programs: searched, followed, as events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keyrack.domain import cadf
from keyrack.domain.cadf_actions import ACTS
from keyrack.domain.rights import EVERYWHERE, Right
from keyrack.ports.journal import JournalQuery, JournalRecord, matches
from keyrack.service.journal.book import Book
from keyrack.service.journal.naming import entry_of, names_of, place_of
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused

MOST: Final = 500
"""Records of one page."""


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


async def query_of(administration: Administration, wanted: Wanted) -> JournalQuery:
    """What the catalog is asked for; raises ``Refused``, ``Forbidden`` for who may read nobody's journal."""
    return JournalQuery(
        since=wanted.since,
        until=wanted.until,
        instances=await _readable(administration, wanted.instance),
        target=wanted.key,
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
