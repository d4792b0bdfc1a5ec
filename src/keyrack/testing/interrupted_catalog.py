"""A catalog in memory in which something else happens just before a client's commit, as another process would do it."""

from collections.abc import Awaitable, Callable

from keyrack.adapters.memory import MemoryCatalog
from keyrack.ports.catalog import Unit


class InterruptedCatalog(MemoryCatalog):
    """``ports.Catalog``; :meth:`interrupt` says what comes between."""

    def __init__(self) -> None:
        """Interrupt nothing."""
        super().__init__()
        self._between: Callable[[], Awaitable[None]] | None = None
        self._passing = 0

    def interrupt(self, act: Callable[[], Awaitable[None]], *, passing: int = 0) -> None:
        """Do ``act`` once, before the next commit that stands on a principal, after ``passing`` of them."""
        self._between, self._passing = act, passing

    async def commit(self, unit: Unit) -> None:
        """Interrupted, if so told, then as ever."""
        if self._between is not None and unit.principal is not None:
            if self._passing:
                self._passing -= 1
            else:
                act, self._between = self._between, None
                await act()
        await super().commit(unit)
