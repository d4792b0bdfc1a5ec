"""Messages and batches (KMIP 1.4, 6 and 7; 11.1, 11.43): order, options, the ID Placeholder, sizes, what is broken."""

import asyncio
import json
from typing import Any

import pytest

from keyrack.adapters.memory import MemoryCatalog
from keyrack.ports.catalog import Unit
from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    Operation,
    ResultReason,
    ResultStatus,
    State,
    UsageLimitsUnit,
)
from keyrack.spec.structures import UsageLimits
from keyrack.spec.tags import Tag
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import V1_0, V1_4, VERSIONS, ProtocolVersion
from keyrack.testing import ttlv
from keyrack.testing.conversation import (
    Client,
    activate,
    add_attribute,
    create,
    destroy,
    get,
    get_attributes,
    get_usage_allocation,
    locate,
    modify_attribute,
    name,
    query,
    revoke,
)
from keyrack.testing.house import House, frame_of, memory_house, read_items
from keyrack.wire.credentials import Authentication, Credential, UsernameAndPassword
from keyrack.wire.headers import MessageExtension, VendorExtension
from keyrack.wire.messages import RequestBatchItem, RequestHeader, RequestMessage, read_response, write_request

CONTINUE, STOP, UNDO = BatchErrorContinuationOption
SUCCESS, FAILED, _, UNDONE = ResultStatus


@pytest.fixture
async def house() -> House:
    """A house with the instances ``a`` and ``b``."""
    built = memory_house()
    await built.admit("a")
    await built.admit("b")
    return built


@pytest.fixture
def client(house: House) -> Client:
    """A client of ``a`` that speaks 1.4."""
    return Client(house)


@pytest.fixture(params=VERSIONS, ids=str)
def each(request: pytest.FixtureRequest, house: House) -> Client:
    """A client of ``a`` in every version."""
    return Client(house, request.param)


async def journal(house: House) -> list[tuple[str, str]]:
    """Action and outcome of every entry."""
    records = [json.loads(record.text) for record in await house.catalog.journal()]
    return [(record["action"], record["outcome"]) for record in records]


def statuses(items: list[Any]) -> list[Any]:
    """The Result Status of each batch item."""
    return [item.result_status for item in items]


# --- the ID Placeholder ---


async def test_create_and_register_set_the_placeholder(each: Client) -> None:
    """What follows without an identifier means the new object."""
    made, _, got, found = await each.batch(create(), activate(), get(), get_attributes(None, "State"))

    uid = made.response_payload.unique_identifier
    assert [uid, uid] == [got.response_payload.unique_identifier, found.response_payload.unique_identifier]
    assert [State.ACTIVE] == [attribute.attribute_value for attribute in found.response_payload.attribute]


async def test_a_locate_with_one_result_sets_the_placeholder(each: Client) -> None:
    """With none or several, it empties it."""
    one, other = await each.made(create({"Name": name("one")})), await each.made()

    found, got = await each.batch(locate({"Name": name("one")}), get())
    several = await each.batch(create(), locate(), get())
    none = await each.batch(create(), locate({"Name": name("nobody")}), get())

    assert one == got.response_payload.unique_identifier != other
    assert (one,) == found.response_payload.unique_identifier
    for answers in (several, none):
        assert ResultReason.ITEM_NOT_FOUND == answers[-1].result_reason


async def test_an_object_that_is_named_does_not_become_the_placeholder(each: Client) -> None:
    """Get, Activate and the like leave it as it was (KMIP 1.4, 4)."""
    other = await each.made()

    made, _, got = await each.batch(create(), get(other), get())

    assert made.response_payload.unique_identifier == got.response_payload.unique_identifier != other


async def test_a_placeholder_ends_with_its_message(each: Client) -> None:
    """The next message begins without."""
    await each.batch(create(), get())

    assert ResultReason.ITEM_NOT_FOUND == await each.refused(get())


