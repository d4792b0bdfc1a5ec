"""The simulated world: a catalog, key managers, nodes, people and clients, and what is known of them all."""

import hashlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final

from keyrack.adapters.catalogs.sqlite.at_once import at_once
from keyrack.domain.instances import ClientCertificate, Hierarchy, Instance, InstanceStatus, Storage
from keyrack.domain.people import LoginSession, Person
from keyrack.domain.rights import Grant, Role
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Unit
from keyrack.ports.key_manager import StandardKey
from keyrack.ports.people import PeopleChanges
from keyrack.service.vault.envelope import Vault
from keyrack.testing.simulation.asks import Act, Ask, short
from keyrack.testing.simulation.catalog import NodeCatalog
from keyrack.testing.simulation.chance import Minting, stream
from keyrack.testing.simulation.key_manager import House, house_of
from keyrack.testing.simulation.loop import Process, SeededLoop
from keyrack.testing.simulation.node import DEPLOYMENT, INTEGRITY_ROOT, Node
from keyrack.testing.simulation.replay import Broken, Replay, Told
from keyrack.testing.simulation.weather import Weather

EPOCH: Final = 1_800_000_000.0
"""What a clock that is right shows when the world begins, in seconds since 1970."""
PEOPLE: Final = ("mara", "joe", "ines")
CLIENTS: Final = 3
"""Certificates of each instance."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person who is logged in."""

    person: Person
    session: bytes


@dataclass(slots=True)
class Tenant:
    """An instance, and what its clients know."""

    instance: Instance
    house: House
    certificates: list[ClientCertificate]
    known: list[str] = field(default_factory=list)
    """Unique Identifiers that a client was told, oldest first."""

    @property
    def identifier(self) -> str:
        """The instance's."""
        return self.instance.identifier


