"""Every declared structure, in every version that has it, survives the way to bytes and back."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keyrack.spec.tags import Tag
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.testing.strategies import SPECIAL, declared_structures, exists_in, nodes, values_of
from keyrack.wire.codec import decode, encode
from keyrack.wire.credentials import OtherCredential
from keyrack.wire.errors import Unexpected, WireError
from keyrack.wire.messages import RequestBatchItem, ResponseBatchItem
from keyrack.wire.objects import TransparentKey, TransparentSymmetricKey
from keyrack.wire.tree import Node, build, parse, to_text
from keyrack.wire.tree_xml import from_xml, to_xml

STRUCTURES = [cls for cls in declared_structures() if cls is not OtherCredential]
SAYABLE = [cls for cls in STRUCTURES if cls not in SPECIAL and cls not in (RequestBatchItem, ResponseBatchItem)]
LENIENT = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


def versions_of(cls: type) -> st.SearchStrategy[ProtocolVersion]:
    return st.sampled_from([version for version in VERSIONS if exists_in(cls, version)])


def tag_of(cls: type) -> Tag:
    return getattr(cls, "TAG", Tag.ATTRIBUTE if cls in SPECIAL else Tag.REQUEST_PAYLOAD)


SINCE = {int(tag): tag.since for tag in Tag}


def newest_tag(node: Node) -> ProtocolVersion:
    return max([SINCE[node.tag], *map(newest_tag, node.children)])


def describe(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


@pytest.mark.parametrize("cls", STRUCTURES, ids=describe)
@LENIENT
@given(data=st.data())
def test_what_is_written_is_what_is_read(cls: type, data: st.DataObject) -> None:
    """Decoding what was encoded gives the value again, and encoding that gives the bytes again, in every version."""
    version = data.draw(versions_of(cls))
    value = data.draw(values_of(cls, version))
    written = encode(value, version, tag_of(cls))

    read: Any = decode(cls, bytes(written), version, tag_of(cls))

    assert value == read
    assert written == encode(read, version, tag_of(cls))


@pytest.mark.parametrize("cls", SAYABLE, ids=describe)
@LENIENT
@given(data=st.data())
def test_nothing_newer_than_the_version_is_written(cls: type, data: st.DataObject) -> None:
    """Values that only 1.4 can say whole are written for an older version without what it lacks, or not at all."""
    version = data.draw(st.sampled_from(VERSIONS))
    value = data.draw(values_of(cls, VERSIONS[0]))

    try:
        tree = parse(encode(value, version, tag_of(cls)))
    except Unexpected:
        return

    assert all(newest_tag(child) <= version for child in tree.children if has_only_known_tags(child))


def has_only_known_tags(node: Node) -> bool:
    """Custom structures hold whatever a client put there."""
    return node.tag in SINCE and all(map(has_only_known_tags, node.children)) and not custom(node)


def custom(node: Node) -> bool:
    return any(child.tag in {Tag.ATTRIBUTE_VALUE, Tag.VENDOR_EXTENSION, Tag.KEY_MATERIAL} for child in walk(node))


def walk(node: Node) -> list[Node]:
    return [node, *(below for child in node.children for below in walk(child))]


TRANSPARENT = (TransparentSymmetricKey, TransparentKey)


@pytest.mark.parametrize("cls", [cls for cls in STRUCTURES if exists_in(cls, VERSIONS[0])], ids=describe)
@LENIENT
@given(data=st.data())
def test_a_spoiled_byte_is_never_more_than_a_wire_error(cls: type, data: st.DataObject) -> None:
    """Changing any byte, or cutting the end off, gives another value or a WireError."""
    written = encode(data.draw(values_of(cls, VERSIONS[0])), VERSIONS[0], tag_of(cls))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] = data.draw(st.integers(0, 255))
    spoiled = bytes(written[: data.draw(st.integers(place, len(written)))])

    value: Any
    try:
        value = decode(cls, spoiled, VERSIONS[0], tag_of(cls))
    except WireError as error:
        value = error

    # Key Material that is not a symmetric key's any more is another transparent key's, and the other way round.
    kinds = TRANSPARENT if cls in TRANSPARENT else (cls,)
    assert isinstance(value, (*kinds, WireError))


@settings(deadline=None)
@given(node=nodes())
def test_a_tree_becomes_its_bytes_and_a_tree_again(node: Node) -> None:
    """Any TTLV is parsed to the tree that built it."""
    assert node == parse(build(node))


@settings(deadline=None)
@given(node=nodes())
def test_a_tree_becomes_xml_and_a_tree_again(node: Node) -> None:
    """Any TTLV survives the way through XML, control characters and unknown tags included."""
    assert node == from_xml(to_xml(node, secrets=True))


@settings(deadline=None)
@given(node=nodes())
def test_any_tree_can_be_shown(node: Node) -> None:
    """The text has a line for each item that is not hidden, and never fails."""
    assert to_text(node, secrets=True).count("\n") >= len(walk(node))
