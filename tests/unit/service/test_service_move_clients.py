"""Clients make, activate and fetch keys all the time while these are wrapped anew: none of them notices anything."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import Hierarchy, Storage
from keyrack.ports.catalog import Catalog
from keyrack.service.moves.moving import change_root_key
from keyrack.service.moves.rewrap import behind, rewrap
from keyrack.service.moves.storage import set_storage
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.moves import HERE, THERE, Crash, Fate, Moves

COUNT, CLIENTS = 12, 3

Act = Callable[[Moves, Fate | None], Awaitable[object]]


@pytest.fixture(params=["memory", "sqlite"])
async def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Catalog]:
    on_disk = request.param == "sqlite"
    made: Catalog = await catalog_at(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else MemoryCatalog()
    yield made
    await made.close()


async def rotates(moves: Moves, fate: Fate | None) -> None:
    """Rewrap, after a rotation where nothing is behind one."""
    instance = await moves.instance()
    if not (await behind(moves.ground(), instance)).keys:
        await moves.here.rotate_root_key(instance.root_key)
    await rewrap(moves.ground(fate), instance)


def stores(storage: Storage) -> Act:
    async def act(moves: Moves, fate: Fate | None) -> None:
        assert not (await set_storage(moves.ground(fate), await moves.instance(), storage)).left

    return act


def goes(where: str) -> Act:
    async def act(moves: Moves, fate: Fate | None) -> None:
        root_key = (await moves.managers[where].list_root_keys())[0]
        came = await change_root_key(moves.ground(fate), await moves.instance(), root_key.identifier, key_manager=where)
        assert not came.left

    return act


ACTS: dict[str, list[Act]] = {
    "rewrap": [rotates, rotates],
    "storage": [stores(Storage.CATALOG), stores(Storage.KEY_MANAGER)],
    "move": [goes(THERE), goes(HERE)],
}


async def beside_clients(moves: Moves, work: Awaitable[object]) -> int:
    """Do the work while clients use keys; how often they did. Whatever one of them is refused is raised."""
    until = asyncio.Event()
    clients = [asyncio.create_task(moves.use(until)) for _ in range(CLIENTS)]
    try:
        await work
    finally:
        until.set()
        done = await asyncio.gather(*clients)
    return sum(done)


@pytest.mark.parametrize("hierarchy", list(Hierarchy))
@pytest.mark.parametrize("act", list(ACTS))
async def test_no_client_is_refused_and_every_key_is_there(catalog: Catalog, act: str, hierarchy: Hierarchy) -> None:
    """No process is told of a change before it meets it; its memory is emptied again and again."""
    moves = await begun(catalog, hierarchy)

    async def work() -> None:
        for each in ACTS[act]:
            emptying = asyncio.create_task(_emptied(moves))
            try:
                await each(moves, None)
            finally:
                emptying.cancel()

    assert await beside_clients(moves, work()) >= CLIENTS
    await moves.verify()
    await moves.verify_copies()


@pytest.mark.parametrize("act", list(ACTS))
async def test_processes_that_end_anywhere_beside_clients_lose_no_key(act: str) -> None:
    """Twenty of them, one after the other, and the last goes through."""
    moves = await begun(MemoryCatalog(), Hierarchy.DIRECT)
    chance = random.Random(act)

    async def work() -> None:
        for each in ACTS[act]:
            for _ in range(10):
                fate = Fate(ends_at=chance.randrange(1, 120))
                try:
                    await each(moves, fate)
                except Crash:
                    continue
            await each(moves, None)

    await beside_clients(moves, work())
    await moves.verify()
    await ACTS[act][-1](moves, None)
    await moves.verify_copies()


async def begun(catalog: Catalog, hierarchy: Hierarchy) -> Moves:
    moves = await Moves.create(catalog, storage=Storage.KEY_MANAGER, hierarchy=hierarchy)
    await moves.fill(COUNT)
    await moves.there.create_root_key("there")
    for manager in moves.managers.values():
        manager.delay = 0.0005
    return moves


async def _emptied(moves: Moves) -> None:
    while True:
        moves.house.vault.purge()
        await asyncio.sleep(0.003)
