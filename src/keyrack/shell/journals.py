"""The key managers' journals, beside the catalog's: read record by record, and walked with an end that is vouched for.

The catalog's chains show a cut end only against heads that were kept elsewhere. A key manager's database keeps the end
of its journal under a MAC of the keystore, so that whoever can write the file and has no keystore cannot cut it off or
compute it anew.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import replace

from keyrack.domain.checkpoints import Head
from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.house import House
from keyrack.embedded.store.reading import JournalEnd, Reading
from keyrack.embedded.store.unit import CHAIN
from keyrack.ports.catalog import JournalRecord
from keyrack.service.journal.chain import Flaw, Verdict
from keyrack.service.journal.chain import verify as walk

PAGE = 2000
"""Records in memory at a time, however long the journal is."""


def chain_of(key_manager: str) -> str:
    """What the chain of a key manager is called where several journals stand side by side."""
    return f"{CHAIN}/{key_manager}"


def records(reading: Reading) -> Iterator[JournalRecord]:
    """The whole journal in one snapshot, in the order it was written; the chain is called ``CHAIN``."""
    after = 0
    while page := list(reading.journal(after, PAGE)):
        yield from (JournalRecord(CHAIN, line.number, line.text, line.hash, line.number) for line in page)
        after = page[-1].number


def verify(key_manager: str, house: House, checkpoints: Iterable[Head] = ()) -> Verdict:
    """Walk the journal of an open key manager, and compare its end; ``checkpoints`` are of any chain."""
    name = chain_of(key_manager)
    kept = [replace(each, chain=CHAIN) for each in checkpoints if each.chain == name]
    with house.reading() as reading:
        end = _End(reading.journal_end)
        verdict = walk(end.watched(_readable(reading)), kept)
    flaws = [*verdict.flaws, *end.flaws()]
    return Verdict(
        verdict.records,
        tuple(replace(head, chain=name) for head in verdict.heads),
        tuple(replace(flaw, chain=name) for flaw in flaws),
    )


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """What walks of several journals have found, as one."""
    each = list(verdicts)
    return Verdict(
        sum(verdict.records for verdict in each),
        tuple(head for verdict in each for head in verdict.heads),
        tuple(flaw for verdict in each for flaw in verdict.flaws),
    )


class _End:
    """Watches a walk, and knows afterwards whether it ended where the MAC says."""

    def __init__(self, vouched: JournalEnd) -> None:
        self._vouched = vouched
        self._last = 0
        self._hash_there = vouched.hash if vouched.number == 0 else None

    def watched(self, walked: Iterable[JournalRecord]) -> Iterator[JournalRecord]:
        for record in walked:
            self._last = record.sequence
            if record.sequence == self._vouched.number:
                self._hash_there = record.hash
            yield record

    def flaws(self) -> Iterator[Flaw]:
        end = self._vouched
        if self._last > end.number:
            yield Flaw(CHAIN, end.number + 1, f"stands behind {end.number}, where the journal ends: inserted")
        if self._last < end.number:
            yield Flaw(CHAIN, self._last + 1, f"and all up to {end.number}, where the journal ends, were cut off")
        elif self._hash_there is not None and self._hash_there != end.hash:
            yield Flaw(CHAIN, end.number, "is not the end that was written: the chain was computed anew")


def _readable(reading: Reading) -> Iterator[JournalRecord]:
    """The records, up to one that cannot be read or is of another kind: that becomes one that cannot be right."""
    last = 0
    try:
        for record in records(reading):
            last = record.sequence
            yield record
    except (sqlite3.Error, UnicodeError, KeystoreDamaged) as error:
        yield JournalRecord(CHAIN, last + 1, f"cannot be read: {error}", b"")
