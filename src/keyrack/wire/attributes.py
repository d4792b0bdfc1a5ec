"""Attributes on the wire (KMIP 1.4, 2.1.1): a name, an index, and a value whose type the name decides."""

from collections.abc import Callable
from struct import Struct
from typing import Annotated, Any, Final

from keyrack.spec.attributes import ATTRIBUTES, is_custom
from keyrack.spec.tags import Tag
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.wire.codec import Buffer, Decoder, Encoder, Late, item_codec, maker, structure
from keyrack.wire.declare import SPECIAL
from keyrack.wire.errors import Malformed, Unexpected, UnknownAttribute
from keyrack.wire.refusals import refuse
from keyrack.wire.scalars import PADDING, not_zero
from keyrack.wire.wellformed import check_items


@structure
class Attribute:
    """Attribute (KMIP 1.4, 2.1.1)."""

    attribute_name: str
    attribute_index: int | None = None
    """Tells the instances of an attribute apart; left out, it is 0."""
    attribute_value: Any
    """Of the type that ``spec.attributes`` names; a custom attribute's is a ``CustomValue``."""


Writer = Callable[[bytearray, Late, Any], None]

_PYTHON: Final[dict[ItemType, type]] = {ItemType.BOOLEAN: bool, ItemType.TEXT_STRING: str, ItemType.BYTE_STRING: bytes}
_peek: Final = Struct(">Q").unpack_from
_index: Final = Struct(">iI").unpack_from
_put_index: Final = Struct(">QiI").pack
_put_head: Final = Struct(">Q").pack
_put_size: Final = Struct(">I").pack_into
_NAME: Final = Tag.ATTRIBUTE_NAME << 8 | ItemType.TEXT_STRING
_INDEX: Final = (Tag.ATTRIBUTE_INDEX << 8 | ItemType.INTEGER) << 32 | 4
_TAG: Final = int(Tag.ATTRIBUTE_VALUE)
_VALUE: Final = _TAG << 8


class _Values(dict[str, tuple[Writer, Decoder]]):
    """How the values of one version's attributes are written and read, made at the first use of each name."""

    def __init__(self, version: ProtocolVersion) -> None:
        super().__init__()
        self._version = version
        self._custom: tuple[Writer, Decoder] | None = None

    def __missing__(self, name: str) -> tuple[Writer, Decoder]:
        word = ATTRIBUTES.get(name)
        if word is not None and word.since <= self._version:
            self[name] = item_codec(word.name, word.type, Tag.ATTRIBUTE_VALUE, self._version)
            return self[name]
        if not is_custom(name):
            raise UnknownAttribute(f"Attribute: the Attribute Name is none of KMIP {self._version}, nor x- or y-")
        if self._custom is None:
            self._custom = _custom_codec(self._version)
        return self._custom


VALUES: Final = {version: _Values(version) for version in VERSIONS}
"""Writer and reader of an Attribute Value, by protocol version and Attribute Name."""


def _custom_codec(version: ProtocolVersion) -> tuple[Writer, Decoder]:
    scalars: dict[ItemType, tuple[Writer, Decoder]] = {
        item_type: item_codec(
            "Attribute", Annotated[_PYTHON.get(item_type, int), item_type], Tag.ATTRIBUTE_VALUE, version
        )
        for item_type in ItemType
        if item_type is not ItemType.STRUCTURE
    }

    readers = {int(item_type): (item_type, codec[1]) for item_type, codec in scalars.items()}
    make = maker(CustomValue)

    def write(out: bytearray, late: Late, value: CustomValue) -> None:
        if value.item_type is ItemType.STRUCTURE:
            content = value.value
            if not isinstance(content, bytes):
                raise Unexpected("Attribute Value: the content of a custom Structure is written from bytes")
            check_items(content, 0, len(content))
            out += _put_head((_VALUE | ItemType.STRUCTURE) << 32 | len(content))
            out += content
        else:
            scalars[value.item_type][0](out, late, value.value)

    def read(buf: Buffer, pos: int, end: int) -> CustomValue:
        head = _peek(buf, pos)[0] if pos < end else 0
        kind = head >> 32 & 0xFF
        if head >> 40 != _TAG or not 1 <= kind <= 10:
            raise refuse("Attribute", buf, pos, end, Tag.ATTRIBUTE_VALUE.title)
        if kind != 1:
            item_type, reader = readers[kind]
            return make(item_type, reader(buf, pos, end))
        if pos + 8 + (head & 0xFFFFFFFF) != end:
            raise refuse("Attribute", buf, pos + 8 + (head & 0xFFFFFFFF), end)
        check_items(buf, pos + 8, end)
        return CustomValue(ItemType.STRUCTURE, bytes(buf[pos + 8 : end]))

    return write, read


def _attribute_codec(version: ProtocolVersion) -> tuple[Encoder, Decoder]:
    values, make = VALUES[version], maker(Attribute)

    def encode(out: bytearray, late: Late, value: Attribute, head: bytes) -> None:
        out += head
        begin = len(out)
        name = value.attribute_name.encode()
        size = len(name)
        out += _put_head(_NAME << 32 | size)
        out += name
        out += PADDING[size & 7]
        if value.attribute_index is not None:
            out += _put_index(_INDEX, value.attribute_index, 0)
        values[value.attribute_name][0](out, late, value.attribute_value)
        _put_size(out, begin - 4, len(out) - begin)

    def decode(buf: Buffer, pos: int, end: int) -> Attribute:
        head = _peek(buf, pos)[0] if pos < end else 0
        if head >> 32 != _NAME:
            raise refuse("Attribute", buf, pos, end, Tag.ATTRIBUTE_NAME.title)
        size = head & 0xFFFFFFFF
        stop = pos + 8 + size
        if stop > end:
            raise Malformed(f"Attribute: the item at byte {pos} reaches over the end at byte {end}")
        name = str(buf[pos + 8 : stop], "utf-8")
        pos = stop + (-size & 7)
        if size & 7 and buf[stop:pos] != PADDING[size & 7]:
            raise not_zero(stop)
        index = None
        if pos < end and _peek(buf, pos)[0] == _INDEX:
            index, rest = _index(buf, pos + 8)
            if rest:
                raise not_zero(pos)
            pos += 16
        return make(name, index, values[name][1](buf, pos, end))

    return encode, decode


SPECIAL[Attribute] = _attribute_codec
