"""Group commit: every unit that waits goes into one transaction, and the disk is waited for once.

The statements run on the loop's thread, where they take microseconds. ``COMMIT``, which syncs, runs there too while the
disk is quick, because a thread's help would cost more than the wait; on a slow disk it runs in a thread, while the next
units queue. A unit is answered when the commit that holds it has returned, never before. One
that fails its checks is refused alone; when the database fails, nobody of the batch is told a lie: the transaction is
rolled back and all hear :class:`CatalogUnavailable`. See ``docs/adr/0004-group-commit.md``.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Sequence
from hashlib import sha256
from queue import SimpleQueue
from typing import Any, Final

from keyrack.adapters.catalogs import queries
from keyrack.adapters.catalogs.journaling import CUT_HEAD
from keyrack.adapters.catalogs.sqlite.at_once import at_once
from keyrack.adapters.catalogs.sqlite.checkpoint import Checkpointer
from keyrack.adapters.catalogs.sqlite.pace import Pace
from keyrack.adapters.catalogs.sqlite.refusals import executing, refusal
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

DEADLINE: Final = 2.0
"""Seconds after which a unit that waits is refused instead of hanging: a stuck disk must not stop the door."""
LOCK_RETRY: Final = 0.001
"""Seconds until the write lock is asked for again, when another process holds it."""
_WATCH: Final = 0.25

Job = tuple[Prepared, asyncio.Future[None], float]
"""A unit, who waits for it, and since when in the loop's time."""


