"""Messages: what is read before any payload is looked at, and what is written around them."""

from typing import Any

import pytest

from keyrack.operations.get import GetRequest, GetResponse
from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    CredentialType,
    CryptographicAlgorithm,
    KeyFormatType,
    ObjectType,
    Operation,
    ResultReason,
    ResultStatus,
)
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_0, V1_1, V1_2, V1_4, VERSIONS, ProtocolVersion
from keyrack.wire import tree
from keyrack.wire.codec import encode
from keyrack.wire.credentials import Authentication, Credential, UsernameAndPassword
from keyrack.wire.errors import Malformed, Unexpected, UnsupportedVersion, WireError
from keyrack.wire.headers import VendorExtension
from keyrack.wire.messages import (
    MessageExtension,
    RequestBatchItem,
    RequestHeader,
    RequestMessage,
    ResponseBatchItem,
    ResponseMessage,
    decode_payload,
    encoded_length,
    read_request,
    read_response,
    write_request,
    write_response,
)
from keyrack.wire.objects import KeyBlock, KeyValue, SymmetricKey


def get(identifier: str = "1", **fields: Any) -> RequestBatchItem:
    return RequestBatchItem(
        operation=Operation.GET,
        request_payload=GetRequest(unique_identifier=identifier),
        **fields,
    )


def request(version: ProtocolVersion, *items: RequestBatchItem, count: int | None = None, **fields: Any) -> bytes:
    header = RequestHeader(
        protocol_version=version,
        batch_count=len(items) if count is None else count,
        **fields,
    )
    return bytes(write_request(RequestMessage(header, items)))


def answer(version: ProtocolVersion, *items: ResponseBatchItem) -> bytes:
    return bytes(write_response(ResponseMessage(protocol_version=version, time_stamp=1, batch_items=items)))


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_a_request_is_read(version: ProtocolVersion) -> None:
    """Header, operation, batch item identifier and payload come out as they went in."""
    message = read_request(request(version, get("abc", unique_batch_item_id=b"\x01")))

    (item,) = message.batch_items
    assert version == message.request_header.protocol_version
    assert (Operation.GET, b"\x01", False) == (item.operation, item.unique_batch_item_id, item.critical_extension)
    assert GetRequest(unique_identifier="abc") == decode_payload(GetRequest, item.request_payload, version)


def test_a_plain_header_is_read_once_and_alike() -> None:
    """The second message with the same plain header gives the same as the first."""
    frame = request(V1_1, get())

    assert read_request(frame) == read_request(frame)


def test_a_full_header_is_read() -> None:
    """Every element of a header of 1.4 comes out as it went in."""
    secret = UsernameAndPassword(username="vc", password=bytearray(b"secret"))
    credential = Credential(credential_type=CredentialType.USERNAME_AND_PASSWORD, credential_value=secret)
    header = RequestHeader(
        protocol_version=V1_4,
        maximum_response_size=4096,
        client_correlation_value="c",
        server_correlation_value="s",
        asynchronous_indicator=False,
        attestation_capable_indicator=True,
        attestation_type=(1, 2),
        authentication=Authentication(credential=(credential,)),
        batch_error_continuation_option=BatchErrorContinuationOption.UNDO,
        batch_order_option=True,
        time_stamp=1700000000,
        batch_count=1,
    )

    assert header == read_request(write_request(RequestMessage(header, (get(),)))).request_header


def test_a_password_is_not_shown() -> None:
    """Neither the credential's repr nor that of the message around it holds the password."""
    secret = UsernameAndPassword(username="vc", password=bytearray(b"secret"))

    assert "UsernameAndPassword(username='vc', password=<6 bytes>)" == repr(secret)


def test_a_broken_payload_does_not_break_the_message() -> None:
    """The items of a batch are told apart without looking into them."""
    broken = RequestBatchItem(operation=Operation.GET, request_payload=bytes(8))

    first, second = read_request(request(V1_1, broken, get())).batch_items

    with pytest.raises(WireError):
        decode_payload(GetRequest, first.request_payload, V1_1)
    assert GetRequest(unique_identifier="1") == decode_payload(GetRequest, second.request_payload, V1_1)


def test_an_unknown_operation_is_a_number() -> None:
    """An operation that no version has is for the caller to refuse."""
    item = RequestBatchItem(operation=0x80000001, request_payload=b"")

    assert 0x80000001 == read_request(request(V1_1, item)).batch_items[0].operation