async def test_a_failed_item_hands_nothing_on(client: Client) -> None:
    """A Create that was refused leaves the placeholder to the one before it."""
    made, refused, got = await client.batch(
        create(), create({"Cryptographic Length": 1}), get(), **{"batch_error_continuation_option": CONTINUE}
    )

    assert FAILED == refused.result_status
    assert made.response_payload.unique_identifier == got.response_payload.unique_identifier


# --- options ---

BAD = create({"Cryptographic Length": 7})


@pytest.mark.parametrize("option", [None, STOP])
async def test_stop_answers_up_to_the_failure(each: Client, option: BatchErrorContinuationOption | None) -> None:
    """What was done stays done, what follows is not answered; Stop is what no option means."""
    answers = await each.batch(create(), BAD, create(), batch_error_continuation_option=option)

    assert [SUCCESS, FAILED] == statuses(answers)
    assert 1 == len(await each.located())


async def test_continue_answers_all(each: Client) -> None:
    """A failure is its own item's."""
    answers = await each.batch(BAD, create(), BAD, create(), batch_error_continuation_option=CONTINUE)

    assert [FAILED, SUCCESS, FAILED, SUCCESS] == statuses(answers)
    assert 2 == len(await each.located())


async def test_a_first_item_that_fails(each: Client) -> None:
    """Stop: it alone; Continue: both; Undo: it alone."""
    found = {
        option: statuses(await each.batch(BAD, create(), batch_error_continuation_option=option))
        for option in (STOP, CONTINUE, UNDO)
    }

    assert {STOP: [FAILED], CONTINUE: [FAILED, SUCCESS], UNDO: [FAILED]} == found
    assert 1 == len(await each.located())


async def test_undo_undoes(each: Client) -> None:
    """Nothing made, changed or destroyed before the failure remains; the answers say Operation Undone without more."""
    uid = await each.made(create({"Contact Information": "Ada"}))
    before = await each.attributes(uid)
    each.house.clock.now += 10

    answers = await each.batch(
        create({"Name": name("new")}),
        activate(uid),
        modify_attribute(uid, "Contact Information", "Grace"),
        revoke(uid),
        destroy(uid),
        BAD,
        create(),
        batch_error_continuation_option=UNDO,
    )

    assert [UNDONE] * 5 + [FAILED] == statuses(answers)
    assert [None] * 6 == [item.response_payload for item in answers]
    assert before == await each.attributes(uid)
    assert [uid] == await each.located()
    assert (await each(get(uid))).unique_identifier == uid


async def test_undo_is_journaled(client: Client) -> None:
    """What was undone, and what failed."""
    await client.batch(create(), activate(), BAD, batch_error_continuation_option=UNDO)

    assert [("Create", "undone"), ("Activate", "undone"), ("Create", "Invalid Field")] == (await journal(client.house))[
        -3:
    ]


async def test_an_undo_batch_without_a_failure_happens_whole(each: Client) -> None:
    """Several changes of one object among them."""
    made, *others = await each.batch(
        create(),
        activate(),
        add_attribute(None, "Object Group", "one"),
        add_attribute(None, "Object Group", "two"),
        batch_error_continuation_option=UNDO,
    )

    uid = made.response_payload.unique_identifier
    assert [SUCCESS] * 3 == statuses(others)
    assert ["one", "two"] == await each.attribute(uid, "Object Group")
    assert State.ACTIVE == await each.attribute(uid, "State")


async def test_an_existing_object_is_changed_more_than_once_in_an_undo_batch(client: Client) -> None:
    """Each item sees what the one before has done."""
    uid = await client.made()

    answers = await client.batch(
        activate(uid), add_attribute(uid, "Object Group", "g"), revoke(uid), batch_error_continuation_option=UNDO
    )

    assert [SUCCESS] * 3 == statuses(answers)
    assert State.DEACTIVATED == await client.attribute(uid, "State")


