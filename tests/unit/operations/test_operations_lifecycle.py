"""Activate, Revoke and Destroy (KMIP 1.4, 4.19 to 4.21), and how they fail (11.20 to 11.22)."""

import pytest

from keyrack.spec.enumerations import ObjectType, ResultReason, RevocationReasonCode, State
from keyrack.testing.conversation import (
    Client,
    activate,
    create,
    destroy,
    name,
    register,
    register_opaque,
    register_password,
    revoke,
)
from keyrack.wire.objects import Template

COMPROMISE = RevocationReasonCode.KEY_COMPROMISE
SUPERSEDED = RevocationReasonCode.SUPERSEDED


async def test_a_key_lives_and_dies(each: Client) -> None:
    """Pre-Active, Active, Deactivated, Destroyed; each step leaves its date."""
    clock = each.house.clock
    uid = await each.made()
    start, states = int(clock()), [await each.attribute(uid, "State")]
    for item in (activate(uid), revoke(uid, SUPERSEDED), destroy(uid)):
        clock.now += 10
        assert uid == (await each(item)).unique_identifier
        states.append(await each.attribute(uid, "State"))

    found = await each.attributes(uid)
    assert [State.PRE_ACTIVE, State.ACTIVE, State.DEACTIVATED, State.DESTROYED] == states
    assert [start, start + 10, start + 20, start + 30] == [
        found[f"{title} Date"] for title in ("Initial", "Activation", "Deactivation", "Destroy")
    ]
    assert SUPERSEDED == found["Revocation Reason"].revocation_reason_code
    assert start + 30 == found["Last Change Date"]


@pytest.mark.parametrize("code", [COMPROMISE, RevocationReasonCode.CA_COMPROMISE])
async def test_a_compromise_is_dated(each: Client, code: RevocationReasonCode) -> None:
    """When it was told, and when it happened; not known, it may have been ever since the Initial Date."""
    start = int(each.house.clock())
    known, unknown = await each.made(), await each.made()
    each.house.clock.now += 10
    await each(revoke(known, code, start + 3))
    await each(revoke(unknown, code))

    for uid, happened in ((known, start + 3), (unknown, start)):
        found = await each.attributes(uid)
        assert (State.COMPROMISED, start + 10, happened) == (
            found["State"],
            found["Compromise Date"],
            found["Compromise Occurrence Date"],
        )


async def test_what_was_deactivated_or_destroyed_may_turn_out_compromised(each: Client) -> None:
    """Deactivated to Compromised, Destroyed to Destroyed Compromised."""
    deactivated, destroyed = await each.made(), await each.made()
    await each(activate(deactivated))
    await each(revoke(deactivated))
    await each(destroy(destroyed))
    for uid in (deactivated, destroyed):
        await each(revoke(uid, COMPROMISE))

    assert State.COMPROMISED == await each.attribute(deactivated, "State")
    assert State.DESTROYED_COMPROMISED == await each.attribute(destroyed, "State")


async def test_the_dates_alone_move_a_key(each: Client) -> None:
    """Activation and Deactivation Date: nobody has to be there."""
    now = int(each.house.clock())
    uid = await each.made(create({"Activation Date": now + 10, "Deactivation Date": now + 20}))
    each.house.clock.now += 15
    active = await each.attributes(uid, "State", "Last Change Date")
    each.house.clock.now += 15
    over = await each.attributes(uid, "State", "Last Change Date")

    assert {"State": State.ACTIVE, "Last Change Date": now + 10} == active
    assert {"State": State.DEACTIVATED, "Last Change Date": now + 20} == over


ITEMS = [activate("nobody"), revoke("nobody"), destroy("nobody")]


@pytest.mark.parametrize("item", ITEMS, ids=[item[0].name for item in ITEMS])
async def test_absent_and_foreign_objects_are_not_found(each: Client, item: tuple[object, object]) -> None:
    """Item Not Found."""
    assert ResultReason.ITEM_NOT_FOUND == await each.refused(item)  # type: ignore[arg-type]


async def test_only_a_pre_active_object_is_activated(each: Client) -> None:
    """Permission Denied for any other state."""
    uid = await each.made()
    await each(activate(uid))
    refusals = [await each.refused(activate(uid))]
    await each(revoke(uid))
    refusals.append(await each.refused(activate(uid)))
    await each(destroy(uid))
    refusals.append(await each.refused(activate(uid)))

    assert [ResultReason.PERMISSION_DENIED] * 3 == refusals


async def test_what_has_no_state_is_not_activated(each: Client) -> None:
    """Templates and Opaque Objects: Illegal Operation."""
    opaque = await each.made(register_opaque(b"1"))
    template = await each.made(register(ObjectType.TEMPLATE, Template(attribute=()), {"Name": name("t")}))

    assert ResultReason.ILLEGAL_OPERATION == await each.refused(activate(opaque))
    assert ResultReason.ILLEGAL_OPERATION == await each.refused(activate(template))
    assert ResultReason.ILLEGAL_OPERATION == await each.refused(revoke(template))


async def test_an_active_object_is_not_destroyed(each: Client) -> None:
    """Permission Denied: it must be revoked first; and so for one that is gone already."""
    uid, gone = await each.made(create({"Activation Date": 1})), await each.made()
    await each(destroy(gone))

    assert ResultReason.PERMISSION_DENIED == await each.refused(destroy(uid))
    assert ResultReason.PERMISSION_DENIED == await each.refused(destroy(gone))
    assert State.ACTIVE == await each.attribute(uid, "State")


async def test_secret_data_templates_and_opaque_objects_are_destroyed(each: Client) -> None:
    """Nothing of their kind stands in the way."""
    made = [
        await each.made(register_password(b"p")),
        await each.made(register_opaque(b"1")),
        await each.made(register(ObjectType.TEMPLATE, Template(attribute=()), {"Name": name("t")})),
    ]
    for uid in made:
        await each(destroy(uid))

    assert [] == await each.located()


async def test_an_opaque_object_is_revoked_with_its_reason_alone(each: Client) -> None:
    """It has no State that could change."""
    uid = await each.made(register_opaque(b"1"))
    await each(revoke(uid, SUPERSEDED))

    assert SUPERSEDED == (await each.attribute(uid, "Revocation Reason")).revocation_reason_code


async def test_a_revocation_that_makes_no_sense_is_refused(each: Client) -> None:
    """Table 11.21: an unknown reason, an occurrence without a compromise, a key that is not in use."""
    uid = await each.made()

    assert ResultReason.INVALID_FIELD == await each.refused(revoke(uid, 0x77))
    assert ResultReason.INVALID_FIELD == await each.refused(revoke(uid, SUPERSEDED, 1))
    assert ResultReason.ILLEGAL_OPERATION == await each.refused(revoke(uid, SUPERSEDED))
    assert State.PRE_ACTIVE == await each.attribute(uid, "State")
