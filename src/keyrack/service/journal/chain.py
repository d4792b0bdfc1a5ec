"""The journal's chain checked: a pure walk that finds every edit.

Each chain is written by one name (a process: ``"kmip-0"``, ``"cli"``). Its first record follows a hash made of that
name, so that a record can be moved neither inside its chain nor into another. What the links cannot show, that the end
of a chain was cut off or that all of it was computed anew, heads kept elsewhere show, or checkpoints (``proof``).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from keyrack.domain.checkpoints import Head
from keyrack.domain.journal_chain import genesis, link
from keyrack.ports.catalog import JournalRecord


@dataclass(frozen=True, slots=True)
class Flaw:
    """A place where the journal is not as it was written."""

    chain: str
    sequence: int
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What :func:`verify` has found; sound when there is no flaw."""

    records: int
    heads: tuple[Head, ...]
    """The end of each chain, to be kept as the checkpoints of the next time."""
    flaws: tuple[Flaw, ...] = ()


@dataclass(slots=True)
class _Walk:
    """One chain while it is walked."""

    sequence: int
    hash: bytes
    expected: dict[int, bytes] = field(default_factory=dict)


def verify(records: Iterable[JournalRecord], checkpoints: Iterable[Head] = ()) -> Verdict:
    """Walk whole chains, from their first record, in the order they were written, and report each place of a flaw.

    After a flaw the walk goes on from what is there: one edit is told once, and what follows it is still checked.
    """
    chains: dict[str, _Walk] = {}
    for checkpoint in checkpoints:
        _chain(chains, checkpoint.chain).expected[checkpoint.sequence] = checkpoint.hash
    flaws: list[Flaw] = []
    count = 0
    for record in records:
        count += 1
        flaws += _step(_chain(chains, record.chain), record)
    for name, walk in chains.items():
        flaws += [
            Flaw(name, sequence, f"the chain ends at {walk.sequence}: what a checkpoint has seen was cut off")
            for sequence in sorted(walk.expected)
            if sequence > walk.sequence
        ]
    heads = tuple(Head(name, walk.sequence, walk.hash) for name, walk in chains.items() if walk.sequence)
    return Verdict(count, heads, tuple(flaws))


def _chain(chains: dict[str, _Walk], name: str) -> _Walk:
    if name not in chains:
        chains[name] = _Walk(0, genesis(name))
    return chains[name]


def _step(walk: _Walk, record: JournalRecord) -> list[Flaw]:
    flaws = []

    def told(what: str) -> None:
        flaws.append(Flaw(record.chain, record.sequence, what))

    if record.sequence != walk.sequence + 1:
        told(f"follows {walk.sequence}: records were removed, inserted or moved")
    if record.hash != link(walk.hash, record.text):
        told("the hash does not follow: this record, or one before it, is not as it was written")
    expected = walk.expected.get(record.sequence)
    if expected is not None and expected != record.hash:
        told("differs from a checkpoint: the chain was computed anew")
    walk.sequence, walk.hash = record.sequence, record.hash
    return flaws
