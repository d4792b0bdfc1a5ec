"""The existence sync: what is deleted in a key manager is withheld, and nothing else is; it comes back when it does."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.domain.instances import Home, Storage
from keyrack.ports.catalog import Leftover, Unit
from keyrack.ports.key_manager import KeyManagerRefused, Reason, StandardKey
from keyrack.service.care.existence import Existence, Synced
from keyrack.service.vault.standard_keys import PREFIX, name_of
from keyrack.spec.enumerations import ResultReason
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import activate, destroy, get, name, register_opaque
from keyrack.testing.house import Refused
from keyrack.testing.tended import Tended, an_entry


@pytest.fixture(params=["memory", "sqlite"])
async def tended(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tended]:
    """A house over both catalogs."""
    on_disk = request.param == "sqlite"
    made = await Tended.create(await catalog_at(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else None)
    yield made
    await made.catalog.close()


async def refusal(tended: Tended, uid: str, who: str = "a") -> Refused:
    """How a Get is refused."""
    with pytest.raises(Refused) as refused:
        await tended.client(who)(get(uid))
    return refused.value


async def test_a_deleted_standard_key_withholds_its_key_at_once(tended: Tended) -> None:
    """Though its plaintext is in memory; the other one is given still, and the journal says why."""
    client = tended.client()
    gone, there = [await client.made() for _ in range(2)]
    standard_key = await tended.taken(gone)
    assert await client.material(gone)

    found = await tended.round()

    assert (1, 0) == (found.withheld, found.strangers)
    refused = await refusal(tended, gone)
    assert ResultReason.PERMISSION_DENIED == refused.reason
    assert "standard key was deleted in the key manager" in str(refused.message)
    assert await client.material(there)
    (entry,) = await tended.journal("key.withhold")
    assert (gone, "keyrack", standard_key.identifier) == (
        entry["target"],
        entry["initiator"],
        entry["detail"]["standard_key"],
    )
    assert "absent" in entry["detail"]["cause"]


async def test_a_standard_key_that_is_back_gives_its_key_again(tended: Tended) -> None:
    client = tended.client()
    uid = await client.made()
    before = await client.material(uid)
    standard_key = await tended.taken(uid)
    await tended.round()
    tended.manager.restore_standard_key(standard_key)

    found = await tended.round()

    assert 0 == found.withheld
    assert before == await client.material(uid)
    assert 1 == len(await tended.journal("key.restore"))


async def test_what_stays_gone_is_counted_and_not_asked_for_again(tended: Tended) -> None:
    uid = await tended.client().made()
    await tended.taken(uid)
    await tended.round()
    asked = tended.manager.calls["get_standard_key"]

    found = await tended.round()

    assert (1, asked) == (found.withheld, tended.manager.calls["get_standard_key"])
    assert 1 == len(await tended.journal("key.withhold"))


async def test_one_that_is_listed_and_cannot_be_read_stays_withheld(tended: Tended) -> None:
    """A listing alone gives nothing back."""
    uid = await tended.client().made()
    standard_key = await tended.taken(uid)
    await tended.round()
    tended.manager.restore_standard_key(standard_key)

    async def gone(identifier: str) -> StandardKey:
        raise KeyManagerRefused(f"there is no standard key {identifier}", Reason.DELETED)

    tended.manager.get_standard_key = gone  # type: ignore[method-assign]

    assert 1 == (await tended.round()).withheld


async def test_a_key_that_the_listing_misses_is_not_withheld_while_it_is_there(tended: Tended) -> None:
    """Pages shift while others write."""
    client = tended.client()
    missed, listed = [await client.made() for _ in range(2)]

    async def without_one(prefix: str) -> AsyncIterator[StandardKey]:
        async for key in every(prefix):
            if key.name != name_of(missed):
                yield key

    every = tended.manager.list_standard_keys
    tended.manager.list_standard_keys = without_one  # type: ignore[method-assign]
    found = await tended.round()

    assert (0, int(tended.house.clock())) == (found.withheld, found.synced_at)
    assert await client.material(missed)
    assert await client.material(listed)


REASONS = [reason for reason in Reason if reason not in {Reason.ABSENT, Reason.DELETED}]


@pytest.mark.parametrize("reason", REASONS)
async def test_no_other_refusal_withholds(tended: Tended, reason: Reason) -> None:
    """The sync has not come to its end then: nothing is known, and why is told."""
    uid = await tended.client().made()
    standard_key = await tended.taken(uid)

    async def refused(identifier: str) -> StandardKey:
        raise KeyManagerRefused("no", reason)

    usual, tended.manager.get_standard_key = tended.manager.get_standard_key, refused  # type: ignore[method-assign]
    found = await tended.round()
    tended.manager.get_standard_key = usual  # type: ignore[method-assign]
    tended.manager.restore_standard_key(standard_key)

    assert (0, None, str(reason)) == (found.withheld, found.synced_at, found.reason)
    assert await tended.client().material(uid)


@pytest.mark.parametrize("method", ["list_standard_keys", "get_standard_key"])
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.REFUSE])
async def test_a_key_manager_that_fails_withholds_nothing(tended: Tended, method: str, fault: Fault) -> None:
    uid = await tended.client().made()
    await tended.taken(uid)
    tended.manager.fail(method, fault)

    found = await tended.round()

    assert (0, None) == (found.withheld, found.synced_at)
    assert "standard keys could not be looked at" in found.told
    assert 1 == (await tended.round()).withheld


async def test_where_the_root_key_is_unknown_nothing_is_withheld(tended: Tended) -> None:
    """Perhaps another key manager answers than was meant: there, every standard key would seem to be gone."""
    uid = await tended.client().made()
    await tended.taken(uid)
    tended.manager.fail("describe_root_key", Fault.REFUSE)

    assert (0, None) == ((found := await tended.round()).withheld, found.synced_at)
    assert 0 == tended.manager.calls["list_standard_keys"]


async def test_keys_made_after_the_listing_began_are_left_out(tended: Tended) -> None:
    """Nobody asks for them by themselves."""
    tended.house.clock.now += 60
    uid = await tended.client().made()
    await tended.taken(uid)
    asked = tended.manager.calls["get_standard_key"]

    assert 0 == (await tended.round(after=0)).withheld
    assert asked == tended.manager.calls["get_standard_key"]


async def test_instances_of_one_key_manager_share_one_listing(tended: Tended) -> None:
    await tended.house.admit("b", storage=Storage.KEY_MANAGER)
    uids = [await tended.client(who).made() for who in ("a", "b")]
    for uid in uids:
        await tended.taken(uid)

    await tended.round()

    assert 1 == tended.manager.calls["list_standard_keys"]
    assert [1, 1] == [(await tended.validation(each)).withheld for each in ("a", "b")]


async def test_an_instance_that_keeps_no_standard_keys_costs_no_listing(tended: Tended) -> None:
    await tended.changed(await tended.instance(), storage=Storage.CATALOG)

    assert (await tended.round()).synced_at is None
    assert 0 == tended.manager.calls["list_standard_keys"]


async def test_a_destroyed_key_is_neither_withheld_nor_a_stranger(tended: Tended) -> None:
    client = tended.client()
    gone, there = [await client.made() for _ in range(2)]
    for uid in (gone, there):
        await client(destroy(uid))
    await tended.taken(gone)
    await tended.round()

    assert (0, 0) == ((found := await tended.round()).withheld, found.strangers)


async def test_a_change_that_comes_first_is_kept(tended: Tended) -> None:
    """The object is loaded again, and withheld as it is by then."""
    client = tended.client()
    uid = await client.made()
    await tended.taken(uid)

    async def meanwhile(identifier: str) -> StandardKey:
        tended.manager.get_standard_key = usual  # type: ignore[method-assign]
        await client(activate(uid))
        return await usual(identifier)

    usual, tended.manager.get_standard_key = tended.manager.get_standard_key, meanwhile  # type: ignore[method-assign]

    assert 1 == (await tended.round()).withheld
    managed = await tended.catalog.load("instance-a", uid)
    assert managed is not None
    assert ("Active", True) == (managed.state.title, managed.withheld_at is not None)


async def test_a_key_that_got_another_standard_key_meanwhile_is_not_withheld(tended: Tended) -> None:
    """It was rewrapped while its old standard key was asked for."""
    uid = await tended.client().made()

    async def meanwhile(identifier: str) -> StandardKey:
        tended.manager.get_standard_key = usual  # type: ignore[method-assign]
        managed = await tended.catalog.load("instance-a", uid)
        assert managed is not None
        successor = await tended.manager.put_standard_key(name_of(uid), managed.sealed or b"")
        await tended.catalog.commit(
            Unit(entries=(an_entry("key.rewrap"),), updated=(managed.changed(standard_key=successor),))
        )
        return await usual(identifier)

    await tended.taken(uid)
    usual, tended.manager.get_standard_key = tended.manager.get_standard_key, meanwhile  # type: ignore[method-assign]

    assert 0 == (await tended.round()).withheld
    assert [] == await tended.journal("key.withhold")


# --- two levels ---


async def test_a_withheld_wrapping_key_withholds_its_instance_in_every_process(tended: Tended) -> None:
    """Its keys are in memory; another process hears of it by the generation of the catalog, and so does this one."""
    wrapping_key = await tended.two_level("b")
    client = tended.client("b")
    uid, other = await client.made(), await tended.client().made()
    material = await client.material(uid)
    generation = await tended.catalog.generation()
    standard_key = await tended.taken(wrapping_key.unique_identifier)

    await tended.round()

    assert generation < await tended.catalog.generation()
    assert "wrapping key" in str((await refusal(tended, uid, "b")).message)
    assert 1 == len(tended.house.vault._cache), "what the other instance has is all that is left in memory"
    assert await tended.client().material(other)
    tended.manager.restore_standard_key(standard_key)
    await tended.round()
    assert material == await client.material(uid)


# --- moving ---


async def test_while_an_instance_moves_each_key_is_looked_for_where_it_lies(tended: Tended) -> None:
    """Keys at the former home, in another key manager, are listed there."""
    client, old = tended.client(), tended.manager
    stays, goes = [await client.made() for _ in range(2)]
    instance = await tended.instance()
    fresh = type(old)()
    root_key = (await fresh.create_root_key("new")).identifier
    former = Home(instance.key_manager, instance.root_key)
    await tended.changed(instance, key_manager="new", root_key=root_key, former=former)
    await tended.taken(goes)
    tended.house.clock.now += 60
    existence = Existence(tended.catalog, {"embedded": old, "new": fresh}, tended.house.vault, tended.house.clock)

    found = await existence.sync([await tended.instance()])

    assert {"instance-a": Synced(at=int(tended.house.clock()), withheld=1, changed=1)} == found
    assert (1, 1) == (old.calls["list_standard_keys"], fresh.calls["list_standard_keys"])
    assert stays != goes


# --- strangers ---


async def test_a_standard_key_that_nobody_has_is_a_stranger_from_the_second_listing_on(tended: Tended) -> None:
    """It may be a successor that is committed in a moment."""
    uid = await tended.client().made()
    await tended.manager.put_standard_key(name_of(uid), b"a copy that a crash has left")
    await tended.manager.put_standard_key(f"{PREFIX}of-another-deployment", b"")
    await tended.manager.put_standard_key("not ours at all", b"")

    assert [0, 2] == [(await tended.round()).strangers for _ in range(2)]
    await tended.manager.put_standard_key(f"{PREFIX}another", b"")
    assert [2, 3] == [(await tended.round()).strangers for _ in range(2)]


async def test_what_intents_and_leftovers_have_is_no_stranger(tended: Tended) -> None:
    uid = await tended.client().made(register_opaque(b"octets", {"Name": name("n")}))
    managed = await tended.catalog.load("instance-a", uid)
    assert managed is not None
    under_way = replace(managed, unique_identifier="00000000-0000-4000-8000-000000000009", standard_key=None)
    old = await tended.manager.put_standard_key(name_of(uid), b"old")
    await tended.manager.put_standard_key(name_of(under_way.unique_identifier), b"")
    leftover = Leftover(
        key_manager="embedded",
        standard_key=old,
        instance="instance-a",
        unique_identifier=uid,
        why="rewrapped",
        at=2**33,
    )
    await tended.catalog.commit(Unit(entries=(an_entry("x"),), intents=(under_way,), leftovers=(leftover,)))

    assert [0, 0] == [(await tended.round()).strangers for _ in range(2)]


async def test_strangers_are_told_of_their_instance_and_nobodys_of_the_oldest(tended: Tended) -> None:
    tended.house.clock.now += 5
    await tended.house.admit("b", storage=Storage.KEY_MANAGER)
    uid = await tended.client("b").made()
    await tended.manager.put_standard_key(name_of(uid), b"")
    await tended.manager.put_standard_key(f"{PREFIX}nobody", b"")
    for _ in range(2):
        await tended.round()

    assert [1, 1] == [(await tended.validation(each)).strangers for each in ("a", "b")]


async def test_a_sync_that_is_cancelled_leaves_nothing_running(tended: Tended) -> None:
    for _ in range(20):
        await tended.taken(await tended.client().made())
    tended.house.clock.now += 60
    tended.manager.delay = 0.05
    running = asyncio.create_task(tended.care.round("embedded"))
    await asyncio.sleep(0.2)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert [asyncio.current_task()] == list(asyncio.all_tasks())
