"""The attributes of an object: what a client sees of them, and what it may change (KMIP 1.4, 3 and 4.12 to 4.16).

Reading:

- ``names(managed, version)``: the names of all attributes (Get Attribute List).
- ``visible(managed, names, version)``: attributes by name, or all (Get Attributes).
- ``shown_index(index)``: the Attribute Index as an answer shows it: 0 is left out.

Changing; each returns the changed object and the instance that was added, changed or taken away:

- ``add(managed, name, value, *, index, version, now, taken)``
- ``modify(managed, name, value, *, index, version, now, taken)``
- ``delete(managed, name, *, index, version, now)``
- ``released(managed, at)``: after a first Get the object is no longer Fresh.

Names:

- ``name_values(given)``: the Name Values in a list of names and values, to be looked up for ``taken``.
- ``bears_name(managed, name_value)``: whether an object has that name; a destroyed one has given it up.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, NamedTuple

from keyrack.domain.attribute_values import (
    DATES,
    accept,
    check_changeable,
    check_name,
    check_order,
    companions,
    sayable,
)
from keyrack.domain.errors import (
    IllegalOperation,
    IndexOutOfBounds,
    InvalidField,
    InvalidMessage,
    ItemNotFound,
    PermissionDenied,
)
from keyrack.domain.lifecycle import DESTROYED_STATES, setting, tick
from keyrack.domain.objects import Attributes, Indexed, ManagedObject
from keyrack.spec.attributes import ATTRIBUTES, CLIENT_PREFIX, is_custom
from keyrack.spec.enumerations import ObjectType
from keyrack.spec.versions import V1_0, V1_1, ProtocolVersion

MAX_INSTANCES: Final = 256
"""Instances of one attribute that an object may have."""
MAX_NAMES: Final = 512
"""Different attributes that an object may have."""


class Rule(NamedTuple):
    """What a client may do with one attribute of one kind of object."""

    multiple: bool
    settable: bool
    modifiable: bool
    deletable: bool


CUSTOM_CLIENT: Final = Rule(multiple=True, settable=True, modifiable=True, deletable=True)
CUSTOM_SERVER: Final = Rule(multiple=True, settable=False, modifiable=False, deletable=False)


def rule(name: str, object_type: ObjectType, version: ProtocolVersion) -> Rule | None:
    """The rule for an attribute; ``None`` where it is not one of this object type and protocol version."""
    if is_custom(name):
        return CUSTOM_CLIENT if name.startswith(CLIENT_PREFIX) else CUSTOM_SERVER
    word = ATTRIBUTES.get(name)
    if word is None or version < word.since or object_type not in word.applies_to:
        return None
    return Rule(
        multiple=word.multiple,
        settable="client" in word.set_by,
        modifiable=word.modifiable_by_client,
        deletable=word.deletable_by_client,
    )


def _fields(managed: ManagedObject) -> dict[str, Any]:
    """The attributes that are fields of the object."""
    return {
        "Unique Identifier": managed.unique_identifier,
        "Object Type": managed.object_type,
        "State": managed.state,
    }


def everything(managed: ManagedObject) -> Attributes:
    """All attributes of an object, Unique Identifier, Object Type and State among them, in the standard's order."""
    held = {name: (Indexed(0, value),) for name, value in _fields(managed).items()} | dict(managed.attributes)
    ordered = {name: held[name] for name in ATTRIBUTES if name in held}
    return ordered | {name: instances for name, instances in held.items() if name not in ordered}


def names(managed: ManagedObject, version: ProtocolVersion) -> tuple[str, ...]:
    """The names of all attributes that the object has and that the protocol version knows (KMIP 1.4, 4.13)."""
    return tuple(name for name in everything(managed) if rule(name, managed.object_type, version) is not None)


def visible(
    managed: ManagedObject, wanted: Sequence[str] | None, version: ProtocolVersion
) -> tuple[tuple[str, Indexed], ...]:
    """The attributes named in ``wanted``, every instance of each; all of them for ``None`` or an empty list.

    What the object does not have is left out (KMIP 1.4, 4.12), and so is a value that the version has no word for.
    Raises :class:`InvalidMessage` for a name that is there twice (KMIP 1.4, 11.13), which 1.0 took for once.
    """
    if wanted and len(set(wanted)) < len(wanted) and version >= V1_1:
        raise InvalidMessage("the same Attribute Name is present more than once")
    known = set(names(managed, version))
    held = everything(managed)
    chosen = dict.fromkeys(wanted) if wanted else held
    return tuple(
        (name, instance)
        for name in chosen
        if name in known
        for instance in held[name]
        if sayable(instance.value, version)
    )


def shown_index(index: int) -> int | None:
    """The Attribute Index for an answer: the first instance goes without, 0 is what a missing index means (2.1.1)."""
    return index or None


