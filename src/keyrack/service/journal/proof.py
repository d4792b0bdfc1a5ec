"""The journal proved: its chains walked together with the checkpoints that were signed over them.

Records and checkpoints are fed in the order of their numbers, so that a journal of any length, or an export of a part
of it, is walked in one pass with little in memory. A checkpoint vouches for every record before it: for which there
are, what they say, and in which order they were written. A record that is fed without its text, as an export passes
over what it was not asked for, is vouched for by the next checkpoint alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from keyrack.domain.checkpoints import Head, JournalCut, SignedCheckpoint, Statement
from keyrack.domain.journal_chain import genesis, link
from keyrack.ports.journal import JournalRecord
from keyrack.service.journal.chain import Flaw, Verdict
from keyrack.service.journal.signatures import is_signed

CHECKPOINTS: Final = "checkpoints"
"""What stands in the place of a chain's name where a flaw is one of a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved(Verdict):
    """What was found out about a journal that has checkpoints."""

    checkpoints: int = 0
    last: Statement | None = None
    """The last checkpoint whose signature holds."""
    unvouched: int = 0
    """Records behind it: only their chains speak for them."""
    remarks: Sequence[str] = ()
    """What is no flaw and somebody should know."""
    through: int = 0
    """The number of the last record that was looked at; 0 where records have none."""


@dataclass(slots=True)
class _End:
    """Where a chain is while it is walked."""

    sequence: int
    hash: bytes


@dataclass(slots=True)
class _Interval:
    """The records since the last checkpoint."""

    records: int = 0
    hashes: Any = field(default_factory=sha256)


