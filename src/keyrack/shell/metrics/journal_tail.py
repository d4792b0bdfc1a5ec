"""The end of the journal, looked at as it grows: whether each new record fits its chain.

It is no proof of the whole: ``keyrack audit verify`` is that. It tells soon, and for nearly nothing, that somebody
writes into the database who does not know how.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keyrack.domain.journal_chain import link
from keyrack.ports.catalog import JournalRecord

BACK: Final = 500
"""Records behind the end with which the first look begins."""
PAGE: Final = 500
MOST: Final = 20_000
"""Records of one look; where more were written meanwhile, those before them are left to ``audit verify``."""


class Reads(Protocol):
    """What is read of the catalog."""

    async def journal(self, after: int = 0, limit: int = 500) -> Sequence[JournalRecord]:
        """Records in order."""
        ...


@dataclass(slots=True)
class JournalTail:
    """Goes along with the journal from the time it was made."""

    seen: int | None = None
    """Number of the last record that was looked at."""
    flaws: int = 0
    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    async def look(self, catalog: Reads, end: int) -> int:
        """Look at what is new up to the record ``end``; how many flaws there were in all."""
        if self.seen is not None and end < self.seen:
            # What was there is gone: cut off, or an old copy of the database was put back.
            self.flaws += 1
            self.seen = None
        if self.seen is None or end - self.seen > MOST:
            self.seen = max(0, end - BACK)
            self.heads.clear()
        while self.seen < end and (page := await catalog.journal(self.seen, PAGE)):
            for record in page:
                self._walk(record)
            self.seen = page[-1].number
            await asyncio.sleep(0)
        return self.flaws

    def _walk(self, record: JournalRecord) -> None:
        before = self.heads.get(record.chain)
        if before is not None:
            sequence, digest = before
            fits = record.sequence == sequence + 1 and record.hash == link(digest, record.text)
            self.flaws += not fits
        self.heads[record.chain] = record.sequence, record.hash
