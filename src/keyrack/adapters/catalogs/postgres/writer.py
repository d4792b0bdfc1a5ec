"""Group commit over PostgreSQL: every unit that waits goes into one transaction, as ``sqlite.writer`` does it.

A unit is answered when the commit that holds it has returned, never before. A commit that does not come back, or whose
wait for the standby was cut short, may be kept or not: :class:`OutcomeUnknown`.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import asyncpg

from keyrack.adapters.catalogs import queries
from keyrack.adapters.catalogs.journaling import CUT_HEAD
from keyrack.adapters.catalogs.postgres.connecting import ANSWER_WITHIN, Place, connect
from keyrack.adapters.catalogs.postgres.dialect import bound, spelt
from keyrack.adapters.catalogs.postgres.refusals import LOST, refusal, unavailable
from keyrack.adapters.catalogs.reading import Row, first
from keyrack.adapters.catalogs.units import Application, Prepared, Versions
from keyrack.domain.journal_chain import genesis
from keyrack.ports.catalog import (
    AlreadyThere,
    CatalogUnavailable,
    Conflict,
    InstanceSealed,
    NotAuthorised,
    OutcomeUnknown,
    RollbackMode,
)

log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 256
"""Units in one transaction."""
PATIENCE: Final = 5.0
"""Seconds that a unit may wait for its turn before it is refused."""
_ADD_RECORDS: Final = """
    INSERT INTO journal (chain, sequence, text, hash)
    SELECT $1, sequence, text, hash FROM unnest($2::BIGINT[], $3::TEXT[], $4::BYTEA[])
        WITH ORDINALITY AS added (sequence, text, hash, place) ORDER BY place"""

_ALONE: Final = "SELECT add_records($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
"""Records in one message, as a transaction of their own."""

Job = tuple[Prepared, "asyncio.Future[None]", float]
"""A unit, who waits for it, and since when in the loop's time."""


