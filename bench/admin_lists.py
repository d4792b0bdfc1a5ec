"""What lists, searches and log-ins cost an administrator over REST, with many keys and a long journal."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from bench.catalog import entry, identifier, key
from bench.https_load import Connection, Target, context_of, load
from bench.measured import Spent, busy, cpu_of
from bench.servers import CannotMeasure

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.rights import Grant, Role
from keyrack.ports.catalog import Unit
from keyrack.service.people.passwords import Passwords
from keyrack.testing.people import PASSWORD, House
from keyrack.testing.process import deployed
from keyrack.testing.rest import person_in
from keyrack.testing.web_process import WITH_API, WebProcess, beside

AT_ONCE = 1000
QUIET, PATIENCE = 0.05, 120.0
"""Cores that the server may use before anything is measured, and seconds that it may take until then."""
MOST_LOG_INS = 80
"""Of one person at one time a hundred are allowed."""
PAGE = 100
Requests = Callable[[int], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Cost:
    """One kind of request, asked again and again on one connection that stays open; the CPU is the web process's."""

    name: str
    spent: Spent
    disturbed: float
    """Cores that others used meanwhile."""


@dataclass(frozen=True, slots=True)
class Full:
    """A deployment with many keys and records, and who administers it."""

    web: WebProcess
    token: str
    authority: Path

    @property
    def target(self) -> Target:
        """The administration API."""
        return Target(self.web.address[1], self.web.pid, context_of(self.authority))

    def get(self, path: str) -> bytes:
        """A request for a path, as it is sent."""
        return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()

    def again(self, path: str) -> Requests:
        """The same request without end."""
        return lambda _: itertools.repeat(self.get(path))

    def behind(self, listing: str, pages: int) -> str:
        """The path of the page that comes after so many pages of 500."""
        connection, cursor = Connection(self.target), ""
        try:
            for _ in range(pages):
                told = json.loads(connection.ask(self.get(f"{listing}?limit=500{cursor}"), b"200"))
                if told["next"] is None:
                    raise CannotMeasure("bench: the list has fewer pages")
                cursor = f"&cursor={quote(told['next'])}"
        finally:
            connection.close()
        return f"{listing}?limit={PAGE}{cursor}"

    def cost(self, name: str, requests: Requests, status: bytes, seconds: float, most: int = 10**9) -> Cost:
        """Ask for a while."""
        own = (0, self.web.pid)
        others = busy() - sum(map(cpu_of, own))
        began = time.perf_counter()
        spent = load(self.target, requests, status, 1, seconds, most=most)
        elapsed = time.perf_counter() - began
        return Cost(name, spent, max(busy() - sum(map(cpu_of, own)) - others, 0.0) / elapsed)


def _log_ins(_: int) -> Iterator[bytes]:
    body = json.dumps({"name": "mara", "password": PASSWORD}).encode()
    head = "POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    yield from itertools.repeat(f"{head}{len(body)}\r\n\r\n".encode() + body)


def costs(on: Full, keys: int, records: int, seconds: float) -> Iterator[Cost]:
    """All of them."""
    listing, journal = "/api/v1/instances/bench/keys", "/api/v1/journal"
    some = f"page of {PAGE} of {keys:,} keys"
    one = identifier(keys // 2)
    paths = {
        f"{some}, the first": f"{listing}?limit={PAGE}",
        f"{some}, the newest": f"{listing}?limit={PAGE}&descending=true",
        f"{some}, in the middle": on.behind(listing, keys // 1000),
        f"{some}, in the order of names": f"{listing}?limit={PAGE}&sort=name",
        f"newest {PAGE} of {records:,} records": f"{journal}?limit={PAGE}",
        f"newest {PAGE} of one key among {records:,} records": f"{journal}?limit={PAGE}&key={one}",
    }
    for name, path in paths.items():
        on.cost(name, on.again(path), b"200", seconds, most=3)
        yield on.cost(name, on.again(path), b"200", seconds)
    on.cost("log-in", _log_ins, b"201", seconds, most=1)
    yield on.cost("log-in", _log_ins, b"201", seconds, most=MOST_LOG_INS)


@contextmanager
def full(work: Path, keys: int, records: int) -> Iterator[Full]:
    """An instance with keys, a journal of who has fetched them, and people; served when all that was looked through."""
    deployment = deployed(work / "full", {**WITH_API, "KEYRACK_LOG__LEVEL": "warning"})
    deployment.run("instance", "create", "bench")
    token = asyncio.run(_filled(deployment.directory / "catalog.db", keys, records))
    deployment.start()
    try:
        web = beside(deployment)
        assert deployment.process is not None
        _await_quiet((web.pid, deployment.process.pid))
        yield Full(web, token, web.authority)
    finally:
        deployment.stop()


async def _filled(path: Path, keys: int, records: int) -> str:
    catalog = SqliteCatalog(path, "bench")
    try:
        (instance,) = await catalog.instances()
        for some in _stretches(keys):
            made = [replace(key(number), instance=instance.identifier) for number in some]
            await catalog.commit(Unit(entries=(), inserted=made))
        for some in _stretches(records):
            got = [replace(entry("Get", identifier(n % keys)), instance=instance.identifier) for n in some]
            await catalog.commit(Unit(entries=got))
        await House(catalog, Passwords()).person("mara", Grant(Role.ADMINISTRATOR))
        return await person_in(catalog, "program", Grant(Role.ADMINISTRATOR))
    finally:
        await catalog.close()


def _stretches(count: int) -> Iterator[range]:
    for begin in range(0, count, AT_ONCE):
        yield range(begin, min(count, begin + AT_ONCE))


def _await_quiet(processes: Sequence[int]) -> None:
    """Until the server has gathered from the journal what it keeps of it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        before = sum(map(cpu_of, processes))
        time.sleep(2)
        if sum(map(cpu_of, processes)) - before < 2 * QUIET:
            return
    raise CannotMeasure("bench: the server does not come to rest")
