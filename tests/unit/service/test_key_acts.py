"""What an administrator does with keys, over a real catalog, seen by a KMIP client and in the journal."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.instances import Storage
from keyrack.domain.lifecycle import Event
from keyrack.domain.rights import Right, Role
from keyrack.ports.catalog import Leftover
from keyrack.service.care.leftovers import SETTLED, Leftovers
from keyrack.service.office import key_acts, keys
from keyrack.service.office.administration import Administration
from keyrack.service.office.impact import impact_of
from keyrack.service.office.keys import Windows
from keyrack.service.office.refusals import (
    ConfirmationNeeded,
    Forbidden,
    LimitReached,
    NameTaken,
    NotThere,
    Refused,
    TooEarly,
    Unusable,
    WrongState,
)
from keyrack.spec.enumerations import ObjectType, ResultReason, RevocationReasonCode, State
from keyrack.spec.structures import Name
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.conversation import (
    activate,
    add_attribute,
    check,
    create,
    destroy,
    get,
    get_attribute_list,
    locate,
    name,
    obtain_lease,
    register,
    register_opaque,
    revoke,
)
from keyrack.testing.offices import DAY, WINDOWS, Offices, open_offices
from keyrack.wire.objects import Template

ACTS: dict[str, tuple[Right, Callable[..., Awaitable[Any]], dict[str, Any]]] = {
    "activate": (Right.KEY_ACTIVATE, key_acts.activate, {}),
    "deactivate": (Right.KEY_DEACTIVATE, key_acts.deactivate, {}),
    "compromise": (Right.KEY_DEACTIVATE, key_acts.compromise, {}),
    "restore": (Right.KEY_RESTORE, key_acts.restore, {}),
    "destroy": (Right.KEY_DESTROY, key_acts.destroy, {"windows": WINDOWS}),
    "recover": (Right.KEY_RESTORE, key_acts.recover, {}),
    "purge": (Right.KEY_PURGE, key_acts.purge, {"windows": WINDOWS}),
}


@pytest.fixture
async def offices(tmp_path: Path) -> AsyncIterator[Offices]:
    async with open_offices(tmp_path) as opened:
        yield opened


@pytest.fixture(params=list(Storage))
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Offices]:
    """An instance whose keys are in the catalog alone, and one whose keys are in the key manager too."""
    async with open_offices(tmp_path, storage=request.param) as opened:
        yield opened


@pytest.fixture
def ann(offices: Offices) -> Administration:
    return offices.machine("ann")


async def act(offices: Offices, what: str, *identifiers: str, by: Administration | None = None, **more: Any) -> Any:
    """Do one of the acts, at the machine if nobody else does it."""
    _, do, fixed = ACTS[what]
    return await do(by or offices.machine("ann"), offices.catalog, offices.instance, identifiers, **(fixed | more))


async def ended(offices: Offices, identifier: str) -> None:
    """Deactivate and destroy a key that is called db01."""
    await act(offices, "deactivate", identifier, confirmation="db01")
    await act(offices, "destroy", identifier, confirmation="db01")


async def test_each_act_takes_the_step_of_the_lifecycle_and_is_journaled(offices: Offices) -> None:
    """And vCenter sees the State that it leads to."""
    uid = await offices.key("db01", active=False)
    seen = []
    for what in ("activate", "deactivate", "restore", "deactivate", "destroy", "recover", "destroy"):
        offices.house.clock.now += 10
        more: dict[str, Any] = {"confirmation": "db01"} if what in {"deactivate", "destroy"} else {}
        await act(offices, what, uid, **more)
        seen.append(await offices.client.attribute(uid, "State"))

    assert [
        State.ACTIVE,
        State.DEACTIVATED,
        State.ACTIVE,
        State.DEACTIVATED,
        State.DESTROYED,
        State.DEACTIVATED,
        State.DESTROYED,
    ] == seen
    told = await offices.journal("key.activate", "key.deactivate", "key.reactivate", "key.destroy", "key.recover")
    assert {(uid, "local-user-ann", "success", "a")} == {
        (each["target"], each["initiator"], each["outcome"], each["instance"].removeprefix("instance-"))
        for each in told
    }
    assert [("Pre-Active", "Active"), ("Active", "Deactivated"), ("Deactivated", "Active")] == [
        (each["detail"]["state"], each["detail"]["becomes"]) for each in told[:3]
    ]


async def test_a_restored_key_is_active_again_and_as_it_was(offices: Offices) -> None:
    """VMware's remedy for a key deactivated by mistake: date and reason are gone, the material is the same."""
    uid = await offices.key("db01")
    before = await offices.client.material(uid)
    await act(offices, "deactivate", uid, confirmation="db01", why="a mistake")
    assert "a mistake" == (await offices.client.attribute(uid, "Revocation Reason")).revocation_message

    await act(offices, "restore", uid)

    found = await offices.client.attributes(uid)
    assert (State.ACTIVE, None, None) == (
        found["State"],
        found.get("Deactivation Date"),
        found.get("Revocation Reason"),
    )
    assert before == await offices.client.material(uid)