class World:
    """Everything, for one seed."""

    def __init__(self, seed: int, path: Path) -> None:
        """``path``: a fresh catalog, which becomes this world's."""
        self.seed = seed
        self.random = stream(seed, "world")
        self.loop = SeededLoop(stream(seed, "turns"))  # type: ignore[abstract] # What nobody here asks for is not there.
        self.randomness = Minting(stream(seed, "material"))
        self.weather = Weather.drawn(stream(seed, "weather"))
        self.trace: list[str] = []
        self.broken: list[Broken] = []
        self.asks: dict[str, Ask] = {}
        self.acts: list[Act] = []
        self.damaged: set[str] = set()
        """Keys of which a stored copy was changed: they need not open, and must not open wrongly."""
        self.buried: list[Any] = []
        """What crashed processes had: kept, lest it cleans up when it is collected."""
        self.database = Process("database")
        self.people: list[Somebody] = []
        self.tenants: list[Tenant] = []
        self.houses: list[House] = []
        self.nodes: list[Node] = []
        self.observer = NodeCatalog(path, "database", None, self.time_of_day)
        self.raw = sqlite3.connect(path, isolation_level=None)
        self.replay = Replay(self.loop.time, self._compromises)
        self.is_at_rest = False
        """Whether everything is healed: what was to strike later does not."""
        self._path = path
        self._numbers = 0

    def build(self) -> None:
        """Key managers, instances, people and nodes, as the seed wants them."""
        random = self.random
        for number in range(1 + (random.random() < 0.4)):
            binds = random.random() < 0.7
            name = ("alpha", "beta")[number]
            self.houses.append(house_of(name, self, stream(self.seed, f"house {name}"), binds=binds))
        for number in range(random.choice((1, 2, 2, 3))):
            self.tenants.append(self._tenant(number, random))
        self._people()
        for number in range(random.choice((1, 2, 2, 3))):
            node = Node(f"node-{number + 1}", self, self._path, stream(self.seed, f"node {number}"))
            node.leads = number == 0 or random.random() < 0.3
            self.nodes.append(node)
        self.read_journal()

    def _tenant(self, number: int, random: Random) -> Tenant:
        house = random.choice(self.houses)
        root_key = house.now(lambda inner: inner.create_root_key(f"root {number}")).identifier
        house.roots.append(root_key)
        identifier = f"instance-{number}"
        instance = Instance(
            identifier=identifier,
            name=identifier,
            status=InstanceStatus.INSTALLED,
            key_manager=house.name,
            root_key=root_key,
            storage=random.choice((Storage.KEY_MANAGER, Storage.KEY_MANAGER, Storage.CATALOG)),
            created_at=int(EPOCH) - 100,
            dual_control_at=int(EPOCH) - 50 if random.random() < 0.5 else None,
            hierarchy=Hierarchy.TWO_LEVEL if random.random() < 0.25 else Hierarchy.DIRECT,
        )
        certificates = [a_certificate(identifier, each) for each in range(CLIENTS)]
        self._commit(Unit(entries=(), instances=(instance,), certificates=certificates[:-1]))
        if instance.hierarchy is Hierarchy.TWO_LEVEL:
            self.loop.run_until_complete(self._wrapping_key(instance, house))
        self.replay.certificates |= {each.fingerprint: identifier for each in certificates[:-1]}
        return Tenant(instance, house, certificates)

    async def _wrapping_key(self, instance: Instance, house: House) -> None:
        """What stands between the root key and the keys of an instance of two levels."""
        vault = Vault(
            {house.name: house.inner},
            Secret(bytearray(INTEGRITY_ROOT)),
            DEPLOYMENT,
            self.loop.time,
            randomness=self.randomness,
        )
        identifier = self.randomness.identifier()
        made = await vault.seal_wrapping_key(instance, identifier, instance.created_at)
        made = replace(made, standard_key=await vault.store(instance, made.sealed, identifier))
        await self.observer.commit(Unit(entries=(), wrapping_keys=(made,)))

    def _people(self) -> None:
        for number, name in enumerate(PEOPLE):
            person = Person(
                identifier=f"00000000-0000-4000-8000-00000000000{number}",
                name=name,
                grants=frozenset({Grant(Role.SECURITY_OFFICER), Grant(Role.OPERATOR)}),
                created_at=int(EPOCH) - 1000,
            )
            session = LoginSession(
                digest=hashlib.sha256(name.encode()).digest(),
                person=person.identifier,
                created_at=int(EPOCH),
                seen_at=int(EPOCH),
                expires_at=int(EPOCH) + 90 * 86_400,
            )
            self._commit(Unit(entries=(), people=PeopleChanges(persons=(person,))))
            self._commit(Unit(entries=(), people=PeopleChanges(sessions=(session,))))
            self.people.append(Somebody(person, session.digest))

    def _commit(self, unit: Unit) -> None:
        self.loop.run_until_complete(self.observer.commit(unit))

    # What happens.

    def time_of_day(self) -> float:
        """What a clock that is right shows, in seconds since 1970."""
        return EPOCH + self.loop.time()

    def leap(self, seconds: float) -> None:
        """Time passes, and nobody does anything."""
        self.loop.leap(seconds)
        for node in self.nodes:
            node.troubled_at = self.loop.time()

    def note(self, told: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.loop.time():10.3f} {self.loop.turns:6d} {told}")

    def fail(self, broken: Broken) -> None:
        """A promise was broken: the run ends."""
        self.note(f"BROKEN {broken}")
        self.broken.append(broken)

    def number(self) -> int:
        """The next one."""
        self._numbers += 1
        return self._numbers

    def crash(self, node: str, why: str) -> None:
        """End a node, now; it comes back after a while."""
        found = next(each for each in self.nodes if each.name == node)
        if found.up:
            self.note(f"{node} crashes {why}")
            found.crash()
            self.soon(0.05 + self.random.expovariate(0.5), lambda: self.restart(found))

    def restart(self, node: Node) -> None:
        """Bring a node back that has crashed."""
        if not node.up and not self.broken:
            self.note(f"{node.name} starts")
            node.start()

    def soon(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something later, whatever becomes of whoever asks."""

        async def wait() -> None:
            self.loop.call_later(seconds, act)

        self.loop.begin(None, wait())

    def later(self, unit: Unit, seconds: float) -> None:
        """Commit a unit that has been under way for long, whoever sent it may be gone."""

        async def commit() -> None:
            try:
                await self.observer.commit(unit)
            except Exception as error:  # noqa: BLE001 - nobody hears of it
                self.note(f"a late commit is refused: {type(error).__name__}")

        self.soon(seconds, lambda: self.loop.begin(self.database, commit()))

    def deleting(self, house: House, key: StandardKey) -> None:
        """Keyrack deletes a standard key: nothing may need it."""
        for tenant in self.tenants:
            if tenant.house is house:
                load = self.observer.load(tenant.identifier, key.name.removeprefix("vmware_kmip_"))
                found = at_once(load) or at_once(self.observer.wrapping_key(tenant.identifier))
                if found is not None and found.standard_key == key.identifier:
                    self.fail(Broken("I9", f"the standard key of {short(found.unique_identifier)} is deleted in use"))
        self.note(f"{house.name}: standard key of {short(key.name.removeprefix('vmware_kmip_'))} is deleted")

    # What is known.

    def read_journal(self) -> list[Told]:
        """Take in what was committed since the last look; a broken promise is noted."""
        new: list[Told] = []
        while page := at_once(self.observer.journal(self.replay.number)):
            for record in page:
                try:
                    new.append(self.replay.read(record))
                except Broken as broken:
                    self.fail(broken)
        return new

    def _compromises(self, correlation: str, uid: str) -> bool:
        ask = self.asks.get(correlation)
        return ask is not None and any(each.compromise for each in ask.items if each.uid in {uid, None})


def a_certificate(instance: str, number: int) -> ClientCertificate:
    """A client certificate of the instance, by number."""
    name = f"{instance}/{number}"
    return ClientCertificate(
        fingerprint=hashlib.sha256(name.encode()).hexdigest(),
        instance=instance,
        subject=f"CN={name}",
        not_before=0,
        not_after=2**33,
        der=name.encode(),
        added_at=int(EPOCH) - 100,
        name=f"client-{number}",
    )