class Proof:
    """One walk. Feed it with :meth:`record` and :meth:`checkpoint`, then ask :meth:`verdict`."""

    def __init__(
        self,
        *,
        pins: Collection[str] = (),
        cuts: Sequence[JournalCut] = (),
        base: SignedCheckpoint | None = None,
        expected: Iterable[Head] = (),
        exported: Mapping[int, bytes] | None = None,
        must_be_signed: bool = False,
    ) -> None:
        """``pins``: public parts of keys, in hexadecimal, one of which has to have signed. ``cuts``: what the catalog
        says was cut. ``base``: the checkpoint that the records begin behind. ``expected``: heads kept elsewhere.
        ``exported``: hashes of checkpoints that were exported, by number. ``must_be_signed``: records for which no
        checkpoint speaks are a flaw, as where somebody hands them over; a new deployment has none for a minute.
        """
        self._chains: dict[str, _End] = {}
        self._flaws: list[Flaw] = []
        self._remarks: list[str] = []
        self._pins = frozenset(pins)
        self._must_be_signed = must_be_signed
        self._keys: set[str] = set()
        self._previous: Statement | None = None
        self._previous_hash = b""
        self._last: Statement | None = None
        self._interval = _Interval()
        self._records = self._checkpoints = self._number = 0
        self._cuts = list(cuts)
        self._signed_cuts: list[JournalCut] = []
        self._cut_at = max((cut.checkpoint for cut in self._cuts), default=0)
        self._exported = dict(exported) if exported is not None else None
        self._unexported: list[int] = []
        self._expected: dict[str, dict[int, bytes]] = {}
        for head in expected:
            self._expected.setdefault(head.chain, {})[head.sequence] = head.hash
        if base is not None:
            self._begin(base)

    def _begin(self, base: SignedCheckpoint) -> None:
        statement = self._read(base)
        if statement is not None:
            self._previous, self._previous_hash = statement, base.hash
            self._keys.add(statement.key)
            self._stand_at(statement.heads)
            self._number = statement.through

    def _stand_at(self, heads: Iterable[Head]) -> None:
        self._chains = {head.chain: _End(head.sequence, head.hash) for head in heads}

    def _flaw(self, chain: str, sequence: int, what: str) -> None:
        self._flaws.append(Flaw(chain, sequence, what))

    def record(self, record: JournalRecord, *, whole: bool = True) -> None:
        """The next record; one that is not ``whole`` has no text, and only its hash is there to be vouched for."""
        self._records += 1
        if record.number and record.number <= self._number:
            self._flaw(record.chain, record.sequence, "stands where a checkpoint, or a cut, has left no place for it")
        self._number = max(self._number, record.number)
        walk = self._chains.get(record.chain)
        if walk is None:
            walk = self._chains[record.chain] = _End(0, genesis(record.chain))
        if record.sequence != walk.sequence + 1:
            told = f"follows {walk.sequence}: records were removed, inserted or moved"
            self._flaw(record.chain, record.sequence, told)
        if whole and record.hash != link(walk.hash, record.text):
            told = "the hash does not follow: this record, or one before it, is not as it was written"
            self._flaw(record.chain, record.sequence, told)
        expected = self._expected.get(record.chain, {}).pop(record.sequence, None)
        if expected is not None and expected != record.hash:
            self._flaw(record.chain, record.sequence, "differs from a checkpoint: the chain was computed anew")
        walk.sequence, walk.hash = record.sequence, record.hash
        self._interval.records += 1
        self._interval.hashes.update(record.hash)

    def checkpoint(self, signed: SignedCheckpoint) -> None:
        """The next checkpoint, when every record has been fed that it covers."""
        self._checkpoints += 1
        self._compare_exported(signed)
        statement = self._read(signed)
        if statement is None:
            return
        self._check_descent(statement)
        if statement.number <= self._cut_at:
            self._pass_over(statement)
        else:
            self._check_records(statement)
            self._check_heads(statement)
        self._signed_cuts += statement.cuts
        self._keys.add(statement.key)
        self._previous, self._previous_hash, self._last = statement, signed.hash, statement
        self._number = max(self._number, statement.through)
        self._interval = _Interval()

    def _read(self, signed: SignedCheckpoint) -> Statement | None:
        try:
            statement = signed.statement
        except ValueError as error:
            self._flaw(CHECKPOINTS, signed.number, f"cannot be read: {error}")
            return None
        if not is_signed(signed, statement.key):
            self._flaw(CHECKPOINTS, signed.number, "its signature is not one of the key that it names")
            return None
        if statement.number != signed.number:
            self._flaw(CHECKPOINTS, signed.number, f"it is checkpoint {statement.number}, put in another's place")
        return statement

    def _check_descent(self, statement: Statement) -> None:
        """Number, link and key, against the checkpoint before."""
        before, number = self._previous, statement.number
        if before is None:
            if number != 1 or statement.previous or statement.after:
                self._flaw(CHECKPOINTS, number, "those before it were removed")
            return
        if number != before.number + 1:
            self._flaw(CHECKPOINTS, number, f"follows {before.number}: checkpoints were removed or inserted")
        elif statement.previous != self._previous_hash.hex() or statement.after != before.through:
            self._flaw(CHECKPOINTS, number, "does not follow the one before it: one of the two was put there")
        if statement.key not in {before.successor or before.key, *self._pins}:
            self._flaw(CHECKPOINTS, number, "is signed by a key that the one before it does not name")
        if statement.deployment != before.deployment:
            self._flaw(CHECKPOINTS, number, f"is one of deployment {statement.deployment!r}")
        if (given_up := statement.abandons) is not None:
            told = f"an older journal was accepted by {given_up.by} with checkpoint {number}"
            self._remarks.append(f"{told}: checkpoints up to {given_up.number} of the newer one are given up")

    def _pass_over(self, statement: Statement) -> None:
        """A checkpoint whose records were cut; the last of them is where the walk begins."""
        if self._interval.records:
            self._flaw(CHECKPOINTS, statement.number, "records stand there that were cut: inserted")
        self._stand_at(statement.heads)

    def _check_records(self, statement: Statement) -> None:
        found = self._interval
        if (found.records, found.hashes.hexdigest()) != (statement.records, statement.digest):
            told = f"covers {statement.records} records, and the {found.records} that are there are not those"
            self._flaw(CHECKPOINTS, statement.number, told)

    def _check_heads(self, statement: Statement) -> None:
        known = set()
        for head in statement.heads:
            known.add(head.chain)
            walk = self._chains.get(head.chain)
            if walk is None or walk.sequence < head.sequence:
                there = walk.sequence if walk else 0
                self._flaw(head.chain, head.sequence, f"the chain ends at {there}: what a checkpoint has seen is gone")
            elif (walk.sequence, walk.hash) != (head.sequence, head.hash):
                self._flaw(head.chain, head.sequence, "differs from a checkpoint: the chain was computed anew")
        for chain in self._chains.keys() - known:
            self._flaw(chain, 1, "a chain that the checkpoint does not know: inserted")

    def _compare_exported(self, signed: SignedCheckpoint) -> None:
        if self._exported is None:
            return
        expected = self._exported.pop(signed.number, None)
        if expected is None:
            self._unexported.append(signed.number)
        elif expected != signed.hash:
            self._flaw(CHECKPOINTS, signed.number, "is another one than was exported")

    def verdict(self) -> Proved:
        """What was found, when everything was fed."""
        self._check_ends()
        self._check_cuts()
        self._check_keys()
        heads = tuple(Head(name, walk.sequence, walk.hash) for name, walk in self._chains.items())
        return Proved(
            records=self._records,
            heads=heads,
            flaws=tuple(self._flaws),
            checkpoints=self._checkpoints,
            last=self._last,
            unvouched=self._interval.records,
            remarks=tuple(self._remarks),
        )

    def _check_ends(self) -> None:
        """What was there once by the word of heads and checkpoints that were kept elsewhere."""
        for chain, left in self._expected.items():
            there = self._chains.get(chain, _End(0, b""))
            gone = max((cut.through for cut in self._cuts if cut.chain == chain), default=0)
            for sequence in sorted(sequence for sequence in left if sequence > max(gone, there.sequence)):
                told = f"the chain ends at {there.sequence}: what a checkpoint has seen was cut off"
                self._flaw(chain, sequence, told)
        if self._exported:
            first, last = min(self._exported), max(self._exported)
            told = "was exported and is not there: the catalog is older than what was exported"
            self._flaw(CHECKPOINTS, first, told if first == last else f"and all up to {last}, {told}")
        elif self._unexported:
            told = f"{len(self._unexported)} checkpoints are not in the exported file, the first is"
            self._remarks.append(f"{told} {self._unexported[0]}")

    def _check_cuts(self) -> None:
        for cut in self._cuts:
            if cut not in self._signed_cuts:
                self._flaw(cut.chain, cut.through, "everything up to it is said to be cut, and no checkpoint says so")
        if self._cut_at:
            last = [cut for cut in self._cuts if cut.checkpoint == self._cut_at]
            told = f"{sum(cut.records for cut in self._cuts)} records were cut, the last time"
            self._remarks.append(f"{told} by {last[0].by} up to checkpoint {self._cut_at}")

    def _check_keys(self) -> None:
        if self._pins and (self._checkpoints or self._must_be_signed) and not self._pins & self._keys:
            self._flaw(CHECKPOINTS, self._checkpoints, "no checkpoint is signed by the key that is pinned")
        elif self._must_be_signed and self._records and self._last is None:
            self._flaw(CHECKPOINTS, 0, "no checkpoint stands behind the records: anybody may have written them")
        elif not self._checkpoints:
            self._remarks.append("no checkpoint is there: only the chains speak for the records")


