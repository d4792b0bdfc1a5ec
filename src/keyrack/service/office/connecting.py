"""How far a client has come that is being connected to an instance: read from the journal, as it grows.

A vCenter comes in steps: it opens connections, asks what the server can, makes a key, fetches it. Each leaves a record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from keyrack.domain.cadf import CERTIFICATE, GOOD
from keyrack.domain.instances import Instance, SeenCertificate
from keyrack.domain.journal import Entry, read
from keyrack.domain.rights import Right
from keyrack.ports.catalog import Catalog
from keyrack.ports.journal import JournalBook, JournalRecord
from keyrack.service.office.administration import Administration

AT_ONCE: Final = 500
"""Records of one read."""
MOST: Final = 5_000
"""Records of one look; what is behind them waits for the next one."""
FURTHEST: Final = 50_000
"""Records behind which nothing is read any more: whoever looks has left the page open for long."""
ASKS: Final = frozenset({"Discover Versions", "Query"})
"""What a client asks before it asks for keys; vCenter sends a Query only while trust is established."""
MAKES: Final = frozenset({"Create", "Register"})
FETCHES: Final = frozenset({"Get"})


class ConnectingCatalog(Catalog, JournalBook, Protocol):
    """What these use cases need of the catalog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One request of a client."""

    action: str
    at: int
    """Seconds since 1970."""
    address: str
    """Without the port."""
    fingerprint: str
    target: str
    outcome: str = "success"
    cause: str = ""

    @property
    def good(self) -> bool:
        """Whether it was done."""
        return self.outcome in GOOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What has been read since somebody began to look."""

    number: int
    """Of the last record that was read."""
    at: int
    """When the look began, in seconds since 1970."""
    asked: Event | None = None
    """The first of each, since then."""
    made: Event | None = None
    fetched: Event | None = None
    refused: Event | None = None
    """The last request that was refused; ``None`` once a later one of the same kind was answered."""
    elsewhere: frozenset[str] = field(default_factory=frozenset)
    """Identifiers of other instances with which somebody has established trust meanwhile."""

    @property
    def first(self) -> Event | None:
        """The first sign of a client of the instance."""
        return min(filter(None, (self.asked, self.made, self.fetched)), key=lambda each: each.at, default=self.refused)

    @property
    def whole(self) -> bool:
        """Whether a key was fetched: there is nothing more to wait for."""
        return self.made is not None and self.fetched is not None


async def begin(administration: Administration, catalog: ConnectingCatalog, instance: Instance) -> Progress:
    """Look from now on."""
    administration.require(Right.CERTIFICATE_READ, instance.identifier)
    return Progress(number=await catalog.journal_end(), at=administration.now)


async def follow(
    administration: Administration, catalog: ConnectingCatalog, instance: Instance, before: Progress
) -> Progress:
    """The same with what was written since."""
    administration.require(Right.CERTIFICATE_READ, instance.identifier)
    end = await catalog.journal_end()
    progress = replace(before, number=max(before.number, end - FURTHEST))
    until = min(end, progress.number + MOST)
    while progress.number < until:
        records = await catalog.journal(progress.number, AT_ONCE)
        if not records:
            break
        progress = advanced(progress, instance.identifier, records)
    return progress


def advanced(progress: Progress, instance: str, records: Sequence[JournalRecord]) -> Progress:
    """With these records, which come next."""
    for record in records:
        if f'"{CERTIFICATE}' in record.text:  # most of a busy site is passed over by a look at a few characters
            progress = _advanced(progress, instance, record.text)
    return replace(progress, number=records[-1].number) if records else progress


def _advanced(progress: Progress, instance: str, text: str) -> Progress:
    try:
        entry = read(text)
    except ValueError:
        return progress
    if not entry.initiator.startswith(CERTIFICATE):
        return progress
    if entry.instance == instance:
        return _with(progress, _event(entry))
    if entry.action == "Query" and entry.instance and entry.outcome in GOOD:
        return replace(progress, elsewhere=progress.elsewhere | {entry.instance})
    return progress


def _with(progress: Progress, event: Event) -> Progress:
    if not event.good:
        return replace(progress, refused=event)
    if progress.refused is not None and progress.refused.action == event.action:
        progress = replace(progress, refused=None)
    return replace(
        progress,
        asked=progress.asked or (event if event.action in ASKS else None),
        made=progress.made or (event if event.action in MAKES else None),
        fetched=progress.fetched or (event if event.action in FETCHES else None),
    )


def _event(entry: Entry) -> Event:
    return Event(
        action=entry.action,
        at=entry.at // 1000,
        address=entry.address.rpartition(":")[0].strip("[]"),
        fingerprint=entry.initiator.removeprefix(CERTIFICATE),
        target=entry.target,
        outcome=entry.outcome,
        cause=str(entry.detail.get("cause", "")),
    )


def knocked(certificates: Sequence[SeenCertificate], since: int) -> Sequence[SeenCertificate]:
    """Those that came since then, in seconds since 1970, the last one first."""
    return sorted((each for each in certificates if each.last_at >= since), key=lambda each: -each.last_at)
