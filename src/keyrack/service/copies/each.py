"""The same act for each of many things, a few at a time: for what a key manager lists, as ``walk`` for the catalog."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from keyrack.domain.errors import GeneralFailure, KmipError
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.key_manager import KeyManagerFailed
from keyrack.service.moves.walk import MOST_IN_A_ROW, Outcome, Progress, Report, silently

T = TypeVar("T")

Act = Callable[[T], Awaitable[bool]]
"""Does it and answers whether anything changed; raises ``KmipError``, ``CatalogUnavailable`` or the key manager's two
failures for what is told of this one thing."""


async def each(
    things: Sequence[T],
    act: Act[T],
    *,
    called: Callable[[T], str],
    report: Report = silently,
    rate: float | None = None,
    concurrency: int = 8,
) -> Outcome:
    """Act on each, in their order, ``concurrency`` at once and at most ``rate`` begun in a second.

    A failure is kept under what the thing is ``called``. Many in a row by which key manager or catalog fail end it all;
    those of a thing itself, of which somebody may have put as many there as he likes, never do. Cancelled, it begins
    nothing more and lets those end that are under way.
    """
    return await _Each(things, act, called, report, 1 / rate if rate else 0.0).run(concurrency)


class _Each(Generic[T]):
    def __init__(
        self, things: Sequence[T], act: Act[T], called: Callable[[T], str], report: Report, pause: float
    ) -> None:
        self._things = things
        self._act = act
        self._called = called
        self._report = report
        self._pause = pause
        self._next = 0.0
        self._ended = False
        self._done = self._changed = self._in_a_row = 0
        self._failures: list[tuple[str, str]] = []

    async def run(self, concurrency: int) -> Outcome:
        self._tell()
        waiting = iter(self._things)
        tasks = [asyncio.create_task(self._work(waiting)) for _ in range(min(concurrency, len(self._things)))]
        try:
            await asyncio.gather(*(asyncio.shield(task) for task in tasks))
        finally:
            self._ended = True
            await asyncio.gather(*tasks, return_exceptions=True)
        return Outcome(self._done, self._changed, tuple(self._failures), self._in_a_row >= MOST_IN_A_ROW)

    async def _work(self, waiting: Iterator[T]) -> None:
        for thing in waiting:
            if self._ended:
                return
            await self._paced()
            try:
                changed = await self._act(thing)
                self._changed += changed
                self._in_a_row = 0
            except (GeneralFailure, KeyManagerFailed, CatalogUnavailable) as error:
                self._failures.append((self._called(thing), str(error)))
                self._in_a_row += 1
                self._ended = self._ended or self._in_a_row >= MOST_IN_A_ROW
            except KmipError as error:
                self._failures.append((self._called(thing), str(error)))
            self._done += 1
            self._tell()

    async def _paced(self) -> None:
        now = asyncio.get_running_loop().time()
        begin = max(now, self._next)
        self._next = begin + self._pause
        if begin > now:
            await asyncio.sleep(begin - now)

    def _tell(self) -> None:
        self._report(Progress(self._done, self._changed, len(self._failures), len(self._things)))
