"""The last verification of the journal: one under way at a time, what it has come to, and that it was done.

Each is a record of the journal itself, so that every process, and whoever comes later, knows up to where it was looked,
when, and by whom.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keyrack.domain.journal import Entry
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.journal import JournalQuery
from keyrack.service.journal.book import Book
from keyrack.service.journal.chain import Flaw
from keyrack.service.journal.naming import entry_of
from keyrack.service.journal.proof import Proved
from keyrack.service.journal.verification import Evidence, verify
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused

log = logging.getLogger(__name__)

ACT: Final = "journal.verify"
FLAWED: Final = "flawed"
"""The outcome of a verification that has found something."""
STRIDE: Final = 50_000
"""Records that are looked at in one turn when a process first wants to know; then it reads on from there."""
PATIENCE: Final = 0.1
"""Seconds for which that is waited for; it goes on meanwhile."""
BROKEN: Final = "it has broken off; the server's log tells more"
MOST: Final = 100
"""Verifications that are read at one time."""
LONGEST: Final = 300
"""Characters of a flaw that the journal keeps."""
_QUERY: Final = JournalQuery(actions=(ACT,), data=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a verification has come to."""

    at: int
    """Milliseconds since 1970."""
    by: str
    records: int
    through: int
    """The number of the last record that was looked at."""
    checkpoints: int
    checkpoint: int
    """The last one whose signature holds; 0 where there was none."""
    unvouched: int
    flaws: int
    first: str = ""
    """The first flaw, in words."""
    found: Proved | None = None
    """All of it, as long as this process remembers."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """One that is being done."""

    since: int
    """Milliseconds since 1970."""
    by: str
    walked: int = 0
    in_all: int = 0


@dataclass(slots=True)
class Verifications:
    """Those of one process. Used on the event loop's thread; only how far it has got is set from another."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One at a time: it takes a core for itself."""
    under_way: UnderWay | None = None
    broken_off: str = ""
    """Why the last one did not come to its end; empty where it did."""
    _last: Verified | None = None
    _looked: int = 0
    _task: asyncio.Task[None] | None = None
    _search: asyncio.Task[None] | None = None

    async def verify(self, administration: Administration, catalog: Book, evidence: Evidence) -> Proved:
        """Verify, and remember. Raises what :func:`verification.verify` does, and ``Refused`` where no turn is free."""
        if self.turn.locked():
            raise Refused("a verification is under way already", hint="wait until it has ended")
        async with self.turn:
            return await self._verified(administration, catalog, evidence)

    def begin(self, administration: Administration, catalog: Book, evidence: Evidence) -> None:
        """The same beside; one that is under way already does for this as well. The right is asked before."""
        if self.turn.locked() or (self._task is not None and not self._task.done()):
            return
        self.under_way = UnderWay(administration.now * 1000, administration.administrator.initiator)
        self._task = asyncio.create_task(self._beside(administration, catalog, evidence))

    async def _beside(self, administration: Administration, catalog: Book, evidence: Evidence) -> None:
        try:
            await self.verify(administration, catalog, evidence)
        except (Refused, CatalogUnavailable, OSError) as error:
            self.broken_off = str(error)
        except Exception as error:
            log.error("a verification of the journal has broken off", extra={"why": type(error).__name__})
            self.broken_off = BROKEN
        finally:
            self.under_way = None

    async def _verified(self, administration: Administration, catalog: Book, evidence: Evidence) -> Proved:
        by = administration.administrator.initiator
        self.under_way = begun = UnderWay(administration.now * 1000, by)

        def walked(number: int, end: int) -> None:
            self.under_way = replace(begun, walked=number, in_all=end)

        try:
            found = await verify(administration, catalog, evidence, walked)
        finally:
            self.under_way = None
        self.broken_off = ""
        self._last = _told(found, administration.now * 1000, by)
        # What was found is told all the same where nothing can be written down.
        with contextlib.suppress(Refused, CatalogUnavailable):
            outcome = FLAWED if found.flaws else "success"
            await administration.commit(ACT, "", "", _detail(self._last), outcome=outcome)
        return found

    async def last(self, catalog: Book) -> Verified | None:
        """The last one, of whichever process; ``None`` also as long as it is looked for, see :attr:`looking`."""
        end = await catalog.journal_end()
        if self._search is None:
            self._looked, self._search = end, asyncio.create_task(self._look_back(catalog, end))
            await asyncio.wait({self._search}, timeout=PATIENCE)
        elif end > self._looked:
            found = await catalog.find_on(_QUERY, after=self._looked, limit=MOST, within=end - self._looked)
            self._looked = end
            for record in found.records:
                self._last = self._newer(_read(entry_of(record)))
        return self._last

    @property
    def looking(self) -> bool:
        """Whether the last one is being looked for, through the whole journal."""
        return self._search is not None and not self._search.done()

    async def _look_back(self, catalog: Book, end: int) -> None:
        at: int | None = end + 1
        try:
            while at is not None:
                found = await catalog.find(_QUERY, before=at, limit=1, within=STRIDE)
                if found.records:
                    self._last = self._newer(_read(entry_of(found.records[0])))
                    return
                at = found.before
        except CatalogUnavailable:
            self._search = None  # The next one who wants to know looks again.

    def _newer(self, read: Verified) -> Verified:
        """What was read, or what this process remembers, where it is the same one or is newer."""
        kept = self._last
        if kept is None or (kept.by, kept.through) != (read.by, read.through) and kept.at < read.at:
            return read
        return kept


def _told(found: Proved, at: int, by: str) -> Verified:
    return Verified(
        at=at,
        by=by,
        records=found.records,
        through=found.through,
        checkpoints=found.checkpoints,
        checkpoint=found.last.number if found.last is not None else 0,
        unvouched=found.unvouched,
        flaws=len(found.flaws),
        first=in_words(found.flaws),
        found=found,
    )


def in_words(flaws: Sequence[Flaw]) -> str:
    """The first of them, as ``keyrack audit verify`` tells it; empty where there is none."""
    return f"{flaws[0].chain} {flaws[0].sequence}: {flaws[0].what}"[:LONGEST] if flaws else ""


def _detail(told: Verified) -> Mapping[str, str | int]:
    made: dict[str, str | int] = {
        "records": told.records,
        "through": told.through,
        "checkpoints": told.checkpoints,
        "checkpoint": told.checkpoint,
        "unvouched": told.unvouched,
        "flaws": told.flaws,
    }
    return made | ({"flaw": told.first} if told.first else {})


def _read(entry: Entry) -> Verified:
    def number(name: str) -> int:
        value = entry.detail.get(name, 0)
        return value if isinstance(value, int) else 0

    return Verified(
        at=entry.at,
        by=entry.initiator,
        records=number("records"),
        through=number("through"),
        checkpoints=number("checkpoints"),
        checkpoint=number("checkpoint"),
        unvouched=number("unvouched"),
        flaws=number("flaws"),
        first=str(entry.detail.get("flaw", "")),
    )
