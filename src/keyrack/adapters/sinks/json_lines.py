"""A sink that is a file: one event a line, JSON in ASCII, synced if wanted, opened again when it was rotated away."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from keyrack.domain.cadf import line
from keyrack.ports.sinks import Outgoing, SinkUnavailable


class JsonLines:
    """Appends. What it has returned from is in the file, and with ``sync`` on its disk."""

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        """Of this file; it is made, private, where it is not there. Its directory has to be."""
        self._path = path
        self._sync = sync
        self._descriptor: int | None = None
        self._torn = False
        self._writing: asyncio.Future[None] | None = None

    async def take(self, events: Sequence[Outgoing]) -> None:
        """In a thread: a disk that hangs holds up nobody but this sink."""
        if self._writing is not None and not self._writing.done():
            raise SinkUnavailable(f"{self._path} has not come back from the write before")
        lines = "".join(line(each.event) + "\n" for each in events).encode()
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, lines))
        # A write that came back too late has its exception looked at by nobody.
        self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.shield(self._writing)
        except OSError as error:
            raise SinkUnavailable(f"{self._path} cannot be written: {(error.strerror or str(error)).lower()}") from None

    def _write(self, lines: bytes) -> None:
        descriptor = self._opened()
        size = os.fstat(descriptor).st_size
        data = b"\n" + lines if self._torn else lines
        try:
            written = 0
            while written < len(data):
                written += os.write(descriptor, data[written:])
            if self._sync:
                os.fsync(descriptor)
        except OSError:
            self._take_back(descriptor, size)
            raise
        self._torn = False

    def _take_back(self, descriptor: int, size: int) -> None:
        """Leave no half of a line; where even that fails, the next one begins anew."""
        try:
            os.ftruncate(descriptor, size)
        except OSError:
            self._torn = True

    def _opened(self) -> int:
        """The file that has the name now."""
        if self._descriptor is not None:
            ours = os.fstat(self._descriptor)
            try:
                there = os.stat(self._path)
            except FileNotFoundError:
                there = None
            if there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return self._descriptor
            self._close()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        os.set_blocking(descriptor, True)
        self._descriptor = descriptor
        size = os.fstat(descriptor).st_size
        self._torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        return descriptor

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    async def close(self) -> None:
        """Let go of the file."""
        self._close()
