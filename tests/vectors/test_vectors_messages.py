"""The golden messages: each is read, written to the same bytes, shown, read by others, and executed."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kmip.core import enums
from kmip.core.messages import messages as pykmip
from kmip.core.utils import BytearrayStream

from keyrack.operations._registry import OPERATIONS
from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.testing import ttlv
from keyrack.testing.house import open_house
from keyrack.testing.strategies import declared_structures
from keyrack.wire import tree, tree_xml
from keyrack.wire.messages import (
    RequestBatchItem,
    RequestMessage,
    ResponseBatchItem,
    ResponseMessage,
    decode_payload,
    read_request,
    read_response,
    write_request,
    write_response,
)

HERE = Path(__file__).parent
CAPTURE = HERE.parents[1] / "vectors" / "vcenter-7.0.3-requests.json"
UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
declared_structures()


class Vector(NamedTuple):
    """One message, and how its tree was shown."""

    version: ProtocolVersion
    operation: str
    name: str
    side: str
    data: bytes
    shown: str

    def __str__(self) -> str:
        return f"{self.version}-{self.operation}-{self.name}-{self.side}".replace(" ", "_")


@cache
def exchanges(version: ProtocolVersion) -> list[dict[str, Any]]:
    """The conversation of one version."""
    found: list[dict[str, Any]] = json.loads((HERE / f"messages-{version}.json").read_text())["exchanges"]
    return found


def vectors() -> Iterator[Vector]:
    """Both sides of every exchange."""
    for version in VERSIONS:
        for each in exchanges(version):
            for side in ("request", "response"):
                shown = "\n".join(each[f"{side}_tree"]) + "\n"
                yield Vector(version, each["operation"], each["name"], side, bytes.fromhex(each[side]), shown)


def captured() -> list[bytes]:
    """Every request of the captured vCenter."""
    captures = json.loads(CAPTURE.read_text())["captures"]
    return [
        bytes.fromhex(exchange["request"])
        for capture in captures
        for connection in capture["connections"]
        for exchange in connection["exchanges"]
    ]


VECTORS = list(vectors())
every_message = pytest.mark.parametrize("vector", VECTORS, ids=str)
every_frame = pytest.mark.parametrize("frame", captured(), ids=lambda frame: f"{len(frame)}_bytes")


def again(vector: Vector) -> bytes:
    """The message, read down to the last element and written again."""
    return requested(vector.data) if vector.side == "request" else answered(vector.data)


def requested(data: bytes) -> bytes:
    message = read_request(data)
    version = message.request_header.protocol_version
    items = tuple(
        RequestBatchItem(
            operation=item.operation,
            unique_batch_item_id=item.unique_batch_item_id,
            request_payload=decode_payload(OPERATIONS[item.operation].request, item.request_payload, version),
        )
        for item in message.batch_items
    )
    return bytes(write_request(RequestMessage(message.request_header, items)))


def answered(data: bytes) -> bytes:
    message = read_response(data)
    items = [_whole(item, message.protocol_version) for item in message.batch_items]
    return bytes(
        write_response(
            ResponseMessage(protocol_version=message.protocol_version, time_stamp=message.time_stamp, batch_items=items)
        )
    )


def _whole(item: ResponseBatchItem, version: ProtocolVersion) -> ResponseBatchItem:
    assert item.operation is not None
    payload: Any = None
    if item.response_payload is not None:
        payload = decode_payload(OPERATIONS[item.operation].response, item.response_payload, version)
    return ResponseBatchItem(
        operation=item.operation,
        unique_batch_item_id=item.unique_batch_item_id,
        result_status=item.result_status,
        result_reason=item.result_reason,
        result_message=item.result_message,
        response_payload=payload,
    )


def test_every_operation_that_is_built_has_vectors_in_every_version() -> None:
    """Whoever adds an operation adds its vectors: run ``make_messages.py`` with it."""
    for version in VERSIONS:
        spoken = {each["operation"] for each in exchanges(version)}
        assert {row.operation.title for row in OPERATIONS.values() if row.operation.since <= version} == spoken


@every_message
def test_a_message_is_written_as_it_was_read(vector: Vector) -> None:
    """Reading loses nothing and writing adds nothing."""
    assert vector.data == again(vector)


@every_message
def test_a_message_is_shown_as_it_was(vector: Vector) -> None:
    """The tree reads as it did when the vectors were made."""
    assert vector.shown == tree.to_text(tree.parse(vector.data))


@every_message
def test_a_message_survives_xml(vector: Vector) -> None:
    """Through XML and back, it is the same bytes."""
    xml = tree_xml.to_xml(tree.parse(vector.data), secrets=True)

    assert vector.data == tree.build(tree_xml.from_xml(xml))


@every_message
def test_another_reader_sees_the_same_items(vector: Vector) -> None:
    """The second codec, which the tests of the server use, reads the same tree."""
    assert plain(tree.parse(vector.data)) == other(ttlv.parse(vector.data))


def plain(node: tree.Node) -> Any:
    value = tuple(map(plain, node.children)) if node.item_type is ItemType.STRUCTURE else node.value
    return node.tag, int(node.item_type), value


def other(item: ttlv.Item) -> Any:
    value = tuple(map(other, item.value)) if isinstance(item.value, tuple) else item.value
    return item.tag, int(item.kind), value


@every_message
def test_nothing_in_a_message_is_newer_than_its_version(vector: Vector) -> None:
    """Every tag belongs to the version of the message."""
    newer = [Tag(node.tag) for node in walk(tree.parse(vector.data)) if SINCE[node.tag] > vector.version]

    assert [] == newer


SINCE = {int(tag): tag.since for tag in Tag}


def walk(node: tree.Node) -> Iterator[tree.Node]:
    yield node
    for child in node.children:
        yield from walk(child)


# --- PyKMIP, which shares nothing with us ---

NOT_IN_PYKMIP = {
    ("Add Attribute", "request"): "PyKMIP has no Add Attribute",
    ("Add Attribute", "response"): "PyKMIP has no Add Attribute",
    ("Obtain Lease", "request"): "PyKMIP does not dispatch Obtain Lease",
    ("Obtain Lease", "response"): "PyKMIP does not dispatch Obtain Lease",
    ("Get Usage Allocation", "request"): "PyKMIP does not dispatch Get Usage Allocation",
    ("Get Usage Allocation", "response"): "PyKMIP does not dispatch Get Usage Allocation",
}
FAULTS_OF_PYKMIP = {
    ("Create", "an AES key with every custom type"): "custom attributes other than text",
    ("Get Attributes", "all attributes"): "custom attributes other than text",
    ("Register", "Opaque Object"): "a vendor's Opaque Data Type",
    ("Get", "Opaque Object: get"): "a vendor's Opaque Data Type",
    ("Register", "Transparent Symmetric Key"): "transparent keys",
    ("Get", "Transparent Symmetric Key: get"): "transparent keys",
    ("Get", "wrapped"): "a Key Value that is a byte string",
}


def why_not(vector: Vector) -> str | None:
    return NOT_IN_PYKMIP.get((vector.operation, vector.side)) or FAULTS_OF_PYKMIP.get((vector.operation, vector.name))


@pytest.mark.parametrize("vector", [vector for vector in VECTORS if why_not(vector) is None], ids=str)
def test_pykmip_reads_and_writes_the_same(vector: Vector) -> None:
    """PyKMIP reads what we write, and what it writes then is what we would read."""
    version = enums.KMIPVersion[f"KMIP_1_{vector.version.minor}"]
    message = pykmip.RequestMessage() if vector.side == "request" else pykmip.ResponseMessage()
    message.read(BytearrayStream(vector.data), kmip_version=version)
    written = BytearrayStream()
    message.write(written, kmip_version=version)

    assert bytes(written.buffer) == vector.data or spoiled_by_pykmip(vector)


def spoiled_by_pykmip(vector: Vector) -> bool:
    """PyKMIP pads a text that it has read by 8 bytes too many where none are needed, and forgets a capability."""
    texts = [node.value for node in walk(tree.parse(vector.data)) if node.item_type is ItemType.TEXT_STRING]
    padded = any(isinstance(text, str) and text and len(text.encode()) % 8 == 0 for text in texts)
    return padded or "Batch Undo Capability" in vector.shown


# --- the captured vCenter ---


@every_frame
def test_what_a_vcenter_sent_is_written_as_it_was_read(frame: bytes) -> None:
    """Each captured request is read down to the last element, and written to the same bytes."""
    assert frame == requested(frame)


@every_frame
def test_what_a_vcenter_sent_is_shown(frame: bytes) -> None:
    """Each captured request is a tree, and the tree is the request."""
    node = tree.parse(frame)

    assert tree.to_text(node).startswith("Request Message\n  Request Header\n")
    assert frame == tree.build(node)


# --- executed ---


@pytest.mark.parametrize("version", VERSIONS, ids=str)
async def test_a_conversation_goes_the_same_way_again(version: ProtocolVersion, tmp_path: Path) -> None:
    """A new server answers each request, its identifiers exchanged for the new ones, with the same results."""
    known: dict[bytes, bytes] = {}
    async with open_house(tmp_path) as house:
        await house.admit("a")
        for each in exchanges(version):
            request = renamed(bytes.fromhex(each["request"]), known)
            answer = await house.desk.answer(request, house.peers["a"])
            assert answer is not None
            recorded = bytes.fromhex(each["response"])
            known |= dict(zip(UUID.findall(recorded), UUID.findall(answer), strict=True))
            assert results(recorded) == results(bytes(answer)), (each["operation"], each["name"])


def renamed(request: bytes, known: dict[bytes, bytes]) -> bytes:
    """The request, with the identifiers that this server gave."""
    return UUID.sub(lambda found: known.get(found.group(), found.group()), request)


def results(response: bytes) -> list[tuple[Any, ...]]:
    """What decides an answer: operations, statuses, reasons and messages."""
    return [
        (item.operation, item.unique_batch_item_id, item.result_status, item.result_reason, item.result_message)
        for item in read_response(response).batch_items
    ]