async def test_a_compromise_is_dated_and_cannot_be_restored(offices: Offices) -> None:
    uid = await offices.key("db01")
    since = offices.now - 100
    await act(offices, "compromise", uid, confirmation="db01", occurred_at=since)

    assert since == await offices.client.attribute(uid, "Compromise Occurrence Date")
    with pytest.raises(WrongState, match=r"cannot restore key \w{8} \(db01\): it is Compromised"):
        await act(offices, "restore", uid)


@pytest.mark.parametrize("what", ["deactivate", "compromise", "destroy", "purge"])
async def test_what_can_stop_a_machine_is_done_with_its_words_alone(offices: Offices, what: str) -> None:
    """Without them the impact is told, with others the act is refused, and nothing changes either way."""
    uid = await offices.key("db01", fetched=True)
    if what in {"destroy", "purge"}:
        await act(offices, "deactivate", uid, confirmation="db01")
    if what == "purge":
        await act(offices, "destroy", uid, confirmation="db01")
        offices.house.clock.now += 4 * 3600
    before = await offices.catalog.load(offices.instance.identifier, uid)

    with pytest.raises(ConfirmationNeeded) as needed:
        await act(offices, what, uid)
    with pytest.raises(Unusable, match="the confirmation is not 'db01'; nothing was changed"):
        await act(offices, what, uid, confirmation="db02")

    assert before == await offices.catalog.load(offices.instance.identifier, uid)
    impact = needed.value.impact
    assert ("db01", 1, 1, 0, 1) == (
        needed.value.confirmation,
        impact["total"],
        impact["virtual_machines"],
        impact["unnamed"],
        impact["fetched_within_400_days"],
    )
    (told,) = impact["keys"]
    assert (uid, "127.0.0.1:1", 1) == (
        told["unique_identifier"],
        told["last_fetch"]["address"],
        told["last_fetch"]["count"],
    )
    assert "backups" in impact["unseen"]
    await act(offices, what, uid, confirmation="db01")


async def test_the_words_are_the_machine_the_identifier_or_how_many(offices: Offices) -> None:
    """A name that nobody can type is none."""
    named, unnamed, odd = await offices.key("db01"), await offices.key(), await offices.key("db\x1b[2J")
    for identifiers, words in (
        ([named], "db01"),
        ([unnamed], unnamed[:8]),
        ([odd], odd[:8]),
        ([named, unnamed], "2 keys"),
    ):
        with pytest.raises(ConfirmationNeeded) as needed:
            await act(offices, "deactivate", *identifiers)
        assert words == needed.value.confirmation


@pytest.mark.parametrize("what", ACTS)
async def test_an_act_needs_its_right(offices: Offices, what: str) -> None:
    """Of the five roles those may that the table says, and for a viewer nothing changes."""
    uid = await offices.key("db01")
    before = await offices.catalog.load(offices.instance.identifier, uid)
    viewer = await offices.session(await offices.person("vera", Role.VIEWER))

    with pytest.raises(Forbidden):
        await act(offices, what, uid, by=viewer)

    assert before == await offices.catalog.load(offices.instance.identifier, uid)


async def test_rights_that_were_taken_meanwhile_do_not_count(offices: Offices) -> None:
    """The person is asked for again in the transaction."""
    uid = await offices.key("db01", active=False)
    olga = await offices.person("olga", Role.OPERATOR)
    office = await offices.session(olga)
    await offices.forget_rights(olga)

    with pytest.raises(Forbidden, match="were changed just now"):
        await act(offices, "activate", uid, by=office)
    assert State.PRE_ACTIVE == await offices.client.attribute(uid, "State")


