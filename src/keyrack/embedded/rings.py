"""Key rings: groups of keys that rights can be given over. The ring ``default`` is always there."""

import re
from dataclasses import replace

from keyrack.embedded.call import Call
from keyrack.embedded.errors import InvalidField, InvalidQueryParam, KeyRingConflict
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.instances import DEFAULT_RING, KeyRing
from keyrack.embedded.keys import KeyState
from keyrack.embedded.lifecycle import moved
from keyrack.embedded.store.unit import Unit

MOST_RINGS = 50
"""In one instance, besides the default one."""
MOST_LISTED = 5000
_IDENTIFIER = re.compile(r"[A-Za-z0-9-]{2,100}")
_IN_RING = "instance = ? AND ring = ?"


def rings(house: House, call: Call, limit: int = 100, offset: int = 0) -> tuple[list[KeyRing | None], int]:
    """A page of the key rings, the default one first, as ``None``, and how many there are."""
    if not 1 <= limit <= MOST_LISTED:
        raise InvalidQueryParam(f"limit must be: from 1 to {MOST_LISTED}", target=("query_param", "limit"))
    if offset < 0:
        raise InvalidQueryParam("offset must be: 0 or more", target=("query_param", "offset"))
    with house.reading() as reading:
        reading.allow(call, Right.LIST_RINGS)
        every: list[KeyRing | None] = [None, *reading.instance(call.instance).rings]
    return every[offset : offset + limit], len(every)


def create_ring(house: House, call: Call, identifier: str) -> KeyRing:
    """Make a key ring; ``identifier`` has 2 to 100 letters, digits and hyphens.

    Raises :class:`InvalidField`, and :class:`KeyRingConflict` where it is there or the instance has 50.
    """
    with house.change(call, "") as unit:
        unit.allow(call, Right.CREATE_RING)
        instance = unit.instance(call.instance)
        if _IDENTIFIER.fullmatch(identifier) is None:
            raise InvalidField(
                "The key ring ID must be: 2 to 100 letters, digits and hyphens", target=("field", "key_ring_id")
            )
        if identifier == DEFAULT_RING or any(identifier == each.identifier for each in instance.rings):
            raise KeyRingConflict(f"There is a key ring {identifier!r} already: choose another ID")
        if len(instance.rings) >= MOST_RINGS:
            raise KeyRingConflict(f"The instance has {MOST_RINGS} key rings, as many as it may: delete one first")
        made = KeyRing(identifier=identifier, created_at=house.now, created_by=call.caller.identity)
        unit.put_instance(replace(instance, rings=(*instance.rings, made)))
        _note(house, unit, call, Right.CREATE_RING, ring=identifier)
    return made


def delete_ring(house: House, call: Call, identifier: str, force: bool = False) -> None:
    """Delete a key ring that holds no key; with ``force``, deleted ones go over to the default ring.

    Then the caller also needs the right to move keys, out of this ring and into the default one. Raises
    ``KeyRingNotFound``, and :class:`KeyRingConflict` where it holds keys, and for the default ring.
    """
    with house.change(call, "") as unit:
        unit.allow(call, Right.DELETE_RING)
        instance = unit.instance(call.instance)
        if identifier == DEFAULT_RING:
            raise KeyRingConflict(f"The key ring {DEFAULT_RING!r} is always there and cannot be deleted")
        instance.require_ring(identifier)
        going = _move_deleted(house, unit, call, identifier) if force else 0
        held = unit.count(_IN_RING, (call.instance, identifier))
        if held:
            raise KeyRingConflict(
                f"The key ring {identifier!r} holds {held} keys: move them to another key ring, or delete them and "
                "delete the key ring with force=true"
            )
        unit.put_instance(
            replace(instance, rings=tuple(each for each in instance.rings if each.identifier != identifier))
        )
        _note(house, unit, call, Right.DELETE_RING, ring=identifier, moved=str(going))


def _move_deleted(house: House, unit: Unit, call: Call, ring: str) -> int:
    deleted = unit.select(f"{_IN_RING} AND state = {KeyState.DESTROYED.value}", (call.instance, ring))
    if deleted:
        for either in (ring, DEFAULT_RING):
            unit.allow(call, Right.PATCH, ring=either)
    for key in deleted:
        unit.put_key(moved(house, key, DEFAULT_RING, house.now))
    return len(deleted)


def _note(house: House, unit: Unit, call: Call, right: Right, **detail: str) -> None:
    if call.journaled:
        unit.note(house.entry(call, right.value, **detail))
