"""Objects read together: who asks while a read is under way waits for the next one, which is for all who wait.

So what is answered was committed no earlier than the question, and many who ask cost hardly more than one.
"""

import asyncio
from typing import Final

from keyrack.adapters.catalogs.queries import OBJECT_COLUMNS
from keyrack.adapters.catalogs.reading import Execute, Row

MOST_AT_ONCE: Final = 128
"""Objects in one read."""
LOAD_MANY: Final = f"""
    SELECT {OBJECT_COLUMNS}, (SELECT changes FROM generation) FROM object WHERE identifier = ANY (?)"""

Waiting = tuple[str, "asyncio.Future[Row | None]"]


class Loading:
    """The reads of one process. Belongs to one event loop."""

    def __init__(self, read: Execute) -> None:
        """Read through ``read``."""
        self._read = read
        self._waiting: list[Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def row(self, unique_identifier: str) -> Row | None:
        """The row of an object, and behind it the count of changes; raises ``CatalogUnavailable``."""
        unique_identifier.encode()  # What is no text must not spoil what others ask.
        future: asyncio.Future[Row | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((unique_identifier, future))
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                # Those who are ready to ask in this turn of the loop go along.
                await asyncio.sleep(0)
                some, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._answer(some)
        finally:
            self._task = None

    async def _answer(self, some: list[Waiting]) -> None:
        try:
            rows = await self._read(LOAD_MANY, ([each.replace("\0", "") for each in {name for name, _ in some}],))
        except BaseException as error:
            for _, future in some:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        found = {row[0]: row for row in rows}
        for name, future in some:
            if not future.done():
                future.set_result(found.get(name))
