"""What follows a rotation: which keys are wrapped anew, that they are the same, and that the old standard keys go."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Hierarchy, Storage
from keyrack.ports.catalog import Catalog, Leftover, Unit
from keyrack.ports.key_manager import KeyManagerRefused, KeyManagerUnavailable, Reason, RootKey, Wrapped
from keyrack.service.moves.rewrap import Rewrapped, behind, rewrap, rewrap_instance
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import activate, destroy
from keyrack.testing.house import Refused
from keyrack.testing.moves import HERE, FailingCatalog, Moves

COUNT = 6


@pytest.fixture(params=["memory", "sqlite"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalog]:
    on_disk = request.param == "sqlite"
    made: Catalog = await catalog_at(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else MemoryCatalog()
    yield made
    await made.close()


async def rotated(catalog: Catalog, storage: Storage, hierarchy: Hierarchy = Hierarchy.DIRECT) -> Moves:
    """A house with keys, whose root key was rotated then."""
    moves = await Moves.create(catalog, storage=storage, hierarchy=hierarchy)
    await moves.fill(COUNT)
    await rotate(moves)
    return moves


async def rotate(moves: Moves) -> RootKey:
    return await moves.here.rotate_root_key((await moves.instance()).root_key)


async def versions(moves: Moves) -> set[str | None]:
    """The versions that wrap the instance's keys."""
    instance = await moves.instance()
    return {moves.house.vault.wrapped_by(instance, each) for each in await moves.sealed()}


async def rewrapped(moves: Moves) -> Rewrapped:
    return await rewrap(moves.ground(), await moves.instance())


async def actions(moves: Moves) -> list[tuple[str, str]]:
    records: list[dict[str, Any]] = [json.loads(record.text) for record in await moves.catalog.journal()]
    return [(each["action"], each["initiator"]) for each in records]


@pytest.mark.parametrize("storage", list(Storage))
async def test_every_key_is_wrapped_by_the_newest_version(catalog: Catalog, storage: Storage) -> None:
    """They are the same keys; each has one standard key still, and both copies are the new one."""
    moves = await rotated(catalog, storage)

    came = await rewrapped(moves)

    assert (COUNT, COUNT, ()) == (came.outcome.done, came.outcome.changed, came.outcome.failures)
    assert {came.version} == await versions(moves)
    await moves.verify()
    await moves.verify_copies()


@pytest.mark.parametrize("storage", list(Storage))
async def test_of_two_levels_the_wrapping_key_alone_is_rewrapped(catalog: Catalog, storage: Storage) -> None:
    """Whatever number of keys there is."""
    moves = await rotated(catalog, storage, Hierarchy.TWO_LEVEL)
    before = {each.unique_identifier: each.sealed for each in await moves.sealed()}

    came = await rewrapped(moves)

    changed = [each for each in await moves.sealed() if before[each.unique_identifier] != each.sealed]
    wrapping_key = await catalog.wrapping_key("instance-a")
    assert ([wrapping_key], 1, COUNT + 1) == (changed, came.outcome.changed, came.outcome.done)
    await moves.verify()
    await moves.verify_copies()


async def test_a_second_rewrap_has_nothing_to_do(catalog: Catalog) -> None:
    """Nothing is asked of the key manager for the keys themselves."""
    moves = await rotated(catalog, Storage.KEY_MANAGER)
    await rewrapped(moves)
    moves.here.calls.clear()

    came = await rewrapped(moves)

    assert 0 == came.outcome.changed
    assert {"describe_root_key", "list_standard_keys"} == set(moves.here.calls)


async def test_a_look_beforehand_changes_nothing(catalog: Catalog) -> None:
    """And says what there is to do, and what will be billed."""
    moves = await rotated(catalog, Storage.KEY_MANAGER)
    before = await moves.sealed()

    found = await behind(moves.ground(), await moves.instance())

    assert (COUNT, COUNT, COUNT) == (found.keys, found.stored, found.total)
    assert before == await moves.sealed()


async def test_each_step_stands_in_the_journal(catalog: Catalog) -> None:
    """Who has rewrapped, and which standard keys were deleted."""
    moves = await rotated(catalog, Storage.KEY_MANAGER)

    await rewrapped(moves)

    told = await actions(moves)
    assert COUNT == told.count(("key.rewrap", "local-user-eve"))
    assert COUNT == told.count(("standard-key.delete", "keyrack"))


