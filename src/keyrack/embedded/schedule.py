"""What falls due by itself: rotations by policy, purges after 90 days, and marks for deletion that nobody took up.

Called once a minute in one process. It does no harm when two do it: each decides again in the transaction of its act.
"""

from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.destruction import carry_out
from keyrack.embedded.errors import Contradiction, KeyNotFound, KeystoreError, Refusal
from keyrack.embedded.house import DAY, House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.key_changes import changed
from keyrack.embedded.keys import Key, KeyState
from keyrack.embedded.lifecycle import purge
from keyrack.embedded.rotation import rotate_generated
from keyrack.embedded.store.reading import Reading
from keyrack.embedded.store.unit import Unit

PAGE = 500
SHORTEST_MONTH = 28 * DAY
_ROTATING = (
    f"extractable = 0 AND imported = 0 AND state = {KeyState.ACTIVE.value} AND coalesce(rotated_at, created_at) <= ?"
)
_DELETED = f"state = {KeyState.DESTROYED.value} AND deleted_at <= ?"
# No column tells of it; within a string of the record, the quotation marks would be escaped.
_MARKED = "instr(record, '\"set_for_deletion\":{') > 0 AND updated_at <= ?"


class _NotDue(Contradiction):
    """Somebody else was faster."""


def rotate_due(house: House) -> list[str]:
    """Rotate the generated root keys whose policy says so; the identifiers of those that were.

    Where one fails, because the HSM is away, the others go on; the journal tells, and the next call tries again.
    """

    def rotated(key: Key) -> None:
        rotate_generated(house, _call(key), key, _require_due(house))

    with_policy = _found(house, _ROTATING, house.now - SHORTEST_MONTH)
    due = (key for key in with_policy if _rotates_at(key) <= house.now and _is_active(house, key))
    return [key.identifier for key in due if _done(house, key, Right.ROTATE, rotated)]


def purge_due(house: House) -> list[str]:
    """Purge the keys that were deleted 90 days ago; the identifiers of those that were.

    Also finishes purges that were broken off, and forgets marks for deletion after seven days.
    """

    def purged(key: Key) -> None:
        purge(house, _call(key), key.identifier, wait=house.waits.purge_schedule)

    def forgotten(key: Key) -> None:
        changed(house, _call(key), key.identifier, Right.UNSET_FOR_DELETION, _without_old_mark(house))

    for key in _found(house, _MARKED, house.now - house.waits.dual_authorisation):
        if _mark_is_over(house, key):
            _done(house, key, Right.UNSET_FOR_DELETION, forgotten)
    due = _found(house, _DELETED, house.now - house.waits.purge_schedule)
    gone = [key.identifier for key in due if _done(house, key, Right.PURGE, purged)]
    carry_out(house)
    return gone


def months_later(at: int, months: int) -> int:
    """The same time of day so many months later, UTC; on the last day of a month that is too short."""
    then = datetime.fromtimestamp(at, UTC)
    years, month = divmod(then.month - 1 + months, 12)
    year, month = then.year + years, month + 1
    day = min(then.day, monthrange(year, month)[1])
    return int(then.replace(year=year, month=month, day=day).timestamp())


def _rotates_at(key: Key) -> float:
    """When its policy says so; never without one."""
    if key.rotation is None or not key.rotation.enabled:
        return float("inf")
    return months_later(key.created_at if key.rotated_at is None else key.rotated_at, key.rotation.months)


def _is_active(house: House, key: Key) -> bool:
    return key.state_at(house.now) is KeyState.ACTIVE


def _require_due(house: House) -> Callable[[Reading, Key], None]:
    def due(reading: Reading, key: Key) -> None:
        if _rotates_at(key) > house.now or not _is_active(house, key):
            raise _NotDue(f"the key {key.identifier} was rotated, or its policy changed, meanwhile")

    return due


def _mark_is_over(house: House, key: Key) -> bool:
    mark = key.set_for_deletion
    return mark is not None and house.now - mark.at >= house.waits.dual_authorisation


def _without_old_mark(house: House) -> Callable[[Unit, Key], Key]:
    def without(unit: Unit, key: Key) -> Key:
        if not _mark_is_over(house, key):
            raise _NotDue(f"the key {key.identifier} was set for deletion anew meanwhile")
        return replace(key, set_for_deletion=None, updated_at=house.now)

    return without


def _found(house: House, where: str, until: int) -> Iterator[Key]:
    """Keys by a condition, in pages, so that no snapshot stays open while keepers work."""
    after = ""
    while True:
        with house.reading() as reading:
            page = reading.select(f"id > ? AND {where}", (after, until), limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].identifier


def _done(house: House, key: Key, right: Right, act: Callable[[Key], None]) -> bool:
    """Whether the act was done for a key: a failure is journaled and stops nothing."""
    try:
        act(key)
        return True
    except (_NotDue, KeyNotFound):
        pass
    except Refusal as refusal:
        house.note_refused(_call(key), right.value, key.identifier, refusal)
    except KeystoreError as error:
        with house.database.noting() as unit:
            unit.note(house.entry(_call(key), right.value, key.identifier, "failure", reason=str(error)))
    return False


def _call(key: Key) -> Call:
    return Call(caller=KEYRACK, instance=key.instance)
