"""Messages (KMIP 1.4, 6 and 7; 11.1): how long an answer may be, what a header may say, what is broken."""

import json
from typing import Any

import pytest

from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    Operation,
    ResultReason,
    ResultStatus,
)
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_0, V1_4, ProtocolVersion
from keyrack.testing import ttlv
from keyrack.testing.conversation import (
    Client,
    create,
    get_attributes,
    locate,
    query,
)
from keyrack.testing.house import House, frame_of, read_items
from keyrack.wire.credentials import Authentication, Credential, UsernameAndPassword
from keyrack.wire.headers import MessageExtension, VendorExtension
from keyrack.wire.messages import RequestBatchItem, RequestHeader, RequestMessage, read_response, write_request

CONTINUE, STOP, UNDO = BatchErrorContinuationOption
SUCCESS, FAILED, _, UNDONE = ResultStatus


async def journal(house: House) -> list[tuple[str, str]]:
    """Action and outcome of every entry."""
    records = [json.loads(record.text) for record in await house.catalog.journal()]
    return [(record["action"], record["outcome"]) for record in records]


def statuses(items: list[Any]) -> list[Any]:
    """The Result Status of each batch item."""
    return [item.result_status for item in items]


# --- Maximum Response Size ---


async def test_an_answer_that_does_not_fit_is_refused_and_nothing_is_done(each: Client) -> None:
    """Response Too Large; the key was not made."""
    (item,) = await each.batch(create(), maximum_response_size=100)

    assert ResultReason.RESPONSE_TOO_LARGE == item.result_reason
    assert [] == await each.located()


async def test_an_answer_is_no_longer_than_allowed(each: Client) -> None:
    """The size is that of the whole message, to the byte."""
    uid = await each.made()
    whole = len(await each.house.said(frame_of([get_attributes(uid)], version=each.version), version=each.version))

    found = [
        (await each.batch(get_attributes(uid), maximum_response_size=size))[0].result_status
        for size in (whole - 1, whole, whole + 1)
    ]

    assert [FAILED, SUCCESS, SUCCESS] == found


async def test_an_item_that_is_too_long_leaves_room_for_the_next(client: Client) -> None:
    """With Continue, a short answer still fits."""
    long, short = await client.batch(
        query(2, 1), locate(), maximum_response_size=400, batch_error_continuation_option=CONTINUE
    )

    assert (ResultReason.RESPONSE_TOO_LARGE, SUCCESS) == (long.result_reason, short.result_status)


# --- what a header may say ---


@pytest.mark.parametrize("moment", [0, -1, 1, 2**62, -(2**62), 1_800_000_000])
async def test_a_time_stamp_is_never_a_reason_to_refuse(each: Client, moment: int) -> None:
    """Clocks go wrong, and keys must be there all the same."""
    (item,) = await each.batch(create(), time_stamp=moment)

    assert SUCCESS == item.result_status


@pytest.mark.parametrize("indicator", [True, False])
async def test_an_asynchronous_request_is_answered_at_once(each: Client, indicator: bool) -> None:
    """A server may do so."""
    (item,) = await each.batch(create(), asynchronous_indicator=indicator)

    assert (SUCCESS, None) == (item.result_status, item.asynchronous_correlation_value)


async def test_a_password_in_the_header_is_ignored(each: Client) -> None:
    """A vCenter sends one when it is configured so; the certificate decides."""
    credential = Credential(
        credential_type=1, credential_value=UsernameAndPassword(username="vc", password=bytearray(b"secret"))
    )

    (item,) = await each.batch(create(), authentication=Authentication(credential=(credential,)))

    assert SUCCESS == item.result_status


async def test_the_answer_tells_the_servers_time_and_the_requests_version(each: Client) -> None:
    """The header echoes the version that was asked."""
    answer = ttlv.parse(await each.house.said(frame_of([locate()], version=each.version), version=each.version))

    assert int(each.house.clock()) == answer.number(Tag.RESPONSE_HEADER, Tag.TIME_STAMP)
    assert each.version == (
        answer.number(Tag.RESPONSE_HEADER, Tag.PROTOCOL_VERSION, Tag.PROTOCOL_VERSION_MAJOR),
        answer.number(Tag.RESPONSE_HEADER, Tag.PROTOCOL_VERSION, Tag.PROTOCOL_VERSION_MINOR),
    )


# --- what is broken ---


@pytest.mark.parametrize(
    ("claimed", "spoken"),
    [
        (ProtocolVersion(0, 9), V1_0),
        (ProtocolVersion(1, 5), V1_4),
        (ProtocolVersion(2, 0), V1_4),
        (ProtocolVersion(255, 255), V1_4),
    ],
)
async def test_a_version_that_nobody_speaks_is_answered(
    house: House, claimed: ProtocolVersion, spoken: ProtocolVersion
) -> None:
    """A batch item without operation, Invalid Message, in the nearest version that Keyrack speaks (KMIP 1.4, 11.1)."""
    (item,) = read_items(await house.said(frame_of([locate()], claimed=claimed), version=spoken))

    assert (None, FAILED, ResultReason.INVALID_MESSAGE) == (item.operation, item.result_status, item.result_reason)


