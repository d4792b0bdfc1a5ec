"""One run, from its seed: build a world, let clients, administrators, customers and faults at it, heal it, look.

The seed decides everything: run it again and every line of the trace is the same. ``python -m
keyrack.testing.simulation --seed N`` does, and shows the trace.
"""

import asyncio
import gc
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import keyrack.operations  # noqa: F401 - enters the verbs into the registry
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.errors import KmipError
from keyrack.ports.catalog import CatalogUnavailable, Conflict
from keyrack.ports.key_manager import KeyManagerFailed
from keyrack.service.office.refusals import Refused
from keyrack.testing.simulation.administrators import Administrators
from keyrack.testing.simulation.catalog import without_threads
from keyrack.testing.simulation.chance import stream
from keyrack.testing.simulation.clients import Client
from keyrack.testing.simulation.customers import Customers
from keyrack.testing.simulation.faults import Faults
from keyrack.testing.simulation.invariants import look, remembered
from keyrack.testing.simulation.loop import Stuck
from keyrack.testing.simulation.replay import Broken
from keyrack.testing.simulation.rest import check, heal
from keyrack.testing.simulation.weather import Weather
from keyrack.testing.simulation.world import World

STEPS: Final = 20
"""Steps of a run, unless somebody says otherwise."""
EXPECTED: Final = (KmipError, CatalogUnavailable, Conflict, KeyManagerFailed, Refused)
"""What may stand in a log with a traceback, because something went wrong around the service and not in it."""
MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run has come to."""

    seed: int
    steps: int
    broken: tuple[str, ...]
    """Promises that were broken; the run has ended at the first."""
    trace: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Of the whole trace: two runs are the same where this is."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    @property
    def replay(self) -> str:
        """How to see it again, in a line."""
        told = f"replay: python -m keyrack.testing.simulation --seed {self.seed} --steps {self.steps}"
        return f"{told}  # {self.broken[0]}" if self.broken else told


def run(seed: int, steps: int = STEPS, **emphasis: Any) -> Outcome:
    """Play a seed; ``emphasis`` takes the place of what the seed would have some faults be like (``weather``)."""
    with _place() as path, without_threads(), _quiet() as log:
        world = World(seed, path)
        world.weather = replace(world.weather, **emphasis)
        world.build()
        world.note(f"seed {seed}: {len(world.nodes)} nodes, {len(world.tenants)} instances; {world.weather.told()}")
        for node in world.nodes:
            node.start()
        try:
            world.loop.run_until_complete(_story(world, steps))
        except Stuck as error:
            world.fail(Broken("I1", str(error)))
        finally:
            for mistake in (*world.loop.mistakes, *log.mistakes):
                world.fail(Broken("I0", mistake))
            _bury(world)
    return Outcome(seed, steps, tuple(map(str, world.broken)), tuple(world.trace))


async def _story(world: World, steps: int) -> None:
    random = stream(world.seed, "story")
    clients = [
        Client(world, tenant, certificate, stream(world.seed, f"{tenant.identifier}/{certificate.name}"))
        for tenant in world.tenants
        for certificate in tenant.certificates
    ]
    people = Administrators(world, stream(world.seed, "people"))
    customers = Customers(world, clients, stream(world.seed, "customers"))
    faults = Faults(world, stream(world.seed, "faults"))
    begun: list[asyncio.Task[None]] = []
    await asyncio.sleep(1)
    for _ in range(steps):
        if world.broken:
            return
        faults.strike()
        drawn = random.random()
        if drawn < world.weather.customer:
            begun.append(world.loop.begin(None, customers.act()))
        elif drawn < world.weather.customer + world.weather.administration:
            begun.append(world.loop.begin(None, people.act()))
        else:
            begun.append(world.loop.begin(None, _asks(_client(clients, random), world.weather, random.random())))
        await asyncio.sleep(random.expovariate(random.choice((0.5, 3.0, 20.0))))
        if random.random() < 0.1:
            remembered(world)
    await asyncio.wait(begun)
    for task in begun:
        task.result()
    await heal(world, random)
    if not world.broken:
        await check(world, random)
    look(world)


def _client(clients: Sequence[Client], random: Random) -> Client:
    """Mostly one that is let in."""
    chosen = random.choice(clients)
    meant = [each for each in clients if each.may]
    return chosen if chosen.may or not meant or random.random() < 0.15 else random.choice(meant)


async def _asks(client: Client, weather: Weather, drawn: float) -> None:
    for share, what in (
        (weather.ends, client.end),
        (weather.makes * 0.8, client.new_key),
        (weather.makes * 0.2, client.new_key_at_once),
        (weather.fetches * 0.7, client.fetch),
        (weather.fetches * 0.3, client.fetch_many),
        (0.05, client.find),
        (1.0, client.pry),
    ):
        drawn -= share
        if drawn < 0:
            await what()
            return


@cache
def _template() -> bytes:
    """An empty catalog."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "catalog.db"
        SqliteCatalog.create(path)
        return path.read_bytes()


@contextmanager
def _place() -> Iterator[Path]:
    """A fresh catalog, in memory where the system can."""
    directory = Path(tempfile.mkdtemp(prefix="keyrack-simulation-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        path = directory / "catalog.db"
        path.write_bytes(_template())
        yield path
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class _Log(logging.Handler):
    """Keeps what the service logs of its own mistakes."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.mistakes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, EXPECTED):
            self.mistakes.append(f"{record.getMessage()}: {error!r}")


@contextmanager
def _quiet() -> Iterator[_Log]:
    """Only mistakes are looked at; and garbage waits, so that it is collected at no other turn of a replay."""
    logger, handler = logging.getLogger("keyrack"), _Log()
    before = logger.propagate, logger.level
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    gc.disable()
    try:
        yield handler
    finally:
        gc.enable()
        logger.removeHandler(handler)
        logger.propagate, level = before
        logger.setLevel(level)


def _bury(world: World) -> None:
    """Nothing of this world runs any more."""
    for node in world.nodes:
        if node.up:
            node.process.alive = False
            node.catalog.drop()
    world.loop.close()
    world.observer.drop()
    world.raw.close()
