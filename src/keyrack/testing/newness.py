"""Whether a message says anything that its protocol version does not have: a walk over the raw bytes."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from keyrack.operations._registry import OPERATIONS
from keyrack.spec import structures
from keyrack.spec.attributes import ATTRIBUTES, is_custom
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_0, ProtocolVersion
from keyrack.spec.word import Word
from keyrack.testing.ttlv import Item, Kind, parse
from keyrack.wire.declare import STRUCTURES, fields_of
from keyrack.wire.names import ENUMERATIONS, value_tag
from keyrack.wire.objects import TransparentKey

HAND_WRITTEN: Final = frozenset({"keyrack.wire.credentials", "keyrack.wire.headers"})
"""Modules whose structures a response payload does not hold, and whose fields name no tags."""
VENDOR: Final = 0x80000000
"""Where vendors' values begin: every version has them."""


def newer(message: bytes, version: ProtocolVersion) -> list[str]:
    """What is newer than ``version`` in a message, or unknown to it, with the place; empty where all is well.

    Looked at: every tag, every enumeration's value, every attribute's name, every element's place in its structure.
    """
    return list(_walk(parse(message), version, "", None))


def _walk(item: Item, version: ProtocolVersion, path: str, attribute: str | None) -> Iterator[str]:
    tag = Tag._value2member_map_.get(item.tag)
    here = f"{path}/{tag.title if isinstance(tag, Tag) else f'{item.tag:06X}'}"
    if not isinstance(tag, Tag) or tag.since > version:
        yield f"{here} is no tag of {version}"
        return
    if item.kind is Kind.ENUMERATION and not _has_word(value_tag(tag, attribute), item.value, version):
        yield f"{here} has the value {item.value!r}"
    if tag == Tag.ATTRIBUTE_NAME and not _has_attribute(str(item.value), version):
        yield f"{here} is {item.value!r}"
    name = item.find(Tag.ATTRIBUTE_NAME)
    own = str(name.value) if name is not None else None
    if own is not None and is_custom(own):
        return  # A client's own: whatever it holds, it put there.
    operation = item.find(Tag.OPERATION)
    failed = tag == Tag.BATCH_ITEM and item.find(Tag.RESULT_REASON) is not None
    for child in item:
        if failed and child.tag == Tag.OPERATION:
            continue  # The client's own word, given back to say what failed (KMIP 1.4, 7.2).
        parent = value_tag(tag, attribute)
        if parent == Tag.BATCH_ITEM and child.tag == Tag.RESPONSE_PAYLOAD and operation is not None:
            yield from _payload(child, int(str(operation.value)), version, here)
        if _places().get((parent, child.tag), V1_0) > version:
            yield f"{here} has no element {child.tag:06X} yet"
        yield from _walk(child, version, here, own)


def _payload(payload: Item, operation: int, version: ProtocolVersion, path: str) -> Iterator[str]:
    plans = {int(choice.tag): plan for plan in fields_of(OPERATIONS[operation].response) for choice in plan.choices}
    for child in payload:
        if plans[child.tag].since > version:
            yield f"{path}/Response Payload has no element {child.tag:06X} yet"


def _has_word(tag: int, value: object, version: ProtocolVersion) -> bool:
    kind = ENUMERATIONS.get(tag)
    if kind is None or not isinstance(value, int) or value >= VENDOR:
        return kind is None or isinstance(value, int)
    word = kind._value2member_map_.get(value)
    return isinstance(word, Word) and word.since <= version


def _has_attribute(name: str, version: ProtocolVersion) -> bool:
    word = ATTRIBUTES.get(name)
    return is_custom(name) or (word is not None and word.since <= version)


@cache
def _places() -> dict[tuple[int, int], ProtocolVersion]:
    """Elements, by their structure's tag and their own, that the structure has only since a version."""
    declared: list[Any] = [each for each in vars(structures).values() if isinstance(each, type)]
    return {
        (int(owner.TAG), int(choice.tag)): plan.since
        for owner in (*declared, *STRUCTURES)
        if hasattr(owner, "TAG") and owner is not TransparentKey and owner.__module__ not in HAND_WRITTEN
        for plan in fields_of(owner)
        for choice in plan.choices
    }
