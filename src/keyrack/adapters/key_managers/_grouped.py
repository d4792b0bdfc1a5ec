"""Many callers, one transaction: what comes while the disk is busy waits and goes together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Grouped(Generic[Item, Result]):
    """Collects items and hands them over as one group; each caller gets the result of its own item.

    Where a group fails, its items are tried one by one, so that a bad one fails alone.
    """

    def __init__(self, act: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._act = act
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> Result:
        """Put one item into the next group and wait for its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            if not await self._settled(group, last=len(group) == 1):
                for single in group:
                    await self._settled([single], last=True)
        self._worker = None

    async def _settled(self, group: list[tuple[Item, asyncio.Future[Result]]], *, last: bool) -> bool:
        try:
            results = await self._act([item for item, _ in group])
        except Exception as error:
            if last and not group[0][1].done():
                group[0][1].set_exception(error)
            return last
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():  # Its caller may have been cancelled meanwhile.
                future.set_result(result)
        return True
