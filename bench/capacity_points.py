"""A catalog of so many keys: bytes, waits of each kind of act, start and memory of a server on it."""

import asyncio
import random
import signal
import statistics
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bench.capacity_ground import Ground, identifier
from bench.measured import busy, cpu_of

from keyrack.domain.journal import Entry
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Candidates, Unit
from keyrack.ports.journal import JournalQuery
from keyrack.ports.key_affairs import KeyFilter
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.vault.cache import Cache
from keyrack.service.vault.cache import Entry as Held
from keyrack.service.vault.lease import Lease

PAGE = 100
CACHED = 20_000


@dataclass(frozen=True, slots=True)
class Wait:
    """Of one kind of act, in milliseconds."""

    p50: float
    p99: float
    each_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One catalog of one size."""

    database: str
    keys: int
    records: int
    bytes: Mapping[str, int]
    """By table with its indexes; the whole under ``""``."""
    filled: float
    """Seconds."""
    waits: Mapping[str, Wait]
    start: float | None
    """Seconds from the command to the first answer."""
    memory: float | None
    """Bytes of the serving process then."""
    disturbed: float
    """Cores that others used meanwhile; what was measured with much of that is void."""


class Acts:
    """What clients and administrators ask, of keys chosen by chance."""

    def __init__(self, catalog: WholeCatalog, ground: Ground) -> None:
        """Over all keys of the ground."""
        self._catalog, self._held, self._keys = catalog, ground.specimen, ground.keys
        self._chance = random.Random(1)
        self._instance = ground.specimen.principal.instance
        self._new = iter(range(10**9 + 10**6 * ground.keys, 10**13))

    def _entry(self, action: str, target: str) -> Entry:
        return Entry(
            at=time.time_ns() // 1_000_000,
            action=action,
            outcome="success",
            initiator=self._held.principal.initiator if hasattr(self._held.principal, "initiator") else "bench",
            address="192.0.2.17:49152",
            instance=self._instance,
            target=target,
            detail={"kmip": "1.1", "tls": "TLSv1.2"},
        )

    def _some(self) -> str:
        return identifier(self._chance.randrange(self._keys))

    async def get(self) -> None:
        """A warm Get: one look, one record."""
        key = self._some()
        found = await self._catalog.load(self._instance, key)
        assert found is not None
        seen = {key: found.version}
        await self._catalog.commit(Unit(entries=(self._entry("Get", key),), principal=self._held.principal, seen=seen))

    async def create(self) -> None:
        """A key that is like the others."""
        made = await self._catalog.load(self._instance, self._held.identifier)
        assert made is not None
        key = identifier(next(self._new))
        made = replace(made, unique_identifier=key, version=1)
        entries = (self._entry("Create", key),)
        await self._catalog.commit(Unit(entries=entries, principal=self._held.principal, inserted=(made,)))

    async def locate(self) -> None:
        """By the attribute that tells machines apart."""
        wanted = Candidates(equal=(("x-Identifier", self._some()),))
        assert len(await self._catalog.search(self._instance, wanted)) == 1

    async def page(self) -> None:
        """A hundred keys, from anywhere."""
        found = await self._catalog.objects(self._instance, after=self._some(), limit=PAGE)
        assert found is not None

    async def newest(self) -> None:
        """The administrator's first page, newest first."""
        await self._catalog.key_page(self._instance, KeyFilter(), int(time.time()), descending=True, limit=PAGE)

    async def journal(self) -> None:
        """The newest records."""
        await self._catalog.find(JournalQuery(), limit=PAGE)


KINDS: Mapping[str, tuple[str, int]] = {
    "Get": ("get", 8),
    "Create": ("create", 8),
    "Locate by an attribute": ("locate", 1),
    "a hundred keys from anywhere": ("page", 1),
    "the newest hundred keys": ("newest", 1),
    "the newest hundred records": ("journal", 1),
}
"""For each kind of act its method, and how many ask at a time."""


async def timed(act: Callable[[], Awaitable[None]], at_once: int, seconds: float) -> Wait:
    """Ask for a while, warm."""
    waits: list[float] = []
    await asyncio.gather(*(act() for _ in range(at_once)))
    began = time.perf_counter()

    async def ask() -> None:
        now = time.perf_counter()
        while now < began + seconds:
            await act()
            done = time.perf_counter()
            waits.append(done - now)
            now = done

    await asyncio.gather(*(ask() for _ in range(at_once)))
    took = time.perf_counter() - began
    waits.sort()
    return Wait(
        statistics.median(waits) * 1000, waits[min(len(waits) * 99 // 100, len(waits) - 1)] * 1000, len(waits) / took
    )


async def _waits(ground: Ground, seconds: float) -> dict[str, Wait]:
    catalog = await ground.catalog()
    try:
        acts = Acts(catalog, ground)
        return {kind: await timed(getattr(acts, method), at_once, seconds) for kind, (method, at_once) in KINDS.items()}
    finally:
        await catalog.close()


def served(ground: Ground) -> tuple[float, float]:
    """Start a real server on it: seconds until it answers, and its memory in bytes."""
    deployment = ground.deployment
    began = time.perf_counter()
    try:
        deployment.start()
        start = time.perf_counter() - began
        assert deployment.process is not None
        told = Path(f"/proc/{deployment.process.pid}/status").read_text()
        (line,) = [line for line in told.splitlines() if line.startswith("VmRSS:")]
        return start, int(line.split()[1]) * 1024
    finally:
        # It has just found a journal that it did not write, and would read all of it before it ends.
        deployment.stop(signal.SIGKILL)


def point(ground: Ground, keys: int, records: int, seconds: float, *, serve: bool = True) -> Point:
    """Fill and measure."""
    others, began = busy() - cpu_of(0), time.perf_counter()
    ground.fill(keys, records)
    filled = time.perf_counter() - began
    sizes = ground.size()
    start, memory = served(ground) if serve else (None, None)
    quiet, since = busy() - cpu_of(0), time.perf_counter()
    waits = asyncio.run(_waits(ground, seconds))
    disturbed = (busy() - cpu_of(0) - quiet) / (time.perf_counter() - since)
    if ground.cluster is not None:
        # The database is not "others": what it used cannot be told apart from here.
        disturbed = max(disturbed - 1, 0)
    del others
    return Point(
        database=ground.kind,
        keys=keys,
        records=records,
        bytes=sizes,
        filled=filled,
        waits=waits,
        start=start,
        memory=memory,
        disturbed=max(disturbed, 0.0),
    )


def cached_key(sealed: bytes) -> float:
    """Bytes of memory of one unwrapped key."""
    tracemalloc.start()
    cache = Cache(most_entries=CACHED, most_bytes=1 << 30)
    lease = Lease.__new__(Lease)
    before = tracemalloc.get_traced_memory()[0]
    for number in range(CACHED):
        secret = Secret(bytearray(32))
        cache.put(identifier(number), Held(secret=secret, instance="bench", sealed=sealed, lease=lease, until=0.0))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / CACHED
