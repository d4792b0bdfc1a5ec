"""The existence sync: one listing of a key manager tells which standard keys are gone; their keys are withheld.

A customer revokes one key by deleting its standard key. A listing may miss what is made or deleted while it goes on, so
whatever it misses is asked for by itself before it counts as gone, and nothing else than "there is no such key" and "it
was deleted" makes it so. What was withheld is given again as soon as its standard key is back.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Final

from keyrack.domain.instances import Home, Instance, Storage, WrappingKey
from keyrack.domain.journal import Entry
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.ports.catalog import Catalog, Conflict, Touch, Unit
from keyrack.ports.key_manager import KeyManager, KeyManagerFailed, KeyManagerRefused, KeyManagerUnavailable
from keyrack.service.care.inventory import Listing, listed, manager_of, managers_of, things
from keyrack.service.care.unclaimed import Unclaimed, intended
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.homes import cause_of
from keyrack.service.vault.standing import GONE, confirm

log = logging.getLogger(__name__)

AT_ONCE: Final = 8
"""Standard keys that are asked for by themselves at the same time."""
ATTEMPTS: Final = 8
"""How often one key is decided anew when another change came first."""
KEEPER: Final = "keyrack"
"""Who withholds and gives again, as the journal names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What a sync that came to its end has found of one instance."""

    at: int
    """When the listing began, in seconds since 1970."""
    withheld: int
    """Objects, the wrapping key among them, that are withheld now."""
    changed: int
    """How many of them this sync has withheld or given again."""
    strangers: int | None = None
    """See ``service.care.unclaimed``; ``None`` while they are not known yet."""


@dataclass(slots=True)
class _Compared:
    """What the listings say of one instance's objects."""

    missing: list[Sealed] = field(default_factory=list)
    back: list[Sealed] = field(default_factory=list)
    still_gone: int = 0
    known: set[Home] = field(default_factory=set)
    """Root keys that their key managers have told of since something was missed."""


