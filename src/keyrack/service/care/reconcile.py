"""The reconciler: follows the traces that a crash between the key manager and the catalog has left.

An intent says: this object was about to be put into the key manager. If it is there, the object is completed, though
nobody was told of it; if it is not, the intent is over. Nothing in a key manager is ever removed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keyrack.domain import attributes
from keyrack.domain.instances import Instance
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import AlreadyThere, Catalog, Conflict, InstanceChanged, Unit
from keyrack.service.vault.envelope import Vault

SETTLED = 60
"""Seconds after which an intent is no longer under way: any request has ended by then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one round has done."""

    completed: int = 0
    ended: int = 0


async def reconcile(catalog: Catalog, vault: Vault, *, now: int) -> Outcome:
    """Settle every intent that is older than a minute; ``now`` is in seconds since 1970.

    Raises ``domain.errors`` where the key manager does not answer; what was settled until then stays settled.
    """
    instances = {each.identifier: each for each in await catalog.instances()}
    completed = ended = 0
    for intent in await catalog.intents():
        if (intent.value("Initial Date") or 0) + SETTLED > now:
            continue
        try:
            if await _complete(catalog, vault, instances, intent, now):
                completed += 1
            else:
                ended += 1
        except InstanceChanged:
            continue  # Its keys have just begun to move, or are all moved: the next round decides on what is then.
    return Outcome(completed, ended)


async def _complete(
    catalog: Catalog, vault: Vault, instances: Mapping[str, Instance], intent: ManagedObject, now: int
) -> bool:
    instance = instances.get(intent.instance)
    standard_key = await vault.stored(instance, intent) if instance else None
    entry = Entry(
        at=now * 1000,
        action="standard-key.reconcile",
        outcome="ended" if standard_key is None else "completed",
        initiator="keyrack",
        address="local",
        instance=intent.instance,
        target=intent.unique_identifier,
    )
    if standard_key is not None:
        try:
            await catalog.commit(
                Unit(
                    entries=(entry,),
                    seen={intent.unique_identifier: 0},
                    intended=(intent.unique_identifier,),
                    seen_instances=tuple(each for each in (instance,) if each),
                    inserted=(replace(intent, standard_key=standard_key),),
                    new_names=attributes.name_values(_names(intent)),
                )
            )
            return True
        except InstanceChanged:
            raise
        except (AlreadyThere, Conflict):
            # Another object has its name by now, or the request that intended it has ended after all, well or not.
            entry = replace(entry, outcome="ended")
    await catalog.commit(Unit(entries=(entry,), settled=(intent.unique_identifier,)))
    return False


def _names(managed: ManagedObject) -> Iterator[tuple[str, Any]]:
    return (("Name", each.value) for each in managed.attributes.get("Name", ()))
