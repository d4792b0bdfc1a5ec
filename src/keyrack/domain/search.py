"""Which objects a Locate finds (KMIP 1.4, 4.9).

- ``matcher(filters, *, version, now, ...) -> Callable[[ManagedObject], bool]``: the filters, checked and read once.
- ``matches(managed, filters, *, version, now, ...) -> bool``: the same for one object.
- ``candidates(filters) -> Narrowing``: what the catalog may look up before the matcher decides.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from keyrack.domain.errors import InvalidField
from keyrack.domain.lifecycle import DESTROYED_STATES, STATELESS, tick
from keyrack.domain.objects import Attributes, Indexed, ManagedObject
from keyrack.spec.attributes import ATTRIBUTES, is_custom
from keyrack.spec.enumerations import ObjectGroupMember, State, StorageStatusMask
from keyrack.spec.types import CustomValue, DateTime, ItemType
from keyrack.spec.versions import ProtocolVersion

Filters = Sequence[tuple[str, Any]]
"""Attribute names and values as the request gives them; all must match."""

Test = Callable[[Attributes], bool]

DATES: Final = frozenset(word.name for word in ATTRIBUTES.values() if word.type == DateTime)
MASK: Final = "Cryptographic Usage Mask"

OF_THE_DESTROYED: Final = frozenset({"State", "Destroy Date"})
"""Attributes that a destroyed object can be found by."""

STABLE: Final = frozenset({State.PRE_ACTIVE, State.COMPROMISED, State.DESTROYED, State.DESTROYED_COMPROMISED})
"""States that time alone does not lead to: an object that is in one now is stored in it."""


def _is_date(name: str, value: Any) -> bool:
    return name in DATES or (isinstance(value, CustomValue) and value.item_type is ItemType.DATE_TIME)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, CustomValue) else value


def _agrees(asked: Any, held: Any) -> bool:
    """Equal; or, for a structure, equal in every field that was asked for (KMIP 1.4, 4.9)."""
    if not is_dataclass(asked) or isinstance(asked, CustomValue):
        return bool(asked == held)
    if type(asked) is not type(held):
        return False
    return all(_field_agrees(getattr(asked, each.name), getattr(held, each.name)) for each in fields(asked))


def _field_agrees(asked: Any, held: Any) -> bool:
    if asked is None:
        return True
    if isinstance(asked, tuple):
        return set(asked) <= set(held)
    return bool(asked == held)


def _equal(name: str, asked: Any) -> Test:
    return lambda held: any(_agrees(asked, each.value) for each in held.get(name, ()))


def _has_bits(asked: int) -> Test:
    return lambda held: any(each.value & asked == asked for each in held.get(MASK, ()))


def _between(name: str, earliest: int, latest: int) -> Test:
    return lambda held: any(
        _is_date(name, each.value) and earliest <= _plain(each.value) <= latest for each in held.get(name, ())
    )


def _tests(filters: Filters) -> list[Test]:
    """One test for each filter, but one for the dates of one name together: one is exact, two are a range."""
    tests: list[Test] = []
    dates: dict[str, list[int]] = {}
    for name, value in filters:
        if _is_date(name, value):
            dates.setdefault(name, []).append(_plain(value))
        elif name == MASK:
            tests.append(_has_bits(int(value)))
        else:
            tests.append(_equal(name, value))
    for name, given in dates.items():
        if len(given) > 2:
            raise InvalidField(f"{name} is there more than twice: one date is exact, two are a range")
        tests.append(_between(name, min(given), max(given)))
    return tests


def _check_known(filters: Filters, version: ProtocolVersion) -> None:
    for name, _ in filters:
        word = ATTRIBUTES.get(name)
        if not is_custom(name) and (word is None or version < word.since):
            raise InvalidField("one of the attributes to search by does not exist in this protocol version")


def _of_group(member: ObjectGroupMember | int) -> Test:
    """Member of an Object Group; of the kind Fresh, one that no client has got yet (KMIP 1.4, 4.9)."""
    if member not in ObjectGroupMember.__members__.values():
        raise InvalidField("this Object Group Member is not one of KMIP's")
    if member == ObjectGroupMember.GROUP_MEMBER_FRESH:
        return lambda held: "Object Group" in held and any(each.value is True for each in held.get("Fresh", ()))
    return lambda held: "Object Group" in held


def matcher(
    filters: Filters,
    *,
    version: ProtocolVersion,
    now: int,
    storage_status_mask: StorageStatusMask | int | None = None,
    object_group_member: ObjectGroupMember | int | None = None,
) -> Callable[[ManagedObject], bool]:
    """The decision on one object after another, as of ``now``.

    Destroyed objects are found by those who ask for their State or their Destroy Date, and by nobody else: the
    profiles' own cases want a Locate for the Unique Identifier of a destroyed key to find nothing. Nothing is ever
    archived here: a mask without on-line storage finds nothing. Raises :class:`InvalidField` for attributes that the
    protocol version does not have (KMIP 1.4, 11.10).
    """
    _check_known(filters, version)
    buried = not any(name in OF_THE_DESTROYED for name, _ in filters)
    tests = _tests(filters)
    if object_group_member is not None:
        tests.append(_of_group(object_group_member))
    if storage_status_mask is not None and not storage_status_mask & StorageStatusMask.ON_LINE_STORAGE:
        return lambda managed: False

    def decide(managed: ManagedObject) -> bool:
        if buried and managed.state in DESTROYED_STATES:
            return False
        held = _searchable(tick(managed, now))
        return all(test(held) for test in tests)

    return decide


def _searchable(managed: ManagedObject) -> Attributes:
    """All attributes, without the order that answers have: this runs for each candidate."""
    held = dict(managed.attributes)
    held["Unique Identifier"] = (Indexed(0, managed.unique_identifier),)
    held["Object Type"] = (Indexed(0, managed.object_type),)
    if managed.object_type not in STATELESS:
        held["State"] = (Indexed(0, managed.state),)
    return held


def matches(managed: ManagedObject, filters: Filters, *, version: ProtocolVersion, now: int, **more: Any) -> bool:
    """Whether one object is found; ``more`` is what :func:`matcher` takes besides."""
    return matcher(filters, version=version, now=now, **more)(managed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """Conditions that every found object fulfils in the catalog too; the rest is for the matcher."""

    object_type: int | None = None
    state: int | None = None
    """``None`` for a State that time alone leads to: the catalog holds an object as it was last changed."""
    equal: tuple[tuple[str, Any], ...] = ()
    """Attribute names with values that one of the object's instances equals exactly."""


def candidates(filters: Filters) -> Narrowing:
    """What the catalog may look up first."""
    first = dict(reversed(filters))
    state = first.get("State")
    return Narrowing(
        object_type=first.get("Object Type"),
        state=state if state in STABLE else None,
        equal=tuple((name, value) for name, value in filters if _is_exact(name, value)),
    )


def _is_exact(name: str, value: Any) -> bool:
    if name in ("Object Type", "State", MASK) or _is_date(name, value):
        return False
    if is_dataclass(value) and not isinstance(value, CustomValue):
        return all(getattr(value, each.name) not in (None, ()) for each in fields(value))
    return True
