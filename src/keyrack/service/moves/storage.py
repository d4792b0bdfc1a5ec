"""Changing where the wrapped keys of an instance are kept: in the catalog alone, or in the key manager as well.

First the instance is changed, and new keys follow; then each object. Broken off anywhere, the same command goes on.
"""

from collections.abc import Sequence
from dataclasses import replace

from keyrack.domain.instances import Instance, Storage
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import InstanceChanged, Leftover
from keyrack.service.moves.completion import Completed, complete
from keyrack.service.moves.successors import Change, Ground, Overtaken, Successors
from keyrack.service.moves.walk import Report, silently, things
from keyrack.service.office.founding import keeps_standard_keys
from keyrack.service.office.refusals import Refused
from keyrack.service.vault.blob import Blob
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.standard_keys import LARGEST

NAMED = 20
"""Objects that a refusal names one by one."""


async def set_storage(
    ground: Ground,
    instance: Instance,
    storage: Storage,
    *,
    keep_standard_keys: bool = False,
    rate: float | None = None,
    report: Report = silently,
) -> Completed:
    """Keep the instance's wrapped keys there from now on, those that it has already too.

    ``keep_standard_keys``: on the way to the catalog the standard keys stay in the key manager, and nobody looks after
    them any more. Raises :class:`Refused` before anything is written, the key manager's two failures and ``Overtaken``.
    """
    _refuse_moving(instance)
    if instance.storage is not storage:
        leftovers = await _proved(ground, instance) if storage is Storage.KEY_MANAGER else ()
        instance = await _switched(ground, instance, storage, leftovers)
    if storage is Storage.KEY_MANAGER:
        change, due = _storing(ground.vault, instance), _is_only_in_catalog
    else:
        change, due = _unstoring(ground.vault, keep_standard_keys=keep_standard_keys), _is_in_key_manager
    successors = Successors(ground, instance, change)
    # What a client began to make for an instance that kept its keys in the key manager is put there still.
    return await complete(
        ground, successors, due, concerns=lambda intent: storage is Storage.CATALOG, rate=rate, report=report
    )


def _refuse_moving(instance: Instance) -> None:
    if instance.former is not None:
        raise Refused(
            f"the keys of instance {instance.name!r} are moving to another root key; finish that first: "
            f"keyrack instance change-root-key {instance.name} --key-manager {instance.key_manager} "
            f"--root-key {instance.root_key}"
        )


async def too_long(ground: Ground, instance: Instance, *, room: int = 0) -> Sequence[Sealed]:
    """What does not fit into a standard key, nor would with ``room`` more bytes."""
    return [
        thing
        async for thing in things(ground.catalog, instance)
        if not is_destroyed(thing) and len(thing.sealed or b"") + room > LARGEST
    ]


def refuse_too_long(found: Sequence[Sealed], instance: Instance) -> None:
    """Raise :class:`Refused` with their names if there are any."""
    if not found:
        return
    names = [f"{each.unique_identifier} ({len(each.sealed or b'')} bytes)" for each in found[:NAMED]]
    if len(found) > NAMED:
        names.append(f"and {len(found) - NAMED} more")
    raise Refused(
        "\n".join(
            (
                f"instance {instance.name!r} has objects that are longer, wrapped, than the {LARGEST} bytes of a "
                "standard key; nothing was changed. Destroy them, or leave its storage at catalog:",
                *(f"  {name}" for name in names),
            )
        )
    )


def is_destroyed(thing: Sealed) -> bool:
    """Whether it is an object that nobody gets any more."""
    return isinstance(thing, ManagedObject) and thing.state in DESTROYED_STATES


def _is_only_in_catalog(thing: Sealed) -> bool:
    return thing.standard_key is None and not is_destroyed(thing)


def _is_in_key_manager(thing: Sealed) -> bool:
    return thing.standard_key is not None


def _storing(vault: Vault, instance: Instance) -> Change:
    async def make(instance: Instance, thing: Sealed) -> bytes:
        blob = vault.wrapping.verified(instance.identifier, thing.sealed)
        if blob.header.provider == instance.key_manager and thing.sealed is not None:
            return thing.sealed
        # It tells where its copy is, and has come from elsewhere under a wrapping key that alone has moved.
        return await vault.reseal(instance, thing)

    return Change(
        action="key.store",
        why="storage",
        make=make,
        fits=is_at_home,
        stored=True,
        detail={"key_manager": instance.key_manager},
    )


def is_at_home(instance: Instance, blob: Blob) -> bool:
    """Whether a wrapped key belongs where the instance keeps its keys now."""
    header = blob.header
    return header.provider == instance.key_manager and (header.two_level or header.root_key == instance.root_key)


def _unstoring(vault: Vault, *, keep_standard_keys: bool) -> Change:
    async def make(instance: Instance, thing: Sealed) -> bytes:
        await vault.verify(instance, thing)
        assert thing.sealed is not None
        return thing.sealed

    return Change(
        action="key.unstore",
        why="storage",
        make=make,
        fits=lambda instance, blob: False,
        stored=False,
        former_stays=keep_standard_keys,
    )


async def _proved(ground: Ground, instance: Instance) -> Sequence[Leftover]:
    """Return when the key manager would keep everything; what of the trial is left."""
    refuse_too_long(await too_long(ground, instance), instance)
    manager = ground.key_managers.get(instance.key_manager)
    if manager is None:
        raise Refused(f"the key manager {instance.key_manager!r} of instance {instance.name!r} is not configured")
    return [await keeps_standard_keys(instance.key_manager, manager, instance, ground.clock() // 1000)]


async def _switched(ground: Ground, instance: Instance, storage: Storage, leftovers: Sequence[Leftover]) -> Instance:
    administration = ground.administration
    switched = replace(instance, storage=storage)
    try:
        await administration.commit(
            "instance.storage",
            instance.identifier,
            instance.identifier,
            {"name": instance.name, "storage": str(storage), "former": str(instance.storage)},
            seen_instances=(instance,),
            instances=(switched,),
            leftovers=leftovers,
            touched=administration.touched(instance.identifier),
        )
    except InstanceChanged:
        raise Overtaken(f"instance {instance.name!r} was changed just now by another command; try again") from None
    return switched
