"""One leader for each job among all processes of all nodes, by session locks: who is gone leads no more."""

import asyncio
import logging
from typing import Final

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import ANSWER_WITHIN, Place, connect
from keyrack.adapters.catalogs.postgres.refusals import LOST

log = logging.getLogger(__name__)

FRESH: Final = 0.25
"""Seconds for which what the server has said of a job counts without its being asked again."""
AGAIN: Final = 0.5
"""Seconds, after the server could not be asked, in which nobody waits for it again."""
UNASKED: Final = 5.0
"""Seconds after which a job that this process asks for no more is left to others."""
_CLASS: Final = 1263684429
_TAKE: Final = "SELECT pg_try_advisory_lock($1, hashtext($2))"
_LEAVE: Final = "SELECT pg_advisory_unlock($1, hashtext($2))"
_HELD: Final = "SELECT 1"


class Leading:
    """A connection whose session holds the locks."""

    def __init__(self, place: Place) -> None:
        """Compete at ``place``."""
        self._place = place
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._held: dict[str, float] = {}
        """When each was last asked for, in the loop's time."""
        self._refused: dict[str, float] = {}
        """When another process was found to have it."""
        self._turn = asyncio.Lock()
        self._proved = self._lost = float("-inf")

    async def leads(self, job: str) -> bool:
        """Whether this process has the job, or gets it now. ``False`` while the database cannot be asked.

        A job that it has asked for no more, for :data:`UNASKED` seconds, is anybody's.
        """
        async with self._turn:
            now = asyncio.get_running_loop().time()
            if now < self._lost + AGAIN or now < self._refused.get(job, float("-inf")) + FRESH:
                return False
            try:
                await self._look(job, now)
            except (*LOST, asyncpg.PostgresError) as error:
                log.debug("nobody knows who leads: %s", error)
                self._lost = asyncio.get_running_loop().time()
                self._let_go()
            return job in self._held

    async def _look(self, job: str, now: float) -> None:
        connection = self._connection
        if connection is None or connection.is_closed():
            self._held.clear()
            connection = self._connection = await connect(self._place)
        for other in [each for each, asked in self._held.items() if each != job and asked < now - UNASKED]:
            await connection.fetchval(_LEAVE, _CLASS, other, timeout=ANSWER_WITHIN)
            del self._held[other]
        if job in self._held:
            self._held[job] = now
            if now < self._proved + FRESH:
                return
            await connection.fetchval(_HELD, timeout=ANSWER_WITHIN)
        elif await connection.fetchval(_TAKE, _CLASS, job, timeout=ANSWER_WITHIN):
            self._held[job] = now
        else:
            self._refused[job] = now
        self._proved = now

    def _let_go(self) -> None:
        self._held.clear()
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """Leave every job to others."""
        self._let_go()
