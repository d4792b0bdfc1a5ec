"""Taking back what a work that comes to nothing has put into a key manager."""

import logging
from contextlib import suppress
from dataclasses import replace

from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Conflict, Leftover, Unit
from keyrack.service.vault.envelope import Vault

log = logging.getLogger(__name__)


async def take_back(catalog: Catalog, vault: Vault, instance: Instance, managed: ManagedObject, entry: Entry) -> None:
    """Settle the intent of an object that will not be, with ``entry``, and delete its standard key, in this order.

    While the intent stands, the reconciler may complete the object, as it does where its clock is ahead by a minute:
    then the object keeps its copy. Once it is settled nobody can, and the standard key is remembered until it is gone.
    """
    uid = managed.unique_identifier
    try:
        found = replace(managed, standard_key=await vault.stored(instance, managed))
        leftovers = (_leftover(vault, instance, found, entry.at // 1000),) if found.standard_key is not None else ()
    except KmipError as error:
        log.warning("whether a standard key of %s stays behind, unused, is not known: %s", uid, error)
        found, leftovers = managed, ()
    try:
        await catalog.commit(Unit(entries=(entry,), seen={uid: 0}, settled=(uid,), leftovers=leftovers))
    except Conflict:
        return
    except CatalogUnavailable as error:
        log.warning("the standard key of %s is left to the reconciler: %s", uid, error)
        return
    if leftovers:
        try:
            await vault.discard(instance, found)
        except KmipError as error:
            log.warning("the standard key of %s is left for later: %s", uid, error)
            return
        with suppress(CatalogUnavailable):
            await catalog.commit(Unit(entries=(), cleared=leftovers))


def _leftover(vault: Vault, instance: Instance, managed: ManagedObject, at: int) -> Leftover:
    return Leftover(
        key_manager=vault.home_of(instance, managed).key_manager,
        standard_key=managed.standard_key or "",
        instance=instance.identifier,
        unique_identifier=managed.unique_identifier,
        why="undone",
        at=at,
    )
