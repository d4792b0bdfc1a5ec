"""Query and Discover Versions (KMIP 1.4, 4.25 and 4.26): what the server says of itself, in each version's words."""

import pytest

from keyrack.operations._registry import OPERATIONS
from keyrack.spec.enumerations import ObjectType, Operation, QueryFunction, ResultReason
from keyrack.spec.versions import V1_0, V1_1, V1_3, V1_4, VERSIONS, ProtocolVersion
from keyrack.testing.conversation import Client, discover_versions, query
from keyrack.testing.house import frame_of, read_items
from keyrack.wire.messages import ProtocolVersionStructure


async def test_query_names_the_operations_that_are_built(each: Client) -> None:
    """Exactly those of the registry that the version has, and Objects and Server Information besides."""
    answer = await each(
        query(QueryFunction.QUERY_OPERATIONS, QueryFunction.QUERY_OBJECTS, QueryFunction.QUERY_SERVER_INFORMATION)
    )

    built = [row.operation for row in OPERATIONS.values() if row.operation.since <= each.version]
    assert sorted(built) == list(answer.operation)
    assert "Keyrack" == answer.vendor_identification
    assert ObjectType.SYMMETRIC_KEY in answer.object_type


async def test_every_operation_is_what_query_says(each: Client) -> None:
    """One that Query does not name answers Operation Not Supported; one that it names, something else."""
    named = (await each(query(QueryFunction.QUERY_OPERATIONS))).operation
    items = [(operation, b"") for operation in Operation]

    answers = {}
    for operation, payload in items:
        frame = frame_of([(operation, payload)], version=each.version)
        (item,) = read_items(await each.house.said(frame, version=each.version))
        answers[operation] = item.result_reason

    assert set(named) == {each for each, reason in answers.items() if reason != ResultReason.OPERATION_NOT_SUPPORTED}


@pytest.mark.parametrize("function", QueryFunction)
async def test_every_function_is_answered_in_its_versions(each: Client, function: QueryFunction) -> None:
    """And refused, as one that the version has not, in those before."""
    frame = frame_of([query(function)], claimed=each.version)

    (item,) = read_items(await each.house.said(frame, version=each.version))

    assert (None if function.since <= each.version else ResultReason.INVALID_FIELD) == item.result_reason


async def test_a_function_asked_twice_is_answered_once(each: Client) -> None:
    """No list is said twice."""
    once = await each(query(QueryFunction.QUERY_OBJECTS))

    assert once == await each(query(QueryFunction.QUERY_OBJECTS, QueryFunction.QUERY_OBJECTS))


async def test_a_query_asks_for_something(each: Client) -> None:
    """At least one function is required; one that nobody knows is refused."""
    assert ResultReason.INVALID_MESSAGE == await each.refused(query())
    assert ResultReason.INVALID_FIELD == await each.refused(query(0x99))


async def test_capabilities_say_what_batches_can(client: Client) -> None:
    """Undo and Continue are said from 1.4 on, when there are words for it."""
    new = (await client(query(QueryFunction.QUERY_CAPABILITIES))).capability_information[0]
    old = (await Client(client.house, V1_3)(query(QueryFunction.QUERY_CAPABILITIES))).capability_information[0]

    assert (True, True, False) == (
        new.batch_undo_capability,
        new.batch_continue_capability,
        new.asynchronous_capability,
    )
    assert (None, None) == (old.batch_undo_capability, old.batch_continue_capability)


def _spoken(*versions: ProtocolVersion) -> list[ProtocolVersionStructure]:
    return [
        ProtocolVersionStructure(protocol_version_major=each.major, protocol_version_minor=each.minor)
        for each in versions
    ]


@pytest.mark.parametrize("version", VERSIONS[:-1], ids=str)
async def test_versions_are_discovered(client: Client, version: ProtocolVersion) -> None:
    """All of them, newest first; of those that the client names, those that both speak."""
    asking = Client(client.house, version)
    two = _spoken(ProtocolVersion(2, 0))
    some = _spoken(V1_0, ProtocolVersion(3, 1), V1_4)

    assert tuple(_spoken(*VERSIONS)) == (await asking(discover_versions())).protocol_version
    assert () == (await asking(discover_versions(*two))).protocol_version
    assert tuple(_spoken(V1_4, V1_0)) == (await asking(discover_versions(*some))).protocol_version


async def test_1_0_does_not_know_discover_versions(client: Client) -> None:
    """It came with 1.1; and the answer names no operation that 1.0 does not have."""
    frame = frame_of([discover_versions()], version=V1_1, claimed=V1_0)

    (item,) = read_items(await client.house.said(frame, version=V1_0))

    assert ResultReason.OPERATION_NOT_SUPPORTED == item.result_reason
