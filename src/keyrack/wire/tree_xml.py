"""A tree as XML and back, after the XML profile of KMIP (KMIP Profiles 1.4, 5.4)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, indent, tostring

from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType
from keyrack.wire import names
from keyrack.wire.errors import Malformed
from keyrack.wire.tree import Node, attribute_name, moment
from keyrack.wire.wellformed import DEPTH

_TYPES: Final = {names.xml_name(item_type.title): item_type for item_type in ItemType}


def to_xml(node: Node, *, secrets: bool = False) -> str:
    """The item as an XML element; what is secret is left out unless ``secrets``, and then there is no way back."""
    root = Element("TTLV")
    _write(root, node, None, secrets)
    element = root[0]
    indent(element)
    return tostring(element, encoding="unicode") + "\n"


def _write(parent: Element, node: Node, attribute: str | None, secrets: bool) -> None:
    known = Tag._value2member_map_.get(node.tag)
    if isinstance(known, Tag):
        element = SubElement(parent, names.xml_name(known.title))
    else:
        element = SubElement(parent, "TTLV", {"tag": f"0x{node.tag:06X}"})
    if node.item_type is not ItemType.STRUCTURE:
        element.set("type", names.xml_name(node.item_type.title))
    if node.secret and not secrets:
        element.set("hidden", "true")
    elif node.item_type is ItemType.STRUCTURE:
        name = attribute_name(node)
        for child in node.children:
            _write(element, child, name, secrets)
    elif isinstance(node.value, str) and _unsayable(node.value):
        # XML has no control characters: such a text is escaped as Python does it.
        element.set("escaped", "true")
        element.set("value", node.value.encode("unicode_escape").decode())
    else:
        element.set("value", _text(node, attribute))


def _text(node: Node, attribute: str | None) -> str:
    value = node.value
    tag = names.value_tag(node.tag, attribute)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool) or not isinstance(value, int):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if node.item_type is ItemType.ENUMERATION:
        title = names.word_title(tag, value)
        return f"0x{value:08X}" if title is None else names.xml_name(title)
    if node.item_type is ItemType.DATE_TIME:
        return moment(value) or f"0x{value & (1 << 64) - 1:016X}"
    return _flags(value, tag) if node.item_type is ItemType.INTEGER and tag in names.MASKS else str(value)


def _unsayable(value: str) -> bool:
    return any(character < " " or character in "\x7f\ufffe\uffff" for character in value)


def _flags(value: int, tag: int) -> str:
    flags = names.xml_flags(names.MASKS[tag])
    named = [name for name, flag in flags.items() if value & flag]
    return " ".join(named) if value > 0 and sum(flags[name] for name in named) == value else str(value)


def from_xml(text: str) -> Node:
    """The item of an XML element that :func:`to_xml` wrote with its secrets; raises ``Malformed`` for anything else."""
    try:
        return _read(fromstring(text), None, DEPTH)  # noqa: S314 - diagnostics of one's own files; expat limits entities
    except (ParseError, ValueError, KeyError, OverflowError) as error:
        raise Malformed("the XML is no TTLV item") from error


def _read(element: Element, attribute: str | None, depth: int) -> Node:
    tag = int(element.attrib["tag"], 16) if element.tag == "TTLV" else int(names.XML_TAGS[element.tag])
    item_type = _TYPES[element.get("type", "Structure")]
    if item_type is not ItemType.STRUCTURE:
        return Node(tag, item_type, _value(element, item_type, names.value_tag(tag, attribute)))
    if not depth or "hidden" in element.attrib:
        raise ValueError("too deep, or hidden")
    name = next((child.get("value") for child in element if child.tag == "AttributeName"), None)
    return Node(tag, item_type, tuple(_read(child, name, depth - 1) for child in element))


def _value(element: Element, item_type: ItemType, tag: int) -> int | str | bytes | bool:
    text = element.attrib["value"]
    if item_type is ItemType.TEXT_STRING and "escaped" in element.attrib:
        return text.encode("ascii").decode("unicode_escape")
    if item_type is ItemType.INTEGER and tag in names.MASKS and not text.lstrip("-").isdigit():
        return sum(names.xml_flags(names.MASKS[tag])[name] for name in text.split())
    if item_type is ItemType.ENUMERATION and not text.startswith("0x"):
        return names.xml_words(names.ENUMERATIONS[tag])[text]
    return _READ[item_type](text)


def _seconds(text: str) -> int:
    if text.startswith("0x"):
        return int.from_bytes(bytes.fromhex(text[2:]), "big", signed=True)
    return int(datetime.fromisoformat(text).timestamp())


_READ: Final[Mapping[ItemType, Callable[[str], int | str | bytes | bool]]] = {
    ItemType.INTEGER: int,
    ItemType.LONG_INTEGER: int,
    ItemType.BIG_INTEGER: int,
    ItemType.ENUMERATION: lambda text: int(text, 16),
    ItemType.BOOLEAN: {"true": True, "false": False}.__getitem__,
    ItemType.TEXT_STRING: str,
    ItemType.BYTE_STRING: bytes.fromhex,
    ItemType.DATE_TIME: _seconds,
    ItemType.INTERVAL: int,
}
