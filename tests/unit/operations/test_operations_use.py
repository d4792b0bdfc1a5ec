"""Check, Obtain Lease, Get Usage Allocation (KMIP 1.4, 4.10, 4.17, 4.18), and their failures (11.11, 11.18, 11.19)."""

from keyrack.spec.enumerations import (
    CryptographicUsageMask,
    ObjectType,
    Operation,
    ResultReason,
    RevocationReasonCode,
    UsageLimitsUnit,
)
from keyrack.spec.structures import UsageLimits
from keyrack.testing.conversation import (
    Client,
    activate,
    check,
    create,
    destroy,
    get_usage_allocation,
    name,
    obtain_lease,
    register,
    register_opaque,
    register_password,
    revoke,
)
from keyrack.wire.objects import Template

LIMITS = UsageLimits(usage_limits_total=10, usage_limits_unit=UsageLimitsUnit.BYTE)
ENCRYPT = CryptographicUsageMask.ENCRYPT
DENIED, ILLEGAL, NOT_FOUND = (
    ResultReason.PERMISSION_DENIED,
    ResultReason.ILLEGAL_OPERATION,
    ResultReason.ITEM_NOT_FOUND,
)


async def active(client: Client, **given: object) -> str:
    """An active AES key with 10 bytes of Usage Limits."""
    return await client.made(create({"Activation Date": 1, "Usage Limits": LIMITS, **given}))


async def test_a_check_that_holds_answers_the_identifier_alone(each: Client) -> None:
    """The use, how much, and for how long: all within what the key allows."""
    uid = await active(each)

    answer = await each(check(uid, cryptographic_usage_mask=ENCRYPT, usage_limits_count=10, lease_time=3600))

    assert (uid, None, None, None) == (
        answer.unique_identifier,
        answer.usage_limits_count,
        answer.cryptographic_usage_mask,
        answer.lease_time,
    )


async def test_a_check_that_does_not_hold_is_denied(each: Client) -> None:
    """Permission Denied for another use, for more than is left, for longer than a lease."""
    uid = await active(each)

    assert DENIED == await each.refused(check(uid, cryptographic_usage_mask=CryptographicUsageMask.SIGN))
    assert DENIED == await each.refused(check(uid, usage_limits_count=11))
    assert DENIED == await each.refused(check(uid, lease_time=3601))


async def test_a_check_looks_at_the_state(each: Client) -> None:
    """Encrypt needs an Active key; Decrypt goes on after that."""
    uid = await each.made()
    before = await each.refused(check(uid, cryptographic_usage_mask=ENCRYPT))
    await each(activate(uid))
    await each(check(uid, cryptographic_usage_mask=ENCRYPT))
    await each(revoke(uid))

    assert DENIED == before == await each.refused(check(uid, cryptographic_usage_mask=ENCRYPT))
    assert uid == (await each(check(uid, cryptographic_usage_mask=CryptographicUsageMask.DECRYPT))).unique_identifier


async def test_a_check_of_what_is_not_used_is_illegal(each: Client) -> None:
    """Templates and Opaque Objects; of what is not there, Item Not Found."""
    opaque = await each.made(register_opaque(b"1"))

    assert ILLEGAL == await each.refused(check(opaque, cryptographic_usage_mask=ENCRYPT))
    assert NOT_FOUND == await each.refused(check("nobody"))


async def test_a_lease_is_given_for_an_hour(each: Client) -> None:
    """With the date of the last change, so that the client knows whether to fetch anew."""
    uid = await active(each)

    answer = await each(obtain_lease(uid))

    assert (uid, 3600, int(each.house.clock())) == (
        answer.unique_identifier,
        answer.lease_time,
        answer.last_change_date,
    )


async def test_no_lease_is_given_for_what_may_not_be_used(each: Client) -> None:
    """Deactivated, compromised, destroyed, or no cryptographic object: Permission Denied."""
    retired, leaked, gone = await active(each), await active(each), await each.made()
    await each(revoke(retired))
    await each(revoke(leaked, RevocationReasonCode.KEY_COMPROMISE))
    await each(destroy(gone))
    opaque = await each.made(register_opaque(b"1"))
    template = await each.made(register(ObjectType.TEMPLATE, Template(attribute=()), {"Name": name("t")}))

    refusals = [await each.refused(obtain_lease(uid)) for uid in (retired, leaked, gone, opaque, template)]

    assert [DENIED] * 5 == refusals
    assert NOT_FOUND == await each.refused(obtain_lease("nobody"))


async def test_an_allocation_is_taken_from_what_is_left(each: Client) -> None:
    """10, then 4, then too much, then 0."""
    uid = await active(each)
    await each(get_usage_allocation(uid, 6))
    refused = await each.refused(get_usage_allocation(uid, 5))
    await each(get_usage_allocation(uid, 4))

    assert DENIED == refused
    assert (10, 0) == (
        (await each.attribute(uid, "Usage Limits")).usage_limits_total,
        (await each.attribute(uid, "Usage Limits")).usage_limits_count,
    )


async def test_an_allocation_needs_limits_and_a_key_that_protects(each: Client) -> None:
    """Without Usage Limits, not Active, or only for decrypting: Illegal Operation."""
    unlimited, sleeping = (
        await each.made(create({"Activation Date": 1})),
        await each.made(create({"Usage Limits": LIMITS})),
    )
    reading = await active(each, **{"Cryptographic Usage Mask": CryptographicUsageMask.DECRYPT})
    password = await each.made(register_password(b"p"))

    refusals = [await each.refused(get_usage_allocation(uid, 1)) for uid in (unlimited, sleeping, reading, password)]

    assert [ILLEGAL] * 4 == refusals
    assert NOT_FOUND == await each.refused(get_usage_allocation("nobody", 1))


async def test_an_allocation_without_a_count_is_no_message(each: Client) -> None:
    """Usage Limits Count is required: Invalid Message."""
    _, payload = obtain_lease(await active(each))

    assert ResultReason.INVALID_MESSAGE == await each.refused((Operation.GET_USAGE_ALLOCATION, payload))


async def test_an_allocation_is_never_negative(each: Client) -> None:
    """Or a client could give itself more."""
    uid = await active(each)

    assert DENIED == await each.refused(get_usage_allocation(uid, -5))
    assert 10 == (await each.attribute(uid, "Usage Limits")).usage_limits_count