class Existence:
    """Keeps what is withheld in step with what key managers have. One process of a deployment is enough."""

    def __init__(
        self,
        catalog: Catalog,
        key_managers: Mapping[str, KeyManager],
        vault: Vault,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` is seconds since 1970."""
        self._catalog = catalog
        self._key_managers = key_managers
        self._vault = vault
        self._clock = clock
        self._unclaimed = Unclaimed(catalog)

    async def sync(self, instances: Sequence[Instance]) -> Mapping[str, Synced | KeyManagerFailed]:
        """Sync these instances, by identifier; those of one key manager share one listing of it.

        Instances that keep no standard keys are left out. Where a key manager fails, so does every instance that is
        there, and what was found until then stays. Raises ``CatalogUnavailable``.
        """
        kept = [each for each in instances if each.storage is Storage.KEY_MANAGER]
        listings = await self._listings({name for each in kept for name in managers_of(each)})
        under_way = await intended(self._catalog)
        owners: dict[str, str] = {}
        found: dict[str, Synced | KeyManagerFailed] = {}
        for instance in kept:
            try:
                found[instance.identifier] = await self._synced(instance, listings, owners)
            except KeyManagerFailed as error:
                found[instance.identifier] = error
        for identifier, number in (await self._counted(kept, listings, owners, under_way)).items():
            if isinstance(came := found[identifier], Synced):
                found[identifier] = replace(came, strangers=number)
        return found

    async def _listings(self, names: Iterable[str]) -> Mapping[str, Listing | KeyManagerFailed]:
        async def one(name: str) -> Listing | KeyManagerFailed:
            try:
                return await listed(self._manager(name), self._clock)
            except KeyManagerFailed as error:
                return error

        wanted = sorted(names)
        return dict(zip(wanted, await asyncio.gather(*map(one, wanted)), strict=True))

    def _manager(self, name: str) -> KeyManager:
        manager = self._key_managers.get(name)
        if manager is None:
            raise KeyManagerUnavailable(f"the key manager {name} is not configured")
        return manager

    async def _counted(
        self,
        kept: Sequence[Instance],
        listings: Mapping[str, Listing | KeyManagerFailed],
        owners: Mapping[str, str],
        under_way: Set[str],
    ) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for name in {each.key_manager for each in kept}:
            listing = listings[name]
            if isinstance(listing, Listing):
                counts |= await self._unclaimed.count(name, listing, kept, owners, under_way)
        return counts

    async def _synced(
        self, instance: Instance, listings: Mapping[str, Listing | KeyManagerFailed], owners: dict[str, str]
    ) -> Synced:
        ready: dict[str, Listing] = {}
        for name in managers_of(instance):
            listing = listings[name]
            if isinstance(listing, KeyManagerFailed):
                raise listing
            ready[name] = listing
        compared = await self._compared(instance, ready, owners)
        lost = await _each(compared.missing, lambda thing: self._withhold(instance, thing, compared.known))
        restored = await _each(compared.back, lambda thing: self._restore(instance, thing))
        if lost or restored:
            log.warning(
                "keys are withheld, or given again: the key manager no longer has, or has again, their copies",
                extra={"instance": instance.name, "withheld": lost, "restored": restored},
            )
        return Synced(
            at=min(listing.began for listing in ready.values()),
            withheld=compared.still_gone + lost + len(compared.back) - restored,
            changed=lost + restored,
        )

    async def _compared(self, instance: Instance, ready: Mapping[str, Listing], owners: dict[str, str]) -> _Compared:
        compared = _Compared()
        async for thing in things(self._catalog, instance):
            owners[thing.unique_identifier] = instance.identifier
            name = manager_of(self._vault, instance, thing) if thing.standard_key is not None else None
            if name is None:
                continue
            there = ready[name].claim(thing)
            if there:
                if thing.withheld_at is not None:
                    compared.back.append(thing)
            elif thing.withheld_at is not None:
                compared.still_gone += 1
            elif _is_due(thing, ready[name].began):
                compared.missing.append(thing)
        return compared

    async def _withhold(self, instance: Instance, thing: Sealed, known: set[Home]) -> bool:
        why = await self._why_gone(instance, thing)
        if why is None:
            return False
        home = instance.home if len(managers_of(instance)) == 1 else self._vault.home_of(instance, thing)
        if home not in known:
            await confirm(self._manager(home.key_manager), home)
            known.add(home)
        if not await self._change(instance, thing, int(self._clock()), why):
            return False
        # Others see it in the catalog at each Get; a withheld wrapping key shuts its instance (service.office.seals).
        self._vault.forget(thing.unique_identifier)
        return True

    async def _restore(self, instance: Instance, thing: Sealed) -> bool:
        """It is listed; only one that can be read, too, is given again."""
        if await self._why_gone(instance, thing) is not None:
            return False
        return await self._change(instance, thing, None, "")

    async def _why_gone(self, instance: Instance, thing: Sealed) -> str | None:
        """Why the standard key is gone, or ``None`` where it is there; raises ``KeyManagerFailed`` for all else."""
        manager = self._manager(manager_of(self._vault, instance, thing) or instance.key_manager)
        try:
            await manager.get_standard_key(thing.standard_key or "")
        except KeyManagerRefused as error:
            if error.reason not in GONE:
                raise
            return cause_of(error)
        return None

    async def _change(self, instance: Instance, thing: Sealed, withheld_at: int | None, why: str) -> bool:
        """Commit it with its journal entry; ``False`` where the key has changed so that it is decided otherwise."""
        found: Sealed | None = thing
        for _ in range(ATTEMPTS):
            if found is None or found.standard_key != thing.standard_key or found.withheld_at != thing.withheld_at:
                return False
            try:
                await self._catalog.commit(self._unit(instance, found, withheld_at, why))
                return True
            except Conflict:
                found = await self._as_it_is(found)
        return False

    async def _as_it_is(self, thing: Sealed) -> Sealed | None:
        if isinstance(thing, WrappingKey):
            return await self._catalog.wrapping_key(thing.instance)
        return await self._catalog.load(thing.instance, thing.unique_identifier)

    def _unit(self, instance: Instance, thing: Sealed, withheld_at: int | None, why: str) -> Unit:
        now = self._clock()
        detail: dict[str, str | int] = {"standard_key": thing.standard_key or ""}
        entry = Entry(
            at=int(now * 1000),
            action="key.restore" if withheld_at is None else "key.withhold",
            outcome="success",
            initiator=KEEPER,
            address="local",
            instance=instance.identifier,
            target=thing.unique_identifier,
            detail=detail | {"cause": why} if why else detail,
        )
        if isinstance(thing, WrappingKey):
            # The touch moves the generation: every process looks, and lets go of the instance's plaintext.
            touch = Touch(instance.identifier, int(now), KEEPER)
            return Unit(entries=(entry,), wrapping_keys=(thing.changed(withheld_at=withheld_at),), touched=(touch,))
        return Unit(entries=(entry,), updated=(thing.changed(withheld_at=withheld_at),))


def _is_due(thing: Sealed, began: int) -> bool:
    """Whether a listing that began then had to show the thing's standard key, and it matters that it did not."""
    if isinstance(thing, WrappingKey):
        return thing.created_at < began
    return thing.state not in DESTROYED_STATES and (thing.value("Initial Date") or 0) < began


async def _each(subjects: Sequence[Sealed], act: Callable[[Sealed], Awaitable[bool]]) -> int:
    """To how many ``act`` said yes, some of them at once; the first failure ends it, and is raised."""
    waiting = iter(subjects)
    agreed = 0

    async def work() -> None:
        nonlocal agreed
        for subject in waiting:
            if await act(subject):
                agreed += 1

    tasks = [asyncio.create_task(work()) for _ in range(min(AT_ONCE, len(subjects)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return agreed
