"""Moving an instance to another root key, in the same key manager or in another, while its clients go on.

The instance is changed first: from then on new keys are wrapped by the new root key, and blobs of both homes open.
Then each key is opened where it was and sealed where it is to be. The former home is let go of when nothing is there
any more. Broken off anywhere, the same command goes on; the former root key as the new one turns the move back.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import uuid4

from keyrack.domain.errors import KmipError
from keyrack.domain.instance_status import StatusEvent
from keyrack.domain.instances import Hierarchy, Home, Instance, InstanceStatus, Storage, WrappingKey
from keyrack.domain.rights import Right
from keyrack.ports.catalog import InstanceChanged, Leftover
from keyrack.ports.key_affairs import KeyAffairs, KeyBook
from keyrack.ports.key_manager import KeyManager
from keyrack.service.moves.completion import Completed, complete
from keyrack.service.moves.storage import is_at_home, refuse_too_long, too_long
from keyrack.service.moves.successors import Change, Ground, Overtaken, Successors
from keyrack.service.moves.walk import Report, silently
from keyrack.service.office.approvals import ALONE, Consent, Wish, agreed, allowed
from keyrack.service.office.changing import as_moving, step
from keyrack.service.office.founding import keeps_standard_keys, root_key_for
from keyrack.service.office.refusals import Refused
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.standard_keys import LARGEST

GROWS: Final = 2048
"""Bytes by which no wrapped key grows on its way to another home."""


async def change_root_key(
    ground: Ground,
    instance: Instance,
    root_key: str,
    *,
    key_manager: str | None = None,
    rate: float | None = None,
    report: Report = silently,
    book: KeyBook | None = None,
    consent: Consent = ALONE,
) -> Completed:
    """Move the instance to the root key, or go on with that move, or turn it back.

    Without ``key_manager`` the instance's own is meant. ``book`` is where approvals are kept, for instances that two
    people decide about. Raises :class:`Refused` before anything is written, the key manager's two failures and
    ``Overtaken``.
    """
    allowed(ground.administration, Right.INSTANCE_CHANGE, instance.identifier, consent)
    name = key_manager or instance.key_manager
    manager = ground.key_managers.get(name)
    if manager is None:
        raise Refused(f"no key manager {name!r} is configured; use one of: {', '.join(ground.key_managers)}")
    home = Home(name, await root_key_for(name, manager, root_key, instance.name, instance.storage))
    if home != instance.home:
        _check_movable(instance, home)
        affairs = await _agreed(ground, instance, home, book, consent)
        instance = await _switched(ground, instance, home, manager, affairs)
    completed = await _moved(ground, instance, rate, report)
    if completed.left or completed.instance.former is None:
        return completed
    return replace(completed, instance=await _let_go(ground, completed.instance))


def is_to_move(vault: Vault, instance: Instance, thing: Sealed) -> bool:
    """Whether a wrapped key is, or its copy lies, where the instance comes from.

    Raises ``CryptographicFailure`` for a wrapped key that is not as it should be.
    """
    if instance.hierarchy is Hierarchy.DIRECT or isinstance(thing, WrappingKey):
        return vault.home_of(instance, thing) != instance.home
    # Under the wrapping key it opens wherever that is; but its header tells where its copy is.
    provider = vault.wrapping.verified(instance.identifier, thing.sealed).header.provider
    return thing.standard_key is not None and provider != instance.key_manager


async def _moved(ground: Ground, instance: Instance, rate: float | None, report: Report) -> Completed:
    vault = ground.vault
    change = Change(
        action="key.move",
        why="moved",
        make=vault.reseal,
        fits=is_at_home,
        stored=instance.storage is Storage.KEY_MANAGER,
        detail={"key_manager": instance.key_manager, "root_key": instance.root_key},
    )

    def due(thing: Sealed) -> bool:
        return is_to_move(vault, instance, thing)

    return await complete(
        ground,
        Successors(ground, instance, change),
        due,
        concerns=lambda intent: vault.home_of(instance, intent) != instance.home,
        rate=rate,
        report=report,
    )


def _check_movable(instance: Instance, home: Home) -> None:
    if not instance.serves:
        raise Refused(f"instance {instance.name!r} is {instance.status}; only one that serves its clients moves")
    if instance.former not in {None, home}:
        assert instance.former is not None
        raise Refused(
            f"the keys of instance {instance.name!r} are moving from root key {instance.former.root_key} of "
            f"{instance.former.key_manager!r} to {instance.root_key} of {instance.key_manager!r} already; finish that, "
            "or turn it back, by naming the one or the other"
        )


async def _agreed(
    ground: Ground, instance: Instance, home: Home, book: KeyBook | None, consent: Consent
) -> KeyAffairs | None:
    two = instance.dual_control_at is not None
    if not two and consent.approval is None:
        return None
    if book is None:
        raise Refused(f"two people must want another root key for instance {instance.name!r}, and nothing here asks")
    wish = Wish(
        act="instance.root-key",
        instance=instance.identifier,
        target=instance.identifier,
        arguments={"key_manager": home.key_manager, "root_key": home.root_key, "former_root_key": instance.root_key},
        told=f"move the keys of instance {instance.name!r} to root key {home.root_key} of {home.key_manager!r}",
    )
    return await agreed(ground.administration, book, wish, needed=two, consent=consent)


async def _switched(
    ground: Ground, instance: Instance, home: Home, manager: KeyManager, affairs: KeyAffairs | None
) -> Instance:
    """The instance with its new home, committed, once everything was proved that can be proved before."""
    moving = replace(instance, key_manager=home.key_manager, root_key=home.root_key, former=instance.home)
    moving = step(moving, StatusEvent.MOVE, as_moving(moving))
    leftovers = await _proved(ground, instance, moving, manager)
    await _commit(ground, instance, moving, "begun", leftovers, affairs=affairs)
    return moving


async def _proved(ground: Ground, instance: Instance, moving: Instance, manager: KeyManager) -> Sequence[Leftover]:
    """Return when the new home seals, and keeps standard keys where they are wanted; what of the trial is left."""
    now = ground.clock() // 1000
    try:
        await ground.vault.seal_wrapping_key(moving, str(uuid4()), now)
    except KmipError as error:
        told = f": {error.cause}" if error.cause else ""
        raise Refused(f"root key {moving.root_key!r} does not seal: {error}{told}; nothing was changed") from error
    if moving.storage is Storage.CATALOG or moving.key_manager == instance.key_manager:
        return ()
    longer = []
    for thing in await too_long(ground, instance, room=GROWS):
        if len(await ground.vault.reseal(moving, thing)) > LARGEST:
            longer.append(thing)
    refuse_too_long(longer, instance)
    return [await keeps_standard_keys(moving.key_manager, manager, moving, now)]


async def _let_go(ground: Ground, instance: Instance) -> Instance:
    """Nothing is left where the keys come from, and nothing can come there any more: the commit compares."""
    moved = replace(instance, former=None)
    if instance.status is InstanceStatus.CONFIGURING:
        moved = step(moved, StatusEvent.READY)
    await _commit(ground, instance, moved, "ended", ())
    return moved


async def _commit(
    ground: Ground,
    before: Instance,
    after: Instance,
    step: str,
    leftovers: Sequence[Leftover],
    *,
    affairs: KeyAffairs | None = None,
) -> None:
    former = before.former if step == "ended" else before.home
    assert former is not None
    detail: dict[str, str | int] = {
        "name": after.name,
        "step": step,
        "key_manager": after.key_manager,
        "root_key": after.root_key,
        "former_key_manager": former.key_manager,
        "former_root_key": former.root_key,
    }
    administration = ground.administration
    try:
        await administration.commit(
            "instance.root-key",
            after.identifier,
            after.identifier,
            detail,
            seen_instances=(before,),
            instances=(after,),
            leftovers=leftovers,
            key_affairs=affairs,
            touched=administration.touched(after.identifier),
        )
    except InstanceChanged:
        raise Overtaken(f"instance {after.name!r} was changed just now by another command; try again") from None