class Writer:
    """The one writing connection of this process, and its journal chain. Belongs to one event loop."""

    def __init__(self, place: Place, chain: str, versions: Versions) -> None:
        """Journal under the name ``chain``; it connects when the first unit comes."""
        self._place = place
        self._chain = chain
        self._genesis = genesis(chain)
        self._application = Application(self._execute, versions)
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._waiting: list[Job] = []
        self._working: asyncio.Task[None] | None = None
        self._closed = False
        self._failing = False
        self._unsure = False
        self._sequence: int | None = None
        self._head = b""
        self._end: tuple[int, bytes] | None = None
        """Of the chain after this process's last commit; ``None`` where it has to be asked for."""

    def submit(self, unit: Prepared) -> "asyncio.Future[None]":
        """Put a unit into the next transaction; the future is done when it is durable, or holds why it is not."""
        if self._closed:
            raise CatalogUnavailable("the catalog is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((unit, future, loop.time()))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return future

    async def close(self) -> None:
        """Commit what waits, let go of the connection."""
        self._closed = True
        if self._working is not None:
            await asyncio.wait([self._working], timeout=PATIENCE)
        if self._connection is not None:
            await _ended(self._connection)
            self._connection = None

    async def _work(self) -> None:
        """Batches, until nobody waits."""
        try:
            while self._waiting:
                jobs, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                late = asyncio.get_running_loop().time() - PATIENCE
                for _, future, since in jobs:
                    if since < late and not future.done():
                        future.set_exception(CatalogUnavailable("the catalog does not keep up, or does not answer"))
                jobs = [job for job in jobs if not job[1].done()]
                if jobs:
                    await self._batch(jobs)
        finally:
            self._working = None
            if self._waiting and not self._closed:
                self._working = asyncio.create_task(self._work())

    async def _batch(self, jobs: Sequence[Job]) -> None:
        """One transaction; nobody of it is told a lie."""
        end, self._end = self._end, None
        if end is not None and await self._alone(jobs, *end):
            return
        try:
            refused = await self._written(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is: who waits must hear of it, and not wait for ever
            await self._lose(error)
            self._fail(jobs, unavailable(error, "commit"), error)
            return
        try:
            self._unsure = False
            await self._connected.execute("COMMIT", timeout=ANSWER_WITHIN)
        except Exception as error:  # noqa: BLE001
            await self._lose(error)
            self._fail(jobs, OutcomeUnknown(f"the commit has not come back: {error or type(error).__name__}"), error)
            return
        self._kept(jobs, refused, None if self._sequence is None else (self._sequence, self._head))

    async def _alone(self, jobs: Sequence[Job], sequence: int, head: bytes) -> bool:
        """The same in one message, where there is nothing but records on what is known; ``False``: nothing was done."""
        standing = self._application.standing([unit for unit, _, _ in jobs])
        connection = self._connection
        if standing is None or connection is None or connection.is_closed():
            return False
        texts = [text for unit, _, _ in jobs for text in unit.texts]
        hashes = _chained(head, texts)
        on = (standing.generation, standing.known, sequence, head)
        seen = (list(standing.seen), *([each[n] for each in standing.seen.values()] for n in (0, 1)))
        self._unsure = False
        try:
            done = await connection.fetchval(_ALONE, self._chain, *on, *seen, texts, hashes, timeout=ANSWER_WITHIN)
        except Exception as error:  # noqa: BLE001 - as in a batch; what went out whole may have been kept
            await self._lose(error)
            refused = isinstance(error, asyncpg.PostgresError) and not isinstance(error, LOST)
            told = f"the commit has not come back: {error or type(error).__name__}"
            self._fail(jobs, unavailable(error, "commit") if refused else OutcomeUnknown(told), error)
            return True
        if done:
            self._kept(jobs, {}, (sequence + len(texts), hashes[-1] if hashes else head))
        return bool(done)

    def _kept(self, jobs: Sequence[Job], refused: Mapping[int, Exception], end: tuple[int, bytes] | None) -> None:
        """A commit has come back; ``end`` is the chain's by it."""
        if self._unsure:
            self._application.forget()
            self._fail(jobs, OutcomeUnknown("PostgreSQL did not wait for its standby"), None)
            return
        self._end = end
        if self._failing:
            self._failing = False
            log.info("the catalog commits again")
        for position, (_, future, _) in enumerate(jobs):
            if not future.done():
                reason = refused.get(position)
                if reason is None:
                    future.set_result(None)
                else:
                    future.set_exception(reason)

    async def _written(self, jobs: Sequence[Job]) -> dict[int, Exception]:
        """The units' statements and their journal records; which of them are refused, and why."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._opened()
        refused: dict[int, Exception] = {}
        while True:
            try:
                texts = await self._applied(jobs, refused)
                break
            except _Spoilt as spoilt:
                # Something of the unit was written already. It is rare: all others are done again without it.
                refused[spoilt.position] = spoilt.error.with_traceback(None)
                self._application.forget()
                await self._connected.execute("ROLLBACK")
        await self._journal(texts)
        return refused

    async def _applied(self, jobs: Sequence[Job], refused: dict[int, Exception]) -> list[str]:
        changes = any(unit.changes or unit.remembers for unit, _, _ in jobs)
        # Two statements in one message; the locks are held before the next one sees anything.
        chain = self._chain.replace("'", "''")
        await self._connected.execute(f"BEGIN; SELECT begin_unit('{chain}', {changes})", timeout=ANSWER_WITHIN)
        generation, count, rollback_at, self._sequence, self._head = first(
            await self._execute(queries.OPENING, (self._chain,))
        )
        self._application.begin(generation, count, rollback_at)
        texts: list[str] = []
        for position, (unit, _, _) in enumerate(jobs):
            if position in refused:
                continue
            try:
                await self._application.apply(unit)
            except (NotAuthorised, InstanceSealed, Conflict, AlreadyThere, RollbackMode) as error:
                # Without this frame, which holds the error itself; see sqlite.writer.
                refused[position] = error.with_traceback(None)
            except asyncpg.DataError:
                # As a number that is too long: nobody else's unit fails by it. The driver's text has the value.
                raise _Spoilt(position, ValueError("the database has no place for a value of the unit")) from None
            except asyncpg.PostgresError as error:
                meaning = refusal(error)
                if meaning is None:
                    raise
                raise _Spoilt(position, meaning) from error
            except LOST:
                raise
            except Exception as error:
                raise _Spoilt(position, error) from error
            else:
                texts += unit.texts
        return texts

    async def _journal(self, texts: Sequence[str]) -> None:
        """Chain the texts to what this process, or another under the same name, has written last."""
        sequence, head = self._sequence, self._head
        if sequence is None:
            # The chain is new, or everything of it was cut: then it goes on where it was.
            sequence, head = first(await self._execute(CUT_HEAD, (self._chain,))) or (0, self._genesis)
        if texts:
            hashes = _chained(head, texts)
            sequences = list(range(sequence + 1, sequence + len(texts) + 1))
            await self._connected.execute(_ADD_RECORDS, self._chain, sequences, texts, hashes, timeout=ANSWER_WITHIN)
            self._sequence, self._head = sequences[-1], hashes[-1]

    async def _execute(self, statement: str, parameters: Sequence[Any] = (), /) -> Sequence[Row]:
        rows = await self._connected.fetch(spelt(statement), *bound(parameters), timeout=ANSWER_WITHIN)
        return [tuple(row) for row in rows]

    @property
    def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None:
            raise asyncpg.InterfaceError("the connection is lost")
        return self._connection

    async def _opened(self) -> "asyncpg.Connection[asyncpg.Record]":
        connection = await connect(self._place)
        connection.add_log_listener(self._warned)
        return connection

    def _warned(self, connection: object, message: Any) -> None:
        """PostgreSQL gives up its wait for a standby with a warning, and then tells success."""
        if "synchronous replication" in str(getattr(message, "message", message)):
            self._unsure = True

    async def _lose(self, error: Exception) -> None:
        """What was learnt may not be true any more; neither may the connection be in order."""
        self._application.forget()
        connection = self._connection
        if connection is None:
            return
        if isinstance(error, asyncpg.PostgresError) and not isinstance(error, LOST):
            try:
                await connection.execute("ROLLBACK", timeout=ANSWER_WITHIN)
            except Exception:  # noqa: BLE001 - then it is of no use any more
                log.debug("the connection cannot roll back")
            else:
                return
        self._connection = None
        connection.terminate()

    def _fail(self, jobs: Sequence[Job], refused: CatalogUnavailable, error: Exception | None) -> None:
        if not self._failing:
            self._failing = True
            log.error("the catalog cannot commit: %s; requests are refused until it can", error or refused)
            if error is not None and not isinstance(error, (*LOST, asyncpg.PostgresError)):
                log.error("this is a mistake in the catalog itself", exc_info=error)
        for _, future, _ in jobs:
            if not future.done():
                told = type(refused)(str(refused))
                told.__cause__ = None if error is None else error.with_traceback(None)
                future.set_exception(told)


class _Spoilt(Exception):
    """A unit failed after something of it was written."""

    def __init__(self, position: int, error: Exception) -> None:
        super().__init__(position)
        self.position = position
        self.error = error


def _chained(head: bytes, texts: Sequence[str]) -> list[bytes]:
    """The hash of each text, from the one before it on."""
    hashes = []
    for text in texts:
        head = sha256(head + text.encode()).digest()
        hashes.append(head)
    return hashes


async def _ended(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        await connection.close(timeout=ANSWER_WITHIN)
    except Exception:  # noqa: BLE001 - it is given up
        connection.terminate()
