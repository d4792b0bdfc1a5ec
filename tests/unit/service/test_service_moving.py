"""Moving an instance to another root key: every key follows, the former home is let go of, and nothing is lost."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import Hierarchy, InstanceStatus, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Catalog, Unit
from keyrack.ports.key_manager import KeyManagerRefused, Reason, Wrapped
from keyrack.service.care.reconcile import reconcile
from keyrack.service.moves import completion
from keyrack.service.moves.completion import Completed
from keyrack.service.moves.moving import change_root_key
from keyrack.service.moves.rewrap import behind
from keyrack.service.office.refusals import Refused
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import create, name, register_opaque
from keyrack.testing.moves import HERE, THERE, FailingCatalog, Moves

COUNT = 5
CATALOG, KEY_MANAGER = Storage.CATALOG, Storage.KEY_MANAGER
DIRECT, TWO_LEVEL = Hierarchy.DIRECT, Hierarchy.TWO_LEVEL


@pytest.fixture(params=["memory", "sqlite"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalog]:
    on_disk = request.param == "sqlite"
    made: Catalog = await catalog_at(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else MemoryCatalog()
    yield made
    await made.close()


async def filled(catalog: Catalog | None, storage: Storage, hierarchy: Hierarchy = DIRECT) -> Moves:
    moves = await Moves.create(catalog, storage=storage, hierarchy=hierarchy)
    await moves.fill(COUNT)
    return moves


async def new_root_key(moves: Moves, where: str = THERE) -> str:
    return (await moves.managers[where].create_root_key("another")).identifier


async def moved(moves: Moves, root_key: str, where: str = THERE) -> Completed:
    completed = await change_root_key(moves.ground(), await moves.instance(), root_key, key_manager=where)
    moves.house.desk.sessions.forget()
    return completed


async def delete_former(moves: Moves, root_key: str) -> None:
    """The root key that the instance has left is deleted: nothing may need it any more."""
    await moves.here.delete_root_key(root_key)


@pytest.mark.parametrize("where", [HERE, THERE])
@pytest.mark.parametrize("storage", list(Storage))
@pytest.mark.parametrize("hierarchy", list(Hierarchy))
async def test_every_key_follows_and_the_former_root_key_is_needed_no_more(
    catalog: Catalog, hierarchy: Hierarchy, storage: Storage, where: str
) -> None:
    """They are the same keys, each with one standard key where the instance is now; new ones are made there."""
    moves = await filled(catalog, storage, hierarchy)
    former, root_key = (await moves.instance()).root_key, await new_root_key(moves, where)

    came = await moved(moves, root_key, where)
    await delete_former(moves, former)
    await moves.made()

    instance = await moves.instance()
    assert ([], 0, instance) == (
        came.left,
        came.leftovers,
        replace(came.instance, updated_at=instance.updated_at, updated_by=instance.updated_by),
    )
    assert (where, root_key, None) == (instance.key_manager, instance.root_key, instance.former)
    await moves.verify()
    await moves.verify_copies()


async def test_of_two_levels_within_a_key_manager_the_wrapping_key_alone_moves(catalog: Catalog) -> None:
    """The standard keys of all others stay as they are."""
    moves = await filled(catalog, KEY_MANAGER, TWO_LEVEL)
    before = [each for each in await moves.sealed() if isinstance(each, ManagedObject)]

    came = await moved(moves, await new_root_key(moves, HERE), HERE)

    assert 1 == came.outcome.changed
    assert before == [each for each in await moves.sealed() if isinstance(each, ManagedObject)]


async def test_a_move_of_two_levels_in_the_catalog_touches_the_wrapping_key_alone(catalog: Catalog) -> None:
    """Also to another key manager: no copy of the others is anywhere."""
    moves = await filled(catalog, CATALOG, TWO_LEVEL)

    assert 1 == (await moved(moves, await new_root_key(moves))).outcome.changed


async def test_there_back_and_there_again(catalog: Catalog) -> None:
    """Any number of times; the same command again has nothing to do."""
    moves = await filled(catalog, KEY_MANAGER, TWO_LEVEL)
    here, there = (await moves.instance()).root_key, await new_root_key(moves)
    for root_key, where in ((there, THERE), (here, HERE), (there, THERE), (there, THERE)):
        assert [] == (await moved(moves, root_key, where)).left
        await moves.verify()
        await moves.verify_copies()


async def test_the_own_key_manager_is_meant_where_none_is_named() -> None:
    """Another root key of it."""
    moves = await filled(None, CATALOG)
    root_key = await new_root_key(moves, HERE)

    came = await change_root_key(moves.ground(), await moves.instance(), root_key)

    assert (HERE, root_key) == (came.instance.key_manager, came.instance.root_key)


async def test_keys_that_move_are_not_behind_a_rotation() -> None:
    """Moving wraps them anew."""
    moves = await filled(None, CATALOG)
    await _stuck(moves, await new_root_key(moves))

    assert 0 == (await behind(moves.ground(), await moves.instance())).keys


# --- broken off ---


async def _stuck(moves: Moves, root_key: str, where: str = THERE) -> None:
    """A move that was begun, and moved nothing."""
    former = moves.managers[(await moves.instance()).key_manager]
    former.fail("unwrap", Fault.UNAVAILABLE, 100)
    came = await moved(moves, root_key, where)
    former._faults.clear()
    assert came.left
    assert came.instance.former is not None


async def test_the_same_command_goes_on() -> None:
    """And meanwhile all keys open, and new ones are made in the new home."""
    moves = await filled(None, KEY_MANAGER)
    root_key = await new_root_key(moves)
    await _stuck(moves, root_key)
    await moves.verify()
    uid = await moves.made()
    assert 1 == (await moves.copies())[THERE][uid]

    assert [] == (await moved(moves, root_key)).left

    await moves.verify()
    await moves.verify_copies()


async def test_a_move_can_be_turned_back_in_its_middle() -> None:
    """What was moved comes back; what was made there meanwhile comes with it."""
    moves = await filled(None, KEY_MANAGER)
    former, root_key = (await moves.instance()).root_key, await new_root_key(moves)
    await _stuck(moves, root_key)
    await moves.made()

    came = await moved(moves, former, HERE)

    assert ([], HERE, former, None) == (
        came.left,
        came.instance.key_manager,
        came.instance.root_key,
        came.instance.former,
    )
    await moves.there.delete_root_key(root_key)
    await moves.verify()
    await moves.verify_copies()


async def test_a_third_root_key_has_to_wait() -> None:
    """Else keys of three homes would have to open."""
    moves = await filled(None, CATALOG)
    root_key = await new_root_key(moves)
    await _stuck(moves, root_key)
    before = await moves.instance()

    with pytest.raises(Refused, match=f"{before.former and before.former.root_key}.*{root_key}"):
        await moved(moves, await new_root_key(moves))

    assert before == await moves.instance()


async def test_the_former_home_is_kept_while_one_key_is_left_there() -> None:
    """It is told which, and why; the others have moved."""
    moves = await filled(None, KEY_MANAGER)
    revoked = (await moves.sealed())[2]
    kept = await moves.here.get_standard_key(revoked.standard_key or "")
    await moves.here.delete_standard_key(kept.identifier)
    root_key = await new_root_key(moves)

    came = await moved(moves, root_key)

    assert [revoked.unique_identifier] == [identifier for identifier, _ in came.left]
    assert (COUNT - 1, HERE) == (came.outcome.changed, came.instance.former and came.instance.former.key_manager)
    moves.here._standard_keys[kept.identifier] = kept
    assert [] == (await moved(moves, root_key)).left
    await moves.verify()
    await moves.verify_copies()


async def test_what_a_client_was_just_making_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process has crashed between the key manager and the catalog: it is completed, and then moved."""
    catalog = FailingCatalog()
    moves = await filled(catalog, KEY_MANAGER)
    catalog.fails = lambda unit: bool(unit.inserted)
    await moves.client.refused(create({"Name": name("lost")}))
    catalog.fails = lambda unit: False
    (intent,) = await catalog.intents()
    monkeypatch.setattr(completion, "LOOK_AGAIN_AFTER", 0.01)
    former, looked = (await moves.instance()).root_key, moves.house.clock
    seen: list[str | None] = []

    async def later(*arguments: object, **named: object) -> object:
        instance = await moves.instance()
        seen.append(instance.former.root_key if instance.former else None)
        looked.now += 20
        return await reconcile(*arguments, **named | {"now": int(looked())})  # type: ignore[arg-type]

    monkeypatch.setattr(completion, "reconcile", later)
    came = await moved(moves, await new_root_key(moves))

    assert ([], [former] * len(seen)) == (came.left, seen)
    assert len(seen) >= 3
    assert intent.unique_identifier in {each.unique_identifier for each in await moves.sealed()}
    await delete_former(moves, former)
    await moves.verify()
    assert 32 == len(await moves.client.material(intent.unique_identifier))
    await moves.verify_copies()