def name_values(given: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    """The Name Values among attribute names and values."""
    return tuple(value.name_value for name, value in given if name == "Name")


def bears_name(managed: ManagedObject, name_value: str) -> bool:
    """Whether the object has this Name Value, so that no other may take it.

    A destroyed object keeps its attributes but has given its names up: its successor may have them.
    """
    if managed.state in DESTROYED_STATES:
        return False
    return any(each.value.name_value == name_value for each in managed.attributes.get("Name", ()))


def add(
    managed: ManagedObject,
    name: str,
    value: Any,
    *,
    version: ProtocolVersion,
    now: int,
    index: int | None = None,
    taken: Collection[str] = (),
) -> tuple[ManagedObject, Indexed]:
    """Add Attribute (KMIP 1.4, 4.14): a new attribute, or one more instance with the next index.

    ``taken``: Name Values that other objects have. Raises what KMIP 1.4, 11.15 names.
    """
    managed = tick(managed, now)
    if index is not None:
        raise InvalidField("a new attribute has no Attribute Index: the server gives it one")
    found = rule(name, managed.object_type, version)
    if found is None:
        raise PermissionDenied("the attribute is not supported for this object")
    if not found.settable:
        raise PermissionDenied("the attribute is read-only: the server keeps it")
    held = managed.attributes.get(name, ())
    if held and not found.multiple:
        raise IllegalOperation("the attribute exists already; change it with Modify Attribute")
    if len(held) >= MAX_INSTANCES or (not held and len(managed.attributes) >= MAX_NAMES):
        raise IndexOutOfBounds("the object has as many attributes as the server keeps")
    check_changeable(managed, name, now)
    if name == "Name":
        check_name(value, held, taken, IllegalOperation)
    instance = Indexed(held[-1].index + 1 if held else 0, accept(name, value, version))
    return _changed(managed, name, (*held, instance), now), instance


def modify(
    managed: ManagedObject,
    name: str,
    value: Any,
    *,
    version: ProtocolVersion,
    now: int,
    index: int | None = None,
    taken: Collection[str] = (),
) -> tuple[ManagedObject, Indexed]:
    """Modify Attribute (KMIP 1.4, 4.15): another value for the instance with this index, 0 where none is given.

    Raises what KMIP 1.4, 11.16 names.
    """
    managed = tick(managed, now)
    found = rule(name, managed.object_type, version)
    if found is None:
        raise InvalidField("the object has no such attribute")
    if not found.modifiable:
        raise PermissionDenied("the attribute is read-only")
    held = managed.attributes.get(name, ())
    if not held:
        raise InvalidField("the object has no such attribute yet; add it with Add Attribute")
    old = _instance(held, index or 0)
    check_changeable(managed, name, now)
    others = tuple(each for each in held if each is not old)
    if name == "Name":
        check_name(value, others, taken, IllegalOperation)
    new = Indexed(old.index, accept(name, value, version))
    return _changed(managed, name, tuple(new if each is old else each for each in held), now), new


def delete(
    managed: ManagedObject, name: str, *, version: ProtocolVersion, now: int, index: int | None = None
) -> tuple[ManagedObject, Indexed]:
    """Delete Attribute (KMIP 1.4, 4.16): the instance with this index goes, the indices of the others stay.

    Without an index, instance 0 is meant; 1.0 wants the index named where there are several. Raises what 11.17 names.
    """
    managed = tick(managed, now)
    found = rule(name, managed.object_type, version)
    held = everything(managed).get(name, ())
    if found is None or not held:
        raise ItemNotFound("the object has no attribute of this name")
    if not found.deletable:
        raise PermissionDenied("the attribute is read-only or required")
    if version == V1_0 and index is None and len(held) > 1:
        raise InvalidField("the attribute has several instances: name the Attribute Index")
    if version == V1_0 and index is not None and not found.multiple:
        raise ItemNotFound("the attribute has one instance and takes no Attribute Index")
    gone = _instance(held, index or 0)
    check_changeable(managed, name, now)
    return _changed(managed, name, tuple(each for each in held if each is not gone), now), gone


def _instance(held: Sequence[Indexed], index: int) -> Indexed:
    for each in held:
        if each.index == index:
            return each
    raise ItemNotFound("the attribute has no instance with this Attribute Index")


def _changed(managed: ManagedObject, name: str, instances: tuple[Indexed, ...], now: int) -> ManagedObject:
    attributes = {**managed.attributes, name: instances}
    if instances:
        attributes.update(setting({}, companions(name, instances[0].value, managed.attributes)))
    else:
        del attributes[name]
    if name in DATES:
        # Only the client's dates are held to their order: a Revoke may have set one before another that never came.
        check_order(attributes)
    changed = managed.changed(attributes=setting(attributes, {"Last Change Date": now}))
    # A date may have been set that has come already: the state follows at once (KMIP 1.4, 3.22).
    return tick(changed, now)


def released(managed: ManagedObject, *, at: int) -> ManagedObject:
    """The object after Get has handed it out: no longer Fresh (KMIP 1.4, 3.34); the same object where it was not.

    The Last Change Date stays: Get is not among what sets it (KMIP 1.4, 3.38).
    """
    if managed.value("Fresh") is not True:
        return managed
    managed = tick(managed, at)
    return managed.changed(attributes=setting(managed.attributes, {"Fresh": False}))