def fed(proof: Proof, records: Iterable[JournalRecord], checkpoints: Iterable[SignedCheckpoint]) -> Proved:
    """Walk both, each in its order, to their ends."""
    waiting = iter(checkpoints)
    signed = next(waiting, None)
    edge = _through(signed)
    for record in records:
        while signed is not None and edge < record.number:
            proof.checkpoint(signed)
            signed = next(waiting, None)
            edge = _through(signed)
        proof.record(record)
    while signed is not None:
        proof.checkpoint(signed)
        signed = next(waiting, None)
    return proof.verdict()


def _through(signed: SignedCheckpoint | None) -> int:
    """Where a checkpoint ends; one that cannot be read is told of at once."""
    try:
        return signed.statement.through if signed is not None else 0
    except ValueError:
        return 0


def latest(lines: Iterable[SignedCheckpoint]) -> Iterator[tuple[SignedCheckpoint, str]]:
    """Checkpoints of an exported file that are in force at its end, and what is wrong with others.

    Those that an administrator has given up, by accepting an older catalog, are left out.
    """
    kept: dict[int, SignedCheckpoint] = {}
    last: SignedCheckpoint | None = None
    for signed in lines:
        if last is not None and signed.number != last.number + 1:
            given_up = signed.statement.abandons
            if given_up is None or (given_up.number, given_up.hash) != (last.number, last.hash.hex()):
                yield signed, f"stands behind {last.number} in the exported file: some were removed or inserted there"
            for number in [each for each in kept if each >= signed.number]:
                del kept[number]
        kept[signed.number] = last = signed
    for signed in kept.values():
        yield signed, ""
