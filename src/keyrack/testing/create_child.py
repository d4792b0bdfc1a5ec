"""Forks processes that make one Create each, and that die where they are told to, or where their parent kills them.

``python -m keyrack.testing.create_child``: orders come in as lines of JSON, process identifiers go out. It has imported
all that a Create needs, so that a test can kill hundreds.
"""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Settings
from keyrack.ports.catalog import Unit
from keyrack.testing.create_cut import Attempt, attempt

END_WITHIN: Final = 15.0
BEFORE, AFTER, UNTOLD = "before", "after", "untold"
"""Where a child kills itself: before or after a commit, or when all is done and nobody was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One Create, in a process of its own."""

    mark: str
    catalog: Path
    told: Path
    """Where it writes what it was answered."""
    settings: Settings
    """Of the adapter; its identity is an API key."""
    where: str = ""
    """One of the above; empty: nowhere."""
    number: int = 0
    """Which commit, counted from 1."""


class Child:
    """A process that makes a Create."""

    def __init__(self, pid: int, order: Order) -> None:
        """Watch it."""
        self._order = order
        self._handle = os.pidfd_open(pid)

    def kill(self) -> Attempt:
        """Kill it; what was acknowledged before, by chance."""
        signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        return self.end()

    def end(self) -> Attempt:
        """Wait for its end; what was acknowledged. Raises :class:`TimeoutError`."""
        try:
            if not select.select([self._handle], [], [], END_WITHIN)[0]:
                raise TimeoutError("a Create does not end")
        finally:
            os.close(self._handle)
        told = self._order.told
        return Attempt(**json.loads(told.read_text())) if told.exists() else Attempt(self._order.mark)


@contextmanager
def children() -> Iterator[Callable[[Order], Child]]:
    """The process that forks: gives a function that takes orders."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    orders, answers = process.stdin, process.stdout

    def fork(order: Order) -> Child:
        orders.write(json.dumps(asdict(order), default=str) + "\n")
        orders.flush()
        return Child(int(answers.readline()), order)

    try:
        yield fork
    finally:
        process.communicate(timeout=END_WITHIN)


class _Dying(SqliteCatalog):
    """A catalog in whose process the light goes out before or after a commit."""

    def __init__(self, path: Path, where: str, number: int) -> None:
        super().__init__(path, "kmip-0")
        self._where = where
        self._number = number

    async def commit(self, unit: Unit) -> None:
        """Durable when it returns, if it does."""
        self._number -= 1
        if self._where == BEFORE and not self._number:
            _die()
        await super().commit(unit)
        if self._where == AFTER and not self._number:
            _die()


async def _create(order: Mapping[str, Any]) -> None:
    catalog = _Dying(Path(order["catalog"]), order["where"], order["number"])
    manager = KeyProtect(_settings(order["settings"]))
    answer = await attempt(catalog, manager, order["mark"])
    if order["where"] == UNTOLD:
        _die()
    told = Path(order["told"])
    part = told.with_suffix(".part")
    part.write_text(json.dumps(asdict(answer)))
    part.rename(told)


def _settings(told: Mapping[str, Any]) -> Settings:
    iam = told["iam"]
    source = ApiKey(Path(iam["source"]["file"]))
    settings = Settings(**{**told, "iam": IamSettings(source=source, url=iam["url"])})
    return replace(settings, ca_bundle=Path(told["ca_bundle"]))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in iter(sys.stdin.readline, ""):
        child = os.fork()
        if not child:
            asyncio.run(_create(json.loads(line)))
            os._exit(0)
        print(child, flush=True)  # noqa: T201 - the answer to the order


if __name__ == "__main__":
    _serve()
