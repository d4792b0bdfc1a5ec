"""News by LISTEN: a hint that something has changed, which may be missed without harm."""

import asyncio
import logging
from typing import Any, Final
from weakref import WeakKeyDictionary

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.refusals import LOST

log = logging.getLogger(__name__)

CHANNEL: Final = "keyrack"
AGAIN: Final = 0.5
"""Seconds until a connection that was lost is made again."""


class Listening:
    """One connection that listens, from the first wait on, for all who wait."""

    def __init__(self, place: Place) -> None:
        """Listen at ``place``."""
        self._place = place
        self._count = 0
        """Of what was told."""
        self._heard: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        """How much of it each task knew when it waited last: what is told while it looks is not missed."""
        self._told: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def wait(self, seconds: float) -> None:
        """Return after ``seconds``, or when something was told since this task waited last."""
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        if self._task is None:
            self._task = asyncio.create_task(self._listen())
        assert me is not None
        if self._heard.setdefault(me, self._count) == self._count:
            if self._told is None or self._told.done():
                self._told = loop.create_future()
            await asyncio.wait([self._told], timeout=seconds)
        self._heard[me] = self._count

    async def close(self) -> None:
        """Hear no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        lost = asyncio.Event()
        while True:
            connection: asyncpg.Connection[asyncpg.Record] | None = None
            try:
                connection = await connect(self._place)
                lost.clear()
                connection.add_termination_listener(lambda *_: lost.set())
                await connection.add_listener(CHANNEL, self._hear)
                self._hear()  # What was told before may have been missed.
                await lost.wait()
            except (*LOST, asyncpg.PostgresError) as error:
                log.debug("not listening: %s", error)
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(AGAIN)

    def _hear(self, *_: object) -> None:
        self._count += 1
        if self._told is not None and not self._told.done():
            self._told.set_result(None)
