"""A house over a real catalog with its administrators: people who log in twice, and accounts of the machine.

async with open_offices(tmp_path) as offices:
    mara = await offices.person("mara", Role.SECURITY_OFFICER)
    key = await offices.key("db01")
    await key_acts.deactivate(offices.office(mara), offices.catalog, offices.instance, [key], confirmation="db01")
"""

import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.instances import Instance, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.domain.people import Actor, LoginSession, Person
from keyrack.domain.rights import EVERYTHING, Grant, Role
from keyrack.ports.catalog import Unit
from keyrack.ports.people import PeopleChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.keys import Windows
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.conversation import Client, activate, add_attribute
from keyrack.testing.house import House, open_house

DAY = 86_400
WINDOWS = Windows()


@dataclass(slots=True)
class Offices:
    """The house ``house`` with the instance ``a`` and one client of it."""

    house: House
    catalog: WholeCatalog
    instance: Instance
    client: Client
    people: dict[str, Person] = field(default_factory=dict)

    @property
    def key_manager(self) -> EmbeddedKeyManager:
        """The house's."""
        assert isinstance(self.house.key_manager, EmbeddedKeyManager)
        return self.house.key_manager

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.house.clock())

    async def person(self, name: str, *roles: Role) -> Person:
        """Somebody with these roles everywhere."""
        grants = frozenset(Grant(role) for role in roles)
        person = Person(identifier=str(uuid.uuid4()), name=name, grants=grants, created_at=self.now)
        await self.catalog.commit(Unit(entries=(), people=PeopleChanges(persons=(person,))))
        self.people[name] = person
        return person

    async def forget_rights(self, person: Person) -> None:
        """Take all rights from somebody who is logged in."""
        changed = replace(person, grants=frozenset(), revision=person.revision + 1)
        await self.catalog.commit(Unit(entries=(), people=PeopleChanges(persons=(changed,))))

    async def session(self, person: Person) -> Administration:
        """What the person may, by a log-in of its own."""
        digest = hashlib.sha256(uuid.uuid4().bytes).digest()
        session = LoginSession(
            digest=digest,
            person=person.identifier,
            created_at=self.now,
            seen_at=self.now,
            expires_at=self.now + 90 * DAY,
        )
        await self.catalog.commit(Unit(entries=(), people=PeopleChanges(sessions=(session,))))
        actor = Actor(person.identifier, person.revision, session=digest)
        return self._of(Administrator(person.initiator, "192.0.2.9:1", grants=person.rights, actor=actor))

    def machine(self, account: str) -> Administration:
        """Whoever works on the machine under this account."""
        return self._of(Administrator(f"local-user-{account}", grants=EVERYTHING))

    def _of(self, administrator: Administrator) -> Administration:
        return Administration(
            self.catalog, {"embedded": self.key_manager}, administrator, lambda: int(self.house.clock() * 1000)
        )

    async def key(
        self, name: str = "", component: str = "Virtual Machine", *, active: bool = True, fetched: bool = False
    ) -> str:
        """A key as vCenter makes and labels it; answers its Unique Identifier."""
        identifier = await self.client.made()
        if active:
            await self.client(activate(identifier))
        for title, value in (("x-Product", "VMware vSphere"), ("x-Name", name), ("x-Component", component)):
            if name:
                await self.client(add_attribute(identifier, title, CustomValue(ItemType.TEXT_STRING, value)))
        if fetched:
            await self.client.material(identifier)
        return identifier

    async def touch(self, managed: ManagedObject) -> None:
        """Change a key in nothing but its version."""
        await self.catalog.commit(Unit(entries=(), updated=(managed.changed(),)))

    async def withhold(self, identifier: str) -> None:
        """As the existence sync does where the standard key is gone."""
        found = await self.catalog.load(self.instance.identifier, identifier)
        assert found is not None
        await self.catalog.commit(Unit(entries=(), updated=(found.changed(withheld_at=self.now),)))

    async def under_dual_control(self) -> None:
        """From now on two people end keys."""
        self.instance = replace(self.instance, dual_control_at=self.now)
        await self.catalog.commit(Unit(entries=(), instances=(self.instance,)))

    async def journal(self, *actions: str) -> Sequence[dict[str, Any]]:
        """The entries of these actions, oldest first."""
        entries = [json.loads(record.text) for record in await self.catalog.journal(limit=100_000)]
        return [entry for entry in entries if entry["action"] in actions]


@asynccontextmanager
async def open_offices(directory: Path, *, storage: Storage = Storage.CATALOG) -> AsyncIterator[Offices]:
    """A house with its files in ``directory``."""
    async with open_house(directory) as house:
        instance = await house.admit("a", storage=storage)
        yield Offices(house, cast(WholeCatalog, house.catalog), instance, Client(house))