async def test_an_unknown_option_is_refused(client: Client) -> None:
    """Invalid Field for every item, and nothing is done."""
    answers = await client.batch(create(), create(), batch_error_continuation_option=9)

    assert [ResultReason.INVALID_FIELD] * 2 == [item.result_reason for item in answers]
    assert [] == await client.located()


@pytest.mark.parametrize("order", [None, True, False])
async def test_items_are_answered_in_their_order(each: Client, order: bool | None) -> None:
    """Whatever the Batch Order Option allows."""
    answers = await each.batch(*[create({"x-N": _number(n)}) for n in range(5)], batch_order_option=order)

    found = [await each.attribute(item.response_payload.unique_identifier, "x-N") for item in answers]
    assert [_number(n) for n in range(5)] == found


def _number(value: int) -> Any:
    return CustomValue(ItemType.INTEGER, value)


# --- identifiers of items ---


def frame_with(ids: list[bytes | None], version: ProtocolVersion) -> bytes:
    """A batch of Locates with those Unique Batch Item IDs."""
    items = tuple(
        RequestBatchItem(operation=Operation.LOCATE, unique_batch_item_id=each, request_payload=locate()[1])
        for each in ids
    )
    header = RequestHeader(protocol_version=version, batch_count=len(items))
    return bytes(write_request(RequestMessage(request_header=header, batch_items=items)))


async def test_batch_item_ids_are_echoed_verbatim(each: Client) -> None:
    """Empty, long, of zeros, alike: as they came."""
    ids: list[bytes | None] = [b"", b"\x00", b"same", b"same", bytes(range(200))]

    answer = await each.house.said(frame_with(ids, each.version), version=each.version)

    assert ids == [item.unique_batch_item_id for item in read_response(answer).batch_items]


async def test_batch_item_ids_are_not_invented(each: Client) -> None:
    """None where none was sent, also in a batch of several, and in failures."""
    answer = await each.house.said(frame_with([None, b"1", None], each.version), version=each.version)
    failed = await each.batch(BAD, ids=False)

    assert [None, b"1", None] == [item.unique_batch_item_id for item in read_response(answer).batch_items]
    assert None is failed[0].unique_batch_item_id


async def test_a_failed_item_carries_its_operation_and_id(each: Client) -> None:
    """As KMIP 1.4, 7.2 wants; with a Result Reason and a Result Message."""
    (item,) = await each.batch(BAD)

    assert (Operation.CREATE, bytes(7) + b"\x01") == (item.operation, item.unique_batch_item_id)
    assert ResultReason.INVALID_FIELD == item.result_reason
    assert item.result_message


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


# --- who asks ---


async def test_nothing_is_done_for_whom_the_catalog_does_not_know(client: Client) -> None:
    """A certificate that was removed between two requests: Authentication Not Successful, and it is in the journal."""
    house = client.house
    uid = await client.made()
    await _remove(house, "a")

    (item,) = await client.batch(get(uid))
    (again,) = await client.batch(create())

    assert [ResultReason.AUTHENTICATION_NOT_SUCCESSFUL] * 2 == [item.result_reason, again.result_reason]
    assert [
        ("Get", "Authentication Not Successful"),
        ("Create", "Authentication Not Successful"),
    ] == (await journal(house))[-2:]


async def test_a_removed_certificate_undoes_its_batch(client: Client) -> None:
    """With Continue, every item is refused; with Undo, all together."""
    await client.made()
    await _remove(client.house, "a")

    for option in (CONTINUE, UNDO):
        answers = await client.batch(create(), locate(), batch_error_continuation_option=option)
        assert [ResultReason.AUTHENTICATION_NOT_SUCCESSFUL] * 2 == [item.result_reason for item in answers]
        assert [None, None] == [item.response_payload for item in answers]


async def test_a_certificate_that_comes_back_is_served_again(client: Client) -> None:
    """With the same keys; nothing of the refusal is remembered."""
    house, uid = client.house, await client.made()
    certificate = (await house.catalog.certificates("instance-a"))[0]
    await _remove(house, "a")
    await client.batch(get(uid))
    await house.catalog.commit(Unit(entries=(), certificates=(certificate,)))

    assert uid == (await client(get(uid))).unique_identifier