async def test_many_keys_are_all_changed_or_none(offices: Offices) -> None:
    """One that cannot be, keeps all as they are; and the words count them."""
    one, two = await offices.key("db01"), await offices.key("db02", active=False)

    with pytest.raises(WrongState, match=rf"cannot deactivate key {two[:8]} \(db02\): "):
        await act(offices, "deactivate", one, two, confirmation="2 keys")
    assert State.ACTIVE == await offices.client.attribute(one, "State")
    await act(offices, "activate", two)
    rows = await act(offices, "deactivate", one[:9], two, confirmation="2 keys")

    assert {one, two} == {row.managed.unique_identifier for row in rows}
    assert 2 == len(await offices.journal("key.deactivate"))


async def test_keys_that_are_not_there_are_told(offices: Offices) -> None:
    """Absent and foreign look alike."""
    uid = await offices.key("db01")
    other = await offices.house.admit("b")
    for prefix in ("0000", uid[:3], "no such thing"):
        with pytest.raises(NotThere):
            await act(offices, "activate", prefix)
    with pytest.raises(NotThere, match=f"no key of 'b' begins with '{uid}'"):
        await key_acts.activate(offices.machine("ann"), offices.catalog, other, [uid])
    with pytest.raises(LimitReached):
        await act(offices, "activate", *[uid] * 501)


async def test_an_active_key_is_deactivated_before_it_is_destroyed(offices: Offices) -> None:
    uid = await offices.key("db01")

    with pytest.raises(WrongState, match="it is Active: deactivate it first, then destroy it"):
        await act(offices, "destroy", uid, confirmation="db01")


async def test_an_administrator_destroys_softly(kept: Offices) -> None:
    """No client gets it; recovered it is the same key, whatever keeps it."""
    uid = await kept.key("db01")
    before = await kept.client.material(uid)
    await ended(kept, uid)
    assert ResultReason.ILLEGAL_OPERATION == await kept.client.refused(get(uid))
    kept.house.clock.now += 29 * DAY

    await act(kept, "recover", uid)

    assert State.DEACTIVATED == await kept.client.attribute(uid, "State")
    assert before == await kept.client.material(uid)


async def test_what_a_client_has_destroyed_can_be_recovered_too(kept: Offices) -> None:
    uid = await kept.key(active=False)
    before = await kept.client.material(uid)
    await kept.client(destroy(uid))

    await act(kept, "recover", uid)

    assert (State.PRE_ACTIVE, before) == (
        await kept.client.attribute(uid, "State"),
        await kept.client.material(uid),
    )


async def test_purged_is_for_good(kept: Offices) -> None:
    """The wrapped key is gone from the catalog, its copy from the key manager, and nothing recovers it."""
    uid = await kept.key("db01")
    await ended(kept, uid)
    kept.house.clock.now += 4 * 3600
    before = await kept.catalog.load(kept.instance.identifier, uid)
    assert before is not None
    assert before.sealed

    await act(kept, "purge", uid, confirmation="db01")

    after = await kept.catalog.load(kept.instance.identifier, uid)
    assert after is not None
    assert (None, None) == (after.sealed, after.standard_key)
    with pytest.raises(WrongState, match="it was purged"):
        await act(kept, "recover", uid)
    with pytest.raises(WrongState, match="nothing is to be done"):
        await act(kept, "purge", uid, confirmation="db01")
    if before.standard_key is None:
        assert [] == await kept.catalog.leftovers()
        return
    (leftover,) = await kept.catalog.leftovers()
    assert (before.standard_key, "embedded", "purged") == (leftover.standard_key, leftover.key_manager, leftover.why)
    assert await _is_in_key_manager(kept, leftover)
    care = Leftovers(kept.catalog, {"embedded": kept.key_manager}, lambda: kept.now + SETTLED + 1)
    assert 1 == (await care.clear()).deleted
    assert not await _is_in_key_manager(kept, leftover)


async def _is_in_key_manager(offices: Offices, leftover: Leftover) -> bool:
    listed = [each.identifier async for each in offices.key_manager.list_standard_keys("vmware_kmip_")]
    return leftover.standard_key in listed


