"""Fencing: a node that cannot reach the database closes its door, so that its clients go to another one at once.

Nothing depends on it for safety: each request is authorised in a transaction, which such a node cannot begin. A
listener that is closed tells a vCenter in a millisecond what an error in every answer never would.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.stale import Stale
from keyrack.shell.config.whole import Config

if TYPE_CHECKING:
    from keyrack.adapters.catalogs.postgres.heartbeat import Beat

log = logging.getLogger(__name__)

BEAT_EVERY: Final = 0.25
"""Seconds between two heartbeats."""
AGAIN: Final = 0.1
"""Seconds until one that failed is tried again."""
CLOSED_AFTER: Final = 0.85
"""Seconds without an answer after which the door closes: all is closed within one second of the last answer."""
LOOK_EVERY: Final = 0.05
"""Seconds between two looks at the time."""
STOOD_STILL: Final = 0.15
"""Seconds that this process itself was not run, which do not count: it could hear nothing meanwhile."""
WHY: Final = "the database cannot be reached"


class Heart(Protocol):
    """What asks the database."""

    async def beat(self) -> "Beat":
        """Raises ``CatalogUnavailable``."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class Door(Protocol):
    """What is closed: the listener."""

    def shut(self, why: str) -> int:
        """Refuse newcomers and end every connection; how many there were."""
        ...

    def reopen(self) -> None:
        """Take newcomers again."""
        ...


class Fence:
    """One process's part."""

    def __init__(
        self,
        heart: Heart,
        door: Door,
        look_again: Callable[[], Awaitable[None]],
        known: int,
        stale: Stale | None = None,
    ) -> None:
        """``look_again`` brings trust up to date before the door opens; ``known``: the newest schema of this Keyrack.

        ``stale`` stands in for a while before the door is closed.
        """
        self._stale = stale
        self._heart = heart
        self._door = door
        self._look_again = look_again
        self._known = known
        self._last = 0.0
        self._why = ""
        self._cut = False
        self.closed = False
        self.outdated = asyncio.Event()
        """The database has become newer than this program understands: it has to end."""

    async def watch(self) -> None:
        """Ask, and look at the time, for ever; ends where the database is too new."""
        self._last = asyncio.get_running_loop().time()
        guarding = asyncio.create_task(self._guard())
        try:
            while not self.outdated.is_set():
                await asyncio.sleep(BEAT_EVERY if await self._beat() else AGAIN)
        finally:
            guarding.cancel()
            await asyncio.gather(guarding, return_exceptions=True)
            self._heart.close()

    async def _beat(self) -> bool:
        try:
            beat = await self._heart.beat()
            if beat.least > self._known:
                log.critical(
                    "the catalog has schema %d, which needs a Keyrack that knows %d, and this one knows %d: it stops "
                    "serving; update this node",
                    beat.schema,
                    beat.least,
                    self._known,
                )
                self.outdated.set()
            elif self._cut:
                await self._look_again()
                await self._heart.beat()
        except CatalogUnavailable as error:
            self._why = str(error)
            return False
        now = asyncio.get_running_loop().time()
        if self._cut and not self.outdated.is_set():
            self._cut = False
            if self.closed:
                self._door.reopen()
            self.closed = False
            log.warning(
                "the database answers again, and this node serves", extra={"seconds": round(now - self._last, 1)}
            )
        self._last = now
        if self._stale is not None:
            self._stale.heard()
        return True

    async def _guard(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = loop.time()
            if (stood := now - before - LOOK_EVERY) > STOOD_STILL:
                self._last = min(self._last + stood, now)
            before = now
            if not self._cut and now - self._last >= CLOSED_AFTER:
                self._cut = True
                self._told(now)
            if self._cut and not self.closed and (self._stale is None or self._stale.over):
                self._close()

    def _told(self, now: float) -> None:
        until = "closed until it does"
        if self._stale is not None and not self._stale.over:
            until = "giving out what it has in memory, for a while"
            self._stale.begin()
        why = self._why or "silence"
        log.error("the database has not answered for %.1f s: this node is %s: %s", now - self._last, until, why)

    def _close(self) -> None:
        self.closed = True
        if self._stale is not None:
            self._stale.end()
        connections = self._door.shut(WHY)
        log.error("this node is closed until the database answers", extra={"connections": connections})


def fence_of(  # noqa: PLR0913
    config: Config,
    catalog: WholeCatalog,
    door: Door,
    look_again: Callable[[], Awaitable[None]],
    *,
    stale: Stale | None,
    process: str,
) -> Fence | None:
    """``None`` where the catalog is a file: a disk that is gone refuses every request already."""
    if config.catalog_path is not None:
        return None
    from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog  # noqa: PLC0415
    from keyrack.adapters.catalogs.postgres.heartbeat import Heartbeat  # noqa: PLC0415
    from keyrack.adapters.catalogs.postgres.migrator import migrations  # noqa: PLC0415
    from keyrack.shell.catalogs import place_of  # noqa: PLC0415

    async def again() -> None:
        # Connections of before may lead nowhere, and each would have to be waited for.
        if isinstance(catalog, PostgresCatalog):
            await catalog.renew()
        await look_again()
        if stale is not None:
            await stale.enter(catalog.commit)

    name = f"{config.deployment.node}/{process} heartbeat"
    return Fence(Heartbeat(place_of(config, name)), door, again, migrations()[-1].number, stale)
