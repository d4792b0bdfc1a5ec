"""Records of the journal as rows of a table: who, from where, what, on what, and how it ended.

Any page that shows records includes ``activity/records.html`` with what :func:`rows` makes of them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from keyrack.domain import cadf
from keyrack.domain.cadf import CERTIFICATE, GOOD, Names
from keyrack.domain.journal import Entry
from keyrack.domain.rights import Right
from keyrack.ports.journal import JournalRecord
from keyrack.service.journal.naming import entry_of, names_of, place_of
from keyrack.service.office.impact import named_of
from keyrack.shell.console.calls import Call
from keyrack.shell.console.rooms.activity_words import Said, said
from keyrack.shell.console.words import mark

SHORT: Final = 16
"""Characters of a fingerprint that tell certificates apart in a table."""
_KINDS_OF_WHO: Final = (
    (CERTIFICATE, "certificate"),
    ("person-", "person"),
    ("local-user-", "local"),
    ("iam-", "iam"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whoever did it."""

    kind: str
    """``certificate``, ``person``, ``local`` (at the machine), ``iam``, ``keyrack``, ``unknown``, or empty."""
    name: str
    whole: str
    """As the journal has it, without what it begins with."""
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class What:
    """What it was done to."""

    kind: str = ""
    """A word for it, in English; empty where it was done to nothing that has a name."""
    name: str = ""
    """What people call it; empty where it has no name."""
    identifier: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record."""

    number: int
    at: int
    """Seconds since 1970."""
    who: Who
    address: str
    """Without the port."""
    said: Said
    event: str
    """CADF's ``action``."""
    data: bool
    what: What
    instance: str
    """Name of the instance; empty where it is of none."""
    instance_link: str
    good: bool
    reason: str
    """Why it failed, or how it ended where that is not simply success."""
    event_whole: Mapping[str, Any]
    """All fields of the event."""


async def rows(call: Call, records: Sequence[JournalRecord], of: Collection[str] | None = None) -> Sequence[Row]:
    """Records with the names of now. ``of``: only these instances may be named; ``None``: all."""
    names = await names_of(call.catalog, _deployment(call), of)
    called = {**await _machines(call, records, of), **await _people(call, records)}
    return [_row(record, names, called) for record in records]


def _deployment(call: Call) -> str:
    return call.premises.config.deployment.id if call.premises.config is not None else ""


async def _machines(call: Call, records: Sequence[JournalRecord], of: Collection[str] | None) -> Mapping[str, str]:
    """What vCenter called the machines of these keys, by the keys' identifiers, as far as whoever asks may see them."""
    wanted: dict[str, set[str]] = {}
    for entry in map(entry_of, records):
        if entry.instance and entry.target and _kind(entry) == "key" and (of is None or entry.instance in of):
            wanted.setdefault(entry.instance, set()).add(entry.target)
    found: dict[str, str] = {}
    for instance, identifiers in wanted.items():
        if call.may(Right.KEY_READ, instance):
            for row in await call.catalog.key_rows(instance, sorted(identifiers)):
                if (name := named_of(row, call.now).name) is not None:
                    found[row.managed.unique_identifier] = name
    return found


async def _people(call: Call, records: Sequence[JournalRecord]) -> Mapping[str, str]:
    """What people are called, by their identifiers, as far as whoever asks may see them."""
    if not call.may(Right.PERSON_READ):
        return {}
    wanted = {
        entry.target for entry in map(entry_of, records) if entry.target and _kind(entry) in {"person", "session"}
    }
    found = [await call.catalog.person(each) for each in sorted(wanted)]
    return {each.identifier: each.name for each in found if each is not None}


def _row(record: JournalRecord, names: Names, called: Mapping[str, str]) -> Row:
    entry = entry_of(record)
    event = cadf.event(entry, place_of(record), names)
    instance = names.instances.get(entry.instance, entry.instance)
    there = f"/instances/{quote(entry.instance)}" if entry.instance in names.instances else ""
    return Row(
        number=record.number,
        at=entry.at // 1000,
        who=_who(entry, names, there),
        address=event["initiator"]["host"].get("address", ""),
        said=said(entry.action),
        event=event["action"],
        data=event["dataEvent"],
        what=_what(entry, names, called, there),
        instance=instance,
        instance_link=there,
        good=entry.outcome in GOOD,
        reason="" if entry.outcome == "success" else entry.outcome,
        event_whole=event,
    )


def _who(entry: Entry, names: Names, there: str) -> Who:
    told = entry.initiator
    for begin, kind in _KINDS_OF_WHO:
        if told.startswith(begin):
            whole = told.removeprefix(begin)
            if kind == "certificate":
                link = f"{there}/certificates" if there else ""
                return Who(kind=kind, name=names.certificates.get(whole, ""), whole=whole, link=link)
            link = f"/people/{quote(whole)}" if kind == "person" else ""
            return Who(kind=kind, name=whole, whole=whole, link=link)
    return Who(kind=told if told in {"keyrack", "unknown"} else "", name=told, whole=told)


_TARGETS: Final[Mapping[str, tuple[str, str]]] = {
    "instance": (mark("Instance"), "/instances/{id}"),
    "certificate": (mark("Client certificate"), "{there}/certificates"),
    "stranger": (mark("Client certificate"), "/connect"),
    "authority": (mark("Trusted authority"), "{there}/certificates"),
    "server-certificate": (mark("Server certificate"), "/server"),
    "node": (mark("Node"), "/server"),
    "key": (mark("Key"), "{there}/keys/{id}"),
    "root-key": (mark("Root key"), ""),
    "standard-key": (mark("Standard key"), ""),
    "approval": (mark("Approval"), "/approvals/{id}"),
    "person": (mark("Person"), "/people/{id}"),
    "session": (mark("Person"), "/people/{id}"),
    "api-key": (mark("API key"), ""),
    "backup": (mark("Backup"), "/server"),
    "catalog": (mark("Catalog"), "/server"),
    "journal": (mark("Journal"), "/activity"),
}
"""By what an act begins with: the word for what it was done to, and the page of that."""


def _kind(entry: Entry) -> str:
    """The noun of an act; an operation of KMIP is one on a key."""
    noun, dot, _ = entry.action.partition(".")
    return noun if dot else "key"


def _what(entry: Entry, names: Names, called: Mapping[str, str], there: str) -> What:
    kind = _kind(entry)
    title, pattern = _TARGETS.get(kind, ("", ""))
    identifier = entry.target or (entry.instance if kind == "instance" else "")
    if not identifier:
        return What()
    link = pattern.format(id=quote(identifier, safe=""), there=there)
    if "{there}" in pattern and not there:
        link = ""
    if kind == "instance" and identifier not in names.instances:
        link = ""
    told = entry.detail.get("name")
    known = called.get(identifier) or names.instances.get(identifier) or names.certificates.get(identifier)
    return What(kind=title, name=known or (told if isinstance(told, str) else ""), identifier=identifier, link=link)
