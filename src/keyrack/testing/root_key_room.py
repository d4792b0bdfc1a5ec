"""The administration's face with a real embedded key manager behind it, in this process, and people of each role."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.instances import Instance
from keyrack.domain.rights import Grant, Role
from keyrack.domain.secret import Secret
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.ports.catalog import Unit
from keyrack.service.moves.rewraps import Rewraps
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.shell.config.whole import load
from keyrack.shell.rest.v1.callers import COOKIE, csrf_of
from keyrack.shell.web.condition import WorkerCondition
from keyrack.shell.web.desk import BackOfficeDesk
from keyrack.testing.catalog_values import key
from keyrack.testing.clock import Clock
from keyrack.testing.people import House
from keyrack.testing.rest import Answer, Face, asked, open_face

API: Final = "/api/v1/key-managers/embedded/root-keys"
PEOPLE: Final = {
    "adam": Role.ADMINISTRATOR,
    "sofia": Role.SECURITY_OFFICER,
    "olga": Role.SECURITY_OFFICER,
    "omar": Role.OPERATOR,
    "vera": Role.VIEWER,
    "aud": Role.AUDITOR,
}
_CONFIGURATION: Final = """
[deployment]
id = "d"
directory = "{0}"
[key_managers.embedded]
type = "embedded"
keystore = "keystore"
unlock = {{ key_file = "keystore.key" }}
"""


@dataclass(slots=True)
class RootKeyRoom:
    """The face, and a serving process's part of it."""

    face: Face
    manager: EmbeddedKeyManager
    elsewhere: MemoryKeyManager
    """One called ``kp``, as IBM's are: its root keys are not administered here."""
    desk: BackOfficeDesk
    vault: Vault
    clock: Clock
    """Of the face. The key manager's is ahead by :attr:`later`."""
    later: list[float]
    """Seconds by which the key manager's time is ahead, all together."""
    tokens: dict[str, str] = field(default_factory=dict)
    """API keys of :data:`PEOPLE`."""
    logged_in: dict[str, str] = field(default_factory=dict)
    """Tokens of log-ins."""

    async def ask(self, who: str, method: str, path: str = "", body: Any = None) -> Answer:
        """Over REST; ``path`` goes on behind the root keys of the key manager."""
        return await self.face.ask(method, API + path, self.tokens[who], body)

    async def make(self, name: str, **more: Any) -> str:
        """A root key; its identifier."""
        made = await self.ask("sofia", "POST", body={"name": name, **more})
        assert made.status == 201, made.body
        return str(made.json()["identifier"])

    async def instance(self, name: str, root_key: str, keys: int = 0, **fields: Any) -> Instance:
        """An instance with so many keys, wrapped by the root key."""
        made = await self.face.instance(name, root_key=root_key, **fields)
        for number in range(keys):
            bare = key(f"{name}-{number:032x}", made.identifier)
            with Secret(bytearray(32)) as material:
                sealed = replace(bare, sealed=await self.vault.seal_new(made, context_of(bare), material))
            await self.face.catalog.commit(Unit(entries=(), inserted=(sealed,)))
        return made

    async def journal(self) -> list[Any]:
        """Of the catalog, oldest first."""
        return [json.loads(each.text) for each in await self.face.catalog.journal()]

    async def rewrapped(self, root_key: str) -> Any:
        """The progress once it is complete; raises ``AssertionError`` where it does not become so."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            told = (await self.ask("vera", "GET", f"/{root_key}/rewrap")).json()
            if told["complete"]:
                return told
            await asyncio.sleep(0.02)
        raise AssertionError("it was not rewrapped")

    async def look(self, who: str, path: str) -> Answer:
        """At a page."""
        return await asked(self.face.app, "GET", path, headers=self._headers(who))

    async def send(self, who: str, path: str, **fields: str) -> Answer:
        """A form, as a page does or whoever goes around it."""
        body = urlencode({"csrf": csrf_of(self.logged_in[who]), **fields}).encode()
        headers = {
            **self._headers(who),
            "content-type": "application/x-www-form-urlencoded",
            "content-length": str(len(body)),
        }
        return await asked(self.face.app, "POST", path, headers=headers, body=body)

    def _headers(self, who: str) -> Mapping[str, str]:
        return {"host": "localhost", "accept": "text/html", "cookie": f"{COOKIE}={self.logged_in[who]}"}


@asynccontextmanager
async def root_key_room(directory: Path) -> AsyncIterator[RootKeyRoom]:
    """As long as the block lasts."""
    clock, later = Clock(time.time()), [0.0]
    (directory / "keyrack.toml").write_text(_CONFIGURATION.format(directory))
    config = load(directory / "keyrack.toml")
    unlock = KeyFile(directory / "keystore.key")
    unlock.create()
    manager = EmbeddedKeyManager.create(directory / "keystore", unlock, clock=lambda: clock() + sum(later))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(manager.close)
        face = await stack.enter_async_context(open_face(directory, config=config, clock=lambda: int(clock() * 1000)))
        elsewhere = MemoryKeyManager()
        managers: dict[str, Any] = {"embedded": manager, "kp": elsewhere}
        vault = Vault(managers, manager.integrity_root(), "d", wrapping_keys=face.catalog.wrapping_key)
        stack.callback(vault.close)
        rewraps = Rewraps(face.catalog, vault, managers)
        stack.push_async_callback(rewraps.rest)
        desk = BackOfficeDesk(
            catalog=face.catalog,
            managers=managers,
            types={"embedded": "embedded", "kp": "key_protect"},
            condition=WorkerCondition(0, face.catalog, managers, lambda: True),
            vault=vault,
            rewraps=rewraps,
        )
        face.app.premises.back_office = desk
        house = House(face.catalog, clock=clock)
        face.app.premises.passwords = house.passwords
        room = RootKeyRoom(face, manager, elsewhere, desk, vault, clock, later)
        for name, role in PEOPLE.items():
            room.tokens[name] = await face.person(f"{name}.key", Grant(role))
            await house.person(name, Grant(role))
            room.logged_in[name] = (await house.log_in(name)).token
        yield room
