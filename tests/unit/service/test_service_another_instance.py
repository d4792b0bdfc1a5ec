"""A configuration that names another instance or region than was meant: no standard key is there, and none is withheld.

Such a key manager answers truthfully that it has none of the standard keys. What tells it from one in which they were
deleted is that it does not know the root key either.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.instances import Hierarchy, Storage
from keyrack.ports.catalog import Unit
from keyrack.ports.key_manager import KeyManagerRefused, Reason
from keyrack.service.care.existence import Existence, Synced
from keyrack.service.moves.moving import change_root_key
from keyrack.service.moves.storage import set_storage
from keyrack.service.moves.walk import MOST_IN_A_ROW
from keyrack.testing.moves import HERE, THERE, Moves

COUNT = 5


async def filled(hierarchy: Hierarchy = Hierarchy.DIRECT, count: int = COUNT) -> Moves:
    moves = await Moves.create(storage=Storage.KEY_MANAGER, hierarchy=hierarchy)
    await moves.fill(count)
    return moves


async def withheld(moves: Moves) -> int:
    return sum(each.withheld_at is not None for each in await moves.sealed())


async def moving(moves: Moves) -> None:
    """The instance has another home, and nothing has moved yet."""
    instance, root_key = await moves.instance(), await moves.there.create_root_key("another")
    moved = replace(instance, key_manager=THERE, root_key=root_key.identifier, former=instance.home)
    await moves.catalog.commit(Unit(entries=(), instances=(moved,)))
    moves.house.desk.sessions.forget()


async def stored(moves: Moves) -> object:
    return await set_storage(moves.ground(), await moves.instance(), Storage.CATALOG)


async def moved(moves: Moves) -> object:
    root_key = (await moves.there.create_root_key("another")).identifier
    return await change_root_key(moves.ground(), await moves.instance(), root_key, key_manager=THERE)


async def resumed(moves: Moves) -> object:
    await moving(moves)
    instance = await moves.instance()
    return await change_root_key(moves.ground(), instance, instance.root_key, key_manager=THERE)


async def synced(moves: Moves) -> object:
    """The sync of an instance that moves looks at the key manager that its keys come from, too."""
    if (await moves.instance()).former is None:
        await moving(moves)
    instance, ground = await moves.instance(), moves.ground()
    existence = Existence(moves.catalog, ground.key_managers, ground.vault, lambda: moves.house.clock() + 60)
    return (await existence.sync([instance]))[instance.identifier]


@pytest.mark.parametrize("act", [stored, moved, resumed, synced])
@pytest.mark.parametrize("hierarchy", list(Hierarchy))
async def test_nothing_is_withheld_that_nobody_has_deleted(
    hierarchy: Hierarchy, act: Callable[[Moves], Awaitable[object]]
) -> None:
    """And with the right configuration the same act comes to its end, with every key as it was."""
    moves = await filled(hierarchy)
    right, moves.managers[HERE] = moves.managers[HERE], MemoryKeyManager(binds_aad=True)

    await act(moves)

    assert 0 == await withheld(moves)
    moves.managers[HERE] = right
    moves.house.desk.sessions.forget()
    await moves.verify()


async def test_a_walk_ends_where_the_key_manager_is_another_one() -> None:
    """It is no matter of one key, and is said as what it is."""
    moves = await filled(count=2 * MOST_IN_A_ROW)
    moves.managers[HERE] = MemoryKeyManager()

    came = await set_storage(moves.ground(), await moves.instance(), Storage.CATALOG)

    assert came.outcome.stopped
    assert "another instance or region" in came.outcome.failures[0][1]


async def test_the_sync_says_that_it_is_another_one() -> None:
    moves = await filled()
    moves.managers[HERE] = MemoryKeyManager()

    found = await synced(moves)

    assert isinstance(found, KeyManagerRefused)
    assert Reason.PERMISSION is found.reason


async def test_a_deleted_standard_key_is_withheld_also_where_its_root_key_was_deleted() -> None:
    """Who knows that the root key was deleted is the one that was meant."""
    moves = await filled()
    instance = await moves.instance()
    for each in await moves.sealed():
        await moves.here.delete_standard_key(each.standard_key or "")
    await moves.here.delete_root_key(instance.root_key)

    found = await synced(moves)

    assert isinstance(found, Synced)
    assert COUNT == found.withheld
