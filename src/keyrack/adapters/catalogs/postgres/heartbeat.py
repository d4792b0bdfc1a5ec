"""Whether the database answers, and how far its schema has come: asked on a connection that has no other work."""

import asyncio
from dataclasses import dataclass
from typing import Final

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.refusals import LOST, unavailable
from keyrack.ports.catalog import CatalogUnavailable

WITHIN: Final = 1.0
"""Seconds for a connection to one host, and for one answer: a connection that is silent for longer is made anew."""
_BEAT: Final = """
    SELECT generation.number, keyrack_schema.number, keyrack_schema.least FROM generation, keyrack_schema
    WHERE NOT pg_is_in_recovery()"""


@dataclass(frozen=True, slots=True)
class Beat:
    """One answer."""

    generation: int
    schema: int
    least: int
    """The oldest schema whose Keyrack understands what is there."""


class Heartbeat:
    """Belongs to one event loop."""

    def __init__(self, place: Place) -> None:
        """Ask at ``place``; it connects at the first beat."""
        self._place = place
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    async def beat(self) -> Beat:
        """Ask once; raises ``CatalogUnavailable`` where the server that takes writes does not answer."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._place, timeout=WITHIN)
            async with asyncio.timeout(WITHIN):
                row = await self._connection.fetchrow(_BEAT)
        except (*LOST, asyncpg.PostgresError) as error:
            self.close()
            raise unavailable(error, "be asked") from error
        if row is None:
            self.close()
            raise CatalogUnavailable("the database has become a standby")
        return Beat(*row)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