async def test_the_background_rewraps_in_the_name_of_keyrack() -> None:
    """Slowly, so that clients are served first."""
    moves = await rotated(MemoryCatalog(), Storage.CATALOG)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await rewrap_instance(moves.catalog, moves.house.vault, await moves.instance(), moves.managers, rate=100)

    assert loop.time() - began > (COUNT - 1) / 100
    assert COUNT == (await actions(moves)).count(("key.rewrap", "keyrack"))


async def test_a_key_manager_that_does_not_tell_versions_has_nothing_rewrapped() -> None:
    """Else every key would be wrapped anew at each look."""
    moves = await rotated(MemoryCatalog(), Storage.CATALOG)
    describe = moves.here.describe_root_key

    async def silent(root_key: str) -> RootKey:
        return replace(await describe(root_key), version="")

    moves.here.describe_root_key = silent  # type: ignore[method-assign]
    with pytest.raises(KeyManagerUnavailable):
        await rewrapped(moves)


async def test_what_is_in_memory_stays_there_through_a_rewrap() -> None:
    """Another process has rewrapped it: nothing is unwrapped anew, and an outage is bridged as before."""
    moves = await rotated(MemoryCatalog(), Storage.KEY_MANAGER)
    await rewrapped(moves)
    moves.here.down = Fault.UNAVAILABLE

    for uid in moves.materials:
        await moves.got(uid)
    moves.house.vault.purge()
    with pytest.raises(Refused):
        await moves.got(uid)


async def test_a_wrapped_key_that_was_changed_is_not_taken_for_a_rewrapped_one() -> None:
    """Whatever is in memory: it is not authentic."""
    moves = await rotated(MemoryCatalog(), Storage.CATALOG)
    instance, (first, *_) = await moves.instance(), await moves.sealed()
    assert first.sealed is not None
    spoilt = replace(first, sealed=first.sealed[:-1] + bytes([first.sealed[-1] ^ 1]))

    assert moves.house.vault.cached(instance, first) is not None
    with pytest.raises(CryptographicFailure):
        await moves.house.vault.open(instance, spoilt)


# --- what must hold before the switch ---


@pytest.mark.parametrize("binds", [True, False])
async def test_a_rewrap_that_gives_another_key_changes_nothing(binds: bool) -> None:
    """The key manager answers a ciphertext of something else: it is opened and compared before anything is kept."""
    moves = await Moves.create(storage=Storage.KEY_MANAGER, binds=binds)
    await moves.fill(COUNT)
    await rotate(moves)
    one, other = (await moves.sealed())[:2]
    vault, here = moves.house.vault, moves.here
    rewrap_there = here.rewrap
    wrong = vault.wrapping.verified(other.instance, other.sealed)

    async def exchanged(root_key: str, ciphertext: bytes, aad: Any) -> Wrapped:
        if ciphertext == vault.wrapping.verified(one.instance, one.sealed).wrapped:
            return await rewrap_there(root_key, wrong.wrapped, wrong.header.aad())
        return await rewrap_there(root_key, ciphertext, aad)

    here.rewrap = exchanged  # type: ignore[method-assign]
    came = await rewrapped(moves)

    assert [one.unique_identifier] == [identifier for identifier, _ in came.outcome.failures]
    await moves.verify()
    await moves.verify_copies()


async def test_a_standard_key_that_is_not_kept_as_given_is_not_switched_to() -> None:
    """It is read back first."""
    moves = await rotated(MemoryCatalog(), Storage.KEY_MANAGER)
    before, put = await moves.sealed(), moves.here.put_standard_key

    async def spoilt(name: str, payload: bytes) -> str:
        return await put(name, payload[:-1] + bytes((payload[-1] ^ 1,)))

    moves.here.put_standard_key = spoilt  # type: ignore[method-assign]
    came = await rewrapped(moves)

    assert COUNT == len(came.outcome.failures)
    assert before == await moves.sealed()
    await moves.verify()


