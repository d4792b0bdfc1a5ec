"""Both faces of a Keyrack in this process, over one catalog, with tenants in it."""

import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keyrack.operations  # noqa: F401 - enters the verbs into the registry
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.secret import Secret
from keyrack.service.batch import Desk
from keyrack.service.people.passwords import Passwords
from keyrack.service.vault.envelope import Vault
from keyrack.shell.rest.bounds import Rate
from keyrack.shell.rest.v1.premises import BOUNDS
from keyrack.shell.web.condition import WorkerCondition
from keyrack.shell.web.desk import BackOfficeDesk
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.people import CHEAP
from keyrack.testing.rest import Answer, Face, open_face
from keyrack.testing.tenancy import KmipClient, World

_ANY = Rate(each_second=1_000_000, burst=1_000_000)


@dataclass(slots=True)
class Inside:
    """The doors, without a network."""

    face: Face
    desk: Desk

    async def rest(self, method: str, url: str, token: str, body: Any, headers: dict[str, str]) -> Answer:
        """One call of the administration API."""
        return await self.face.ask(method, url, token or None, body, headers=headers)

    async def kmip(self, frame: bytes, who: KmipClient) -> bytes | None:
        """One KMIP message."""
        if who.moved:
            who.moved = False
            self.desk.sessions.forget(who.identity.fingerprint)
        answer = await self.desk.answer(frame, who.peer)
        return None if answer is None else bytes(answer)

    async def heard(self) -> None:
        """As the poll of the catalog's generation does it."""
        self.desk.sessions.forget()


@asynccontextmanager
async def open_world(directory: Path, seed: int) -> AsyncIterator[tuple[World, Face]]:
    """A world with its files in ``directory``; by one seed, all identifiers are the same each time."""
    manager = MemoryKeyManager()
    managers = {"embedded": manager}
    async with AsyncExitStack() as stack:
        # What a walk chooses hangs on identifiers, and a seed is to lead there again.
        stack.callback(setattr, uuid, "os", vars(uuid)["os"])
        setattr(uuid, "os", SimpleNamespace(urandom=random.Random(seed + 1).randbytes))  # noqa: B010
        catalog = await catalog_at(directory / "catalog.db", "kmip-0")
        stack.push_async_callback(catalog.close)
        vault = Vault(managers, Secret(bytearray(b"integrity root" * 3)), "d", wrapping_keys=catalog.wrapping_key)
        stack.callback(vault.close)
        office = BackOfficeDesk(
            catalog=catalog,
            managers=managers,
            types={"embedded": "embedded"},
            condition=WorkerCondition(0, catalog, managers, lambda: True),
            vault=vault,
        )
        bounds = replace(BOUNDS, per_address=_ANY, per_caller=_ANY, logins=_ANY)
        face = await stack.enter_async_context(
            open_face(directory, back_office=office, bounds=bounds, passwords=Passwords(CHEAP))
        )
        world = World(random.Random(seed), catalog, Inside(face, Desk(catalog, vault)))
        await world.found()
        yield world, face
