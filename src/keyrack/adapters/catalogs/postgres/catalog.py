"""The catalog in PostgreSQL: any number of nodes, all reads on the primary, writes by group commit."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import Place, pool
from keyrack.adapters.catalogs.postgres.dialect import bound, spelt
from keyrack.adapters.catalogs.postgres.leading import Leading
from keyrack.adapters.catalogs.postgres.listening import Listening
from keyrack.adapters.catalogs.postgres.loading import Loading
from keyrack.adapters.catalogs.postgres.refusals import LOST, unavailable
from keyrack.adapters.catalogs.postgres.writer import Writer
from keyrack.adapters.catalogs.queries import SETTLED
from keyrack.adapters.catalogs.reading import Answer, Execute, Row, first
from keyrack.adapters.catalogs.rows import managed_of
from keyrack.adapters.catalogs.units import Versions
from keyrack.adapters.catalogs.whole import DatabaseCatalog, searching
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Candidates, CatalogUnavailable

log = logging.getLogger(__name__)

READERS: Final = 8
"""Most connections of one process that read."""
LONG_READERS: Final = 4
"""Most of them that walk through a snapshot: the rest is for those who ask for one object, and never wait for these."""
AT_ONCE: Final = 200
"""Objects that a search reads at a time."""
_LONG: Final = 120.0
"""Seconds for a statement that looks at everything."""


class PostgresCatalog(DatabaseCatalog):
    """``ports.WholeCatalog`` over PostgreSQL 14 or newer. It belongs to one event loop."""

    def __init__(self, place: Place, chain: str, readers: "asyncpg.Pool[asyncpg.Record]") -> None:
        """Use :meth:`open`."""
        self._place = place
        self._readers = readers
        self._walkers = asyncio.Semaphore(LONG_READERS)
        self._read = self._fetched
        self._versions = Versions()
        self._writer: Writer = Writer(place, chain, self._versions)
        self._listening = Listening(place)
        self._leading = Leading(place)
        self._loading = Loading(self._fetched)

    @classmethod
    async def open(cls, place: Place, chain: str) -> Self:
        """Connect; journal under the name ``chain``, this process's own. Raises ``CatalogUnavailable``.

        Whether the database is fit is ``opening.check``'s to say.
        """
        try:
            return cls(place, chain, await pool(place, READERS))
        except (*LOST, asyncpg.PostgresError) as error:
            told = str(error) or type(error).__name__
            raise CatalogUnavailable(f"PostgreSQL at {place.shown} cannot be reached: {told}") from error

    async def load(self, instance: str, unique_identifier: str) -> ManagedObject | None:
        """One object, read together with what others ask for."""
        row = await self._loading.row(unique_identifier)
        return self._loaded(row) if row is not None and row[1] == instance else None

    async def search(self, instance: str, candidates: Candidates) -> Sequence[ManagedObject]:
        """One snapshot, by a cursor."""
        sql, parameters = searching(instance, candidates)
        found: list[ManagedObject] = []
        async with self._snapshot() as connection:
            async for row in connection.cursor(spelt(sql), *bound(parameters), prefetch=AT_ONCE):
                found.append(managed_of(tuple(row)))
        return found

    async def leads(self, job: str) -> bool:
        """By a lock that the server gives up when this process is gone."""
        return await self._leading.leads(job)

    async def news(self, seconds: float) -> None:
        """By LISTEN; where nothing is heard, after ``seconds``."""
        await self._listening.wait(seconds)

    async def renew(self) -> None:
        """Read through new connections from now on: those of before may lead nowhere."""
        await self._readers.expire_connections()

    async def close(self) -> None:
        """Commit what waits, then close."""
        await self._writer.close()
        await self._listening.close()
        await self._leading.close()
        with contextlib.suppress(*LOST, asyncpg.PostgresError):
            await asyncio.wait_for(self._readers.close(), 2)
        self._readers.terminate()

    async def _fetched(self, statement: str, parameters: Sequence[Any] = (), /) -> Sequence[Row]:
        try:
            rows = await self._readers.fetch(spelt(statement), *bound(parameters))
        except (*LOST, asyncpg.PostgresError) as error:
            raise unavailable(error, "be read") from error
        return [tuple(row) for row in rows]

    async def _apart(self, read: Callable[[Execute], Coroutine[Any, Any, Answer]]) -> Answer:
        """In one snapshot. What is settled was asked for before it: within it, it would be too late."""
        settled = first(await self._read(SETTLED))
        async with self._snapshot() as connection:

            async def execute(statement: str, parameters: Sequence[Any] = (), /) -> Sequence[Row]:
                if statement == SETTLED:
                    return [settled]
                rows = await connection.fetch(spelt(statement), *bound(parameters), timeout=_LONG)
                return [tuple(row) for row in rows]

            return await read(execute)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Any]:
        try:
            async with (
                self._walkers,
                self._readers.acquire() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except (*LOST, asyncpg.PostgresError) as error:
            raise unavailable(error, "be read") from error
