"""What changes the state of a key, by the law of Key Protect: disable, enable, delete, restore, purge, and moves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.destruction import carry_out, condemn
from keyrack.embedded.errors import (
    AuthorisationsNotMet,
    KeyExpired,
    KeyRestoreExpired,
    KeyRootRequired,
    NotDualAuth,
    PreventKeyDeletion,
    ProtectedResource,
    TooEarly,
)
from keyrack.embedded.house import House, Waits
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.instances import DEFAULT_RING, KeyManagerInstance
from keyrack.embedded.key_changes import changed
from keyrack.embedded.keys import Action, DeletionAuthorisation, Key, KeyState
from keyrack.embedded.rotation import rotate
from keyrack.embedded.store.unit import Unit

__all__ = [
    "Deletion",
    "delete",
    "deletion",
    "disable",
    "enable",
    "move",
    "moved",
    "purge",
    "restore",
    "rotate",
    "set_for_deletion",
    "sync",
    "unset_for_deletion",
]


def disable(house: House, call: Call, name: str) -> Key:
    """Suspend an active root key: it neither wraps nor unwraps until it is enabled."""

    def disabled(unit: Unit, key: Key) -> Key:
        return key.after(Action.DISABLE, house.now)

    return changed(house, call, name, Right.DISABLE, disabled)


def enable(house: House, call: Call, name: str) -> Key:
    """Let a suspended root key work again; raises :class:`TooEarly` within 30 seconds of its last change."""

    def enabled(unit: Unit, key: Key) -> Key:
        key.allow(Action.ENABLE, house.now)
        _require_wait(key, house)
        return key.after(Action.ENABLE, house.now)

    return changed(house, call, name, Right.ENABLE, enabled)


def delete(house: House, call: Call, name: str, *, force: bool = False, used_by: Sequence[str] = ()) -> Key:
    """Delete a key: it works no more at once, can be restored for 30 days, and is gone after a purge.

    ``used_by`` names what cannot work without it: KMIP adapters. Raises :class:`PreventKeyDeletion` where a resource
    forbids it, :class:`ProtectedResource` where anything uses it and ``force`` is not given (then its registrations go
    with it), and :class:`AuthorisationsNotMet` where its dual authorisation misses the other person.
    """

    def deleted(unit: Unit, key: Key) -> Key:
        now = house.now
        key.allow(Action.DELETE, now)
        _require_unprotected(key, now, force, used_by)
        _require_other_person(key, call, now, house.waits)
        gone = key.after(Action.DELETE, now)
        return replace(gone, deleted_at=now, deleted_by=call.caller.identity, set_for_deletion=None, registrations=())

    return changed(house, call, name, Right.DELETE, deleted, forced=str(force).lower())


def restore(house: House, call: Call, name: str) -> Key:
    """Make a deleted key active again, with its versions, aliases and policies.

    Where its key ring is gone, it comes back in the default one. Raises :class:`TooEarly` within 30 seconds of its
    deletion, :class:`KeyRestoreExpired` after 30 days, and :class:`KeyExpired` where its expiration is over.
    """

    def restored(unit: Unit, key: Key) -> Key:
        now = house.now
        key.allow(Action.RESTORE, now)
        _require_wait(key, house)
        if now > deletion(house.waits, key, now).restore_until:
            raise KeyRestoreExpired("Key restoration has expired")
        if key.expires_at is not None and key.expires_at <= now:
            raise KeyExpired("The action could not be performed on the key because the key is expired")
        back = replace(key.after(Action.RESTORE, now), deleted_at=None, deleted_by=None)
        ring = back.ring if _has_ring(unit.instance(call.instance), back.ring) else DEFAULT_RING
        return moved(house, back, ring, now)

    return changed(house, call, name, Right.RESTORE, restored)


def purge(house: House, call: Call, name: str, *, wait: int | None = None) -> Key:
    """Forget a deleted key and destroy its material for ever; the key as it was.

    ``wait`` are the seconds that must have passed since its deletion, four hours without it. Raises :class:`TooEarly`
    before, and ``KeeperUnavailable``, with nothing changed, when the keeper of its material does not answer. Should it
    stop answering after that, the key is gone all the same, and the schedule destroys the material as soon as it can.
    """
    wait = house.waits.purge if wait is None else wait
    with house.reading() as reading:
        key = reading.key_for(call, name, Right.PURGE)
    _require_purgeable(key, house.now, wait)
    for keeper in {version.keeper for version in key.versions}:
        house.keeper_of(keeper).probe()
    with house.change(call, Right.PURGE.value, key.identifier) as unit:
        key = unit.key_for(call, key.identifier, Right.PURGE)
        _require_purgeable(key, house.now, wait)
        condemn(house, unit, key)
        unit.remove_key(key)
    carry_out(house)
    return key


def set_for_deletion(house: House, call: Call, name: str) -> Key:
    """Authorise, as the first of two, the deletion of a key; another person deletes it within seven days.

    Raises :class:`NotDualAuth` for a key without that policy.
    """

    def marked(unit: Unit, key: Key) -> Key:
        _require_dual_authorisation(key, house.now)
        mark = DeletionAuthorisation(by=call.caller.identity, at=house.now)
        return replace(key, set_for_deletion=mark, updated_at=house.now)

    return changed(house, call, name, Right.SET_FOR_DELETION, marked)


def unset_for_deletion(house: House, call: Call, name: str) -> Key:
    """Take the first authorisation back, whoever has given it; harmless where there is none."""

    def unmarked(unit: Unit, key: Key) -> Key:
        _require_dual_authorisation(key, house.now)
        return replace(key, set_for_deletion=None, updated_at=house.now)

    return changed(house, call, name, Right.UNSET_FOR_DELETION, unmarked)


def sync(house: House, call: Call, name: str) -> Key:
    """Tell the resources of a root key again how it stands, deleted or not.

    Raises :class:`TooEarly` within an hour of the last time, or of a change that told them by itself.
    """

    def synced(unit: Unit, key: Key) -> Key:
        if key.extractable:
            raise KeyRootRequired("Requested action can only be completed with a root key")
        # That a key was made is no change that any resource was told of.
        changed_at = key.state_changed_at if key.state_changed_at > key.created_at else None
        told = [at for at in (key.synced_at, key.rotated_at, changed_at) if at is not None]
        if told and house.now - max(told) < house.waits.sync:
            raise TooEarly(f"{_RECENTLY}: Its resources were told within the last {_lasting(house.waits.sync)}")
        return replace(key, synced_at=house.now)

    return changed(house, call, name, Right.SYNC, synced)


def move(house: House, call: Call, name: str, ring: str) -> Key:
    """Put a key that is not deleted into another key ring; the caller may do so with the key and with that ring.

    Raises ``KeyRingNotFound``. What a root key has wrapped opens as before.
    """

    def put(unit: Unit, key: Key) -> Key:
        unit.allow(call, Right.PATCH, ring=ring)
        unit.instance(call.instance).require_ring(ring)
        key.allow(Action.DELETE, house.now)
        return moved(house, key, ring, house.now)

    return changed(house, call, name, Right.PATCH, put, ring=ring)


def moved(house: House, key: Key, ring: str, now: int) -> Key:
    """The key in another ring; the payload of a standard key is bound to its ring, and sealed anew."""
    if key.ring == ring:
        return key
    there = replace(key, ring=ring, updated_at=now)
    if not key.payload:
        return there
    with house.payloads.open(key) as payload:
        return replace(there, payload=house.payloads.seal(there, payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What follows from a deletion; times in seconds since 1970."""

    restore_until: int
    restore_allowed: bool
    purge_from: int
    purge_allowed: bool
    purge_on: int
    """When it is purged by the schedule."""


