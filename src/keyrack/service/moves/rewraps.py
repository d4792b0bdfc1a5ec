"""Rewraps of one process: begun by an administrator, or in the background after a rotation; each instance has one.

How far one is stands in the catalog, where every process reads it, and survives whoever has asked for it.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from keyrack.domain.instances import Instance
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Unit, Validation
from keyrack.ports.key_manager import KeyManager
from keyrack.service.care import validation as validations
from keyrack.service.moves.rewrap import KEEPER, RATE, Rewrapped, newest, rewrap
from keyrack.service.moves.successors import Ground
from keyrack.service.moves.walk import Progress
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.vault.envelope import Vault

log = logging.getLogger(__name__)

TELL_EVERY: Final = 1.0
"""Seconds between two times that the catalog is told how many keys are still behind."""


class Rewraps:
    """The rewraps that this process does."""

    def __init__(
        self,
        catalog: Catalog,
        vault: Vault,
        key_managers: Mapping[str, KeyManager],
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """None is under way; ``clock`` answers milliseconds since 1970."""
        self._catalog = catalog
        self._vault = vault
        self._key_managers = key_managers
        self._clock = clock
        self._under_way: dict[str, tuple[asyncio.Task[Rewrapped], float]] = {}
        """By instance, each with its rate."""

    def begin(self, instance: Instance, who: Administrator, *, rate: float) -> None:
        """Have what is behind rewrapped from now on, at most ``rate`` keys in a second.

        One that goes on as quickly goes on; a slower one is taken over.
        """
        task = self._task(instance, who, rate)
        task.add_done_callback(lambda done: _told(instance, done))

    async def run(self, instance: Instance, *, rate: float = RATE) -> Rewrapped:
        """The same in the background, in Keyrack's own name; when it is done, whoever has begun it."""
        return await asyncio.shield(self._task(instance, KEEPER, rate))

    async def rest(self) -> None:
        """End what is under way: it goes on where it was at the next start."""
        tasks = [task for task, _ in self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _task(self, instance: Instance, who: Administrator, rate: float) -> "asyncio.Task[Rewrapped]":
        task, its_rate = self._under_way.get(instance.identifier, (None, 0.0))
        if task is not None and not task.done():
            if rate <= its_rate:
                return task
            task.cancel()  # What is under way of it ends well, and nothing more is begun.
        made = asyncio.create_task(self._rewrap(instance, who, rate))
        self._under_way[instance.identifier] = made, rate
        return made

    async def _rewrap(self, instance: Instance, who: Administrator, rate: float) -> Rewrapped:
        version = await newest(self._key_managers, instance)
        count = _Count(await self._behind(instance, version))
        await self._tell(instance, version, count.left)
        administration = Administration(self._catalog, self._key_managers, who, self._clock)
        ground = Ground(
            catalog=self._catalog,
            vault=self._vault,
            key_managers=self._key_managers,
            administration=administration,
            clock=self._clock,
        )
        telling = asyncio.create_task(self._keep_telling(instance, version, count))
        try:
            came = await rewrap(ground, instance, rate=rate, report=count.heard)
        finally:
            telling.cancel()
        # What was counted, and not what was hoped: only this says that nothing is behind any more.
        await self._tell(instance, version, await self._behind(instance, version))
        return came

    async def _behind(self, instance: Instance, version: str) -> int:
        return await validations.count_behind(self._catalog, self._vault, instance, version)

    async def _keep_telling(self, instance: Instance, version: str, count: "_Count") -> None:
        while True:
            await asyncio.sleep(TELL_EVERY)
            try:
                await self._tell(instance, version, count.left)
            except CatalogUnavailable as error:
                log.debug("how far a rewrap is was not told: %s", error)

    async def _tell(self, instance: Instance, version: str, behind: int) -> None:
        now = self._clock() // 1000
        was = (await self._catalog.validations()).get(instance.identifier)
        known = was or Validation(instance=instance.identifier, at=now, since=now)
        is_ = replace(known, root_key_version=version, behind=behind)
        if is_ != was:
            entry = validations.entry(instance, is_, was)
            await self._catalog.commit(Unit(entries=() if entry is None else (entry,), validations=(is_,)))


class _Count:
    """How many keys are left of those that were behind when it began."""

    def __init__(self, behind: int) -> None:
        self.left = behind
        self._began = behind

    def heard(self, progress: Progress) -> None:
        self.left = max(0, self._began - progress.changed)


def _told(instance: Instance, done: "asyncio.Task[Rewrapped]") -> None:
    if done.cancelled():
        return
    if (error := done.exception()) is not None:
        log.error("rewrapping the keys of %s failed", instance.name, exc_info=error)
    else:
        log.info("rewrapped", extra={"instance": instance.name, "outcome": str(done.result())})
