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
        self.held: list[asyncio.Handle] | None = None
        """Turns that wait while the process is paused; ``None`` while it is not."""


PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
"""Whose turn it is; every task and callback inherits it from where it was begun."""


class _Turn(asyncio.TimerHandle):
    __slots__ = ("place", "process")

    def __init__(
        self, when: float, callback: Callable[..., object], args: Any, loop: "SeededLoop", context: Context
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.process = context.get(PROCESS)
        self.place = 0.0

    def __lt__(self, other: object) -> bool:
        assert isinstance(other, _Turn)
        return (self._when, self.place) < (other._when, other.place)


class Stuck(Exception):
    """Everybody waits, and nothing will ever happen."""


class SeededLoop(asyncio.AbstractEventLoop):
    """Runs whatever is ready in an order that ``random`` picks. Time is virtual: it passes when nothing is ready."""

    def __init__(self, random: Random) -> None:
        """Begin at the time 0."""
        self._random = random.random
        self._now = 0.0
        self._ready: list[_Turn] = []
        self._timers: list[_Turn] = []
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
            self._now = max(self._now, timers[0]._when)
        while timers and timers[0]._when <= self._now:
            ready.append(heapq.heappop(timers))
        place = int(self._random() * len(ready)) if len(ready) > 1 else 0
        turn = ready[place]
        ready[place] = ready[-1]
        ready.pop()
        process = turn.process
        if turn._cancelled or (process is not None and not process.alive):
            return
        if process is not None and process.held is not None:
            process.held.append(turn)
            return
        self.turns += 1
        turn._run()

    def resume(self, process: Process) -> None:
        """Let a paused process go on."""
        held, process.held = process.held or [], None
        self._ready += [turn for turn in held if isinstance(turn, _Turn)]

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        """Ready now."""
        turn = _Turn(0.0, callback, args, self, context if context is not None else copy_context())
        self._ready.append(turn)
        return turn

    call_soon_threadsafe = call_soon

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Ready at a time."""
        turn = _Turn(when, callback, args, self, context if context is not None else copy_context())
        turn.place = self._random()
        heapq.heappush(self._timers, turn)
        return turn

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
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

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":
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
                    coroutine.close()  # type: ignore[union-attr]
        finally:
            asyncio._set_running_loop(None)
            self._tasks.clear()
            self._ready.clear()
            self._timers.clear()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

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
        """Remember what a callback has raised; tasks that a crash has left behind are nobody's mistake."""
        error = context.get("exception")
        if error is not None and "handle" in context:
            self.mistakes.append(f"{context.get('message')}: {error!r}")
