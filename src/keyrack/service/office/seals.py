"""Seals: an administrator takes an instance out of use at once, and every process lets go of what it has of it.

From the commit on no transaction of a client happens in a sealed instance (``ports.catalog.InstanceSealed``). What is
here takes the plaintext out of every process's memory as well.
"""

import logging
from collections.abc import Awaitable, Callable, Set
from dataclasses import replace
from typing import Final

from keyrack.domain.instances import Hierarchy, Instance
from keyrack.domain.rights import Right
from keyrack.ports.catalog import Catalog, CatalogUnavailable, InstanceChanged
from keyrack.service.office.administration import Administration, Refused
from keyrack.service.office.admissions import AdmissionCatalog
from keyrack.service.office.instances import confirm_stop
from keyrack.service.vault.envelope import Vault

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the catalog's generation: a seal empties every process well within a second."""
ATTEMPTS: Final = 8
"""How often a seal is tried when another change of the instance came first."""
SEALED: Final = "the instance is sealed, or was until just now: ask again, or have an administrator unseal it"
WITHHELD: Final = (
    "the instance is withheld: the standard key of its wrapping key was deleted in the key manager, and has to be"
    " restored there"
)


async def nothing() -> str:
    """No reason to doubt."""
    return ""


class Seals:
    """One process's part: shuts in its vault the instances that are sealed, or whose wrapping key is withheld, and lets
    go of the plaintext of those that serve nobody."""

    def __init__(self, catalog: Catalog, vault: Vault, doubt: Callable[[], Awaitable[str]] = nothing) -> None:
        """Know nothing until :meth:`look`; ``doubt`` answers why no instance at all is to be opened now, if so."""
        self._catalog = catalog
        self._vault = vault
        self._doubt = doubt
        self._doubted = ""
        self._generation = -1
        self._idle: Set[str] = frozenset()

    async def look(self) -> None:
        """Act on what has changed since the last look; raises ``CatalogUnavailable``."""
        generation, doubted = await self._catalog.generation(), await self._doubt()
        if (generation, doubted) == (self._generation, self._doubted):
            return
        shut, idle = {}, set()
        for instance in await self._catalog.instances():
            if not instance.serves:
                idle.add(instance.identifier)
            if instance.sealed_at is not None:
                shut[instance.identifier] = SEALED
            elif await self._is_withheld(instance):
                shut[instance.identifier] = WITHHELD
            elif doubted:
                shut[instance.identifier] = doubted
        self._vault.shut(shut)
        for identifier in idle - self._idle:
            self._vault.purge(identifier)
        self._idle = idle
        # What changed while this looked is looked at again: the generation was read first.
        self._generation, self._doubted = generation, doubted

    async def watch(self) -> None:
        """Look for ever. While the catalog cannot be read, what was shut stays so; nobody is served then anyway."""
        while True:
            try:
                await self.look()
            except CatalogUnavailable as error:
                log.debug("seals are not looked at: %s", error)
            await self._catalog.news(LOOK_EVERY)

    async def _is_withheld(self, instance: Instance) -> bool:
        if instance.hierarchy is Hierarchy.DIRECT:
            return False
        wrapping_key = await self._catalog.wrapping_key(instance.identifier)
        return wrapping_key is not None and wrapping_key.withheld_at is not None


async def seal(
    administration: Administration, catalog: AdmissionCatalog, name: str, *, confirmation: str | None = None
) -> tuple[Instance, bool]:
    """Take an instance out of use; answers it as it is now, and whether that is new.

    When this returns, no client gets a key of it any more, in no process. Raises ``Refused``, and
    ``ConfirmationNeeded`` where clients or keys hang on it.
    """
    found = await administration.instance(name)
    administration.require(Right.INSTANCE_SEAL, found.identifier)
    if found.sealed_at is None:
        await confirm_stop(administration, catalog, found, "sealed", "unsealed", confirmation)
    return await _change(administration, found.identifier, administration.now)


async def unseal(administration: Administration, name: str) -> tuple[Instance, bool]:
    """Take an instance into use again; answers it as it is now, and whether that is new. Raises ``Refused``."""
    return await _change(administration, name, None)


async def _change(administration: Administration, name: str, sealed_at: int | None) -> tuple[Instance, bool]:
    for _ in range(ATTEMPTS):
        instance = await administration.instance(name)
        administration.require(Right.INSTANCE_SEAL, instance.identifier)
        if (instance.sealed_at is None) == (sealed_at is None):
            return instance, False
        changed = replace(instance, sealed_at=sealed_at)
        try:
            await administration.commit(
                "instance.unseal" if sealed_at is None else "instance.seal",
                instance.identifier,
                instance.identifier,
                {"name": instance.name},
                seen_instances=(instance,),
                instances=(changed,),
                touched=administration.touched(instance.identifier),
            )
        except InstanceChanged:
            continue  # Its keys move, or are kept elsewhere from now on: that must not be undone.
        return changed, True
    raise Refused(f"instance {name!r} is being changed by others just now; try again")
