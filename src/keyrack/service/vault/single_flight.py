"""Many callers, one call: whoever asks for what is already on its way waits for that."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SingleFlight(Generic[Result]):
    """Runs at most one call for each key at a time and gives its result, or its error, to all who asked meanwhile.

    The first caller runs the call itself. Where that one is cancelled, the next one starts again.
    """

    __slots__ = ("_flights",)

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Future[Result]] = {}

    async def join(self, key: Hashable, start: Callable[[], Awaitable[Result]]) -> Result:
        """The result of the call under way for ``key``, or of a new one."""
        while (flight := self._flights.get(key)) is not None:
            try:
                return await asyncio.shield(flight)
            except asyncio.CancelledError:
                if not flight.cancelled() or _is_cancelled():
                    raise
            finally:
                # A flight holds an error that holds this frame: such a ring would keep what callers hold in memory.
                del flight
        return await self._lead(key, start)

    async def _lead(self, key: Hashable, start: Callable[[], Awaitable[Result]]) -> Result:
        flight: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._flights[key] = flight
        try:
            result = await start()
        except asyncio.CancelledError:
            flight.cancel()
            raise
        except BaseException as error:
            flight.set_exception(error)
            flight.exception()  # Looked at, so that nobody complains where nobody else waited.
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            del self._flights[key], flight


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
