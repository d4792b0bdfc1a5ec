"""Any TTLV as a tree: for diagnostics, test vectors and tools. Slow, lenient about meaning, strict about form."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct
from typing import Final

from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType
from keyrack.wire import names
from keyrack.wire.errors import Malformed, Unexpected
from keyrack.wire.scalars import PADDING, big_integer
from keyrack.wire.wellformed import DEPTH, check_item

Buffer = bytes | bytearray | memoryview

SECRETS: Final = frozenset({Tag.KEY_MATERIAL, Tag.KEY, Tag.PASSWORD, Tag.OPAQUE_DATA_VALUE})
"""Tags whose values, and all below them, are shown by their length alone; and Key Value, where it is a byte string."""


@dataclass(frozen=True, slots=True)
class Node:
    """One item of TTLV (KMIP 1.4, 9.1.1); ``value`` is a tuple of nodes where it is a structure.

    The ``repr`` shows neither values nor what is below.
    """

    tag: int
    item_type: ItemType
    value: "int | str | bytes | bool | tuple[Node, ...]"

    def __repr__(self) -> str:
        return f"<{names.tag_title(self.tag)} ({self.item_type.title})>"

    @property
    def secret(self) -> bool:
        """Whether the value, and what is below, must not be shown."""
        wrapped = self.tag == Tag.KEY_VALUE and self.item_type is ItemType.BYTE_STRING
        return wrapped or self.tag in SECRETS

    @property
    def children(self) -> "tuple[Node, ...]":
        """What stands in a structure; nothing in other items."""
        return self.value if isinstance(self.value, tuple) else ()


# --- bytes to tree ---

_head = Struct(">II").unpack_from
_FORMATS: Final = {
    ItemType.INTEGER: Struct(">i"),
    ItemType.LONG_INTEGER: Struct(">q"),
    ItemType.ENUMERATION: Struct(">I"),
    ItemType.BOOLEAN: Struct(">Q"),
    ItemType.DATE_TIME: Struct(">q"),
    ItemType.INTERVAL: Struct(">I"),
}


def parse(buffer: Buffer) -> Node:
    """The item that is the whole of ``buffer``; raises ``Malformed`` if it is not TTLV, or too deep."""
    if check_item(buffer, 0, len(buffer), DEPTH) != len(buffer):
        raise Malformed("bytes follow the item")
    return _node(buffer, 0)[0]


def _node(buffer: Buffer, pos: int) -> tuple[Node, int]:
    """The item at ``pos``, which was checked, and where it ends."""
    label, size = _head(buffer, pos)
    stop = pos + 8 + size
    item_type = ItemType(label & 0xFF)
    return Node(label >> 8, item_type, _value(buffer, pos + 8, stop, item_type)), stop + (-size & 7)


def _value(buffer: Buffer, pos: int, stop: int, item_type: ItemType) -> "int | str | bytes | bool | tuple[Node, ...]":
    if item_type is ItemType.STRUCTURE:
        return tuple(_nodes(buffer, pos, stop))
    if item_type in _FORMATS:
        (value,) = _FORMATS[item_type].unpack_from(buffer, pos)
        return bool(value) if item_type is ItemType.BOOLEAN else int(value)
    raw = bytes(buffer[pos:stop])
    if item_type is ItemType.BIG_INTEGER:
        return int.from_bytes(raw, "big", signed=True)
    return raw.decode() if item_type is ItemType.TEXT_STRING else raw


def _nodes(buffer: Buffer, pos: int, end: int) -> Iterator[Node]:
    while pos < end:
        node, pos = _node(buffer, pos)
        yield node


# --- tree to bytes ---


def build(node: Node) -> bytes:
    """The item as TTLV; raises ``Unexpected`` where a value is not of the item's type."""
    content = _content(node)
    return (node.tag << 8 | node.item_type).to_bytes(4, "big") + len(content).to_bytes(4, "big") + content + PADDING[
        len(content) & 7
    ]  # fmt: skip


def _content(node: Node) -> bytes:
    value = node.value
    match node.item_type, value:
        case ItemType.STRUCTURE, tuple():
            return b"".join(build(child) for child in node.children)
        case ItemType.TEXT_STRING, str():
            return value.encode()
        case ItemType.BYTE_STRING, bytes():
            return value
        case ItemType.BIG_INTEGER, int():
            return big_integer(value)
        case item_type, int() if item_type in _FORMATS:
            return _FORMATS[item_type].pack(value)
    raise Unexpected(f"{names.tag_title(node.tag)}: the value is no {node.item_type.title}")


# --- tree to text ---


def to_text(node: Node, *, secrets: bool = False) -> str:
    """One line for each item, indented; key material and passwords by their length alone, unless ``secrets``."""
    return "\n".join(_lines(node, "", None, secrets)) + "\n"


def _lines(node: Node, indent: str, attribute: str | None, secrets: bool) -> Iterator[str]:
    title = f"{indent}{names.tag_title(node.tag)}"
    if node.secret and not secrets:
        yield f"{title}: {node.item_type.title} <{len(_content(node))} bytes>"
    elif node.item_type is ItemType.STRUCTURE:
        yield title
        name = attribute_name(node)
        for child in node.children:
            yield from _lines(child, indent + "  ", name, secrets)
    else:
        yield f"{title}: {node.item_type.title} {_shown(node, attribute)}"


def attribute_name(node: Node) -> str | None:
    """The Attribute Name that stands in a structure, which decides what its Attribute Value means."""
    found = [child.value for child in node.children if child.tag == Tag.ATTRIBUTE_NAME]
    return found[0] if found and isinstance(found[0], str) else None


def _shown(node: Node, attribute: str | None) -> str:
    value = node.value
    if isinstance(value, bytes):
        return value.hex() or "(empty)"
    if isinstance(value, bool) or not isinstance(value, int):
        return repr(value)
    return _number(value, node.item_type, names.value_tag(node.tag, attribute))


def _number(value: int, item_type: ItemType, tag: int) -> str:
    if item_type is ItemType.ENUMERATION:
        return f"0x{value:08X} {names.word_title(tag, value) or ''}".rstrip()
    if item_type is ItemType.DATE_TIME:
        return f"{value} {moment(value) or ''}".rstrip()
    if item_type is ItemType.INTEGER and tag in names.MASKS and value >= 0:
        flags = [name for name, flag in names.xml_flags(names.MASKS[tag]).items() if value & flag]
        return f"0x{value:08X} {' '.join(flags)}".rstrip()
    return str(value)


def moment(seconds: int) -> str | None:
    """A Date-Time as ISO 8601 has it, where it has it (years 1 to 9999)."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return None