async def test_only_a_successor_is_taken_up_as_one() -> None:
    """Not what is no wrapped key, nor another object's, nor one of an older version, nor one that does not open."""
    moves = await Moves.create(storage=Storage.KEY_MANAGER)
    one, other = await moves.fill(2)
    held = {each.unique_identifier: each for each in await moves.sealed()}
    instance, vault = await moves.instance(), moves.house.vault
    old = await vault.reseal(instance, held[one])
    await rotate(moves)
    new, foreign = [await vault.rewrap(instance, held[uid]) for uid in (one, other)]
    parsed, alien = [vault.wrapping.verified(instance.identifier, each) for each in (new, foreign)]
    closed = vault.wrapping.authenticated(
        instance.identifier,
        parsed.header.encode(),
        Wrapped(alien.wrapped, parsed.wrapped_by),
        parsed.body,
        parsed.check_value,
    )
    strays = [
        await moves.here.put_standard_key(f"vmware_kmip_{one}", payload)
        for payload in (b"nothing", foreign, old, closed, new[:-1] + b"\x00")
    ]

    came = await rewrapped(moves)

    taken = {each.standard_key for each in await moves.sealed()}
    assert (2, (), set()) == (came.outcome.changed, came.outcome.failures, taken & set(strays))
    await moves.verify()


# --- standard keys that are of no use any more ---


async def test_old_standard_keys_that_may_not_be_deleted_are_remembered(catalog: Catalog) -> None:
    """The role Writer may not delete: it goes on, asks once, and somebody else deletes them later."""
    moves = await rotated(catalog, Storage.KEY_MANAGER)
    moves.here.fail("delete_standard_key", Fault.REFUSE, 100)
    old = {each.standard_key for each in await moves.sealed()}

    came = await rewrapped(moves)

    assert (COUNT, COUNT, 8 >= moves.here.calls["delete_standard_key"]) == (came.outcome.changed, came.leftovers, True)
    assert old == {each.standard_key for each in await catalog.leftovers("instance-a")}
    assert {"rewrapped"} == {each.why for each in await catalog.leftovers()}
    moves.here._faults.clear()
    await rewrapped(moves)
    await moves.verify_copies()


@pytest.mark.parametrize("kept", [False, True], ids=["not kept", "kept unheard"])
async def test_a_commit_that_fails_leaves_one_standard_key_in_the_end(kept: bool) -> None:
    """What was put is taken up by the next attempt, and what was kept after all is found out."""
    catalog = FailingCatalog()
    moves = await rotated(catalog, Storage.KEY_MANAGER)
    failed = list[str]()

    def fails(unit: Unit) -> bool:
        """Each switch fails once."""
        names = [each.unique_identifier for each in unit.updated]
        first = bool(names) and names[0] not in failed
        failed.extend(names)
        return first

    catalog.fails, catalog.kept = fails, kept
    came = await rewrapped(moves)

    assert not came.outcome.failures
    assert 2 * COUNT == moves.here.calls["put_standard_key"]
    await moves.verify()
    await moves.verify_copies()


async def test_two_at_once_leave_one_standard_key_of_each() -> None:
    """Who comes second takes back what it has put."""
    moves = await rotated(MemoryCatalog(), Storage.KEY_MANAGER)
    moves.here.delay = 0.001

    came = await asyncio.gather(rewrapped(moves), rewrapped(moves), rewrapped(moves))

    assert COUNT == sum(each.outcome.changed for each in came)
    assert not any(each.outcome.failures for each in came)
    await moves.verify()
    await moves.verify_copies()


async def test_what_another_put_and_has_not_switched_to_yet_is_taken_up_by_one() -> None:
    """A second command begins while the first is between its standard key and its commit."""
    moves = await rotated(MemoryCatalog(), Storage.KEY_MANAGER)
    put = moves.here.put_standard_key
    second: list[Rewrapped] = []

    async def between(name: str, payload: bytes) -> str:
        identifier = await put(name, payload)
        moves.here.put_standard_key = put  # type: ignore[method-assign]
        second.append(await rewrapped(moves))
        return identifier

    moves.here.put_standard_key = between  # type: ignore[method-assign]
    first = await rewrapped(moves)

    assert COUNT == first.outcome.changed + second[0].outcome.changed
    await moves.verify()
    await moves.verify_copies()


