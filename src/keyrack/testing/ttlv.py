"""A second, independent reading of TTLV (KMIP 1.4, 9.1): trees of items, strict, and shared with nothing.

The server has its own codec in ``keyrack.wire``. What tests the server must not use it, or one misreading of the
standard would hide on both sides; hence these few lines again, written for clarity and not for speed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

MAXIMUM_DEPTH = 32
"""Structures within structures that a test ever needs to read."""


class Kind(IntEnum):
    """Item Type (KMIP 1.4, 9.1.1.2)."""

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


_FIXED = {
    Kind.INTEGER: (4, True),
    Kind.LONG_INTEGER: (8, True),
    Kind.ENUMERATION: (4, False),
    Kind.BOOLEAN: (8, False),
    Kind.DATE_TIME: (8, True),
    Kind.INTERVAL: (4, False),
}
"""Bytes of the value, and whether it has a sign."""

T = TypeVar("T")
Value = int | str | bytes | tuple["Item", ...]


class NotTtlv(ValueError):
    """What came is not TTLV; the text says where, and never what it held."""


@dataclass(frozen=True, slots=True)
class Item:
    """One TTLV item: a tag, a type, and a value; a structure's value is the tuple of its items.

    A Boolean holds ``0`` or ``1``, so that every scalar is an ``int``, a ``str`` or ``bytes``.
    """

    tag: int
    kind: Kind
    value: Value

    def encode(self) -> bytes:
        """The item's bytes, padded to a multiple of eight."""
        content = self._content()
        padding = bytes(-len(content) % 8)
        return self.tag.to_bytes(3, "big") + bytes([self.kind]) + len(content).to_bytes(4, "big") + content + padding

    def _content(self) -> bytes:
        if isinstance(self.value, tuple):
            return b"".join(item.encode() for item in self.value)
        if isinstance(self.value, str):
            return self.value.encode()
        if isinstance(self.value, bytes):
            return self.value
        if self.kind is Kind.BIG_INTEGER:
            size = -(-(self.value.bit_length() + 1) // 64) * 8
            return self.value.to_bytes(size, "big", signed=True)
        size, signed = _FIXED[self.kind]
        return self.value.to_bytes(size, "big", signed=signed)

    def __iter__(self) -> Iterator["Item"]:
        """The items of a structure; none of a scalar."""
        return iter(self.value if isinstance(self.value, tuple) else ())

    def all(self, tag: int) -> tuple["Item", ...]:
        """The items of this structure that have the tag, in their order."""
        return tuple(item for item in self if item.tag == tag)

    def find(self, *path: int) -> "Item | None":
        """The first item along a path of tags below this one, or ``None``."""
        here: Item | None = self
        for tag in path:
            here = next((item for item in here if item.tag == tag), None) if here else None
        return here

    def number(self, *path: int) -> int:
        """The ``int`` at a path; raises :class:`KeyError` where there is none."""
        return _held(self.find(*path), path, int)

    def string(self, *path: int) -> str:
        """The Text String at a path; raises :class:`KeyError` where there is none."""
        return _held(self.find(*path), path, str)

    def octets(self, *path: int) -> bytes:
        """The Byte String at a path; raises :class:`KeyError` where there is none."""
        return _held(self.find(*path), path, bytes)


def _held(item: Item | None, path: tuple[int, ...], kind: type[T]) -> T:
    if item is None or not isinstance(item.value, kind):
        raise KeyError(f"no {kind.__name__} at {'/'.join(f'{tag:06X}' for tag in path)}")
    return item.value


def structure(tag: int, *items: Item | None) -> Item:
    """A Structure of the items given; ``None`` stands for one that is left out."""
    return Item(tag, Kind.STRUCTURE, tuple(item for item in items if item is not None))


def integer(tag: int, value: int) -> Item:
    """An Integer."""
    return Item(tag, Kind.INTEGER, value)


def enumeration(tag: int, value: int) -> Item:
    """An Enumeration."""
    return Item(tag, Kind.ENUMERATION, int(value))


def boolean(tag: int, value: bool) -> Item:
    """A Boolean."""
    return Item(tag, Kind.BOOLEAN, int(value))


def text(tag: int, value: str) -> Item:
    """A Text String."""
    return Item(tag, Kind.TEXT_STRING, value)


def octets(tag: int, value: bytes) -> Item:
    """A Byte String."""
    return Item(tag, Kind.BYTE_STRING, value)


def date_time(tag: int, value: int) -> Item:
    """A Date-Time, in seconds since 1970."""
    return Item(tag, Kind.DATE_TIME, value)


def parse(message: bytes) -> Item:
    """The one item that ``message`` holds, to its last byte; raises :class:`NotTtlv`."""
    item, end = _item(message, 0, len(message), 0)
    if end != len(message):
        raise NotTtlv(f"{len(message) - end} bytes after the message")
    return item


def _item(message: bytes, start: int, end: int, depth: int) -> tuple[Item, int]:
    if depth > MAXIMUM_DEPTH:
        raise NotTtlv(f"more than {MAXIMUM_DEPTH} structures deep at {start}")
    if end - start < 8:
        raise NotTtlv(f"half an item header at {start}")
    tag = int.from_bytes(message[start : start + 3], "big")
    length = int.from_bytes(message[start + 4 : start + 8], "big")
    try:
        kind = Kind(message[start + 3])
    except ValueError as error:
        raise NotTtlv(f"tag {tag:06X} at {start} has no known type") from error
    body = start + 8
    after = body + length + -length % 8
    if after > end:
        raise NotTtlv(f"tag {tag:06X} at {start} is longer than what holds it")
    if any(message[body + length : after]):
        raise NotTtlv(f"tag {tag:06X} at {start} is not padded with zeros")
    return Item(tag, kind, _value(message, tag, kind, slice(body, body + length), depth)), after


def _value(message: bytes, tag: int, kind: Kind, span: slice, depth: int) -> Value:
    start: int = span.start
    if kind is Kind.STRUCTURE:
        items = []
        at = start
        while at < span.stop:
            item, at = _item(message, at, span.stop, depth + 1)
            items.append(item)
        return tuple(items)
    raw = message[span]
    if kind is Kind.BYTE_STRING:
        return raw
    if kind is Kind.TEXT_STRING:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise NotTtlv(f"tag {tag:06X} at {start} is not UTF-8") from error
    if kind is Kind.BIG_INTEGER:
        if len(raw) % 8 or not raw:
            raise NotTtlv(f"tag {tag:06X} at {start} has a Big Integer of {len(raw)} bytes")
        return int.from_bytes(raw, "big", signed=True)
    size, signed = _FIXED[kind]
    if len(raw) != size:
        raise NotTtlv(f"tag {tag:06X} at {start} has {len(raw)} bytes where {size} belong")
    number = int.from_bytes(raw, "big", signed=signed)
    if kind is Kind.BOOLEAN and number > 1:
        raise NotTtlv(f"tag {tag:06X} at {start} is a Boolean of neither 0 nor 1")
    return number
