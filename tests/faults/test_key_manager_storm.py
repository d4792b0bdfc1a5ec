"""What many callers at once cost a key manager, counted at a fault proxy before it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.domain.instances import Storage
from keyrack.ports.key_manager import KeyManagerFailed
from keyrack.service.batch import Desk
from keyrack.spec.enumerations import ResultStatus
from keyrack.testing.conversation import create, get
from keyrack.testing.create_cut import INSTANCE, PEER, prepare, vault_over
from keyrack.testing.fault_proxy_rules import Fault, Rule, counted
from keyrack.testing.house import frame_of, read_items
from keyrack.testing.ibm_grounds import IbmFace, Lane, ibm_face, lane

pytestmark = pytest.mark.alone
HOSTS: Final = 64
KEYS, KEYS_LONG = 300, 10_000
CALLS: Final = 400
AMPLIFICATION: Final = 1.2
API: Final = "/api/v2/*"
UNWRAP: Final = "/api/v2/keys/*/actions/unwrap"
STANDARD_KEY: Final = "/api/v2/keys/*"


@dataclass(slots=True)
class World:
    """One node with an instance in Key Protect, a proxy between, and a catalog."""

    face: IbmFace
    way: Lane
    manager: KeyProtect
    catalog: SqliteCatalog

    async def furnish(self, *, storage: Storage, two_level: bool = False) -> None:
        """Enter the instance."""
        root_key = (await self.face.manager.create_root_key("root")).identifier
        await prepare(self.catalog, root_key, storage=storage, wrapped_by=self.manager if two_level else None)

    def restart(self) -> Desk:
        """A node that has just been started: nothing is in memory, and nothing was counted."""
        self.way.key_manager.forget()
        return Desk(self.catalog, vault_over(self.manager, self.catalog))

    async def made(self, number: int) -> list[str]:
        """So many new keys, made by as many clients as there are hosts."""
        desk = self.restart()
        keys: list[str] = []

        async def client(some: int) -> None:
            keys.extend([await _answered(desk, frame_of([create()])) for _ in range(some)])

        await asyncio.gather(*(client(len(range(first, number, HOSTS))) for first in range(HOSTS)))
        return keys

    def asked(self, path: str, method: str = "*") -> int:
        """How often the key manager was asked."""
        return counted(self.way.key_manager.seen(), method, path)


async def _answered(desk: Desk, frame: bytes) -> str:
    answer = await desk.answer(frame, PEER)
    assert answer is not None
    (item,) = read_items(bytes(answer))
    assert item.result_status == ResultStatus.SUCCESS, item.result_message
    assert item.response_payload is not None
    return str(item.response_payload.unique_identifier)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with ibm_face(tmp_path) as face, lane(face, tmp_path / "lane", answer_seconds=10.0, write_seconds=20.0) as way:
        manager, catalog = way.adapter(), SqliteCatalog(tmp_path / "catalog.db", "kmip-0")
        yield World(face, way, manager, catalog)
        await catalog.close()
        await manager.close()


@pytest.mark.parametrize("storage", Storage)
async def test_a_boot_storm_costs_one_unwrap_for_each_key(world: World, storage: Storage) -> None:
    """64 hosts ask for the same two keys at the same moment."""
    await world.furnish(storage=storage)
    keys = await world.made(2)
    desk = world.restart()

    await asyncio.gather(*(_answered(desk, frame_of([get(keys[host % 2])])) for host in range(HOSTS)))

    reads = 2 if storage is Storage.KEY_MANAGER else 0
    assert (2, reads) == (world.asked(UNWRAP), world.asked(STANDARD_KEY, "GET"))


async def cold_start(world: World, number: int) -> None:
    """All keys of an instance of two levels, one after the other on each of 64 connections, with nothing in memory."""
    keys = await world.made(number)
    desk = world.restart()
    began = time.monotonic()

    async def host(some: Sequence[str]) -> None:
        for key in some:
            await _answered(desk, frame_of([get(key)]))

    await asyncio.gather(*(host(keys[first::HOSTS]) for first in range(HOSTS)))

    print(f"{number} keys in {time.monotonic() - began:.2f} s")  # noqa: T201 - pytest shows it
    assert (1, 1) == (world.asked(UNWRAP), world.asked(API))


async def test_a_cold_start_in_two_levels_costs_one_unwrap(world: World) -> None:
    await world.furnish(storage=Storage.CATALOG, two_level=True)
    await cold_start(world, KEYS)


@pytest.mark.slow
async def test_a_cold_start_of_ten_thousand_keys_in_two_levels_costs_one_unwrap(world: World) -> None:
    await world.furnish(storage=Storage.CATALOG, two_level=True)
    await cold_start(world, KEYS_LONG)


async def test_a_listing_spares_every_standard_key_a_read(world: World) -> None:
    """Two levels, and each key a standard key: after the existence sync, one unwrap is all that is asked for."""
    await world.furnish(storage=Storage.KEY_MANAGER, two_level=True)
    keys = await world.made(8)
    desk = world.restart()
    desk.vault.presence.listed(INSTANCE, int(time.time()) + 1, age=0, holds=90)

    await asyncio.gather(*(_answered(desk, frame_of([get(key)])) for key in keys))

    assert (1, 1) == (world.asked(UNWRAP), world.asked(API))


RESETS: Final = (Fault.RESET_BEFORE, Fault.RESET_AFTER)
ANSWERS: Final = (Fault.UNAVAILABLE, Fault.TOO_MANY_REQUESTS, Fault.HALF_ANSWER)


async def hammer(world: World, *rules: Rule) -> tuple[int, int]:
    """Ask for a root key again and again, sixteen at a time, while this befalls it; how many calls have worked,
    and how many requests there were.
    """
    root_key = (await world.face.manager.create_root_key("root")).identifier
    await world.manager.describe_root_key(root_key)
    world.way.key_manager.set(*rules)
    world.way.key_manager.forget()
    left = iter(range(CALLS))
    worked = 0

    async def caller() -> None:
        nonlocal worked
        for _ in left:
            try:
                await world.manager.describe_root_key(root_key)
                worked += 1
            except KeyManagerFailed:
                await asyncio.sleep(0)

    await asyncio.gather(*(caller() for _ in range(16)))
    asked = world.asked(API)
    print(f"{CALLS} calls, {worked} worked, {asked} requests, {world.manager.condition()}")  # noqa: T201
    return worked, asked


@pytest.mark.parametrize(
    "fault", [Fault.UNAVAILABLE, Fault.TOO_MANY_REQUESTS, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.REFUSED_TOKEN]
)
async def test_where_everything_fails_nothing_is_made_worse(world: World, fault: Fault) -> None:
    """Requests are at most 1.2 times the calls."""
    worked, asked = await hammer(world, Rule(fault=fault, path=API))

    assert not worked
    assert asked <= AMPLIFICATION * CALLS
    assert world.asked("*") <= AMPLIFICATION * CALLS
    assert counted(world.way.iam.seen()) <= 3


@pytest.mark.parametrize("faults", [RESETS, ANSWERS, (*RESETS, *ANSWERS)])
async def test_where_a_fifth_fails_most_calls_work(world: World, faults: Sequence[Fault]) -> None:
    """And requests are at most 1.2 times the calls."""
    rules = [Rule(fault=fault, path=API, chance=0.2 / len(faults)) for fault in faults]

    worked, asked = await hammer(world, *rules)

    assert worked > 0.8 * CALLS
    assert asked <= AMPLIFICATION * CALLS
