"""What an administrator takes away for good: a key of an instance, or the instance itself.

Both go by the law that clients go by: a key is destroyed by the steps of its lifecycle, and an instance goes when
nothing can be lost with it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from keyrack.domain import lifecycle
from keyrack.domain.instances import Instance, InstanceStatus, Storage
from keyrack.domain.lifecycle import DESTROYED_STATES, Event
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Catalog, Conflict, InstanceChanged, StillUsed
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused
from keyrack.service.moves.walk import things
from keyrack.service.office.administration import Administration, NotThere, Refused
from keyrack.service.office.refusals import Forbidden
from keyrack.spec.enumerations import RevocationReasonCode, State
from keyrack.spec.structures import RevocationReason

log = logging.getLogger(__name__)

ATTEMPTS = 8
"""How often an act is decided anew when a client's change came first."""


class InUse(Refused):
    """The instance has objects that are not destroyed, or are just being made."""


class NotDestroyable(Refused):
    """The key is in use, or was destroyed before."""


async def destroy_key(
    administration: Administration, catalog: Catalog, instance: Instance, identifier: str, *, now: int, force: bool
) -> None:
    """Destroy one object of the instance: from now on no client gets its material.

    With ``force`` an active one is deactivated first, and one that was destroyed before is left as it is; without it
    both raise :class:`NotDestroyable`. Raises :class:`NotThere` for an object that the instance does not have, and
    ``Forbidden`` where the instance is under dual control: nobody is here who could agree.
    """
    _refuse_alone(instance, "destroys its keys", "key destroy")
    for _ in range(ATTEMPTS):
        found = await catalog.load(instance.identifier, identifier)
        if found is None:
            raise NotThere(f"instance {instance.name!r} has no object {identifier!r}")
        destroyed = _destroyed(lifecycle.tick(found, now), now, force=force)
        if destroyed is None:
            return
        try:
            await administration.commit(
                "key.destroy",
                instance.identifier,
                identifier,
                {"state": found.state.title, "force": int(force)},
                seen={identifier: found.version},
                seen_instances=(instance,),
                updated=(destroyed,),
                touched=administration.touched(instance.identifier),
            )
            return
        except InstanceChanged:
            raise Refused(f"instance {instance.name!r} was changed just now; look at it, and try again") from None
        except Conflict:
            continue
    raise Refused(f"object {identifier} is being changed by many at once; try again")


def _refuse_alone(instance: Instance, does: str, command: str) -> None:
    if instance.dual_control_at is not None:
        raise Forbidden(
            f"instance {instance.name!r} is under dual control: no one person, and no program, {does}",
            hint=f"use 'keyrack {command}', where a second person agrees",
        )


def _destroyed(managed: ManagedObject, now: int, *, force: bool) -> ManagedObject | None:
    """The object after Destroy; ``None`` where nothing is left to do."""
    if managed.state in DESTROYED_STATES:
        if force:
            return None
        raise NotDestroyable(f"object {managed.unique_identifier} has been destroyed already")
    if managed.state is State.ACTIVE:
        if not force:
            raise NotDestroyable(
                f"object {managed.unique_identifier} is Active: let a client revoke it first, or force it"
            )
        reason = RevocationReason(revocation_reason_code=RevocationReasonCode.CESSATION_OF_OPERATION)
        managed = lifecycle.after(managed, Event.DEACTIVATE, at=now, revocation_reason=reason)
    return lifecycle.after(managed, Event.DESTROY, at=now)


async def remove_instance(
    administration: Administration, catalog: Catalog, key_managers: Mapping[str, KeyManager], instance: Instance
) -> None:
    """Remove an instance with its certificates and what is left of destroyed objects; the journal keeps its entries.

    Its clients are turned away before anything else happens. Raises :class:`InUse` while there are objects that are not
    destroyed, :class:`NotThere`, and ``KeyManagerUnavailable`` where standard keys are left: then the instance is
    Removing, and removing it again goes on from there. ``Forbidden`` where the instance is under dual control: what is
    destroyed can still be taken back, and would go with it.
    """
    _refuse_alone(instance, "removes it, with what can still be taken back", "instance remove")
    detail: dict[str, str | int] = {"name": instance.name, "key_manager": instance.key_manager}
    try:
        if await _has_standard_keys(catalog, instance):
            if instance.status is not InstanceStatus.REMOVING:
                removing = replace(instance, status=InstanceStatus.REMOVING)
                await administration.commit(
                    "instance.removing",
                    instance.identifier,
                    instance.identifier,
                    detail,
                    unused=(instance.identifier,),
                    seen_instances=(instance,),
                    instances=(removing,),
                )
                instance = removing
            await _delete_standard_keys(catalog, _managers(key_managers, instance), instance)
            await _delete_leftovers(catalog, key_managers, instance)
        await administration.commit(
            "instance.remove",
            instance.identifier,
            instance.identifier,
            detail,
            seen_instances=(instance,),
            removed_instances=(instance.identifier,),
        )
    except StillUsed:
        raise InUse(
            f"instance {instance.name!r} has objects that are not destroyed; destroy them first, then remove it"
        ) from None
    except InstanceChanged:
        if any(each.identifier == instance.identifier for each in await catalog.instances()):
            raise Refused(f"instance {instance.name!r} was changed just now; look at it, and try again") from None
        raise NotThere(f"instance {instance.name!r} was removed just now") from None
    except Conflict:
        raise NotThere(f"instance {instance.name!r} was removed just now") from None


async def _has_standard_keys(catalog: Catalog, instance: Instance) -> bool:
    """Whether key managers have, or may have, something of the instance."""
    if instance.storage is Storage.KEY_MANAGER or await catalog.leftovers(instance.identifier):
        return True
    # Its storage was changed, and some of its keys have not followed yet.
    return any([thing.standard_key is not None async for thing in things(catalog, instance)])


def _managers(key_managers: Mapping[str, KeyManager], instance: Instance) -> Sequence[KeyManager]:
    """Where its standard keys are: in two key managers while it moves from one to the other."""
    homes = (instance.home, instance.former) if instance.former is not None else (instance.home,)
    found = (key_managers.get(name) for name in dict.fromkeys(home.key_manager for home in homes))
    return [manager for manager in found if manager is not None]


async def _delete_standard_keys(catalog: Catalog, managers: Sequence[KeyManager], instance: Instance) -> None:
    """Delete the copies of the wrapping key and of destroyed objects: nobody would know any more what they were."""
    async for thing in things(catalog, instance):
        for manager in managers if thing.standard_key is not None else ():
            # Where it is not, there is nothing to delete: that is no error.
            await _delete(manager, thing.standard_key or "", thing.unique_identifier)


async def _delete_leftovers(catalog: Catalog, key_managers: Mapping[str, KeyManager], instance: Instance) -> None:
    for leftover in await catalog.leftovers(instance.identifier):
        manager = key_managers.get(leftover.key_manager)
        if manager is not None:
            await _delete(manager, leftover.standard_key, leftover.unique_identifier)


async def _delete(manager: KeyManager, standard_key: str, unique_identifier: str) -> None:
    try:
        await manager.delete_standard_key(standard_key)
    except KeyManagerRefused as error:
        log.warning("the standard key of %s stays behind, unused: %s", unique_identifier, error)
