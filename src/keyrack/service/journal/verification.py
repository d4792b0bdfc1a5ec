"""The catalog's journal verified: its records, checkpoints and cuts, against what was exported and kept elsewhere.

The walk runs in a thread and fetches its pages from the loop, so that a journal of any length is walked with one page
of it in memory, and whoever else waits for the loop goes on meanwhile.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from keyrack.domain.checkpoints import Head, SignedCheckpoint
from keyrack.domain.moments import rfc3339
from keyrack.domain.rights import Right
from keyrack.ports.journal import JournalQuery, JournalRecord
from keyrack.service.journal.book import Book
from keyrack.service.journal.chain import Flaw
from keyrack.service.journal.naming import entry_of
from keyrack.service.journal.proof import CHECKPOINTS, Proof, Proved, fed, latest
from keyrack.service.journal.signatures import is_signed
from keyrack.service.office.administration import Administration

PAGE: Final = 2000
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks for the journal beside the catalog."""

    exported: Callable[[], Iterable[SignedCheckpoint]] | None = None
    """The exported checkpoints, in their order; ``None`` where there are none to look at."""
    heads: Sequence[Head] = ()
    """Ends of chains that were kept elsewhere."""
    pins: Sequence[str] = ()
    """Public parts of keys, in hexadecimal, of which one has to have signed."""
    must_be_signed: bool = False
    """Whether the key was named by somebody who knows that it has signed; else a new deployment has no checkpoint."""
    flaws: Sequence[Flaw] = field(default=())
    """What was wrong with the evidence itself."""


Walked = Callable[[int, int], None]
"""Hears from time to time, in another thread than the loop's, how far a walk has got: numbers of records."""


async def verify(
    administration: Administration, catalog: Book, evidence: Evidence, walked: Walked | None = None
) -> Proved:
    """Walk all of it; raises ``Forbidden``, ``CatalogUnavailable`` and ``OSError``."""
    administration.require(Right.JOURNAL_VERIFY)
    return await proved(catalog, evidence, walked)


async def proved(catalog: Book, evidence: Evidence, walked: Walked | None = None) -> Proved:
    """The same, for who has the right by being at the machine, and for tests."""
    loop = asyncio.get_running_loop()
    cuts = await catalog.cuts()
    # What is written from now on is of the next verification: a checkpoint that comes meanwhile would cover records
    # that the walk has passed.
    end = await catalog.journal_end()

    def walk() -> Proved:
        exported, flaws = _exported(evidence)
        proof = Proof(
            pins=evidence.pins,
            cuts=cuts,
            expected=evidence.heads,
            exported=exported,
            must_be_signed=evidence.must_be_signed,
        )
        records = _until(_pages(loop, catalog.journal, _number_of_record), end, walked)
        found = fed(proof, records, _signed(loop, catalog, end))
        return replace(found, flaws=(*evidence.flaws, *flaws, *found.flaws), through=end)

    found = await asyncio.to_thread(walk)
    return replace(found, remarks=(*found.remarks, *await _restored(catalog)))


async def _restored(catalog: Book) -> Sequence[str]:
    """Each time that the catalog went on from an older copy: what its chains had said behind it, they say no more."""
    told = []
    for record in (await catalog.find(JournalQuery(actions=("backup.restore",)), limit=20)).records:
        entry = entry_of(record)
        told.append(
            f"the catalog was put back to an older one, noticed {rfc3339(entry.at // 1000)}: whatever had stood behind "
            f"record {entry.detail.get('through', '?')} is given up ({entry.detail.get('why', '')})"
        )
    return told


def _exported(evidence: Evidence) -> tuple[Mapping[int, bytes] | None, list[Flaw]]:
    """Hashes by number of what is in force in the exported file, and what is wrong with it."""
    if evidence.exported is None:
        return None, []
    kept: dict[int, bytes] = {}
    flaws = []
    for signed, wrong in latest(evidence.exported()):
        if wrong:
            flaws.append(Flaw(CHECKPOINTS, signed.number, wrong))
        elif not is_signed(signed, signed.statement.key):
            flaws.append(Flaw(CHECKPOINTS, signed.number, "as it was exported, it bears no signature of its key"))
        else:
            kept[signed.number] = signed.hash
    return kept, flaws


def _signed(loop: asyncio.AbstractEventLoop, catalog: Book, end: int) -> Iterator[SignedCheckpoint]:
    for signed in _pages(loop, catalog.checkpoints, _number_of_checkpoint):
        try:
            if signed.statement.through > end:
                return
        except ValueError:
            pass
        yield signed


def _until(records: Iterable[JournalRecord], end: int, walked: Walked | None) -> Iterator[JournalRecord]:
    for count, record in enumerate(records):
        if record.number > end:
            return
        if walked is not None and count % PAGE == 0:
            walked(record.number, end)
        yield record


def _number_of_record(record: JournalRecord) -> int:
    return record.number


def _number_of_checkpoint(signed: SignedCheckpoint) -> int:
    return signed.number


def _pages(
    loop: asyncio.AbstractEventLoop,
    read: Callable[[int, int], Coroutine[Any, Any, Sequence[Answer]]],
    number: Callable[[Answer], int],
) -> Iterator[Answer]:
    """Everything that ``read`` has, page by page, from another thread than the loop's."""
    after = 0
    while page := asyncio.run_coroutine_threadsafe(read(after, PAGE), loop).result():
        yield from page
        after = number(page[-1])
