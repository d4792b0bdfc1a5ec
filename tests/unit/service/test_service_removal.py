"""An instance that is removed leaves nothing behind in any key manager."""

from collections import Counter
from dataclasses import replace

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.domain.instances import Hierarchy, Storage
from keyrack.ports.catalog import Unit
from keyrack.ports.key_manager import KeyManagerUnavailable
from keyrack.service.moves.moving import change_root_key
from keyrack.service.moves.rewrap import rewrap
from keyrack.service.moves.storage import set_storage
from keyrack.service.office.refusals import Forbidden, Refused
from keyrack.service.office.removal import remove_instance
from keyrack.testing.conversation import destroy
from keyrack.testing.moves import HERE, THERE, Moves

COUNT = 3


async def emptied(storage: Storage = Storage.KEY_MANAGER) -> Moves:
    """An instance of two levels, whose objects are all destroyed."""
    moves = await Moves.create(storage=storage, hierarchy=Hierarchy.TWO_LEVEL)
    await moves.fill(COUNT)
    for uid in moves.materials:
        await moves.client(destroy(uid))
    return moves


async def remove(moves: Moves) -> None:
    ground = moves.ground()
    await remove_instance(ground.administration, ground.catalog, ground.key_managers, await moves.instance())


async def gone(moves: Moves) -> bool:
    """Nothing of it is anywhere."""
    nothing = {HERE: Counter[str](), THERE: Counter[str]()}
    catalog = moves.catalog
    kept = (*await catalog.instances(), *await catalog.leftovers(), await catalog.wrapping_key("instance-a"))
    return (nothing, (None,)) == (await moves.copies(), kept)


async def test_the_wrapping_key_goes_too() -> None:
    """With its standard key."""
    moves = await emptied()

    await remove(moves)

    assert await gone(moves)


async def test_what_could_not_be_deleted_before_goes_too() -> None:
    """Old standard keys that a rewrap had to leave."""
    moves = await emptied()
    await moves.here.rotate_root_key((await moves.instance()).root_key)
    moves.here.fail("delete_standard_key", Fault.REFUSE)
    assert 1 == (await rewrap(moves.ground(), await moves.instance())).leftovers

    await remove(moves)

    assert await gone(moves)


async def test_an_instance_that_left_the_key_manager_half_way_leaves_nothing() -> None:
    """Its storage is catalog, and some keys have standard keys still."""
    moves = await emptied()
    instance = await moves.instance()
    await moves.catalog.commit(Unit(entries=(), instances=(replace(instance, storage=Storage.CATALOG),)))

    await remove(moves)

    assert await gone(moves)


async def test_old_standard_keys_of_an_instance_in_the_catalog_go_too() -> None:
    """It left the key manager while nothing could be deleted there."""
    moves = await emptied()
    moves.here.fail("delete_standard_key", Fault.REFUSE, 20)
    assert COUNT + 1 == (await set_storage(moves.ground(), await moves.instance(), Storage.CATALOG)).leftovers
    moves.here._faults.clear()

    await remove(moves)

    assert await gone(moves)


async def test_an_instance_in_the_middle_of_a_move_leaves_nothing_in_either_home() -> None:
    """Some keys are here, some there."""
    moves = await emptied()
    root_key = await moves.there.create_root_key("another")
    for standard_key in [each.standard_key for each in await moves.sealed()][1:3]:
        moves.here.replace_standard_key(standard_key or "", b"spoilt")
    came = await change_root_key(moves.ground(), await moves.instance(), root_key.identifier, key_manager=THERE)
    assert came.left
    assert all((await moves.copies()).values())

    await remove(moves)

    assert await gone(moves)


async def test_a_key_manager_that_is_away_is_waited_for() -> None:
    """The instance is Removing, and removing it again goes on."""
    moves = await emptied()
    moves.here.fail("delete_standard_key", Fault.UNAVAILABLE)

    with pytest.raises(KeyManagerUnavailable):
        await remove(moves)
    assert "Removing" == (await moves.instance()).status
    await remove(moves)

    assert await gone(moves)


async def test_an_instance_that_was_changed_meanwhile_is_not_removed() -> None:
    """Its move would be written over."""
    moves = await emptied()
    ground, instance = moves.ground(), await moves.instance()
    root_key = await moves.here.create_root_key("another")
    await change_root_key(ground, instance, root_key.identifier)

    with pytest.raises(Refused):
        await remove_instance(ground.administration, ground.catalog, ground.key_managers, instance)
    assert root_key.identifier == (await moves.instance()).root_key


async def test_under_dual_control_no_program_ends_what_can_be_taken_back() -> None:
    """A client destroys its keys softly; the key manager's API must not be the way to finish them alone."""
    moves = await emptied()
    instance = await moves.instance()
    await moves.catalog.commit(Unit(entries=(), instances=(replace(instance, dual_control_at=1),)))
    before = await moves.copies()

    with pytest.raises(Forbidden, match="dual control"):
        await remove(moves)

    assert (await moves.copies(), (await moves.instance()).status) == (before, instance.status)


async def test_an_instance_that_came_under_dual_control_meanwhile_is_not_removed() -> None:
    """Decided on the instance as it was, committed on the one that is."""
    moves = await emptied(Storage.CATALOG)
    ground, seen = moves.ground(), await moves.instance()
    await moves.catalog.commit(Unit(entries=(), instances=(replace(seen, dual_control_at=1),)))

    with pytest.raises(Refused, match="changed just now"):
        await remove_instance(ground.administration, ground.catalog, ground.key_managers, seen)
