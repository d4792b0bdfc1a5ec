"""Batches (KMIP 1.4, 6.12 and 6.13; 11.43): the ID Placeholder, the options, the identifiers of items."""

import json
from typing import Any

import pytest

from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    Operation,
    ResultReason,
    ResultStatus,
    State,
)
from keyrack.spec.types import CustomValue, ItemType
from keyrack.spec.versions import ProtocolVersion
from keyrack.testing.conversation import (
    Client,
    activate,
    add_attribute,
    create,
    destroy,
    get,
    get_attributes,
    locate,
    modify_attribute,
    name,
    revoke,
)
from keyrack.testing.house import House
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
