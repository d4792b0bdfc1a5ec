"""Reads declarations: a frozen dataclass and its annotations become a list of fields (no bytes here)."""

from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import IntFlag
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType, Since
from keyrack.spec.versions import V1_0, ProtocolVersion
from keyrack.spec.word import Word

T = TypeVar("T")

STRUCTURES: Final[list[type]] = []
"""Every class that ``@structure`` has declared, in the order of import; fuzzing and round trips walk it."""

SCALARS: Final[dict[type, ItemType]] = {
    int: ItemType.INTEGER,
    bool: ItemType.BOOLEAN,
    str: ItemType.TEXT_STRING,
    bytes: ItemType.BYTE_STRING,
    bytearray: ItemType.BYTE_STRING,
}
"""The item type of a bare Python type; another is named by an annotation of ``spec.types``."""


class Verbatim:
    """Marks an enumeration whose value is written even where the version does not have it, because it is an echo."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One form that a field's value may take."""

    python: type
    """What the value is in Python: a scalar type, an enumeration, or a structure."""
    item_type: ItemType
    tag: Tag
    verbatim: bool = False
    """A value that is newer than the version is written all the same."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One element of a structure."""

    name: str
    choices: tuple[Choice, ...]
    presence: Literal["required", "optional", "repeated"]
    since: ProtocolVersion

    @property
    def title(self) -> str:
        """For messages: the standard's name of the element."""
        return " or ".join(dict.fromkeys(choice.tag.title for choice in self.choices))


@dataclass_transform(kw_only_default=True, frozen_default=True)
def structure(cls: type[T]) -> type[T]:
    """Declare a structure of the wire: a frozen dataclass whose fields are its elements, in order.

    A field is named like its tag, or is a union of structures that name their own tags (``TAG``). ``T | None`` is
    optional, ``tuple[T, ...]`` repeated, ``A | B`` a choice by tag or type, ``Annotated[T, Since(V1_4)]`` newer than
    the structure, ``Annotated[T, Tag.X]`` under another tag, ``Annotated[Any, C]`` written as class ``C`` is.

    The codec is compiled at the first use of the class. Its ``repr`` shows the length of a ``bytearray`` (a secret)
    and of a buffer, never the bytes.
    """
    made = dataclass(frozen=True, slots=True, kw_only=True, repr=False)(cls)
    if "__repr__" not in cls.__dict__:
        made.__repr__ = _repr  # type: ignore[method-assign]
    STRUCTURES.append(made)
    return made


def _repr(self: Any) -> str:
    shown = ", ".join(f"{field.name}={_shown(getattr(self, field.name))}" for field in fields(self))
    return f"{type(self).__name__}({shown})"


def _shown(value: object) -> str:
    return f"<{len(value)} bytes>" if isinstance(value, bytearray | memoryview) else repr(value)


def fields_of(cls: type) -> tuple[FieldPlan, ...]:
    """The elements of a declared structure, in order; raises ``TypeError`` naming the field that is not understood."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(plan_field(cls.__name__, field.name, hints[field.name], field) for field in _declared(cls))


def _declared(cls: Any) -> tuple[Field[Any], ...]:
    return fields(cls)


def plan_field(owner: str, name: str, hint: Any, field: Field[Any] | None = None) -> FieldPlan:
    """What one annotation says."""
    reading = _Reading(f"{owner}.{name}")
    reading.take(hint)
    tag = reading.tag or Tag.__members__.get(name.upper())
    choices = tuple(_choice(reading, python, item_type, tag) for python, item_type in reading.found)
    if not choices:
        raise TypeError(f"{reading.where}: no type is named")
    if field is not None and reading.presence != "required" and field.default is MISSING:
        raise TypeError(f"{reading.where}: an element that may be absent needs a default")
    since = max(reading.since, min(choice.tag.since for choice in choices))
    return FieldPlan(name, choices, reading.presence, since)


class _Reading:
    """Collects what an annotation says while it is unwrapped."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[tuple[type, ItemType]] = []
        self.presence: Literal["required", "optional", "repeated"] = "required"
        self.since = V1_0
        self.tag: Tag | None = None
        self.verbatim = False

    def take(self, hint: Any, item_type: ItemType | None = None) -> None:
        origin = get_origin(hint)
        if origin is Annotated:
            inner, *marks = get_args(hint)
            special = [mark for mark in marks if isinstance(mark, type) and mark is not Verbatim]
            self.take(special[0] if special else inner, self._marks(marks) or item_type)
        elif origin in (Union, UnionType):
            for member in _without_vendor_values(get_args(hint)):
                self.take(member, item_type)
        elif hint is NoneType:
            self.presence = "optional"
        elif origin is tuple and get_args(hint)[1:] == (...,):
            self.presence = "repeated"
            self.take(get_args(hint)[0])
        elif isinstance(hint, type):
            self.found.append((hint, item_type or self._item_type(hint)))
        else:
            raise TypeError(f"{self.where}: {hint!r} is no annotation of a structure's field")

    def _marks(self, marks: list[Any]) -> ItemType | None:
        found = None
        for mark in marks:
            if isinstance(mark, ItemType):
                found = mark
            elif isinstance(mark, Since):
                self.since = mark.version
            elif isinstance(mark, Tag):
                self.tag = mark
            self.verbatim = self.verbatim or mark is Verbatim
        return found

    def _item_type(self, python: type) -> ItemType:
        if python in SCALARS:
            return SCALARS[python]
        if issubclass(python, Word):
            return ItemType.ENUMERATION
        if issubclass(python, IntFlag):
            return ItemType.INTEGER
        if is_dataclass(python) or python in SPECIAL:
            return ItemType.STRUCTURE
        raise TypeError(f"{self.where}: {python.__name__} has no form on the wire")


def _without_vendor_values(members: tuple[Any, ...]) -> Iterator[Any]:
    """Drop the ``int`` of ``SomeEnumeration | int``: it only says that a vendor's value may come."""
    named = any(isinstance(member, type) and issubclass(member, Word | IntFlag) for member in members)
    return (member for member in members if not (named and member is int))


def _choice(reading: _Reading, python: type, item_type: ItemType, tag: Tag | None) -> Choice:
    own = tag or getattr(python, "TAG", None)
    if own is None:
        raise TypeError(f"{reading.where}: neither the field's name nor {python.__name__} names a tag")
    return Choice(python, item_type, own, reading.verbatim)


SPECIAL: Final[dict[type, Callable[[ProtocolVersion], Any]]] = {}
"""Structures whose codec is written by hand, because their form depends on a value in them: class to its factory."""
