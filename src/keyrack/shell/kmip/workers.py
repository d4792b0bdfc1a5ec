"""One serving process for each core, and a parent that starts them, starts them again, and ends them.

Each worker has a listening socket of its own on the same port (SO_REUSEPORT); the kernel deals new connections out
among them. The parent keeps every socket open, so connections that come while a worker is down wait in its backlog.
"""

import asyncio
import contextlib
import gc
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from keyrack.shell.kmip.server import KmipServer, bound
from keyrack.shell.kmip.tls import TlsError

log = logging.getLogger(__name__)

SETTLED = 2.0
"""Seconds after which a worker counts as started; one that ends before, at its first start, ends them all."""
SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 30.0
"""Seconds before a worker that ended is started again; doubled each time that it does not live longer than that."""
FOR_GOOD = 78
"""The exit code of a worker that is not to be started again, nor any other (EX_CONFIG of sysexits.h)."""
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a worker gets from its parent."""

    index: int
    """0 for the first."""
    listener: socket.socket
    """Bound, not listening yet; see :meth:`~keyrack.shell.kmip_server.KmipServer.start`."""
    lifeline: int | None = None
    """A file descriptor that ends when the parent is gone; ``None`` where there is no parent."""


Run = Callable[[Worker], int]
"""The work of a worker; answers the exit code. It runs in a process of its own where there are several."""


def run_workers(run: Run, *, host: str, port: int, count: int, grace: float = 10.0, waits: bool = True) -> int:
    """Bind ``count`` sockets, run as many workers until a signal ends them, and answer the exit code.

    With one worker nothing is forked. With more, call this before any thread or event loop is started. Raises
    :class:`OSError` where the address cannot be bound. ``grace``: seconds that workers have to end by themselves.
    ``waits``: whether connections that come to a worker that is down wait for it; else they are refused, because there
    are other nodes.
    """
    first = bound(host, port, shared=count > 1)
    if count == 1:
        return run(Worker(index=0, listener=first))
    free_port = first.getsockname()[1]
    listeners = [first, *(bound(host, free_port, shared=True) for _ in range(count - 1))]
    return _Parent(run, listeners, grace, waits).watch()


async def serve(
    server: KmipServer,
    worker: Worker,
    *,
    grace: float = 5.0,
    ready: Callable[[], None] | None = None,
    reloads: Sequence[Callable[[], None]] = (),
    over: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent, then stop in good order; SIGHUP reads the PEM files again.

    ``ready`` is called once connections are taken; ``reloads`` are other listeners' ways to read their files again.
    ``over`` ends it as a signal does.
    """
    loop = asyncio.get_running_loop()
    over = over or asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, (server.reload, *reloads))
    if worker.lifeline is not None:
        loop.add_reader(worker.lifeline, over.set)
    await server.start(worker.listener)
    gc.collect()
    gc.freeze()  # what is loaded stays: the collector need not walk it again while we serve
    if ready is not None:
        ready()
    try:
        await over.wait()
    finally:
        await server.stop(grace)


def _reload(reloads: Sequence[Callable[[], None]]) -> None:
    for reload in reloads:
        try:
            reload()
        except TlsError as error:
            log.error("the server's certificate stays the old one: %s", error)
        else:
            log.info("the server's certificate is read again, for new connections")


@dataclass(slots=True)
class _Place:
    """Where a worker works: its socket, and the process that has it now."""

    index: int
    listener: socket.socket
    pid: int | None = None
    started: float = 0.0
    starts: int = 0
    pause: float = SHORTEST_PAUSE
    due: float | None = 0.0
    """When to start (again), on the monotonic clock; ``None`` while it runs."""


@dataclass(slots=True)
class _Parent:
    """Watches over the workers, in one thread without an event loop."""

    run: Run
    listeners: Sequence[socket.socket]
    grace: float
    waits: bool = True
    places: list[_Place] = field(default_factory=list)
    lifeline: tuple[int, int] = (-1, -1)
    wake: tuple[socket.socket, socket.socket] | None = None
    code: int = 0
    over: float | None = None
    """When patience with workers that are told to end is over; ``None`` while we serve."""

    def watch(self) -> int:
        """Until a signal, or a worker that cannot even start."""
        self.places = [_Place(index, listener) for index, listener in enumerate(self.listeners)]
        self.lifeline = os.pipe()
        self.wake = socket.socketpair()
        for end in self.wake:
            end.setblocking(False)
        signal.set_wakeup_fd(self.wake[1].fileno())
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake[0], selectors.EVENT_READ)
            while self.over is None or any(place.pid for place in self.places):
                self._start_due()
                selector.select(self._patience())
                self._hear()
                self._collect()
                self._lose_patience()
        return self.code

    def _start_due(self) -> None:
        for place in self.places:
            if self.over is None and place.due is not None and place.due <= time.monotonic():
                self._start(place)

    def _start(self, place: _Place) -> None:
        # A signal that came between fork and the worker's own handlers would be swallowed by ours.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        pid = os.fork()
        if pid == 0:
            self._become_worker(place, held)
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        place.pid, place.started, place.due = pid, time.monotonic(), None
        place.starts += 1

    def _become_worker(self, place: _Place, mask: Iterable[int]) -> None:
        """In the new process: give back what is the parent's, work, and never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (*FORWARDED, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            assert self.wake is not None
            for end in self.wake:
                end.close()
            os.close(self.lifeline[1])
            for other in self.places:
                if other is not place:
                    other.listener.close()
            code = self.run(Worker(index=place.index, listener=place.listener, lifeline=self.lifeline[0]))
        except BaseException as error:
            log.error("worker %d failed: %s: %s", place.index, type(error).__name__, error)
            log.debug("the fault", exc_info=error)
        finally:
            logging.shutdown()
            os._exit(code)

    def _patience(self) -> float | None:
        """Seconds until there is something to do without a signal."""
        times = [place.due for place in self.places if place.due is not None and self.over is None]
        if self.over is not None:
            times.append(self.over)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _hear(self) -> None:
        """Act on the signals that came."""
        assert self.wake is not None
        with contextlib.suppress(BlockingIOError):
            for number in self.wake[0].recv(4096):
                if number in (signal.SIGTERM, signal.SIGINT):
                    self._end_all()
                elif number == signal.SIGHUP:
                    self._tell(signal.SIGHUP)

    def _collect(self) -> None:
        """See who has ended."""
        for place in self.places:
            if place.pid is None:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                self._ended(place, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, code: int) -> None:
        lived = time.monotonic() - place.started
        place.pid = None
        if self.over is not None:
            return
        if not self.waits:
            with contextlib.suppress(OSError):
                place.listener.shutdown(socket.SHUT_RDWR)
        if code == FOR_GOOD:
            self.code = code
            self._end_all()
            return
        if code > 0 and place.starts == 1 and lived < SETTLED:
            log.error("worker %d ended with %d before it had started: all workers end", place.index, code)
            self.code = code
            self._end_all()
            return
        place.pause = SHORTEST_PAUSE if lived > LONGEST_PAUSE else min(place.pause * 2, LONGEST_PAUSE)
        place.due = time.monotonic() + place.pause
        log.error("worker %d ended with %d and is started again in %.1f s", place.index, code, place.pause)

    def _end_all(self) -> None:
        if self.over is None:
            self.over = time.monotonic() + self.grace
        self._tell(signal.SIGTERM)

    def _lose_patience(self) -> None:
        if self.over is not None and time.monotonic() >= self.over:
            self.over += 1.0
            self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for place in self.places:
            if place.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(place.pid, number)