@pytest.mark.parametrize("operation", [0x7F, 0x80000001, int(Operation.ENCRYPT), int(Operation.RE_KEY)])
async def test_an_operation_that_is_not_built_is_said_so(each: Client, operation: int) -> None:
    """Operation Not Supported, and the next item is answered."""
    frame = frame_of([(operation, b""), locate()], version=each.version, batch_error_continuation_option=CONTINUE)

    first, second = read_items(await each.house.said(frame, version=each.version))

    assert (ResultReason.OPERATION_NOT_SUPPORTED, SUCCESS) == (first.result_reason, second.result_status)
    assert operation == first.operation


async def test_a_broken_payload_fails_its_own_item(each: Client) -> None:
    """Invalid Message for it, the others are done."""
    broken = bytes.fromhex("4200940700000004") + b"abcd\x00\x00\x00\x01"
    frame = frame_of(
        [create(), (Operation.GET, broken), (Operation.GET, b"\x00" * 8), create()],
        version=each.version,
        batch_error_continuation_option=CONTINUE,
    )

    answers = read_items(await each.house.said(frame, version=each.version))

    assert [SUCCESS, FAILED, FAILED, SUCCESS] == statuses(answers)
    assert [ResultReason.INVALID_MESSAGE] * 2 == [item.result_reason for item in answers[1:3]]


async def test_a_field_that_the_version_does_not_know_is_told_apart(client: Client) -> None:
    """Same version, unknown field: Invalid Field; a field that is there twice: Invalid Message (KMIP 1.4, 11.1)."""
    uid = ttlv.text(Tag.UNIQUE_IDENTIFIER, "x").encode()
    unknown = ttlv.text(0x54AAAA, "x").encode()
    frame = frame_of(
        [(Operation.GET, uid + unknown), (Operation.GET, uid + uid)], batch_error_continuation_option=CONTINUE
    )

    first, second = read_items(await client.house.said(frame))

    assert (ResultReason.INVALID_FIELD, ResultReason.INVALID_MESSAGE) == (first.result_reason, second.result_reason)


@pytest.mark.parametrize(("critical", "reason"), [(True, ResultReason.FEATURE_NOT_SUPPORTED), (False, None)])
async def test_an_extension_is_skipped_unless_critical(
    each: Client, critical: bool, reason: ResultReason | None
) -> None:
    """Feature Not Supported for one that must be understood, and only for its item."""
    extension = MessageExtension(
        vendor_identification="vendor",
        criticality_indicator=critical,
        vendor_extension=VendorExtension(content=b""),
    )
    header = RequestHeader(protocol_version=each.version, batch_count=1)
    item = RequestBatchItem(operation=Operation.CREATE, request_payload=create()[1], message_extension=extension)
    frame = write_request(RequestMessage(request_header=header, batch_items=(item,)))

    (answer,) = read_items(await each.house.said(bytes(frame), version=each.version))

    assert reason == answer.result_reason
    assert (0 if critical else 1) == len(await each.located())


@pytest.mark.parametrize("count", [0, -1, 2, 65, 2**31 - 1])
async def test_a_batch_count_that_is_wrong_is_answered(each: Client, count: int) -> None:
    """Not the number of items, or more than are taken: Invalid Message without operation."""
    header = RequestHeader(protocol_version=each.version, batch_count=count)
    item = RequestBatchItem(operation=Operation.CREATE, request_payload=create()[1])
    frame = write_request(RequestMessage(request_header=header, batch_items=(item,)))

    (answer,) = read_items(await each.house.said(bytes(frame), version=each.version))

    assert (None, ResultReason.INVALID_MESSAGE) == (answer.operation, answer.result_reason)
    assert [] == await each.located()


async def test_64_items_are_taken(client: Client) -> None:
    """And answered, each with its own."""
    assert [SUCCESS] * 64 == statuses(await client.batch(*[create()] * 64))


@pytest.mark.parametrize("octets", [b"", b"\x00" * 16, b"GET / HTTP/1.1\r\n\r\n", b"\x42\x00\x78\x01\x00\x00\x00\x00"])
async def test_what_is_no_message_gets_no_answer(house: House, octets: bytes) -> None:
    """Nobody can tell in which version to answer: the connection goes."""
    assert None is await house.desk.answer(octets, house.peers["a"])


async def test_a_clients_own_mark_comes_back_and_is_journaled(house: House) -> None:
    """Client Correlation Value (KMIP 1.4, 6.18): echoed in the header, and in the journal for who looks for it."""
    frame = frame_of([locate()], client_correlation_value="ticket 42")

    answer = read_response(await house.said(frame))

    records = [json.loads(record.text) for record in await house.catalog.journal()]
    assert "ticket 42" == answer.client_correlation_value
    assert "ticket 42" == records[-1]["detail"]["correlation"]
