"""One leader for each job among all processes of all nodes, by session locks: who is gone leads no more."""

import asyncio
import logging
from typing import Final

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import ANSWER_WITHIN, Place, connect
from keyrack.adapters.catalogs.postgres.refusals import LOST

log = logging.getLogger(__name__)

_CLASS: Final = 1263684429
_TAKE: Final = "SELECT pg_try_advisory_lock($1, hashtext($2))"
_HELD: Final = "SELECT 1"


class Leading:
    """A connection whose session holds the locks."""

    def __init__(self, place: Place) -> None:
        """Compete at ``place``."""
        self._place = place
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: set[str] = set()
        self._turn = asyncio.Lock()

    async def leads(self, job: str) -> bool:
        """Whether this process has the job, or gets it now. ``False`` while the database cannot be asked."""
        async with self._turn:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._held.clear()
                    self._connection = await connect(self._place)
                if job in self._held:
                    await self._connection.fetchval(_HELD, timeout=ANSWER_WITHIN)
                elif await self._connection.fetchval(_TAKE, _CLASS, job, timeout=ANSWER_WITHIN):
                    self._held.add(job)
            except (*LOST, asyncpg.PostgresError) as error:
                log.debug("nobody knows who leads: %s", error)
                self._held.clear()
                if self._connection is not None:
                    self._connection.terminate()
                    self._connection = None
            return job in self._held

    async def close(self) -> None:
        """Leave every job to others."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
