"""A process that wraps keys anew and ends at any step: no key is lost, and none doubled, when another goes on."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import Hierarchy, Storage
from keyrack.ports.catalog import Catalog
from keyrack.service.moves.moving import change_root_key
from keyrack.service.moves.rewrap import rewrap
from keyrack.service.moves.storage import set_storage
from keyrack.service.moves.successors import Ground
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.moves import HERE, THERE, Crash, Fate, Moves

COUNT = 2
CATALOG, KEY_MANAGER = Storage.CATALOG, Storage.KEY_MANAGER

Act = Callable[[Moves, Ground], Awaitable[object]]


async def rewraps(moves: Moves, ground: Ground) -> object:
    return await rewrap(ground, await moves.instance())


async def stores(moves: Moves, ground: Ground) -> object:
    return await set_storage(ground, await moves.instance(), KEY_MANAGER)


async def unstores(moves: Moves, ground: Ground) -> object:
    return await set_storage(ground, await moves.instance(), CATALOG)


async def stays(moves: Moves, ground: Ground) -> object:
    root_key = (await moves.here.list_root_keys())[-1]
    return await change_root_key(ground, await moves.instance(), root_key.identifier, key_manager=HERE)


async def leaves(moves: Moves, ground: Ground) -> object:
    root_key = (await moves.there.list_root_keys())[-1]
    return await change_root_key(ground, await moves.instance(), root_key.identifier, key_manager=THERE)


ACTS: dict[str, tuple[Act, Storage]] = {
    "rewrap": (rewraps, KEY_MANAGER),
    "rewrap in the catalog": (rewraps, CATALOG),
    "to the key manager": (stores, CATALOG),
    "to the catalog": (unstores, KEY_MANAGER),
    "to another root key": (stays, KEY_MANAGER),
    "to another key manager": (leaves, KEY_MANAGER),
    "to another key manager in the catalog": (leaves, CATALOG),
}


async def begun(catalog: Catalog, act: str, hierarchy: Hierarchy) -> Moves:
    """A house with keys, a rotated root key, and others to move to."""
    moves = await Moves.create(catalog, storage=ACTS[act][1], hierarchy=hierarchy)
    await moves.fill(COUNT)
    if "rewrap" in act:
        await moves.here.rotate_root_key((await moves.instance()).root_key)
    else:
        for manager in moves.managers.values():
            await manager.create_root_key("another")
    return moves


async def ends(moves: Moves, act: Act, at: int | None) -> Fate:
    """Let a process act, and end at this step."""
    fate = Fate(ends_at=at)
    try:
        await act(moves, moves.ground(fate))
    except Crash:
        assert fate.over
    return fate


@pytest.mark.parametrize("hierarchy", list(Hierarchy))
@pytest.mark.parametrize("act", list(ACTS))
async def test_whatever_step_is_the_last_the_next_process_goes_on(act: str, hierarchy: Hierarchy) -> None:
    """Nothing done of it, or all of it but the answer: every step, one after the other."""
    do, _ = ACTS[act]
    step = 0
    while True:
        step += 1
        moves = await begun(MemoryCatalog(), act, hierarchy)
        if not (await ends(moves, do, step)).over:
            break
        await moves.verify()

        await do(moves, moves.ground())

        await moves.verify()
        await moves.verify_copies()
    assert step > 6


@pytest.mark.parametrize("act", list(ACTS))
async def test_two_processes_that_end_one_after_the_other_harm_nothing(act: str) -> None:
    """The second goes on where the first has ended, and ends a few steps later."""
    do, _ = ACTS[act]
    for first in range(1, 40, 4):
        for second in range(1, 14, 3):
            moves = await begun(MemoryCatalog(), act, Hierarchy.DIRECT)
            await ends(moves, do, first)
            await ends(moves, do, second)
            await moves.verify()
            await do(moves, moves.ground())
            await moves.verify()
            await moves.verify_copies()


@pytest.mark.parametrize("act", list(ACTS))
async def test_a_catalog_on_disk_agrees(act: str, tmp_path: Path) -> None:
    """The same, at every fourth step."""
    do, _ = ACTS[act]
    for step in range(1, 60, 4):
        catalog = await catalog_at(tmp_path / f"{step}.sqlite", "kmip-0")
        try:
            moves = await begun(catalog, act, Hierarchy.TWO_LEVEL)
            over = (await ends(moves, do, step)).over
            await moves.verify()
            await do(moves, moves.ground())
            await moves.verify()
            await moves.verify_copies()
        finally:
            await catalog.close()
        if not over:
            break