class Writer:
    """The one writing connection of this process, and its journal chain."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        chain: str,
        versions: Versions,
        *,
        checkpointer: Checkpointer | None = None,
        deadline: float = DEADLINE,
    ) -> None:
        """Own ``connection``; journal under the name ``chain``; without ``checkpointer``, SQLite's own works."""
        if checkpointer is not None:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        self._checkpointer = checkpointer
        self._pace = Pace()
        self._written = 0
        self._connection = connection
        self.execute = self._execute = connection.cursor().execute
        self._application = Application(executing(connection.cursor().execute), versions)
        self._chain = chain
        self._genesis = genesis(chain)
        self._deadline = deadline
        self._waiting: list[Job] = []
        self._committing: list[tuple[asyncio.Future[None], Exception | None, float]] = []
        self._busy = False
        self._scheduled = False
        self._watched = False
        self._closed = False
        self._failing = False
        self._idle: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._orders: SimpleQueue[asyncio.AbstractEventLoop | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._sync, name=f"catalog-{chain}", daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether ``execute`` may be read through: no transaction is open.

        A connection that did not write a commit drops its cached pages; this one keeps them, and reads three times as
        fast after its own commits.
        """
        return not (self._busy or self._connection.in_transaction)

    def submit(self, unit: Prepared) -> asyncio.Future[None]:
        """Put a unit into the next transaction; the future is done when it is durable, or holds why it is not."""
        if self._closed:
            raise CatalogUnavailable("the catalog is closed")
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.append((unit, future, loop.time()))
        if not self._scheduled and not self._busy:
            self._loop = loop
            self._schedule(loop)
        return future

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = True
        loop.call_soon(self._flush)
        if not self._watched:
            self._watched = True
            loop.call_later(_WATCH, self._watch)

    def _flush(self) -> None:
        """Write everything that waits, and hand the commit to the thread."""
        self._scheduled = False
        if self._busy or not self._waiting:
            return
        try:
            self._execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            if _is_locked(error):
                self._scheduled = True
                self._loop.call_later(LOCK_RETRY, self._flush)
            else:
                self._roll_back()
                self._fail([(future, since) for _, future, since in self._take()], error)
            return
        jobs = self._take()
        try:
            self._committing = self._write(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is: who waits must hear of it, and not wait for ever
            self._roll_back()
            self._fail([(future, since) for _, future, since in jobs], error)
            return
        self._busy = True
        self._pace.begin()
        if self._pace.quick:
            self._committed(self._commit())
        else:
            self._orders.put(self._loop)

    def _take(self) -> list[Job]:
        jobs = self._waiting
        self._waiting = []
        return jobs

    def _write(self, jobs: Sequence[Job]) -> list[tuple[asyncio.Future[None], Exception | None, float]]:
        """The units' statements and their journal records; which of them are refused, and why."""
        refused: dict[int, Exception] = {}
        while True:
            try:
                texts = self._apply(jobs, refused)
                break
            except _Spoilt as spoilt:
                # Something of the unit was written already. It is rare: all others are done again without it.
                refused[spoilt.position] = spoilt.error.with_traceback(None)
                self._roll_back()
                self._execute("BEGIN IMMEDIATE")
        self._journal(texts)
        self._written = len(texts)
        return [(future, refused.get(n), since) for n, (_, future, since) in enumerate(jobs)]

    def _apply(self, jobs: Sequence[Job], refused: dict[int, Exception]) -> list[str]:
        opening = self._execute(queries.OPENING, (self._chain,)).fetchone()
        generation, changes, rollback_at, self._sequence, self._head = opening
        apply, is_decided = self._application.apply, self._application.is_decided
        self._application.begin(generation, changes, rollback_at)
        texts: list[str] = []
        for position, (unit, _, _) in enumerate(jobs):
            if position in refused:
                continue
            try:
                if not is_decided(unit):
                    at_once(apply(unit))
            except (NotAuthorised, InstanceSealed, Conflict, AlreadyThere, RollbackMode) as error:
                # Without this frame, which holds the error itself: what hangs on such a ring, as the key of a request
                # that is refused here, would stay in memory until somebody collects garbage.
                refused[position] = error.with_traceback(None)
            except sqlite3.IntegrityError as error:
                raise _Spoilt(position, refusal(error)) from error
            except sqlite3.Error:
                raise
            except Exception as error:
                raise _Spoilt(position, error) from error
            else:
                texts += unit.texts
        return texts

    def _journal(self, texts: Sequence[str]) -> None:
        """Chain the texts to what this process, or another under the same name, has written last."""
        chain, sequence, head = self._chain, self._sequence, self._head
        if sequence is None:
            # The chain is new, or everything of it was cut: then it goes on where it was.
            sequence, head = self._execute(CUT_HEAD, (chain,)).fetchone() or (0, self._genesis)
        rows = []
        for text in texts:
            sequence += 1
            head = sha256(head + text.encode()).digest()
            rows.append((chain, sequence, text, head))
        if len(rows) == 1:
            self._execute(queries.ADD_RECORD, rows[0])
        else:
            self._connection.executemany(queries.ADD_RECORD, rows)

    def _commit(self) -> Exception | None:
        """Sync; what went wrong is returned, whatever it is: the loop must hear of it."""
        try:
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001
            return error
        return None

    def _sync(self) -> None:
        """The thread: wait for an order, commit, tell the loop."""
        while (loop := self._orders.get()) is not None:
            error = self._commit()
            try:
                loop.call_soon_threadsafe(self._committed, error)
            except RuntimeError:
                log.error("the loop ended while a commit was under way")

    def _committed(self, error: Exception | None) -> None:
        """On the loop again: answer the batch, begin the next."""
        batch, self._committing = self._committing, []
        self._busy = False
        self._pace.end()
        if error is None:
            if self._failing:
                self._failing = False
                log.info("the catalog commits again")
            if self._checkpointer is not None:
                self._checkpointer.wrote(self._written)
            for future, reason, _ in batch:
                if not future.done():
                    if reason is None:
                        future.set_result(None)
                    else:
                        future.set_exception(reason)
        else:
            self._roll_back()
            self._fail([(future, since) for future, _, since in batch], error)
        if self._waiting:
            self._flush()
        if self._idle and not self._busy and not self._waiting and not self._idle.done():
            self._idle.set_result(None)

    def _roll_back(self) -> None:
        self._application.forget()
        try:
            # SQLite has rolled back by itself after some errors.
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
        except sqlite3.Error:
            log.exception("the catalog cannot roll back")

    def _fail(self, waiting: Sequence[tuple[asyncio.Future[None], float]], error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.error("the catalog cannot commit: %s; requests are refused until it can", error)
            if not isinstance(error, sqlite3.Error):
                log.error("this is a mistake in the catalog itself", exc_info=error)
        for future, _ in waiting:
            if not future.done():
                refused = CatalogUnavailable(f"the catalog cannot commit: {error}")
                refused.__cause__ = error.with_traceback(None)
                future.set_exception(refused)

    def _watch(self) -> None:
        """Refuse what has waited for too long: for the lock, or for a commit that does not come back."""
        loop = self._loop
        late = loop.time() - self._deadline
        kept = []
        for job in self._waiting:
            if job[2] > late:
                kept.append(job)
            elif not job[1].done():
                job[1].set_exception(CatalogUnavailable("the catalog is locked, or its disk does not answer"))
        self._waiting = kept
        for future, _, since in self._committing:
            if since <= late and not future.done():
                future.set_exception(OutcomeUnknown("the commit has not come back in time"))
        self._watched = bool(self._waiting or self._busy)
        if self._watched:
            loop.call_later(_WATCH, self._watch)

    async def close(self) -> None:
        """Commit what waits, end the thread, let go of the connection."""
        self._closed = True
        while self._waiting or self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._idle], timeout=self._deadline)
        self._orders.put(None)
        await asyncio.to_thread(self._thread.join, self._deadline)
        if self._checkpointer is not None:
            await asyncio.to_thread(self._checkpointer.close)
        self._connection.close()


class _Spoilt(Exception):
    """A unit failed after something of it was written."""

    def __init__(self, position: int, error: Exception) -> None:
        super().__init__(position)
        self.position = position
        self.error = error


def _is_locked(error: sqlite3.Error) -> bool:
    code: Any = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF == sqlite3.SQLITE_BUSY
