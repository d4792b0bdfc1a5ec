"""What is fuzzed: every way in which bytes of a client reach the codec. Nothing but ``WireError`` may come out."""

from typing import Any, Final

from keyrack.operations._registry import OPERATIONS
from keyrack.spec.tags import Tag
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.testing.strategies import declared_structures
from keyrack.wire import tree, tree_xml
from keyrack.wire.codec import decode, encode
from keyrack.wire.errors import WireError
from keyrack.wire.messages import decode_payload, read_request, read_response

STRUCTURES: Final = declared_structures()
"""Every structure that is declared anywhere; the operations enter theirs when they are imported."""


def tag_of(cls: type) -> Tag:
    """The tag under which a structure is tried: its own, or that of a payload."""
    own: Tag = getattr(cls, "TAG", Tag.REQUEST_PAYLOAD)
    return own


def request(frame: bytes) -> bool:
    """Read a request and all its payloads, as the server does; whether all of it could be read."""
    try:
        message = read_request(frame)
    except WireError:
        return False
    version = message.request_header.protocol_version
    read = [_payload(item.operation, item.request_payload, version) for item in message.batch_items]
    return all(read)


def _payload(operation: int, raw: memoryview, version: ProtocolVersion) -> bool:
    row = OPERATIONS.get(operation)
    if row is None:
        return False
    try:
        repr(decode_payload(row.request, raw, version))
    except WireError:
        return False
    return True


def response(frame: bytes) -> bool:
    """Read a response, as a client does."""
    try:
        read_response(frame)
    except WireError:
        return False
    return True


def structure(cls: type, version: ProtocolVersion, data: bytes) -> bool:
    """Read one structure; what could be read is written again, in every version, and stays what it is."""
    tag = tag_of(cls)
    try:
        value: Any = decode(cls, data, version, tag)
        again: Any = encode(value, version, tag)
    except WireError:
        return False
    assert encode(decode(cls, again, version, tag), version, tag) == again
    for other in VERSIONS:
        _written(value, other, tag)
    return True


def _written(value: Any, version: ProtocolVersion, tag: Tag) -> None:
    try:
        encode(value, version, tag)
    except WireError:
        return


def any_tree(data: bytes) -> bool:
    """Read anything as a tree, and show it in every way."""
    try:
        node = tree.parse(data)
    except WireError:
        return False
    tree.to_text(node)
    assert tree.parse(tree.build(node)) == node
    assert tree_xml.from_xml(tree_xml.to_xml(node, secrets=True)) == node
    return True
