"""Readiness of all connections, in two groups behind two readers of the event loop.

The *porch* holds the listening sockets and the handshakes, the *house* the connections of clients that are known. A
step of a handshake computes some tenths of a millisecond, a hundred times as long as reading a request takes, so the
porch is served one step at a time and the house in between: that keeps the answers quick while a data centre starts.

An epoll of our own under the loop's, rather than the loop's ``add_reader`` for each connection: a connection comes and
goes with three system calls and no handle objects, and the kernel's ready list is the queue of handshakes.
"""

import asyncio
import select
from collections.abc import Callable

from keyrack.shell.kmip.readiness import READ, WRITE, Ready, Watch

STEPS = 4
"""Events of the porch in a turn of the loop while no request is under way."""
BATCH = 64
"""Events of the house in a turn."""


class EpollPoller:
    """Two epolls; both stay level-triggered, so nothing that is left unread is forgotten."""

    def __init__(self, loop: asyncio.AbstractEventLoop, is_busy: Callable[[], bool]) -> None:
        """Serve on ``loop``; ``is_busy`` says whether requests are under way, which then come first."""
        self._loop = loop
        self._is_busy = is_busy
        self._porch = select.epoll()
        self._house = select.epoll()
        self._ready: dict[int, Ready] = {}
        loop.add_reader(self._house.fileno(), self._serve_house)
        loop.add_reader(self._porch.fileno(), self._serve_porch)
        self.porch: Watch = _Epolled(self._porch, self._ready)
        self.house: Watch = _Epolled(self._house, self._ready)

    def close(self) -> None:
        """Watch nothing any more."""
        for each in (self._porch, self._house):
            self._loop.remove_reader(each.fileno())
            each.close()
        self._ready.clear()

    def _serve_house(self) -> bool:
        """Tell those of the house what they can do; whether there were any."""
        events = self._house.poll(0, BATCH)
        self._tell(events)
        return bool(events)

    def _serve_porch(self) -> None:
        for _ in range(STEPS):
            events = self._porch.poll(0, 1)
            self._tell(events)
            if not events or self._is_busy() or self._serve_house():
                return

    def _tell(self, events: list[tuple[int, int]]) -> None:
        for fd, what in events:
            ready = self._ready.get(fd)
            if ready is not None:  # an event before it in the batch may have closed this one
                ready(what)


class _Epolled:
    """One of the two groups."""

    def __init__(self, epoll: select.epoll, ready: dict[int, Ready]) -> None:
        self._epoll = epoll
        self._ready = ready

    def add(self, fd: int, what: int, ready: Ready) -> None:
        self._epoll.register(fd, what)
        self._ready[fd] = ready

    def change(self, fd: int, what: int) -> None:
        self._epoll.modify(fd, what)

    def remove(self, fd: int) -> None:
        self._epoll.unregister(fd)
        del self._ready[fd]


class LoopPoller:
    """The same on any event loop, for systems without epoll; handshakes do not take turns here."""

    def __init__(self, loop: asyncio.AbstractEventLoop, is_busy: Callable[[], bool]) -> None:
        """Serve on ``loop``; ``is_busy`` is of no use here."""
        self.porch: Watch = _Looped(loop)
        self.house: Watch = self.porch

    def close(self) -> None:
        """Nothing to give back: each socket is removed by its connection."""


class _Looped:
    """Readers and writers of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready: dict[int, Ready] = {}

    def add(self, fd: int, what: int, ready: Ready) -> None:
        self._ready[fd] = ready
        self.change(fd, what)

    def change(self, fd: int, what: int) -> None:
        if what & READ:
            self._loop.add_reader(fd, self._ready[fd], READ)
        else:
            self._loop.remove_reader(fd)
        if what & WRITE:
            self._loop.add_writer(fd, self._ready[fd], WRITE)
        else:
            self._loop.remove_writer(fd)

    def remove(self, fd: int) -> None:
        self.change(fd, 0)
        del self._ready[fd]


Poller = EpollPoller | LoopPoller


def make_poller(loop: asyncio.AbstractEventLoop, is_busy: Callable[[], bool]) -> Poller:
    """The best that this system has."""
    return EpollPoller(loop, is_busy) if hasattr(select, "epoll") else LoopPoller(loop, is_busy)
