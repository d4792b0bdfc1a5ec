"""What the embedded key manager tells of its root keys, for whoever administers them over the back office."""

from collections.abc import Sequence

from keyrack.embedded.house import House
from keyrack.embedded.keys import Key, KeyState
from keyrack.embedded.lifecycle import deletion
from keyrack.embedded.schedule import months_later
from keyrack.ports.back_office import RootKeyDetails, RootKeyTold, RootKeyVersion


def root_keys_of(house: House, instance: str) -> Sequence[RootKeyTold]:
    """Every root key of a key manager instance, in whatever state, oldest first."""
    house.database.follow()
    with house.reading() as reading:
        found = reading.select("instance = ? AND extractable = 0", (instance,), order="created_at, rowid")
    return [told(house, key) for key in found]


def told(house: House, key: Key) -> RootKeyTold:
    """One of them; never its material."""
    return RootKeyTold(
        identifier=key.identifier,
        name=key.name,
        state=int(key.state_at(house.now)),
        version=key.newest.identifier,
        created_at=key.created_at,
        details=_details(house, key),
    )


def _details(house: House, key: Key) -> RootKeyDetails:
    months, mark, now = months_of(key), key.set_for_deletion, house.now
    until = mark.at + house.waits.dual_authorisation if mark is not None else None
    marked = until is not None and now < until
    ended = deletion(house.waits, key, now) if key.state is KeyState.DESTROYED else None
    return RootKeyDetails(
        key_manager_instance=key.instance,
        description=key.description,
        aliases=[each.name for each in key.aliases],
        key_ring=key.ring,
        imported=key.imported,
        created_by=key.created_by,
        versions=[
            RootKeyVersion(number=number, identifier=each.identifier, created_at=each.created_at, kept_by=each.keeper)
            for number, each in enumerate(key.versions, start=1)
        ],
        rotated_at=key.rotated_at,
        state_changed_at=key.state_changed_at,
        expires_at=key.expires_at,
        rotate_every_months=months,
        rotation_due=_due(key, months),
        rotate_from=_still(key.rotated_at, house.waits.rotate, now),
        return_from=_still(key.state_changed_at, house.waits.state_change, now) if _may_return(key) else None,
        dual_authorisation=key.dual_auth_delete,
        set_for_deletion_by=mark.by if mark is not None and marked else "",
        set_for_deletion_until=until if marked else None,
        deleted_at=key.deleted_at,
        deleted_by=key.deleted_by or "",
        restore_until=ended.restore_until if ended is not None else None,
        purged_on=ended.purge_on if ended is not None else None,
    )


def months_of(key: Key) -> int | None:
    """Every how many months its policy rotates it; ``None`` where none does."""
    return key.rotation.months if key.rotation is not None and key.rotation.enabled else None


def _due(key: Key, months: int | None) -> int | None:
    if months is None or key.state is not KeyState.ACTIVE:
        return None
    return months_later(key.created_at if key.rotated_at is None else key.rotated_at, months)


def _may_return(key: Key) -> bool:
    return key.state in {KeyState.SUSPENDED, KeyState.DESTROYED}


def _still(at: int | None, wait: int, now: int) -> int | None:
    """When the wait after ``at`` is over, where it is not yet."""
    return at + wait if at is not None and now - at < wait else None
