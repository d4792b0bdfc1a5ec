"""Hypothesis strategies that make values of every declared structure, for any protocol version."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from enum import IntFlag
from typing import Any, Final

from hypothesis import strategies as st

import keyrack.operations
from keyrack.spec import structures as spec_structures
from keyrack.spec.attributes import ATTRIBUTES
from keyrack.spec.tags import Tag
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import ProtocolVersion
from keyrack.spec.word import Word
from keyrack.wire import credentials, headers, messages, objects
from keyrack.wire.attributes import Attribute
from keyrack.wire.declare import STRUCTURES, Choice, FieldPlan, fields_of, plan_field
from keyrack.wire.tree import Node, build

VENDOR_VALUES: Final = st.integers(0x80000000, 0xFFFFFFFF)
"""Enumeration values that vendors may use."""


def declared_structures() -> tuple[type, ...]:
    """Every structure of the wire and of the operations, and those of attributes; not what tests declare."""
    for module in pkgutil.iter_modules(keyrack.operations.__path__):
        importlib.import_module(f"keyrack.operations.{module.name}")
    known = [kind for kind in vars(spec_structures).values() if isinstance(kind, type) and hasattr(kind, "TAG")]
    return tuple(known + [kind for kind in STRUCTURES if kind.__module__.startswith("keyrack.")])


def exists_in(cls: type, version: ProtocolVersion) -> bool:
    """Whether a protocol version has the structure, with all that it requires."""
    if cls in SPECIAL:
        return getattr(cls, "TAG", Tag.ATTRIBUTE).since <= version
    required = [plan for plan in fields_of(cls) if plan.presence == "required"]
    newest = max([plan.since for plan in required], default=version)
    return newest <= version and getattr(cls, "TAG", Tag.REQUEST_PAYLOAD).since <= version


def values_of(cls: type, version: ProtocolVersion) -> st.SearchStrategy[Any]:
    """Values of a declared structure that the protocol version can say."""
    if cls in SPECIAL:
        return SPECIAL[cls](version)
    return st.deferred(lambda: st.builds(cls, **{plan.name: _field(plan, version) for plan in fields_of(cls)}))


def _field(plan: FieldPlan, version: ProtocolVersion) -> st.SearchStrategy[Any]:
    if plan.since > version:
        return st.just(()) if plan.presence == "repeated" else st.none()
    one = st.one_of([_item(choice, version) for choice in plan.choices if choice.tag.since <= version])
    if plan.presence == "repeated":
        return st.lists(one, max_size=3).map(tuple)
    return one if plan.presence == "required" else st.none() | one


def _item(choice: Choice, version: ProtocolVersion) -> st.SearchStrategy[Any]:
    if choice.item_type is ItemType.STRUCTURE:
        return values_of(choice.python, version)
    if issubclass(choice.python, Word):
        words = [word for word in choice.python if isinstance(word, Word) and word.since <= version]
        return st.sampled_from(words) | VENDOR_VALUES if words else VENDOR_VALUES
    if issubclass(choice.python, IntFlag):
        return SCALARS[ItemType.INTEGER]
    if choice.python is bytearray:
        return SCALARS[choice.item_type].map(
            lambda value: bytearray(value.encode() if isinstance(value, str) else value)
        )
    return SCALARS[choice.item_type]


SCALARS: Final[Mapping[ItemType, st.SearchStrategy[Any]]] = {
    ItemType.INTEGER: st.integers(-(1 << 31), (1 << 31) - 1),
    ItemType.LONG_INTEGER: st.integers(-(1 << 63), (1 << 63) - 1),
    ItemType.BIG_INTEGER: st.integers(-(1 << 200), 1 << 200),
    ItemType.ENUMERATION: st.integers(0, (1 << 32) - 1),
    ItemType.BOOLEAN: st.booleans(),
    ItemType.TEXT_STRING: st.text(max_size=20),
    ItemType.BYTE_STRING: st.binary(max_size=40),
    ItemType.DATE_TIME: st.integers(-(1 << 63), (1 << 63) - 1),
    ItemType.INTERVAL: st.integers(0, (1 << 32) - 1),
}
"""Values of every item type but Structure."""


def nodes(depth: int = 3) -> st.SearchStrategy[Node]:
    """Trees of items, with tags that the standard knows and tags that it does not."""
    tags = st.sampled_from([int(tag) for tag in Tag]) | st.integers(0x540000, 0x54FFFF)
    leaves = st.sampled_from(list(SCALARS)).flatmap(
        lambda item_type: st.builds(Node, tags, st.just(item_type), SCALARS[item_type])
    )
    if not depth:
        return leaves
    inner = st.lists(nodes(depth - 1), max_size=3).map(tuple)
    return leaves | st.builds(Node, tags, st.just(ItemType.STRUCTURE), inner)


# --- structures whose form depends on a value in them ---


def _attributes(version: ProtocolVersion) -> st.SearchStrategy[Attribute]:
    standard = [word for word in ATTRIBUTES.values() if word.since <= version]
    pairs = st.sampled_from(standard).flatmap(
        lambda word: st.tuples(
            st.just(word.name), _item(plan_field(word.name, word.tag.name, word.type).choices[0], version)
        )
    )
    custom = st.tuples(st.text(max_size=9).map("x-{}".format) | st.text(max_size=9).map("y-{}".format), custom_values())
    return (pairs | custom).flatmap(
        lambda pair: st.builds(
            Attribute,
            attribute_name=st.just(pair[0]),
            attribute_index=st.none() | SCALARS[ItemType.INTEGER],
            attribute_value=st.just(pair[1]),
        )
    )


def custom_values() -> st.SearchStrategy[CustomValue]:
    """Values of custom attributes, of all ten item types."""
    simple = st.sampled_from(list(SCALARS)).flatmap(lambda kind: st.builds(CustomValue, st.just(kind), SCALARS[kind]))
    return simple | st.builds(CustomValue, st.just(ItemType.STRUCTURE), contents())


def contents() -> st.SearchStrategy[bytes]:
    """The content of a structure, in TTLV."""
    return st.lists(nodes(1).map(build), max_size=3).map(b"".join)


def _credentials(version: ProtocolVersion) -> st.SearchStrategy[credentials.Credential]:
    known = {kind: cls for kind, cls in credentials.VALUES.items() if credentials.TYPES[kind].since <= version}
    typed = st.sampled_from(sorted(known)).flatmap(
        lambda kind: st.builds(
            credentials.Credential,
            credential_type=st.just(credentials.TYPES[kind]),
            credential_value=values_of(known[kind], version),
        )
    )
    item = contents().map(lambda content: Node(Tag.CREDENTIAL_VALUE, ItemType.BYTE_STRING, content)).map(build)
    other = st.builds(credentials.OtherCredential, item=item.map(bytearray))
    return typed | st.builds(credentials.Credential, credential_type=VENDOR_VALUES, credential_value=other)


def _transparent(version: ProtocolVersion) -> st.SearchStrategy[objects.TransparentKey]:
    number = st.builds(
        Node, st.sampled_from([int(Tag.P), int(Tag.MODULUS)]), st.just(ItemType.BIG_INTEGER), st.integers()
    )
    content = st.lists(number.map(build), max_size=4).map(b"".join).map(bytearray)
    return st.builds(objects.TransparentKey, content=content)


SPECIAL: Final[Mapping[type, Callable[[ProtocolVersion], st.SearchStrategy[Any]]]] = {
    Attribute: _attributes,
    credentials.Credential: _credentials,
    objects.TransparentKey: _transparent,
    objects.TransparentSymmetricKey: lambda version: st.builds(
        objects.TransparentSymmetricKey, key=SCALARS[ItemType.BYTE_STRING].map(bytearray)
    ),
    headers.VendorExtension: lambda version: st.builds(headers.VendorExtension, content=contents()),
    ProtocolVersion: lambda version: st.builds(ProtocolVersion, SCALARS[ItemType.INTEGER], SCALARS[ItemType.INTEGER]),
    messages.Payload: lambda version: contents(),
    credentials.OtherCredential: lambda version: st.nothing(),
}
