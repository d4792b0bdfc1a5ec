"""KMIP over the two storages, without TLS: the wrapped key in the catalog alone, or in the key manager too."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.in_process import named
from bench.measured import Case, Thing, together

from keyrack.domain.instances import Storage
from keyrack.testing import vcenter_frames as frames
from keyrack.testing.house import House, open_house, read_items

KEYS = 200
CALLERS = (1, 8)
SUCCESS = bytes.fromhex("42007f050000000400000000")
"""The result status of a batch item that went well."""


class Client:
    """A client of an instance, with some keys."""

    def __init__(self, house: House, storage: Storage) -> None:
        self._house, self._peer = house, house.peers[storage.value]
        self._choose = random.Random(1).choice
        self._create = frames.create()
        self._keys: list[tuple[str, bytes]] = []

    async def make_keys(self) -> None:
        for _ in range(KEYS):
            (item,) = read_items(await self._asked(self._create))
            made: Any = item.response_payload
            uid = made.unique_identifier
            await self._asked(frames.activate(uid))
            self._keys.append((uid, frames.get(uid)))

    async def create(self) -> None:
        await self._asked(self._create)

    async def get(self) -> None:
        await self._asked(self._choose(self._keys)[1])

    async def get_for_the_first_time(self) -> None:
        uid, frame = self._choose(self._keys)
        self._house.vault.forget(uid)
        await self._asked(frame)

    async def _asked(self, frame: bytes) -> bytes:
        answer = await self._house.desk.answer(frame, self._peer)
        if answer is None or SUCCESS not in answer:
            raise SystemExit("bench: the desk refuses what is measured")
        return bytes(answer)


def case(work: Path, runner: asyncio.Runner, stack: AsyncExitStack) -> Case:
    """Get and Create, each over both storages."""
    clients = runner.run(_clients(work / "kmip", stack))
    catalog, key_manager = (
        {"Get": each.get, "first Get": each.get_for_the_first_time, "Create": each.create} for each in clients
    )
    things, against = [], {}
    for word in catalog:
        for callers in CALLERS:
            plain, kept = f"{named(word, callers)}, catalog", f"{named(word, callers)}, key manager"
            things += [_thing(plain, runner, catalog[word], callers), _thing(kept, runner, key_manager[word], callers)]
            against[kept] = (plain,)
    return Case("KMIP by storage", things, against)


def _thing(name: str, runner: asyncio.Runner, act: Callable[[], Awaitable[object]], callers: int) -> Thing:
    return Thing(name, partial(together, runner, act, callers=callers))


async def _clients(work: Path, stack: AsyncExitStack) -> list[Client]:
    work.mkdir()
    house = await stack.enter_async_context(open_house(work))
    made = []
    for storage in (Storage.CATALOG, Storage.KEY_MANAGER):
        await house.admit(storage.value, storage=storage)
        made.append(Client(house, storage))
        await made[-1].make_keys()
    return made
