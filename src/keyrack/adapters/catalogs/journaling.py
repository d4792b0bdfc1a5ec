"""Checkpoints, cuts and sinks of the journal in the database: rows and values, a unit's changes, and reads.

What reads much runs on a connection of its own: a serving process must not stand still because somebody
looks through its journal.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from keyrack.adapters.catalogs.journal_search import search, search_on
from keyrack.adapters.catalogs.queries import SETTLED
from keyrack.adapters.catalogs.reading import Execute, Reads, first
from keyrack.ports.catalog import Conflict, Unit
from keyrack.ports.journal import Found, Head, JournalCut, JournalQuery, SignedCheckpoint, SinkState, Survey

LAST_NUMBER: Final = "SELECT coalesce(max(number), 0) FROM journal_checkpoint"
ADD_CHECKPOINT: Final = (
    "INSERT INTO journal_checkpoint (number, at, through, text, key, signature) VALUES (?, ?, ?, ?, ?, ?)"
)
_CHECKPOINT: Final = "SELECT number, at, text, key, signature FROM journal_checkpoint"
CHECKPOINTS: Final = f"{_CHECKPOINT} WHERE number > ? ORDER BY number LIMIT ?"
LAST_CHECKPOINT: Final = f"{_CHECKPOINT} ORDER BY number DESC LIMIT 1"
CHECKPOINT_BEFORE: Final = f"{_CHECKPOINT} WHERE at <= ? AND through <= ? ORDER BY number DESC LIMIT 1"

RECORD_HASH: Final = "SELECT hash FROM journal WHERE chain = ? AND sequence = ?"
COUNT_THROUGH: Final = "SELECT count(*) FROM journal WHERE chain = ? AND sequence <= ?"
ADD_CUT: Final = (
    "INSERT INTO journal_cut (checkpoint, chain, through, hash, records, digest, at, by)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
CUT: Final = "DELETE FROM journal WHERE chain = ? AND sequence <= ?"
CUTS: Final = (
    "SELECT checkpoint, chain, through, hash, records, digest, at, by FROM journal_cut ORDER BY checkpoint, chain"
)
# Where a chain of which every record was cut goes on.
CUT_HEAD: Final = "SELECT through, hash FROM journal_cut WHERE chain = ? ORDER BY through DESC LIMIT 1"

PUT_SINK: Final = """
    INSERT INTO sink (name, number, checkpoint, at, trouble, since) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET number = max(sink.number, excluded.number),
        checkpoint = max(sink.checkpoint, excluded.checkpoint), at = excluded.at, trouble = excluded.trouble,
        since = excluded.since"""
SINKS: Final = "SELECT name, number, checkpoint, at, trouble, since FROM sink ORDER BY name"

HASHES: Final = "SELECT number, hash FROM journal WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"
# The index is jumped along from chain to chain, however long each of them is.
HEADS: Final = """
    WITH RECURSIVE written (chain) AS (
        SELECT min(chain) FROM journal
        UNION ALL SELECT (SELECT min(chain) FROM journal WHERE chain > written.chain) FROM written
            WHERE written.chain IS NOT NULL),
    named (chain) AS (SELECT chain FROM written WHERE chain IS NOT NULL UNION SELECT chain FROM journal_cut)
    SELECT chain,
        coalesce((SELECT max(sequence) FROM journal WHERE journal.chain = named.chain),
            (SELECT max(through) FROM journal_cut WHERE journal_cut.chain = named.chain)),
        coalesce(
            (SELECT hash FROM journal WHERE journal.chain = named.chain ORDER BY sequence DESC LIMIT 1),
            (SELECT hash FROM journal_cut WHERE journal_cut.chain = named.chain ORDER BY through DESC LIMIT 1))
    FROM named ORDER BY chain"""
HEADS_UP_TO: Final = """
    WITH RECURSIVE given (number) AS (SELECT CAST(? AS BIGINT)),
    written (chain) AS (
        SELECT min(chain) FROM journal
        UNION ALL SELECT (SELECT min(chain) FROM journal WHERE chain > written.chain) FROM written
            WHERE written.chain IS NOT NULL),
    named (chain) AS (SELECT chain FROM written WHERE chain IS NOT NULL UNION SELECT chain FROM journal_cut),
    heads (chain, sequence, hash) AS (
        SELECT chain,
            coalesce((SELECT sequence FROM journal WHERE journal.chain = named.chain
                    AND number <= (SELECT number FROM given) ORDER BY sequence DESC LIMIT 1),
                (SELECT max(through) FROM journal_cut WHERE journal_cut.chain = named.chain)),
            coalesce((SELECT hash FROM journal WHERE journal.chain = named.chain
                    AND number <= (SELECT number FROM given) ORDER BY sequence DESC LIMIT 1),
                (SELECT hash FROM journal_cut WHERE journal_cut.chain = named.chain ORDER BY through DESC LIMIT 1))
        FROM named)
    SELECT chain, sequence, hash FROM heads WHERE sequence IS NOT NULL ORDER BY chain"""
"""As they were at a record: what came behind it is not settled yet, and a checkpoint may not speak of it."""
OBJECTS: Final = "SELECT count(*) FROM object"
DESTROYED: Final = "SELECT identifier FROM object WHERE state IN (5, 6) ORDER BY identifier"
DOOMED: Final = """
    SELECT chain, sequence, hash FROM journal WHERE number <= ? AND (chain, sequence) > (?, ?)
    ORDER BY chain, sequence LIMIT ?"""
_AT_ONCE: Final = 10_000
"""Rows of a long walk that are in memory at a time."""


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.journal is not None


async def check(execute: Execute, unit: Unit) -> None:
    """Raise ``Conflict``, or a kind of it, where the database as it is now does not allow the unit."""
    changes = unit.journal
    if changes is None:
        return
    if changes.checkpoints:
        (last,) = first(await execute(LAST_NUMBER))
        for number, signed in enumerate(changes.checkpoints, last + 1):
            if signed.number != number:
                raise Conflict("another checkpoint was made meanwhile")
    for cut in changes.cuts:
        found = first(await execute(RECORD_HASH, (cut.chain, cut.through)))
        (there,) = first(await execute(COUNT_THROUGH, (cut.chain, cut.through)))
        if found is None or found[0] != cut.hash or there != cut.records:
            raise Conflict("the journal is not as the cut says: something else has cut it meanwhile")


async def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""
    changes = unit.journal
    if changes is None:
        return
    for signed in changes.checkpoints:
        through = signed.statement.through
        await execute(ADD_CHECKPOINT, (signed.number, signed.at, through, signed.text, signed.key, signed.signature))
    for cut in changes.cuts:
        await execute(
            ADD_CUT,
            (cut.checkpoint, cut.chain, cut.through, cut.hash, cut.records, cut.digest, cut.at, cut.by),
        )
        await execute(CUT, (cut.chain, cut.through))
    for name, state in changes.sinks.items():
        await execute(PUT_SINK, (name, state.number, state.checkpoint, state.at, state.trouble, state.since))


class JournalReads(Reads):
    """``ports.journal.JournalBook`` over SQLite."""

    async def checkpoints(self, after: int = 0, limit: int = 500) -> Sequence[SignedCheckpoint]:
        """In the order of their numbers."""
        return [_checkpoint_of(row) for row in await self._read(CHECKPOINTS, (after, limit))]

    async def last_checkpoint(self) -> SignedCheckpoint | None:
        """By its number."""
        row = first(await self._read(LAST_CHECKPOINT))
        return _checkpoint_of(row) if row else None

    async def checkpoint_before(self, at: int, through: int) -> SignedCheckpoint | None:
        """From the last one backwards."""
        row = first(await self._read(CHECKPOINT_BEFORE, (at, through)))
        return _checkpoint_of(row) if row else None

    async def cuts(self) -> Sequence[JournalCut]:
        """In the order of the checkpoints up to which they go."""
        return [_cut_of(row) for row in await self._read(CUTS)]

    async def sinks(self) -> Mapping[str, SinkState]:
        """Every sink that was ever written down, also one that is not configured any more."""
        rows = await self._read(SINKS)
        return {
            name: SinkState(number=number, checkpoint=checkpoint, at=at, trouble=trouble, since=since)
            for name, number, checkpoint, at, trouble, since in rows
        }

    async def journal_end(self) -> int:
        """From the end of the table."""
        return int(first(await self._read(SETTLED))[0])

    async def survey(self, after: int) -> Survey:
        """In one snapshot: half a second for each million of records."""
        return await self._apart(lambda execute: _survey(execute, after))

    async def doomed(self, checkpoint: int, through: int) -> Sequence[JournalCut]:
        """A microsecond for each record that would go."""
        return await self._apart(lambda execute: _doomed(execute, checkpoint, through))

    async def find(
        self, query: JournalQuery, *, before: int | None = None, limit: int = 100, within: int | None = None
    ) -> Found:
        """From the newest backwards until the page is full."""
        return await self._apart(lambda execute: search(execute, query, before, limit, within))

    async def find_on(self, query: JournalQuery, *, after: int, limit: int = 100, within: int | None = None) -> Found:
        """Forward until the page is full."""
        return await self._apart(lambda execute: search_on(execute, query, after, limit, within))


def _checkpoint_of(row: Sequence[Any]) -> SignedCheckpoint:
    number, at, text, key, signature = row
    return SignedCheckpoint(number=number, at=at, text=text, key=key, signature=signature)


def _cut_of(row: Sequence[Any]) -> JournalCut:
    checkpoint, chain, through, digest, records, all_of_them, at, by = row
    return JournalCut(
        checkpoint=checkpoint,
        chain=chain,
        through=through,
        hash=digest,
        records=records,
        digest=all_of_them,
        at=at,
        by=by,
    )


async def _survey(execute: Execute, after: int) -> Survey:
    (through,) = first(await execute(SETTLED))
    records, hashes = 0, sha256()
    while rows := await execute(HASHES, (after, through, _AT_ONCE)):
        for number, digest in rows:
            records += 1
            hashes.update(digest)
            after = number
    heads = [Head(*row) for row in await execute(HEADS_UP_TO, (through,))]
    (keys,) = first(await execute(OBJECTS))
    destroyed, gone = 0, sha256()
    for (identifier,) in await execute(DESTROYED):
        destroyed += 1
        gone.update(f"{identifier}\n".encode())
    return Survey(through, records, hashes.digest(), heads, keys, destroyed, gone.digest())


async def _doomed(execute: Execute, checkpoint: int, through: int) -> Sequence[JournalCut]:
    gathered: dict[str, tuple[int, bytes, int, Any]] = {}
    behind: tuple[str, int] = ("", 0)
    while rows := await execute(DOOMED, (through, *behind, _AT_ONCE)):
        for chain, sequence, digest in rows:
            _, _, records, hashes = gathered.get(chain) or (0, b"", 0, sha256())
            hashes.update(digest)
            gathered[chain] = sequence, digest, records + 1, hashes
            behind = chain, sequence
    return [
        JournalCut(
            checkpoint=checkpoint,
            chain=chain,
            through=sequence,
            hash=digest,
            records=records,
            digest=hashes.digest(),
            at=0,
            by="",
        )
        for chain, (sequence, digest, records, hashes) in gathered.items()
    ]
