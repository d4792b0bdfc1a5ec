"""Care: what one process of a deployment does for all, key manager by key manager, for as long as it serves.

It looks at root keys, syncs what is withheld, has old versions rewrapped, and deletes what keys have left behind. One
key manager that is slow, or does not answer, holds up the care for none of the others.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from keyrack.domain.instances import Instance
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Unit, Validation
from keyrack.ports.key_manager import KeyManager, KeyManagerFailed, Reason
from keyrack.service.care import validation as validations
from keyrack.service.care.existence import Existence, Synced
from keyrack.service.care.leftovers import Leftovers
from keyrack.service.care.validation import Look, count_behind, every, look
from keyrack.service.vault.envelope import Vault

log = logging.getLogger(__name__)

REWRAP_AGAIN_AFTER: Final = 900.0
"""Seconds until keys that are still behind a rotation are tried again."""
USABLE: Final = frozenset({"", str(Reason.READ_ONLY)})
"""Outcomes of a look at a root key after which its key manager's word on standard keys counts: one that does not know
the root key is perhaps another one than was meant, and then every standard key would seem to be gone."""

Rewrap = Callable[[Instance], Awaitable[object]]
"""Wraps what is behind under the newest version of the root key, and commits it; as text the answer says what came."""


Rests = Callable[[], Awaitable[bool]]


async def _never() -> bool:
    return False


class Care:
    """Looks after every configured key manager; harmless when two processes do it at a time."""

    def __init__(
        self,
        catalog: Catalog,
        key_managers: Mapping[str, KeyManager],
        vault: Vault,
        *,
        seconds: Mapping[str, float],
        rewrap: Rewrap | None = None,
        clock: Callable[[], float] = time.time,
        rests: Rests = _never,
    ) -> None:
        """``seconds`` between two rounds, by configured name; ``clock`` is seconds since 1970. ``rests``: whether
        nothing may be changed now, here or in a key manager: then root keys are looked at, and that is all.
        """
        self._rests = rests
        self._catalog = catalog
        self._key_managers = key_managers
        self._vault = vault
        self._seconds = every(seconds)
        self._rewrap = rewrap
        self._clock = clock
        self._existence = Existence(catalog, key_managers, vault, clock)
        self._leftovers = Leftovers(catalog, key_managers, clock)
        self._rewrapping: dict[str, asyncio.Task[None]] = {}
        self._tried: dict[str, float] = {}

    async def watch(self) -> None:
        """Care for ever."""
        try:
            await asyncio.gather(*(self._watch(name) for name in self._key_managers))
        finally:
            await self.rest()

    async def rest(self) -> None:
        """End what was begun in the background: it goes on where it was at the next start."""
        tasks = list(self._rewrapping.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, name: str) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self.round(name)
            except CatalogUnavailable as error:
                log.warning("the care for key manager %s is put off: %s", name, error)
            except Exception:
                log.exception("the care for key manager %s failed", name)
            await asyncio.sleep(max(1.0, self._seconds(name) - (asyncio.get_running_loop().time() - began)))

    async def round(self, name: str) -> None:
        """Look once at the key manager of this configured name, and at every instance there.

        Raises ``CatalogUnavailable``; what a key manager raises is in what it finds.
        """
        instances = [each for each in await self._catalog.instances() if self._is_cared_for_by(each, name)]
        seen = await self._looked(instances)
        if await self._rests():
            await self._keep(instances, seen, {})
            return
        well = [each for each in instances if seen[each.identifier].reason in USABLE]
        await self._keep([each for each in instances if each not in well], seen, {})
        synced = await self._existence.sync(well)
        kept = await self._keep(well, seen, synced)
        await self._leftovers.clear(name)
        for instance in well:
            self._begin_to_rewrap(instance, kept[instance.identifier])

    def _is_cared_for_by(self, instance: Instance, name: str) -> bool:
        if not instance.configured:
            return False
        configured = instance.key_manager.partition("/")[0]
        # Those whose key manager is not configured any more are found out by the first.
        return configured == name or (configured not in self._key_managers and name == next(iter(self._key_managers)))

    async def _looked(self, instances: Sequence[Instance]) -> Mapping[str, Look]:
        """Each root key is looked at once, whatever number of instances it has."""
        homes = sorted({each.home for each in instances}, key=lambda home: (home.key_manager, home.root_key))
        looks = await asyncio.gather(*(look(self._key_managers.get(home.key_manager), home) for home in homes))
        seen = dict(zip(homes, looks, strict=True))
        return {each.identifier: seen[each.home] for each in instances}

    async def _keep(
        self,
        instances: Sequence[Instance],
        seen: Mapping[str, Look],
        synced: Mapping[str, Synced | KeyManagerFailed],
    ) -> Mapping[str, Validation]:
        """What was found out of these instances, in the catalog, and in the journal where it is new; by instance."""
        before = await self._catalog.validations()
        kept: dict[str, Validation] = {}
        entries = []
        for instance in instances:
            identifier = instance.identifier
            was, came = before.get(identifier), synced.get(identifier)
            shown = _with_failure(seen[identifier], came)
            is_ = validations.found(instance, shown, was, int(self._clock()))
            is_ = await self._with_behind(instance, is_, was)
            kept[identifier] = _with_sync(is_, came)
            if (entry := validations.entry(instance, is_, was)) is not None:
                entries.append(entry)
                _log(instance, is_)
        if kept:
            await self._catalog.commit(Unit(entries=entries, validations=tuple(kept.values())))
        return kept

    async def _with_behind(self, instance: Instance, is_: Validation, was: Validation | None) -> Validation:
        version = is_.root_key_version
        rotated = was is None or was.root_key_version != version
        if not version or not (rotated or is_.behind):
            return is_
        behind = await count_behind(self._catalog, self._vault, instance, version)
        if rotated and behind:
            self._tried.pop(instance.identifier, None)
            log.info("a root key was rotated", extra={"instance": instance.name, "behind": behind})
        return replace(is_, behind=behind)

    def _begin_to_rewrap(self, instance: Instance, is_: Validation) -> None:
        """In the background, once for each rotation, and again after a while where keys stay behind."""
        identifier, now = instance.identifier, self._clock()
        under_way, tried = self._rewrapping.get(identifier), self._tried.get(identifier)
        if self._rewrap is None or not is_.behind or is_.reason or (under_way and not under_way.done()):
            return
        if tried is None or not tried <= now < tried + REWRAP_AGAIN_AFTER:
            self._tried[identifier] = now
            self._rewrapping[identifier] = asyncio.create_task(self._rewrapped(self._rewrap, instance))

    @staticmethod
    async def _rewrapped(rewrap: Rewrap, instance: Instance) -> None:
        try:
            came = await rewrap(instance)
        except Exception:
            log.exception("rewrapping the keys of %s failed", instance.name)
        else:
            log.info("rewrapped", extra={"instance": instance.name, "outcome": str(came)})


def _log(instance: Instance, is_: Validation) -> None:
    """What is new of a root key, for whoever reads the log and not the journal."""
    if is_.reason:
        log.warning("a root key cannot be used", extra={"instance": instance.name, "why": is_.told})
    else:
        log.info("a root key is well", extra={"instance": instance.name})


def _with_failure(seen: Look, came: Synced | KeyManagerFailed | None) -> Look:
    if not isinstance(came, KeyManagerFailed):
        return seen
    return replace(seen, reason=str(came.reason), told=f"{validations.UNLISTED}: {came}")


def _with_sync(validation: Validation, came: Synced | KeyManagerFailed | None) -> Validation:
    if not isinstance(came, Synced):
        return validation
    strangers = validation.strangers if came.strangers is None else came.strangers
    return replace(validation, synced_at=came.at, withheld=came.withheld, strangers=strangers)