@pytest.mark.parametrize("critical", [True, False])
def test_a_message_extension_is_skipped_unless_it_is_critical(critical: bool) -> None:
    """What a vendor puts there is read over; whether it may be, is told."""
    extension = MessageExtension(
        vendor_identification="v", criticality_indicator=critical, vendor_extension=VendorExtension(content=b"")
    )

    (item,) = read_request(request(V1_2, get(message_extension=extension))).batch_items

    assert critical is item.critical_extension


@pytest.mark.parametrize("asked", [(0, 9), (1, 5), (2, 0), (-1, 0), (2147483647, 2147483647)])
def test_another_protocol_version_is_named(asked: tuple[int, int]) -> None:
    """The error carries the version that was asked for, so that it can be answered."""
    frame = bytearray(request(V1_0, get()))
    frame[32:36] = asked[0].to_bytes(4, "big", signed=True)
    frame[48:52] = asked[1].to_bytes(4, "big", signed=True)

    with pytest.raises(UnsupportedVersion) as caught:
        read_request(frame)

    assert asked == caught.value.version


@pytest.mark.parametrize("count", [0, -1, 1, 3, 65, 2147483647])
def test_a_wrong_batch_count_is_refused_in_the_version_of_the_message(count: int) -> None:
    """Two items with any other Batch Count than 2 are no message."""
    with pytest.raises(Unexpected) as caught:
        read_request(request(V1_2, get(), get(), count=count))

    assert V1_2 == caught.value.version


def test_the_batch_limit_is_kept() -> None:
    """The limit's own number of items is read, one more is not."""
    assert read_request(request(V1_2, *[get()] * 5), batch_limit=5)

    with pytest.raises(Unexpected):
        read_request(request(V1_2, *[get()] * 6), batch_limit=5)


NEWER = {
    "1.0 has no Attestation Capable Indicator": (V1_0, {"attestation_capable_indicator": True}),
    "1.1 has no Attestation Type": (V1_1, {"attestation_type": (1,)}),
    "1.2 has no Client Correlation Value": (V1_2, {"client_correlation_value": "c"}),
}


@pytest.mark.parametrize(("version", "fields"), NEWER.values(), ids=NEWER)
def test_a_header_element_that_is_newer_is_refused(version: ProtocolVersion, fields: dict[str, Any]) -> None:
    """What the message's own version does not have is not accepted in it."""
    frame = bytearray(request(V1_4, get(), **fields))
    frame[48:52] = version.minor.to_bytes(4, "big")

    with pytest.raises(Unexpected) as caught:
        read_request(frame)

    assert version == caught.value.version


def test_a_payload_element_that_is_newer_is_refused() -> None:
    """Key Wrap Type belongs to 1.4: a Get of 1.3 that has it is wrong."""
    payload = encode(GetRequest(unique_identifier="1", key_wrap_type=1), V1_4, Tag.REQUEST_PAYLOAD)[8:]  # type: ignore[arg-type]

    with pytest.raises(Unexpected):
        decode_payload(GetRequest, bytes(payload), V1_2)


BROKEN = {
    "empty": b"",
    "a header alone": bytes.fromhex("4200780100000000"),
    "zeros": bytes(96),
    "a response": answer(V1_0, ResponseBatchItem(result_status=ResultStatus.SUCCESS)),
    "shorter than it says": request(V1_0, get())[:-8],
    "longer than it says": request(V1_0, get()) + bytes(8),
    "not a multiple of 8": request(V1_0, get())[:-1],
}


@pytest.mark.parametrize("frame", BROKEN.values(), ids=BROKEN)
def test_what_is_no_message_has_no_version(frame: bytes) -> None:
    """Bytes in which no message can be told are refused without a version to answer in."""
    with pytest.raises(WireError) as caught:
        read_request(frame)

    assert caught.value.version is None


def test_every_cut_of_a_message_is_refused() -> None:
    """No prefix of a message, its length set right, is a message."""
    frame = request(V1_4, get(unique_batch_item_id=b"1"), get())

    for size in range(8, len(frame) - 1, 8):
        cut = frame[:4] + (size - 8).to_bytes(4, "big") + frame[8:size]
        with pytest.raises((Malformed, Unexpected)):
            read_request(cut)


