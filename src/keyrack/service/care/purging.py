"""Purging: what was destroyed so many days ago loses its material for good, one key after the other, each journaled.

This is the one thing that Keyrack ever ends by itself, and it is announced: at each destruction, in each listing and in
``keyrack key show``. The standard key becomes a leftover, which ``service.care.leftovers`` deletes in the key manager.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from keyrack.domain.instances import Instance
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Conflict, RollbackMode, Unit
from keyrack.ports.key_affairs import KeyAffairs, KeyBook
from keyrack.service.office.key_steps import leftover_of, purged
from keyrack.service.office.keys import Windows, destroyed_at
from keyrack.service.vault.envelope import steady_clock

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 60.0
"""Seconds between two rounds."""
PACE: Final = 0.1
"""Seconds between two purges: a mistake that is seen early has not purged everything yet."""
LARGEST_LEAP: Final = 3600.0
"""Seconds by which the time of day may leave the steady clock. Beyond them nothing is purged: somebody has set it."""
ENDINGS_KEPT: Final = 86_400
"""Seconds after which every process has long heard of an ending."""
_PAGE: Final = 100


class PurgedCatalog(Catalog, KeyBook, Protocol):
    """What purging needs of the catalog."""


class Purging:
    """One process of a deployment does it; two do no harm."""

    def __init__(
        self,
        catalog: PurgedCatalog,
        windows: Windows,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = steady_clock,
        pace: float = PACE,
    ) -> None:
        """``clock`` is seconds since 1970, ``steady`` seconds that nobody sets."""
        self._catalog = catalog
        self._windows = windows
        self._clock = clock
        self._steady = steady
        self._pace = pace
        self._offset = clock() - steady()

    async def watch(self) -> None:
        """Keep last fetches up to date, and purge what is due, for ever."""
        while True:
            try:
                await self._catalog.catch_up()
                await self.round()
            except RollbackMode as error:
                log.debug("nothing is purged: %s", error)
            except CatalogUnavailable as error:
                log.warning("purging is put off: %s", error)
            except Exception:
                log.exception("purging failed")
            await asyncio.sleep(LOOK_EVERY)

    async def round(self) -> int:
        """Purge what is due now, and answer how much that was. Raises ``CatalogUnavailable``."""
        if abs(self._clock() - self._steady() - self._offset) > LARGEST_LEAP:
            log.warning("the time of day was set while the server ran: nothing is purged until it is started again")
            return 0
        instances = {each.identifier: each for each in await self._catalog.instances()}
        count, after = 0, ""
        while page := await self._catalog.destroyed(after, _PAGE):
            after = page[-1].unique_identifier
            for managed in page:
                if self._is_due(managed) and managed.instance in instances:
                    count += await self._purge(instances[managed.instance], managed)
            await asyncio.sleep(0)
        if count:
            log.info("purged what was destroyed long ago", extra={"keys": count})
        long_ago = int(self._clock()) - ENDINGS_KEPT
        await self._catalog.commit(Unit(entries=(), key_affairs=KeyAffairs(endings_before=long_ago)))
        return count

    def _is_due(self, managed: ManagedObject) -> bool:
        at = destroyed_at(managed)
        return at is not None and at + self._windows.destroyed <= self._clock()

    async def _purge(self, instance: Instance, managed: ManagedObject) -> bool:
        now = int(self._clock())
        entry = Entry(
            at=int(self._clock() * 1000),
            action="key.purge",
            outcome="success",
            initiator="keyrack",
            address="local",
            instance=instance.identifier,
            target=managed.unique_identifier,
            detail={
                "why": f"destroyed {self._windows.destroyed // 86_400} days ago",
                "destroyed_at": destroyed_at(managed) or 0,
                "state": managed.state.title,
            },
        )
        unit = Unit(
            entries=(entry,),
            seen={managed.unique_identifier: managed.version},
            updated=(purged(managed),),
            leftovers=leftover_of(instance, managed, now),
        )
        try:
            await self._catalog.commit(unit)
        except Conflict:
            return False  # Somebody recovers it just now, or has purged it: the next round decides on what is then.
        await asyncio.sleep(self._pace)
        return True
