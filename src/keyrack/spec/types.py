"""The item types of TTLV (KMIP 1.4, 9.1.1.2), and the annotations that name them on declared fields."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from keyrack.spec.versions import ProtocolVersion


class ItemType(IntEnum):
    """Item Type (KMIP 1.4, 9.1.1.2): how the value of a TTLV item is written."""

    STRUCTURE = 1
    INTEGER = 2
    LONG_INTEGER = 3
    BIG_INTEGER = 4
    ENUMERATION = 5
    BOOLEAN = 6
    TEXT_STRING = 7
    BYTE_STRING = 8
    DATE_TIME = 9
    INTERVAL = 10

    @property
    def title(self) -> str:
        """As the standard prints it: ``"Date-Time"``."""
        return "Date-Time" if self is ItemType.DATE_TIME else self.name.replace("_", " ").title()


LongInteger = Annotated[int, ItemType.LONG_INTEGER]
"""A signed integer of 64 bits."""
BigInteger = Annotated[int, ItemType.BIG_INTEGER]
"""A signed integer of any size."""
DateTime = Annotated[int, ItemType.DATE_TIME]
"""Seconds since 1970-01-01T00:00:00Z, 64 bits signed."""
Interval = Annotated[int, ItemType.INTERVAL]
"""A duration in seconds, 32 bits unsigned."""
SecretBytes = Annotated[bytearray, ItemType.BYTE_STRING]
"""A Byte String that is secret: decoded into a :class:`Vanishing` array of its own, and never shown in a ``repr``."""
SecretText = Annotated[bytearray, ItemType.TEXT_STRING]
"""A Text String that is secret, as its UTF-8 bytes: treated like :data:`SecretBytes`."""


class Vanishing(bytearray):
    """Key material that overwrites itself with zeros when its last holder lets go.

    What is decoded for a request that is refused later on, or shared with an answer that is being written, is nobody's
    to wipe at a known moment.
    """

    __slots__ = ()

    def __del__(self) -> None:
        self[:] = bytes(len(self))


@dataclass(frozen=True, slots=True)
class Since:
    """Marks a field that a structure has only from a protocol version on: ``Annotated[T | None, Since(V1_4)]``.

    Needed only where the field's tag is older than its place in the structure: the version of the tag counts anyway.
    """

    version: ProtocolVersion


@dataclass(frozen=True, slots=True)
class CustomValue:
    """The value of a custom attribute (KMIP 1.4, 3.39), which carries its item type itself.

    ``value`` is an ``int`` for Integer, Long Integer, Big Integer, Enumeration, Date-Time and Interval, a ``bool``, a
    ``str``, or ``bytes``; for a Structure it is the content in TTLV, as ``bytes``.
    """

    item_type: ItemType
    value: int | str | bytes | bool