async def test_a_client_that_changes_the_object_meanwhile_costs_no_second_standard_key() -> None:
    """An Activate has nothing to do with the wrapped key: the same successor is committed again."""
    moves = await Moves.create(FailingCatalog(), storage=Storage.KEY_MANAGER)
    uid = await moves.made()
    await rotate(moves)
    put = moves.here.put_standard_key

    async def meanwhile(name: str, payload: bytes) -> str:
        await moves.client(activate(uid))
        return await put(name, payload)

    moves.here.put_standard_key = meanwhile  # type: ignore[method-assign]
    came = await rewrapped(moves)

    assert (1, 2) == (came.outcome.changed, moves.here.calls["put_standard_key"])
    assert "Active" == str((await moves.sealed())[0].state.title)  # type: ignore[union-attr]
    await moves.verify_copies()


# --- what was revoked ---


async def test_a_revoked_key_stays_revoked() -> None:
    """Its standard key was deleted a moment ago, and nobody has noticed: a rewrap brings it not back to life."""
    moves = await rotated(MemoryCatalog(), Storage.KEY_MANAGER)
    revoked = (await moves.sealed())[2]
    await moves.here.delete_standard_key(revoked.standard_key or "")

    came = await rewrapped(moves)

    assert [revoked.unique_identifier] == [identifier for identifier, _ in came.outcome.failures]
    (now,) = [each for each in await moves.sealed() if each.unique_identifier == revoked.unique_identifier]
    assert (revoked.sealed, revoked.standard_key, int(moves.house.clock())) == (
        now.sealed,
        now.standard_key,
        now.withheld_at,
    )
    del moves.materials[revoked.unique_identifier]
    await moves.verify()


async def test_a_key_that_was_restored_is_rewrapped_and_given_again() -> None:
    """It was withheld, and the key manager has its standard key again."""
    moves = await rotated(MemoryCatalog(), Storage.KEY_MANAGER)
    held = (await moves.sealed())[0]
    await moves.catalog.commit(Unit(entries=(), updated=(held.changed(withheld_at=5),)))  # type: ignore[arg-type]

    await rewrapped(moves)

    await moves.verify()
    await moves.verify_copies()


async def test_a_destroyed_key_whose_standard_key_is_gone_is_kept_in_the_catalog() -> None:
    """Nobody gets it, and nothing is made in the key manager for it."""
    moves = await rotated(MemoryCatalog(), Storage.KEY_MANAGER)
    first = (await moves.sealed())[0]
    await moves.client(destroy(first.unique_identifier))
    await moves.here.delete_standard_key(first.standard_key or "")

    came = await rewrapped(moves)

    assert (COUNT, ()) == (came.outcome.changed, came.outcome.failures)
    assert (None, {came.version}) == ((await moves.sealed())[0].standard_key, await versions(moves))


# --- a key manager in trouble ---


async def test_a_key_manager_that_refuses_creates_ends_it_and_loses_nothing() -> None:
    """As an instance policy does from one day to the other."""
    moves = await Moves.create(storage=Storage.KEY_MANAGER)
    await moves.fill(40)
    await rotate(moves)

    async def refuses(name: str, payload: bytes) -> str:
        raise KeyManagerRefused("a policy forbids it", Reason.POLICY, code="409 KEY_CREATE_IMPORT_ACCESS_ERR")

    moves.here.put_standard_key = refuses  # type: ignore[method-assign]
    came = await rewrapped(moves)

    assert came.outcome.stopped
    assert "a policy forbids it" in came.outcome.failures[0][1]
    await moves.verify()


async def test_a_lost_answer_makes_no_second_standard_key(catalog: Catalog) -> None:
    """It is found by its name, and compared."""
    moves = await rotated(catalog, Storage.KEY_MANAGER)
    moves.here.fail("put_standard_key", Fault.LOSE_ANSWER, 3)

    came = await rewrapped(moves)

    assert COUNT == came.outcome.changed
    await moves.verify_copies()


async def test_leftovers_of_before_are_deleted_too(catalog: Catalog) -> None:
    """Those that an earlier command had to leave."""
    moves = await rotated(catalog, Storage.KEY_MANAGER)
    first = (await moves.sealed())[0]
    stray = await moves.here.put_standard_key(f"vmware_kmip_{first.unique_identifier}", b"of no use")
    leftover = Leftover(
        key_manager=HERE, standard_key=stray, instance="instance-a", unique_identifier="x", why="undone", at=1
    )
    await catalog.commit(Unit(entries=(), leftovers=(leftover,)))

    assert 0 == (await rewrapped(moves)).leftovers
    await moves.verify_copies()