# --- answers ---


def key(material: bytes | bytearray = b"k" * 32) -> SymmetricKey:
    block = KeyBlock(
        key_format_type=KeyFormatType.RAW,
        key_value=KeyValue(key_material=bytearray(material)),
        cryptographic_algorithm=CryptographicAlgorithm.AES,
        cryptographic_length=256,
    )
    return SymmetricKey(key_block=block)


def got(material: bytes | bytearray = b"k" * 32) -> ResponseBatchItem:
    payload = GetResponse(object_type=ObjectType.SYMMETRIC_KEY, unique_identifier="1", object=key(material))
    return ResponseBatchItem(operation=Operation.GET, result_status=ResultStatus.SUCCESS, response_payload=payload)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_an_answer_is_read_as_it_was_written(version: ProtocolVersion) -> None:
    """What a client reads is what the server wrote."""
    message = read_response(answer(version, got()))

    (item,) = message.batch_items
    assert item.response_payload is not None
    assert (version, 1) == (message.protocol_version, message.time_stamp)
    assert got().response_payload == decode_payload(GetResponse, item.response_payload, version)


@pytest.mark.parametrize("version", VERSIONS, ids=str)
@pytest.mark.parametrize("reason", ResultReason, ids=lambda reason: reason.name)
def test_a_newer_result_reason_is_a_general_failure(version: ProtocolVersion, reason: ResultReason) -> None:
    """A Result Reason that the version does not have is written as General Failure."""
    item = ResponseBatchItem(result_status=ResultStatus.OPERATION_FAILED, result_reason=reason)

    read = read_response(answer(version, item)).batch_items[0].result_reason

    assert read == (reason if reason.since <= version else ResultReason.GENERAL_FAILURE)


@pytest.mark.parametrize(("version", "echoed"), [(V1_4, "c"), (V1_2, None)])
def test_a_correlation_value_is_written_from_1_4_on(version: ProtocolVersion, echoed: str | None) -> None:
    """Client Correlation Value belongs to 1.4."""
    message = ResponseMessage(protocol_version=version, time_stamp=1, batch_items=[got()], client_correlation_value="c")

    assert echoed == read_response(write_response(message)).client_correlation_value


def test_an_unasked_answer_has_no_operation() -> None:
    """A batch item for a request that could not be read has a status, a reason and a message."""
    item = ResponseBatchItem(
        result_status=ResultStatus.OPERATION_FAILED, result_reason=ResultReason.INVALID_MESSAGE, result_message="why"
    )

    titles = [Tag(child.tag) for child in tree.parse(answer(V1_0, item)).children[1].children]

    assert [Tag.RESULT_STATUS, Tag.RESULT_REASON, Tag.RESULT_MESSAGE] == titles


@pytest.mark.parametrize("version", VERSIONS, ids=str)
def test_the_length_is_known_before_the_secret_is_written(version: ProtocolVersion) -> None:
    """``encoded_length`` is what a batch item adds to the 88 bytes of an empty message."""
    assert len(answer(version, got())) == 88 + encoded_length(got(), version)


def test_the_secret_is_written_last() -> None:
    """The message has its size before the key material goes in, so that no copy of it is left by a move."""
    material = bytearray(b"k" * 32)
    written = write_response(ResponseMessage(protocol_version=V1_4, time_stamp=1, batch_items=[got(material)]))

    assert 1 == bytes(written).count(material)


def test_the_tree_of_an_answer_hides_the_key() -> None:
    """The text shows how long the key material is; its bytes only when they are asked for."""
    node = tree.parse(answer(V1_4, got()))

    assert "Key Material: Byte String <32 bytes>" in tree.to_text(node)
    assert (b"k" * 32).hex() not in tree.to_text(node)
    assert (b"k" * 32).hex() in tree.to_text(node, secrets=True)


def test_an_operation_is_echoed_even_if_the_version_does_not_have_it() -> None:
    """Discover Versions is an operation since 1.1: a 1.0 client that asks for it is refused by its name."""
    item = ResponseBatchItem(operation=Operation.DISCOVER_VERSIONS, result_status=ResultStatus.OPERATION_FAILED)

    assert Operation.DISCOVER_VERSIONS == read_response(answer(V1_0, item)).batch_items[0].operation
