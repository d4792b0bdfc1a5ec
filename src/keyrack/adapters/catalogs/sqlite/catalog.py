"""The catalog in one SQLite file: reads on the loop's thread, writes by group commit, other processes welcome."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from keyrack.adapters.catalogs.reading import Answer, Execute
from keyrack.adapters.catalogs.rows import managed_of
from keyrack.adapters.catalogs.sqlite.at_once import at_once
from keyrack.adapters.catalogs.sqlite.checkpoint import CHECKPOINT_WAIT, Checkpointer
from keyrack.adapters.catalogs.sqlite.opening import READ_WAIT, connect, prepare
from keyrack.adapters.catalogs.sqlite.refusals import executing, reading, translated
from keyrack.adapters.catalogs.sqlite.writer import DEADLINE, Writer
from keyrack.adapters.catalogs.units import Versions
from keyrack.adapters.catalogs.whole import DatabaseCatalog, searching
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Candidates

AT_ONCE: Final = 200
"""Objects that a search reads before it lets the loop breathe."""

SEARCHES_KEPT: Final = 4
"""Connections that stay open for searches; each long search has one of its own, because it holds a snapshot."""


class SqliteCatalog(DatabaseCatalog):
    """``ports.Catalog`` over SQLite in WAL mode with ``synchronous=FULL``.

    It belongs to one event loop at a time. Any number of processes may have the same file open.
    """

    def __init__(self, path: Path, chain: str = "local", *, deadline: float = DEADLINE) -> None:
        """Open the file, made and migrated if need be; journal under the name ``chain``, this process's own.

        Raises ``UnfitDatabase`` if the file or the place cannot be a catalog.
        """
        prepare(path)
        self._path = path
        self._reading = connect(path, wait=READ_WAIT)
        self._read = reading(self._reading.cursor().execute)
        self._searching: list[sqlite3.Connection] = []
        self._versions = Versions()
        checkpointer = Checkpointer(partial(connect, path, wait=CHECKPOINT_WAIT))
        self._writer: Writer = Writer(
            connect(path), chain, self._versions, checkpointer=checkpointer, deadline=deadline
        )
        self._own = reading(self._writer.execute)

    @property
    def _fresh(self) -> Execute:
        """The writer's connection, unless a transaction is open on it: it keeps the pages that it wrote."""
        return self._own if self._writer.idle else self._read

    @classmethod
    def create(cls, path: Path) -> None:
        """Make the file with its schema, or bring it up to date, and leave it closed."""
        prepare(path)

    async def search(self, instance: str, candidates: Candidates) -> Sequence[ManagedObject]:
        """One snapshot; the loop breathes every :data:`AT_ONCE` objects."""
        sql, parameters = searching(instance, candidates)
        connection = self._searching.pop() if self._searching else connect(self._path, wait=READ_WAIT)
        found: list[ManagedObject] = []
        try:
            with translated():
                cursor = connection.execute(sql, parameters)
                while rows := cursor.fetchmany(AT_ONCE):
                    found += [managed_of(row) for row in rows]
                    if len(rows) == AT_ONCE:
                        await asyncio.sleep(0)
                cursor.close()
        except BaseException:
            connection.close()
            raise
        if len(self._searching) < SEARCHES_KEPT:
            self._searching.append(connection)
        else:
            connection.close()
        return found

    async def _apart(self, read: Callable[[Execute], Coroutine[Any, Any, Answer]]) -> Answer:
        """In a thread."""

        def visit() -> Answer:
            with translated():
                connection = connect(self._path, wait=READ_WAIT)
                try:
                    connection.execute("BEGIN")
                    return at_once(read(executing(connection.execute)))
                finally:
                    connection.close()

        return await asyncio.to_thread(visit)

    async def leads(self, job: str) -> bool:
        """Of one machine, the first process does every job; who calls this is the one."""
        return True

    async def news(self, seconds: float) -> None:
        """SQLite tells nobody what others commit: who waits here looks again."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Commit what waits, then close."""
        await self._writer.close()
        for connection in (self._reading, *self._searching):
            connection.close()
