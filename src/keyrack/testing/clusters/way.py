"""One TCP way from a listening port to a target, which can be cut and mended while connections go through it."""

import asyncio
import contextlib
from enum import StrEnum
from typing import Final

_READ: Final = 1 << 16


class State(StrEnum):
    """What becomes of bytes and of new connections."""

    OPEN = "open"
    SILENT = "silent"
    """Nothing arrives and nothing ends, as where a cable is pulled: what was sent comes through once it is mended."""
    CUT = "cut"
    """Every connection is reset, and new ones are refused."""


class Way:
    """Belongs to one event loop."""

    def __init__(self, target: tuple[str, int]) -> None:
        """Lead to ``target``; :meth:`open` listens."""
        self.target = target
        self.port = 0
        self.state = State.OPEN
        self._server: asyncio.Server | None = None
        self._mended = asyncio.Event()
        self._mended.set()
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen, on the port of before if there was one."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def become(self, state: State) -> None:
        """Change at once, for every connection too."""
        before, self.state = self.state, state
        if state is State.SILENT:
            self._mended.clear()
        else:
            self._mended.set()
        if state is State.CUT:
            await self.close()
        elif before is State.CUT:
            await self.open()

    async def close(self) -> None:
        """Reset every connection, listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            await self._mended.wait()
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            try:
                await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
            finally:
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            # Whoever cancels it waits for it; the stream server would tell of a task that ends so.
            pass
        finally:
            writer.transport.abort()
            self._under_way.discard(task)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Until the source ends; then the sink is told so."""
        while read := await source.read(_READ):
            await self._mended.wait()
            sink.write(read)
            await sink.drain()
        await self._mended.wait()
        with contextlib.suppress(OSError):
            sink.write_eof()