async def _remove(house: House, who: str) -> None:
    await house.catalog.commit(Unit(entries=(), removed_certificates=(house.peers[who].fingerprint,)))


# --- a catalog that cannot commit ---


async def test_what_cannot_be_journaled_does_not_happen(client: Client) -> None:
    """General Failure for whatever is asked, also for a Get: no record, no key; and nothing is lost when it is back."""
    house, uid = client.house, await client.made()
    assert isinstance(house.catalog, MemoryCatalog)
    house.catalog.available = False
    refusals = [await client.refused(item) for item in (get(uid), create(), activate(uid), locate(), destroy(uid), BAD)]
    house.catalog.available = True

    assert [ResultReason.GENERAL_FAILURE] * 6 == refusals
    assert [uid] == await client.located()
    assert State.PRE_ACTIVE == await client.attribute(uid, "State")


async def test_a_whole_batch_fails_where_it_cannot_commit(client: Client) -> None:
    """Undo: every item says so."""
    house = client.house
    await client.made()
    assert isinstance(house.catalog, MemoryCatalog)
    house.catalog.available = False
    answers = await client.batch(create(), create(), batch_error_continuation_option=UNDO)
    house.catalog.available = True

    assert [ResultReason.GENERAL_FAILURE] * 2 == [item.result_reason for item in answers]
    assert 1 == len(await client.located())


# --- several at once ---


async def test_two_changes_of_one_object_at_once_both_happen(client: Client) -> None:
    """The second is decided anew on what the first has done."""
    uid = await client.made()

    await asyncio.gather(*[client(add_attribute(uid, "Object Group", f"group {n}")) for n in range(6)])

    assert {f"group {n}" for n in range(6)} == set(await client.attribute(uid, "Object Group"))


async def test_two_creates_of_one_name_at_once_make_one(client: Client) -> None:
    """Exactly one wins; the others are told that the name is taken."""
    answers = await asyncio.gather(*[client.batch(create({"Name": name("only")})) for _ in range(6)])

    reasons = sorted(items[0].result_reason or 0 for items in answers)
    assert [0] + [ResultReason.INVALID_FIELD] * 5 == reasons
    assert 1 == len(await client.located({"Name": name("only")}))


async def test_two_destroys_at_once_destroy_once(client: Client) -> None:
    """The second finds it destroyed."""
    uid = await client.made()

    answers = await asyncio.gather(client.batch(destroy(uid)), client.batch(destroy(uid)))

    assert {None, ResultReason.PERMISSION_DENIED} == {items[0].result_reason for items in answers}


async def test_an_allocation_is_never_given_twice(client: Client) -> None:
    """Ten ask at once for two of ten: five get them."""
    limits = UsageLimits(usage_limits_total=10, usage_limits_unit=UsageLimitsUnit.OBJECT)
    uid = await client.made(create({"Usage Limits": limits, "Activation Date": 1}))

    answers = await asyncio.gather(*[client.batch(get_usage_allocation(uid, 2)) for _ in range(8)])

    assert 5 == sum(items[0].result_status == SUCCESS for items in answers)
    assert 0 == (await client.attribute(uid, "Usage Limits")).usage_limits_count


async def test_every_item_is_journaled_once(client: Client) -> None:
    """With its outcome: also those that were decided more than once."""
    uid = await client.made()
    before = len(await journal(client.house))
    await asyncio.gather(*[client(add_attribute(uid, "Object Group", str(n))) for n in range(4)])
    await client.batch(BAD, get("nobody"), batch_error_continuation_option=CONTINUE)

    assert [("Add Attribute", "success")] * 4 + [("Create", "Invalid Field"), ("Get", "Item Not Found")] == (
        await journal(client.house)
    )[before:]
