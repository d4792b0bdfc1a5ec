"""A node's way to the catalog: the real one over SQLite, on a road that may be slow, cut, or end in a crash."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Protocol

from keyrack.adapters.catalogs.sqlite import catalog as opened
from keyrack.adapters.catalogs.sqlite import writer as writing
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.ports.catalog import CatalogUnavailable, OutcomeUnknown, Unit
from keyrack.testing.simulation.weather import Fate, Weather, fate_of

GIVES_UP: float = 2.0
"""Seconds after which whoever has heard nothing of the catalog stops waiting."""


class Surroundings(Protocol):
    """What a road needs to know of the world."""

    weather: Weather

    def crash(self, node: str, why: str) -> None:
        """End a node, now."""
        ...

    def later(self, unit: Unit, seconds: float) -> None:
        """Commit a unit that has been under way for long, whoever sent it may be gone."""
        ...


class Road:
    """From one node to the catalog."""

    def __init__(self, node: str, world: Surroundings, random: Random) -> None:
        """``random`` is this road's own."""
        self.node = node
        self.world = world
        self.random = random
        self.cut = False

    async def pass_along(self) -> None:
        """Travel it, one way."""
        random = self.random
        if self.cut:
            await asyncio.sleep(random.uniform(0.1, GIVES_UP))
            raise CatalogUnavailable("the catalog cannot be reached")
        drawn = random.random()
        if drawn < self.world.weather.slow:
            await asyncio.sleep(random.expovariate(100))
        elif drawn < 0.75:
            await asyncio.sleep(0)


async def for_ever() -> None:
    """What a crashed process waits for."""
    await asyncio.get_running_loop().create_future()


class NodeCatalog(SqliteCatalog):
    """The catalog as one node sees it."""

    def __init__(self, path: Path, chain: str, road: Road | None, clock: Callable[[], float]) -> None:
        """Without a ``road`` it is the database itself, where nothing goes wrong; ``clock`` is the database's."""
        super().__init__(path, chain)
        self._road = road
        # The loop itself waits for each commit, and nobody measures how long that takes.
        self._writer._pace = _Always()  # type: ignore[assignment]
        self._writer._checkpointer = None
        _on_the_clock(self, clock)

    async def commit(self, unit: Unit) -> None:
        """As the road lets it."""
        road = self._road
        if road is None:
            await super().commit(unit)
            return
        await road.pass_along()
        fate = fate_of(road.random, road.world.weather.commits)
        await self._not_at_all(fate, unit, road)
        await super().commit(unit)
        if fate is Fate.CRASH_AFTER:
            road.world.crash(road.node, "after a commit")
            await for_ever()
        if fate is Fate.ANSWER_LOST:
            await asyncio.sleep(GIVES_UP)
            raise OutcomeUnknown("the commit was not answered")
        try:
            await road.pass_along()
        except CatalogUnavailable as error:
            raise OutcomeUnknown("the catalog was cut off during a commit") from error

    @staticmethod
    async def _not_at_all(fate: Fate, unit: Unit, road: Road) -> None:
        """Return where the unit arrives."""
        if fate is Fate.REFUSED:
            raise CatalogUnavailable("the catalog refuses just now")
        if fate is Fate.CRASH_BEFORE:
            road.world.crash(road.node, "before a commit")
            await for_ever()
        if fate is Fate.LATE:
            road.world.later(unit, road.random.uniform(0.1, 6))
        if fate in {Fate.LOST, Fate.LATE}:
            await asyncio.sleep(GIVES_UP)
            raise OutcomeUnknown("the commit was not answered")

    async def leads(self, job: str) -> bool:
        """Which node does the chores for all is the world's affair."""
        return True

    def drop(self) -> None:
        """As the end of the process lets go of the files."""
        for connection in (self._writer._connection, self._reading, *self._searching):
            connection.close()


class _NoThread:
    """In the place of the thread that waits for slow disks."""

    def __init__(self, **_: object) -> None:
        """There are no threads in the simulated world."""

    def start(self) -> None:
        """Nothing begins."""


@contextmanager
def without_threads() -> Iterator[None]:
    """Catalogs that are opened meanwhile have been prepared already, and have no thread."""
    before = vars(opened)["prepare"], vars(writing)["threading"]
    vars(opened)["prepare"] = lambda path: None
    vars(writing)["threading"] = SimpleNamespace(Thread=_NoThread)
    try:
        yield
    finally:
        vars(opened)["prepare"], vars(writing)["threading"] = before


def _on_the_clock(catalog: SqliteCatalog, clock: Callable[[], float]) -> None:
    """What triggers of the database write down is the world's time, too."""
    connection = catalog._writer._connection
    connection.execute("PRAGMA trusted_schema = ON")
    connection.create_function("strftime", 2, lambda form, when: str(int(clock())))


class _Always:
    """A disk that is quick."""

    quick = True

    def begin(self) -> None:
        """Nothing is measured."""

    def end(self) -> None:
        """Nothing is measured."""


def _travelled(real: Callable[..., Any]) -> Callable[..., Any]:
    """A read that goes along the road."""

    async def read(self: NodeCatalog, *arguments: Any, **more: Any) -> Any:
        road = self._road
        if road is not None:
            await road.pass_along()
            if road.world.weather.unread and road.random.random() < road.world.weather.unread:
                raise CatalogUnavailable("the catalog does not answer a read")
        return await real(self, *arguments, **more)

    return read


for _name, _real in inspect.getmembers(SqliteCatalog, inspect.iscoroutinefunction):
    if not _name.startswith("_") and _name not in {"commit", "leads", "news", "close"}:
        setattr(NodeCatalog, _name, _travelled(_real))
