"""``make bench ARGS=console``: what a person waits for in the web console, with a hundred thousand keys.

The time to the whole of each page over a connection that stays open, and what a browser says of its first content,
each beside the same server's answer that it is alive: that floor is what TLS, the loop and the machine cost anyhow.
"""

import argparse
import asyncio
import base64
import json
import random
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

from bench.admin_lists import PATIENCE, QUIET
from bench.catalog import entry, identifier, key
from bench.https_load import Connection, Target, context_of
from bench.key_manager import workplace
from bench.measured import cpu_of, digits
from bench.run import say

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.objects import Indexed, ManagedObject
from keyrack.domain.rights import Grant, Role
from keyrack.ports.catalog import Unit
from keyrack.service.people.passwords import Passwords
from keyrack.shell.rest.v1.callers import COOKIE
from keyrack.spec.enumerations import State
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.browsing import chromium, opened
from keyrack.testing.people import House
from keyrack.testing.process import deployed
from keyrack.testing.web_process import WITH_API, WebProcess, beside

AT_ONCE = 1000
PROMISED = 300.0
"""Milliseconds to the first content."""
HEAVIEST = 60_000
"""Bytes of a page's HTML."""
INSTANCE = "/instances/bench"
KEYS = f"{INSTANCE}/keys"


@dataclass(frozen=True, slots=True)
class Console:
    """A served deployment, and the cookie of somebody who is logged in."""

    web: WebProcess
    token: str
    key: str

    @property
    def target(self) -> Target:
        """Its web process."""
        return Target(self.web.address[1], self.web.pid, context_of(self.web.authority))

    def get(self, path: str) -> bytes:
        """A page, as a browser asks for it."""
        head = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html, */*\r\nCookie: {COOKIE}={self.token}\r\n\r\n"
        )
        return head.encode()


@dataclass(frozen=True, slots=True)
class Wait:
    """One page."""

    name: str
    path: str
    waits: Sequence[float]
    """Seconds, sorted."""
    size: int
    cpu: float
    """Milliseconds of the web process for each: what stays the same while others use the machine."""
    content: float | None = None
    """Milliseconds to what a browser first painted."""

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.waits) * 1000


def pages(console: Console, deep: str) -> dict[str, str]:
    """The main pages, and the table of keys with each filter and each order."""
    found = {
        "overview": "/",
        "instances": "/instances",
        "keys, first page": KEYS,
        "keys, a page in the middle": f"{KEYS}?after={quote(deep)}",
        "a key": f"{KEYS}/{console.key}",
        "a key's destruction": f"{KEYS}/{console.key}/destroy",
        "client certificates": f"{INSTANCE}/certificates",
        "approvals": "/approvals",
        "activity": "/activity",
    }
    asked = {
        "state=Deactivated": "state",
        "state=Compromised": "state that no key has",
        "named=vm-0999": "name",
        "named=nothing": "name that no key has",
        f"id={console.key[:6]}": "identifier",
        "component=esxi": "component",
        "age=over-365": "age",
        "fetched=never": "never fetched",
        "fetched=over-400": "not fetched for 400 days",
        "only=withheld": "withheld",
        "only=unlabelled": "not labelled",
        "only=recoverable": "recoverable",
        "named=vm&fetched=never&state=Active": "three filters",
    }
    orders = {"": "", "&sort=-last-fetch": ", by last fetch", "&sort=name": ", by name"}
    found |= {f"keys{title or ', by creation'}, all": f"{KEYS}?{sort}" for sort, title in orders.items() if sort}
    found |= {
        f"keys{title}: {name}": f"{KEYS}?{query}{sort}"
        for query, name in asked.items()
        for sort, title in orders.items()
    }
    return found


def waits_of(console: Console, path: str, times: int, status: bytes = b"200") -> tuple[Sequence[float], int, float]:
    """Of so many requests one after the other, the first one left out; how large the answer is, and what one costs."""
    connection = Connection(console.target)
    try:
        waits: list[float] = []
        body = b""
        cpu = 0.0
        for number in range(times + 1):
            if number == 1:
                cpu = cpu_of(console.web.pid)
            began = time.perf_counter()
            body = connection.ask(console.get(path), status)
            waits.append(time.perf_counter() - began)
        return sorted(waits[1:]), len(body), (cpu_of(console.web.pid) - cpu) / times * 1000
    finally:
        connection.close()


def contents(console: Console, found: Sequence[Wait]) -> Iterator[Wait]:
    """The same with what a browser says: the first time that anything is painted, from the click on."""
    with chromium() as browser, opened(browser, f"https://localhost:{console.web.address[1]}") as page:
        page.page.context.add_cookies(
            [{"name": COOKIE, "value": console.token, "url": page.url, "secure": True, "httpOnly": True}]
        )
        page.go("/approvals")
        for each in found:
            if ": " in each.name:
                yield each  # The same page as another, with other keys in it.
                continue
            page.go(each.path)
            told = page.page.evaluate(
                "() => performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)[0] ?? null"
            )
            yield replace(each, content=told)


@contextmanager
def full(work: Path, keys: int) -> Iterator[Console]:
    """An instance whose keys differ in all that a filter asks for; served, once it has come to rest."""
    environment = {**WITH_API, "KEYRACK_LOG__LEVEL": "warning", "KEYRACK_API__REQUESTS_PER_SECOND": "10000"}
    deployment = deployed(work / "console", environment)
    deployment.run("instance", "create", "bench")
    token = asyncio.run(_filled(deployment.directory / "catalog.db", keys))
    deployment.start()
    try:
        web = beside(deployment)
        assert deployment.process is not None
        _await_rest((web.pid, deployment.process.pid))
        yield Console(web, token, identifier(keys // 2 + 1))
    finally:
        deployment.stop()


def _await_rest(processes: Sequence[int]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        before = sum(map(cpu_of, processes))
        time.sleep(2)
        if sum(map(cpu_of, processes)) - before < 2 * QUIET:
            return


async def _filled(path: Path, keys: int) -> str:
    catalog = SqliteCatalog(path, "bench")
    try:
        (instance,) = await catalog.instances()
        for begin in range(0, keys, AT_ONCE):
            numbers = range(begin, min(keys, begin + AT_ONCE))
            made = [replace(varied(number), instance=instance.identifier) for number in numbers]
            got = [
                replace(entry("Get", identifier(number)), instance=instance.identifier)
                for number in numbers
                if number % 5
            ]
            await catalog.commit(Unit(entries=got, inserted=made))
        house = House(catalog, Passwords())
        house.clock.now = time.time()
        await house.person("mara", Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER))
        return (await house.log_in("mara")).token
    finally:
        await catalog.close()


def varied(number: int) -> ManagedObject:
    """One in ten is a host's, one in fifty nobody has labelled, and not all are active."""
    made = key(number)
    named = f"esx-{number:06}.example.com" if number % 10 == 0 else f"vm-{number:06}"
    labels = {
        "x-Name": named,
        "x-Component": "ESXi Server" if number % 10 == 0 else "Virtual Machine",
        "x-Identifier": str(uuid.UUID(int=random.Random(number).getrandbits(128))),
        "x-Product": "VMware vSphere",
    }
    values = {name: held for name, held in made.attributes.items() if not name.startswith("x-") and name != "Name"}
    if number % 50:
        values |= {name: (Indexed(0, CustomValue(ItemType.TEXT_STRING, text)),) for name, text in labels.items()}
    state = {3: State.DEACTIVATED, 7: State.DESTROYED, 11: State.PRE_ACTIVE}.get(number % 100, State.ACTIVE)
    withheld = made.value("Initial Date") if number % 1000 == 9 else None
    return replace(made, attributes=values, state=state, withheld_at=withheld)


def deep_cursor(keys: int) -> str:
    """Of the page in the middle of the table, as its own links have it."""
    told = json.dumps(["created", True, 1_700_000_000 + keys // 2, keys // 2], separators=(",", ":"))
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def table(found: Sequence[Wait], floor: float) -> Iterator[str]:
    """In Markdown."""
    yield "| page | median ms | × floor | slowest ms | CPU ms | first content ms | HTML KB | |"
    yield "|---|---:|---:|---:|---:|---:|---:|---|"
    for each in found:
        content = "–" if each.content is None else digits(each.content)
        slow = each.median if each.content is None else max(each.median, each.content)
        met = "met" if slow <= PROMISED and each.size <= HEAVIEST else "missed"
        most = digits(each.waits[-1] * 1000)
        figures = (digits(each.median), digits(each.median / floor), most, digits(each.cpu), content)
        yield f"| {each.name} | {' | '.join(figures)} | {each.size / 1000:.0f} | {met} |"


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench console", description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=7, help="requests of each page")
    parser.add_argument("--quick", action="store_true", help="few and short: to see that all works")
    given = parser.parse_args(words)
    if given.quick:
        given.keys, given.times = 2_000, 2
    with workplace() as work:
        say(f"{given.keys:,} keys")
        with full(work, given.keys) as console:
            floor = statistics.median(waits_of(console, "/health/live", 20)[0]) * 1000
            found = [
                Wait(name, path, *waits_of(console, path, given.times))
                for name, path in pages(console, deep_cursor(given.keys)).items()
            ]
            found = list(contents(console, found))
    print(f"floor: {digits(floor)} ms for /health/live\n")
    print("\n".join(table(found, floor)))
