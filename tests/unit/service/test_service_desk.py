"""Who is answered and what is kept: certificates that go, catalogs that cannot commit, several who ask at once."""

import asyncio
import json

from keyrack.adapters.memory import MemoryCatalog
from keyrack.ports.catalog import Unit
from keyrack.spec.enumerations import (
    BatchErrorContinuationOption,
    KeyFormatType,
    ObjectType,
    ResultReason,
    ResultStatus,
    State,
    UsageLimitsUnit,
)
from keyrack.spec.structures import UsageLimits
from keyrack.spec.versions import V1_0
from keyrack.testing.conversation import (
    Client,
    activate,
    add_attribute,
    create,
    destroy,
    get,
    get_usage_allocation,
    key_block,
    locate,
    name,
    register,
)
from keyrack.testing.house import House
from keyrack.wire.objects import KeyWrappingData, PrivateKey

CONTINUE, STOP, UNDO = BatchErrorContinuationOption
SUCCESS, FAILED, _, UNDONE = ResultStatus
BAD = create({"Cryptographic Length": 7})


async def journal(house: House) -> list[tuple[str, str]]:
    """Action and outcome of every entry."""
    records = [json.loads(record.text) for record in await house.catalog.journal()]
    return [(record["action"], record["outcome"]) for record in records]


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


async def test_a_refusal_is_journaled_with_its_target(client: Client) -> None:
    """Who asks for what is not there, or not his, is in the journal with it; a long text is cut."""
    foreign = await Client(client.house, who="b").made()
    for uid in (foreign, "nobody", "x" * 5000):
        await client.refused(get(uid))

    records = [json.loads(record.text) for record in await client.house.catalog.journal()]

    assert [foreign, "nobody", "x" * 64] == [record["target"] for record in records[-3:]]


async def test_what_an_old_version_cannot_say_is_refused_in_it(client: Client) -> None:
    """A key that was registered wrapped, in a format of 1.3: General Failure in 1.0, but not for the item beside it."""
    block = key_block(
        bytes(32),
        key_format_type=KeyFormatType.TRANSPARENT_EC_PRIVATE_KEY,
        key_value=bytearray(40),
        key_wrapping_data=KeyWrappingData(wrapping_method=1),
    )
    uid = await client.made(
        register(ObjectType.PRIVATE_KEY, PrivateKey(key_block=block), {"Cryptographic Usage Mask": 1})
    )

    old, beside = await Client(client.house, V1_0).batch(get(uid), locate())

    assert (ResultReason.GENERAL_FAILURE, SUCCESS) == (old.result_reason, beside.result_status)
    assert uid == (await client(get(uid))).unique_identifier


async def test_every_item_is_journaled_once(client: Client) -> None:
    """With its outcome: also those that were decided more than once."""
    uid = await client.made()
    before = len(await journal(client.house))
    await asyncio.gather(*[client(add_attribute(uid, "Object Group", str(n))) for n in range(4)])
    await client.batch(BAD, get("nobody"), batch_error_continuation_option=CONTINUE)

    assert [("Add Attribute", "success")] * 4 + [("Create", "Invalid Field"), ("Get", "Item Not Found")] == (
        await journal(client.house)
    )[before:]