def deletion(waits: Waits, key: Key, now: int) -> Deletion:
    """Until when a deleted key can be restored, and from when purged."""
    at = key.state_changed_at if key.deleted_at is None else key.deleted_at
    return Deletion(
        restore_until=at + waits.restore,
        restore_allowed=now <= at + waits.restore and (key.expires_at is None or now < key.expires_at),
        purge_from=at + waits.purge,
        purge_allowed=now >= at + waits.purge,
        purge_on=at + waits.purge_schedule,
    )


_RECENTLY = "The key was updated recently: Please wait and try again"


def _require_wait(key: Key, house: House) -> None:
    if house.now - key.state_changed_at < house.waits.state_change:
        raise TooEarly(f"{_RECENTLY}: This is allowed {_lasting(house.waits.state_change)} after its last change")


def _require_unprotected(key: Key, now: int, force: bool, used_by: Sequence[str]) -> None:
    keeping = [each.resource for each in key.registrations if each.prevent_key_deletion]
    if keeping:
        raise PreventKeyDeletion(
            "The key cannot be deleted because it's protecting a cloud resource that has a retention policy: "
            f"{', '.join(keeping)}"
        )
    using = [each.resource for each in key.registrations]
    if key.state_at(now) is KeyState.ACTIVE and not key.extractable:
        using += [f"the KMIP adapter {name!r}" for name in used_by]
    if using and not force:
        raise ProtectedResource(
            f"Key is protecting one or more cloud resources: {', '.join(using)}. Disable it, or delete them first, or "
            "delete it with force=true",
            target=("query_param", "force"),
        )


def _require_other_person(key: Key, call: Call, now: int, waits: Waits) -> None:
    if not key.dual_auth_delete:
        return
    first = key.set_for_deletion
    if first is None or now - first.at >= waits.dual_authorisation:
        reason = "another person sets it for deletion first"
    elif first.by == call.caller.identity:
        reason = "you have set it for deletion, and another person deletes it"
    elif call.caller.identity == KEYRACK.identity:
        # It acts for whoever has asked it to, who may be the first of the two.
        reason = "Keyrack itself is no second person"
    else:
        return
    raise AuthorisationsNotMet(f"Number of authorizations required to delete is not met: {reason}")


def _require_dual_authorisation(key: Key, now: int) -> None:
    key.allow(Action.DELETE, now)
    if not key.dual_auth_delete:
        raise NotDualAuth("The key is not dual auth enabled and cannot be set for deletion")


def _require_purgeable(key: Key, now: int, wait: int) -> None:
    key.allow(Action.PURGE, now)
    if key.deleted_at is None or now - key.deleted_at < wait:
        raise TooEarly(f"{_RECENTLY}: Purge operation is allowed {_lasting(wait)} after key is deleted")


def _has_ring(instance: KeyManagerInstance, ring: str) -> bool:
    return ring == DEFAULT_RING or any(ring == each.identifier for each in instance.rings)


def _lasting(seconds: int) -> str:
    """A duration as Key Protect writes it: ``4h0m0s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return "".join(f"{count}{unit}" for count, unit in ((hours, "h"), (minutes, "m")) if hours or count) + f"{rest}s"