async def test_what_is_still_being_made_keeps_the_former_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the longest patience it is told, and the command is to be run again."""
    catalog = FailingCatalog()
    moves = await filled(catalog, KEY_MANAGER)
    catalog.fails = lambda unit: bool(unit.inserted)
    await moves.client.refused(create())
    catalog.fails = lambda unit: False
    monkeypatch.setattr(completion, "PATIENCE", 0.05)
    monkeypatch.setattr(completion, "LOOK_AGAIN_AFTER", 0.01)
    root_key = await new_root_key(moves)

    came = await moved(moves, root_key)

    assert [completion.MAKING] == [why for _, why in came.left]
    assert came.instance.former is not None
    moves.house.clock.now += 61
    assert [] == (await moved(moves, root_key)).left
    await moves.verify_copies()


# --- refused before anything is written ---


async def nothing_written(moves: Moves, root_key: str, told: str, where: str = THERE) -> None:
    """It is refused with these words, and all is as it was."""
    before = await moves.instance(), await moves.sealed()
    with pytest.raises(Refused, match=told):
        await moved(moves, root_key, where)
    assert before == (await moves.instance(), await moves.sealed())
    assert Counter() == (await moves.copies())[THERE]


async def test_a_root_key_that_does_not_work_is_refused() -> None:
    """One that is not there, one that is disabled, and one that does not give back what it is given."""
    moves = await filled(None, KEY_MANAGER)
    root_key = await new_root_key(moves)
    await nothing_written(moves, "nowhere", "nowhere")
    await moves.there.disable_root_key(root_key)
    await nothing_written(moves, root_key, "Suspended")
    await moves.there.enable_root_key(root_key)
    wrap = moves.there.wrap

    async def another(root_key: str, plaintext: object, aad: object) -> object:
        return await wrap(await new_root_key(moves), plaintext, aad)  # type: ignore[arg-type]

    moves.there.wrap = another  # type: ignore[method-assign,assignment]
    await nothing_written(moves, root_key, "does not seal")


async def test_a_key_manager_that_is_not_configured_is_refused() -> None:
    """With those that are."""
    moves = await filled(None, CATALOG)

    await nothing_written(moves, "root", "embedded, other", "nobody")


async def test_a_key_manager_that_takes_no_standard_keys_is_refused() -> None:
    """Every key would have to be kept there."""
    moves = await filled(None, KEY_MANAGER)

    async def refuses(name: str, payload: bytes) -> str:
        raise KeyManagerRefused("not so", Reason.POLICY, code="409 KEY_CREATE_IMPORT_ACCESS_ERR")

    moves.there.put_standard_key = refuses  # type: ignore[method-assign]
    await nothing_written(moves, await new_root_key(moves), "(?s)not so.*keyCreateImportAccess")


async def test_objects_that_become_too_long_are_refused() -> None:
    """The other key manager's ciphertexts and names are longer: that is found out by sealing them."""
    moves = await filled(None, KEY_MANAGER)
    length = 7000
    while True:  # The longest that fits here.
        uid = await moves.client.made(register_opaque(bytes(length)))
        sealed = (await moves.sealed())[-1].sealed
        assert sealed is not None
        if len(sealed) == 7500:
            break
        length += 7500 - len(sealed)
    root_key = await moves.there.create_root_key("another")
    moves.managers["another-key-manager"] = moves.there

    await nothing_written(moves, root_key.identifier, uid, "another-key-manager")
    moves.materials[uid] = bytes(length)
    await moves.verify()


async def test_an_instance_that_is_being_removed_is_refused() -> None:
    """Its keys go, and nowhere."""
    moves = await filled(None, CATALOG)
    instance = await moves.instance()
    removing = replace(instance, status=InstanceStatus.REMOVING)
    await moves.catalog.commit(Unit(entries=(), instances=(removing,)))

    await nothing_written(moves, await new_root_key(moves), "Removing")


# --- what must hold before the switch ---


async def test_a_key_that_does_not_open_in_the_new_home_stays_where_it_is() -> None:
    """What was sealed is opened and compared before anything is kept."""
    moves = await filled(None, KEY_MANAGER)
    root_key = await new_root_key(moves)
    wrap, spoilt = moves.there.wrap, [0]

    async def sometimes(root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        spoilt[0] += 1
        if spoilt[0] == 5:
            plaintext = Secret(bytearray(reversed(plaintext.reveal())))
        return await wrap(root_key, plaintext, aad)

    moves.there.wrap = sometimes  # type: ignore[method-assign]
    came = await moved(moves, root_key)

    assert (1, COUNT - 1) == (len(came.left), came.outcome.changed)
    await moves.verify()
    assert [] == (await moved(moves, root_key)).left
    await moves.verify_copies()
