"""Retention: what is old enough is cut, and what was cut stays proved.

Cut are only records that a checkpoint covers which was exported, that every configured sink has taken, and that are
older than thirty days. What they came to is signed in the next checkpoint, in the same transaction that removes them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keyrack.domain.checkpoints import SignedCheckpoint
from keyrack.domain.journal import Entry
from keyrack.domain.rights import Right
from keyrack.service.journal.book import Book
from keyrack.service.journal.forwarding import taken_by_all
from keyrack.service.journal.notary import Notary
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused

SHORTEST: Final = 30
"""Days; what is younger is never cut, by nobody."""
DAY: Final = 86_400_000
SLICE: Final = 10_000
"""Records that go in one transaction, as far as checkpoints allow: clients wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What a cut has come to."""

    records: int
    through: int
    """The checkpoint up to which everything is gone; 0 where nothing could go."""
    held_by: str = ""
    """Why no more could go; empty where all that was asked for is gone."""


class Retention:
    """Cuts the journal of one deployment."""

    def __init__(self, catalog: Book, notary: Notary, sinks: Sequence[str], *, clock: Callable[[], int]) -> None:
        """``sinks``: the names of all that are configured; ``clock`` is milliseconds since 1970."""
        self._catalog = catalog
        self._notary = notary
        self._sinks = sinks
        self._clock = clock

    async def by_hand(self, administration: Administration, before: int, *, dry_run: bool = False) -> Cut:
        """Cut what is older than ``before``, in milliseconds since 1970, as an administrator's act."""
        administration.require(Right.JOURNAL_CUT)
        if before > self._clock() - SHORTEST * DAY:
            raise Refused(
                f"that is less than {SHORTEST} days ago, and what is younger is never cut; name an earlier day",
                field="before",
            )
        who = administration.administrator
        entry = Entry(at=0, action="journal.cut", outcome="success", initiator=who.initiator, address=who.address)
        return await self._cut(before, entry, dry_run=dry_run)

    async def by_rule(self, days: int) -> Cut:
        """Cut what is older than so many days, as the configuration says."""
        entry = Entry(at=0, action="journal.cut", outcome="success", initiator="keyrack", address="local")
        return await self._cut(self._clock() - max(days, SHORTEST) * DAY, entry)

    async def _cut(self, before: int, entry: Entry, *, dry_run: bool = False) -> Cut:
        limit, held_by = await self._limit()
        wanted = await self._catalog.checkpoint_before(before, 2**62)
        target = await self._catalog.checkpoint_before(before, limit)
        done = max((cut.checkpoint for cut in await self._catalog.cuts()), default=0)
        if wanted is None or target is None or target.number <= done:
            return Cut(0, 0, held_by if wanted is not None and wanted.number > done else "")
        if target.number >= wanted.number:
            held_by = ""
        if dry_run:
            doomed = await self._catalog.doomed(target.number, target.statement.through)
            return Cut(sum(cut.records for cut in doomed), target.number, held_by)
        # What was learnt of fetches from records that go now is kept apart from them.
        for instance in await self._catalog.instances():
            await self._catalog.fetches(instance.identifier)
        records = 0
        while (upto := await self._next(done, target)) is not None:
            records += await self._slice(upto, entry)
            done = upto.number
        return Cut(records, target.number, held_by)

    async def _limit(self) -> tuple[int, str]:
        """The number of the last record that may go, and what holds it there."""
        last = self._notary.exported.last()
        exported = last.statement.through if last is not None else 0
        # The last record stays: it gives the next one its number.
        found = [
            (await self._catalog.journal_end() - 1, "the last record stays"),
            (exported, "no checkpoint covers it"),
        ]
        taken = await taken_by_all(self._catalog, self._sinks)
        if taken is not None:
            found.append((taken, "a sink has not taken it"))
        return min(found)

    async def _next(self, done: int, target: SignedCheckpoint) -> SignedCheckpoint | None:
        """The checkpoint at which the next slice ends: as far as one transaction should go."""
        chosen, records = None, 0
        after = done
        while page := await self._catalog.checkpoints(after):
            for signed in page:
                records += signed.statement.records
                if signed.number > target.number or (chosen is not None and records > SLICE):
                    return chosen
                chosen = signed
            after = page[-1].number
        return chosen

    async def _slice(self, upto: SignedCheckpoint, entry: Entry) -> int:
        now = self._clock()
        doomed = await self._catalog.doomed(upto.number, upto.statement.through)
        cuts = [replace(cut, at=now, by=entry.initiator) for cut in doomed]
        if not cuts:
            return 0
        records = sum(cut.records for cut in cuts)
        detail: dict[str, str | int] = {"checkpoint": upto.number, "records": records}
        detail |= {f"chain {cut.chain}": cut.through for cut in cuts}
        await self._notary.make(entries=(replace(entry, at=now, detail=detail),), cuts=cuts)
        return records