async def test_nobody_purges_within_four_hours(offices: Offices) -> None:
    """As Key Protect's KeyPurge; the configuration says how many."""
    uid = await offices.key("db01")
    await ended(offices, uid)
    offices.house.clock.now += 4 * 3600 - 61

    with pytest.raises(TooEarly, match="can be purged after 4 h, this one from 20"):
        await act(offices, "purge", uid, confirmation="db01")
    await act(offices, "purge", uid, confirmation="db01", windows=Windows(purge=60))


async def test_what_is_not_destroyed_is_not_purged(offices: Offices) -> None:
    uid = await offices.key("db01")

    with pytest.raises(WrongState, match="it is Active: destroy it first"):
        await act(offices, "purge", uid, confirmation="db01")


@pytest.mark.parametrize("way", ["softly", "purged"])
async def test_to_a_client_destroyed_is_destroyed(kept: Offices, way: str) -> None:
    """By an administrator, softly or for good, as by a client: every answer is the same but for the identifier."""
    by_client, by_us = await kept.key("db01"), await kept.key("db01")
    for uid in (by_client, by_us):
        await kept.client(revoke(uid, RevocationReasonCode.CESSATION_OF_OPERATION))
    await kept.client(destroy(by_client))
    await act(kept, "destroy", by_us, confirmation="db01")
    if way == "purged":
        kept.house.clock.now += 4 * 3600
        await act(kept, "purge", by_us, confirmation="db01")

    answers = [[await _answered(kept, uid) for uid in (by_client, by_us)]]
    assert answers[0][0] == answers[0][1]
    assert [] == [uid for uid in await kept.client.located() if uid in {by_client, by_us}]


async def _answered(offices: Offices, uid: str) -> list[str]:
    """What a client hears of an object, in words."""
    items = (
        get(uid),
        get_attribute_list(uid),
        check(uid),
        obtain_lease(uid),
        activate(uid),
        add_attribute(uid, "x-New", CustomValue(ItemType.TEXT_STRING, "value")),
        destroy(uid),
    )
    told = [str(await offices.house.batch([item])) for item in items]
    held = await offices.client.attributes(uid)
    held.pop("Digest", None)  # It is of the material, which was another from the beginning.
    told.append(str(sorted(held.items(), key=str)))
    return [each.replace(uid, "UID") for each in told]


async def test_a_name_that_was_given_on_is_in_the_way(offices: Offices) -> None:
    """A destroyed key has given its Name up; whoever has it now keeps it."""
    bearer = {"Name": name("the key")}
    first = await offices.client.made(create(bearer))
    await offices.client(destroy(first))
    second = await offices.client.made(create(bearer))

    with pytest.raises(NameTaken, match="has taken its Name"):
        await act(offices, "recover", first)
    await offices.client(destroy(second))
    await act(offices, "recover", first)
    found: Name = await offices.client.attribute(first, "Name")
    assert "the key" == found.name_value


async def test_what_has_no_state_is_destroyed_and_recovered_all_the_same(offices: Offices) -> None:
    """An Opaque Object and a Template; neither is activated, and a Template has nothing to purge."""
    template = register(ObjectType.TEMPLATE, Template(attribute=()))
    opaque = await offices.client.made(register_opaque(b"opaque"))
    plan = await offices.client.made(template)
    for uid in (opaque, plan):
        with pytest.raises(WrongState, match="does not go with an object of the type"):
            await act(offices, "activate", uid)
        await act(offices, "destroy", uid, confirmation=uid[:8])
        if uid == opaque:
            assert ResultReason.ILLEGAL_OPERATION == await offices.client.refused(get(uid))
        assert uid not in await offices.client.located()
        await act(offices, "recover", uid)
        await offices.client(get(uid))
        assert uid in await offices.client.located()
        told = await keys.tell(offices.machine("ann"), offices.catalog, offices.instance, uid, WINDOWS)
        assert (None, False) == (told.purge_at, told.is_purged)
        await act(offices, "destroy", uid, confirmation=uid[:8])
    offices.house.clock.now += 4 * 3600
    await act(offices, "purge", opaque, confirmation=opaque[:8])
    with pytest.raises(WrongState, match="no material"):
        await act(offices, "purge", plan, confirmation=plan[:8])


