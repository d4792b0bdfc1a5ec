"""Whose catalog it is, and which nodes serve from it: written down at each start, and refused where it cannot be so."""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from secrets import token_bytes
from typing import Final

from keyrack.ports.catalog import AlreadyThere, CatalogUnavailable, Unit
from keyrack.ports.cluster import ClusterChanges, Node
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.duties import kept

log = logging.getLogger(__name__)

PULSE_EVERY: Final = 5.0
"""Seconds between two signs of life of a node."""
SILENT_AFTER: Final = 12.0
"""Seconds without one after which a node is held for dead; its name is free then."""
LONG_AGO: Final = 60
"""Seconds after which nobody waits to see whether it lives; no two clocks that serve differ by so much."""
BEGIN_WITHIN: Final = 10.0
LEAVE_WITHIN: Final = 2.0
"""Seconds in which a node says that it is there, and that it goes."""
TOKEN_FILE: Final = "node.token"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class NotAlone(ConfigError):
    """Another node of the same name lives."""


async def refuse_foreign(config: Config, catalog: WholeCatalog) -> None:
    """Raise :class:`ConfigError` where the catalog is another deployment's."""
    held, ours = await catalog.deployment(), config.deployment.id
    if held is not None and held != ours:
        raise ConfigError(
            [
                Problem(
                    where="deployment.id",
                    what=f"it is {ours!r}, and the catalog is that of deployment {held!r}",
                    why="the id is bound into every wrapped key, so that no key of the one opens in the other",
                    instead="correct deployment.id, or give this deployment a database of its own in catalog.url",
                )
            ]
        )


async def _written(catalog: WholeCatalog, changes: ClusterChanges) -> None:
    """Commit, and try again for a while: a database that has just failed over is no reason not to start."""
    loop = asyncio.get_running_loop()
    until = loop.time() + BEGIN_WITHIN
    while True:
        try:
            return await catalog.commit(Unit(entries=(), cluster=changes))
        except CatalogUnavailable:
            if loop.time() > until:
                raise
        await asyncio.sleep(0.2)


async def belong(config: Config, catalog: WholeCatalog) -> None:
    """Write down whose the catalog is, where it is nobody's yet; raises :class:`ConfigError` and
    ``CatalogUnavailable``."""
    if await catalog.deployment() is None:
        with contextlib.suppress(AlreadyThere):
            await _written(catalog, ClusterChanges(deployment=config.deployment.id))
    await refuse_foreign(config, catalog)


@contextmanager
def node_token(config: Config) -> Iterator[str]:
    """What tells this node from another one of its name: the same after a crash, and another one on another machine.

    It stands in the run directory, locked by the process that has begun, whose children do not hold the lock. Whoever
    finds it locked is another node.
    """
    if config.catalog_path is not None:
        yield ""
        return
    config.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(config.run_directory / TOKEN_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _token(descriptor)
    finally:
        os.close(descriptor)


def _token(descriptor: int) -> str:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return token_bytes(16).hex()
    kept_there = os.pread(descriptor, 16, 0)
    if len(kept_there) < 16:
        kept_there = token_bytes(16)
        os.pwrite(descriptor, kept_there, 0)
    # A machine that was copied with its directory is another node.
    boot = _BOOT.read_bytes() if _BOOT.is_file() else b""
    return sha256(kept_there + boot).hexdigest()[:32]


class Presence:
    """One node's part, kept by its first process."""

    def __init__(self, catalog: WholeCatalog, node: Node) -> None:
        """``node`` tells all but when it was seen."""
        self._catalog = catalog
        self._node = node
        self._told = ""

    async def begin(self) -> None:
        """Be there; raises :class:`NotAlone` where another node of this name lives, and ``CatalogUnavailable``."""
        alone_since = 0
        if (other := await self._other()) is not None:
            if time.time() - other.seen_at < LONG_AGO:
                await self._await_silence(other)
            alone_since = other.seen_at
        try:
            await _written(self._catalog, self._pulse(alone_since))
        except AlreadyThere:
            raise _not_alone(self._node, await self._other()) from None

    async def _other(self) -> Node | None:
        found = (each for each in await self._catalog.nodes() if each.name == self._node.name)
        return next((each for each in found if each.token != self._node.token), None)

    async def _await_silence(self, other: Node) -> None:
        """Return when the other one has said good-bye, or nothing for too long; clocks are not compared."""
        log.warning(
            "node %r was seen a moment ago, and is not this one: waiting up to %.0f s whether it lives",
            other.name,
            SILENT_AFTER,
        )
        loop = asyncio.get_running_loop()
        until = loop.time() + SILENT_AFTER
        while loop.time() < until:
            await asyncio.sleep(0.5)
            now = await self._other()
            if now is None:
                return
            if now != other:
                raise _not_alone(self._node, now)

    def _pulse(self, alone_since: int) -> ClusterChanges:
        return ClusterChanges(pulse=replace(self._node, seen_at=int(time.time())), alone_since=alone_since)

    async def watch(self) -> None:
        """Show that it lives, for ever."""
        while True:
            await asyncio.sleep(PULSE_EVERY)
            told = ""
            try:
                pulse = self._pulse(int(time.time() - SILENT_AFTER))
                await self._catalog.commit(Unit(entries=(), cluster=pulse))
            except CatalogUnavailable as error:
                log.debug("no sign of life: %s", error)
            except AlreadyThere:
                told = str(_not_alone(self._node, await self._other()))
            if told != self._told:
                self._told = told
                if told:
                    log.error("%s", told)

    async def end(self) -> None:
        """Say good-bye, if the catalog hears it."""
        with contextlib.suppress(CatalogUnavailable, TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN):
                await self._catalog.commit(Unit(entries=(), cluster=ClusterChanges(left=self._node.token)))


def _not_alone(node: Node, other: Node | None) -> NotAlone:
    where = f" at {other.address}" if other is not None and other.address else ""
    return NotAlone(
        [
            Problem(
                where="deployment.node",
                what=f"another node {node.name!r} serves from this catalog{where}",
                why="each has a name of its own, under which it writes in the journal",
                instead='write another one here, for example node = "node-2"',
            )
        ]
    )


@asynccontextmanager
async def present(config: Config, catalog: WholeCatalog, token: str, bound: tuple[str, int]) -> AsyncIterator[None]:
    """This node is there as long as the block lasts; ``bound`` is where it listens. Raises what :meth:`begin` does.

    A file is one machine's, and has no nodes.
    """
    if config.catalog_path is not None:
        yield
        return
    from keyrack.adapters.catalogs.postgres.migrator import migrations  # noqa: PLC0415

    now = int(time.time())
    node = Node(
        name=config.deployment.node,
        token=token,
        version=version("keyrack"),
        schema=migrations()[-1].number,
        address=_address(*bound),
        started_at=now,
        seen_at=now,
    )
    presence = Presence(catalog, node)
    await presence.begin()
    task = asyncio.create_task(kept(presence.watch))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await presence.end()


def _address(host: str, port: int) -> str:
    """Where others find it: an address for all is none."""
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
