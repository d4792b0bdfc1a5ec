"""An event loop without time, threads or chance of its own: a seed picks the next turn, and the clock jumps to it."""

import asyncio
import heapq
import warnings
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """A program somewhere in the simulated world. What it has begun ends with it, wherever that waits.

    Nothing of a crashed process runs any more, not even a ``finally``: as after SIGKILL.
    """

    def __init__(self, name: str) -> None:
        """``name`` is for people."""
        self.name = name
        self.alive = True
        self.held: list[Turn] | None = None
        """Turns that wait while the process is paused; ``None`` while it is not."""


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose turn it is; every task and callback inherits it from where it was begun."""


class Turn:
    """A callback that is to be called: what ``asyncio`` calls a handle."""

    __slots__ = ("_arguments", "_callback", "_context", "_when", "cancel_asked", "process")

    def __init__(self, callback: Callable[..., object], arguments: Any, context: Context, when: float) -> None:
        self._callback = callback
        self._arguments = arguments
        self._context = context
        self._when = when
        self.process = context.get(PROCESS)
        self.cancel_asked = False

    def cancel(self) -> None:
        """It is passed over when its time comes."""
        self.cancel_asked = True

    def cancelled(self) -> bool:
        """Whether it will be passed over."""
        return self.cancel_asked

    def when(self) -> float:
        """Its time."""
        return self._when

    def take(self) -> None:
        """Call it; raises what it raises."""
        self._context.run(self._callback, *self._arguments)


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen."""


class SeededLoop(asyncio.AbstractEventLoop):
    """Runs whatever is ready in an order that ``random`` picks. Time is virtual: it passes when nothing is ready."""

    def __init__(self, random: Random) -> None:
        """Begin at the time 0."""
        self._random = random.random
        self._now = 0.0
        self._ready: list[Turn] = []
        self._timers: list[tuple[float, float, int, Turn]] = []
        self._count = 0
        self.turns = 0
        """How many turns were taken: two runs that differ anywhere differ here."""
        self.mistakes: list[str] = []
        """What callbacks have raised, and nobody has caught."""
        self._tasks: list[asyncio.Task[Any]] = []
        """Kept until the world ends: collected as garbage, they would clean up behind a crash after all."""

    def time(self) -> float:
        """Seconds since the world began."""
        return self._now

    def leap(self, seconds: float) -> None:
        """Let time pass for everybody at once: as if the whole world had been suspended."""
        self._now += seconds

    def run_until_complete(self, future: Any) -> Any:
        """Run until it is done; raises :class:`Stuck` where that never comes."""
        asyncio._set_running_loop(self)
        try:
            task = asyncio.ensure_future(future, loop=self)
            while not task.done():
                self._turn()
            return task.result()
        finally:
            asyncio._set_running_loop(None)

    def _turn(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            if not timers:
                raise Stuck("everybody waits, and nothing will ever happen")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[3])
        place = int(self._random() * len(ready)) if len(ready) > 1 else 0
        turn = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        process = turn.process
        if turn.cancel_asked or (process is not None and not process.alive):
            return
        if process is not None and process.held is not None:
            process.held.append(turn)
            return
        self.turns += 1
        try:
            turn.take()
        except Exception as error:  # noqa: BLE001 - a callback's mistake is not the loop's
            self.mistakes.append(f"a callback raises {error!r}")

    def resume(self, process: Process) -> None:
        """Let a paused process go on."""
        held, process.held = process.held or [], None
        self._ready += held

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """Ready now."""
        turn = Turn(callback, args, context if context is not None else copy_context(), self._now)
        self._ready.append(turn)
        return turn

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """Ready at a time."""
        turn = Turn(callback, args, context if context is not None else copy_context(), when)
        self._count += 1
        heapq.heappush(self._timers, (when, self._random(), self._count, turn))
        return turn

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Any:
        """Ready after a while."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> "asyncio.Task[Any]":
        """A task of this loop; it stays until the loop is let go of."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def begin(self, process: Process | None, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task of a process."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(coroutine, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> "asyncio.Future[Any]":
        """At once, here: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is: it goes to who waits
            future.set_exception(error)
        return future

    def close(self) -> None:
        """The world has ended: what waits is let go of."""
        asyncio._set_running_loop(self)
        try:
            for task in self._tasks:
                coroutine = task.get_coro()
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(Exception), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    coroutine.close()
        finally:
            asyncio._set_running_loop(None)
            self._tasks.clear()
            self._ready.clear()
            self._timers.clear()

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """Always, to whoever can ask."""
        return True

    def is_closed(self) -> bool:
        """Never."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tasks that a crash has left behind are nobody's mistake."""