async def test_a_client_that_comes_first_is_heard(offices: Offices, ann: Administration) -> None:
    """The act is decided anew on what is there then."""
    uid = await offices.key("db01", active=False)
    load = offices.catalog.key_rows
    raced: list[bool] = []

    async def rows(instance: str, identifiers: Any) -> Any:
        found = await load(instance, identifiers)
        if not raced:
            raced.append(True)
            await offices.client(add_attribute(uid, "x-Race", CustomValue(ItemType.TEXT_STRING, "won")))
        return found

    offices.catalog.key_rows = rows  # type: ignore[method-assign]
    await key_acts.activate(ann, offices.catalog, offices.instance, [uid])

    assert State.ACTIVE == await offices.client.attribute(uid, "State")
    assert "won" == (await offices.client.attribute(uid, "x-Race")).value


async def test_a_reason_is_one_short_line(offices: Offices, ann: Administration) -> None:
    uid = await offices.key("db01")
    for why in ("x" * 201, "two\nlines"):
        with pytest.raises(Unusable, match="one line of at most 200"):
            await act(offices, "deactivate", uid, why=why, confirmation="db01")
    with pytest.raises(Unusable, match="is a reason to mark a key compromised"):
        await act(offices, "deactivate", uid, reason=RevocationReasonCode.KEY_COMPROMISE, confirmation="db01")
    with pytest.raises(Unusable, match="is no compromise"):
        await act(offices, "compromise", uid, reason=RevocationReasonCode.SUPERSEDED, confirmation="db01")
    with pytest.raises(Refused):
        await act(offices, "compromise", uid, occurred_at=offices.now + 5, confirmation="db01")


async def test_a_key_is_told_whole(kept: Offices) -> None:
    """Life, who made it, who fetched it last, under which version of the root key, when it will be purged."""
    uid = await kept.key("db01", fetched=True)
    await kept.client.material(uid)
    await ended(kept, uid)

    told = await keys.tell(kept.machine("ann"), kept.catalog, kept.instance, uid[:8], WINDOWS)

    assert told.wrapped is not None
    assert (kept.instance.root_key, "embedded", None) == (
        told.wrapped.root_key,
        told.wrapped.key_manager,
        told.wrapped.wrapping_key,
    )
    assert told.wrapped.root_key_version
    fingerprint = kept.house.peers["a"].fingerprint
    assert (f"CertificateID-{fingerprint}", "local-user-ann") == (told.row.created_by, told.row.destroyed_by)
    assert told.row.fetch is not None
    assert ("127.0.0.1:1", 2) == (told.row.fetch.address, told.row.fetch.count)
    assert kept.now + 30 * DAY == told.purge_at
    assert ["Initial Date", "Activation Date", "Deactivation Date", "Destroy Date", "Last Change Date"] == list(
        told.life
    )
    assert (kept.instance.storage is Storage.KEY_MANAGER) == (told.managed.standard_key is not None)


async def test_the_impact_on_an_instance_is_that_of_all_its_living_keys(offices: Offices) -> None:
    """Machines, hosts, what else vCenter names, and what it has not named; those first that were fetched last."""
    await offices.key("db01", fetched=True)
    offices.house.clock.now += 401 * DAY
    latest = await offices.key("esx1", "ESXi Server", fetched=True)
    await offices.key("vsan", "vSAN Cluster")
    await offices.key()
    gone = await offices.key(active=False)
    await offices.client(destroy(gone))

    impact = (await impact_of(offices.catalog, offices.instance, offices.now)).as_json()

    assert (4, 1, 1, 1, 1, 1) == tuple(
        impact[name] for name in ("total", "virtual_machines", "hosts", "others", "unnamed", "fetched_within_400_days")
    )
    assert latest == impact["keys"][0]["unique_identifier"]
    assert gone not in {each["unique_identifier"] for each in impact["keys"]}


def test_every_event_of_an_administrator_has_its_act() -> None:
    """What the lifecycle table knows can be done."""
    done = {Event.ACTIVATE, Event.DEACTIVATE, Event.COMPROMISE, Event.DESTROY, Event.RESTORE}
    assert done | {Event.RECOVER, Event.RECOVER_UNUSED} == set(Event)


async def test_locate_finds_a_recovered_key_again(offices: Offices) -> None:
    uid = await offices.key(active=False)
    await offices.client(destroy(uid))
    await act(offices, "recover", uid)

    assert uid in (await offices.client(locate())).unique_identifier
