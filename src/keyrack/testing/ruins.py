"""What is left of a house in one process when something of it is lost, and the house that stands there afterwards."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Self

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import ClientCertificate, Hierarchy, Instance, InstanceStatus, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Catalog, Unit
from keyrack.ports.key_manager import KeyManager
from keyrack.service.batch import Desk
from keyrack.service.copies.adopt import Adopted, Adoption
from keyrack.service.copies.adopt import Wishes as AdoptionWishes
from keyrack.service.copies.rebuild import Rebuild, Rebuilt, Wishes
from keyrack.service.copies.repair import Repair, is_root_lost
from keyrack.service.copies.restoring import Due, Restoring
from keyrack.service.copies.verify import Verification, Verified
from keyrack.service.identity import Peer
from keyrack.service.moves.walk import Outcome
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.founding import wrapping_key_for
from keyrack.service.office.installing import install
from keyrack.service.vault.envelope import Vault
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.conversation import Client, create, name
from keyrack.testing.house import Clock, House

ROOT = b"integrity root" * 3
BY = Administrator("local-user-test")


@dataclass(slots=True)
class Site:
    """A deployment over key managers that others may use too."""

    deployment: str
    key_managers: Mapping[str, KeyManager]
    catalog: Catalog
    vault: Vault
    administration: Administration
    clock: Clock = field(default_factory=Clock)
    house: House = field(init=False)

    def __post_init__(self) -> None:
        """Open the desk."""
        manager: Any = next(iter(self.key_managers.values()))
        self.house = House(
            self.catalog, manager, self.vault, Desk(self.catalog, self.vault, clock=self.clock), self.clock
        )

    @classmethod
    def of(
        cls,
        key_managers: Mapping[str, KeyManager],
        *,
        catalog: Catalog | None = None,
        deployment: str = "deployment",
        root: bytes = ROOT,
        **settings: Any,
    ) -> Self:
        """A site with an empty catalog, or with this one, and this integrity root; ``settings`` go to the vault."""
        catalog = catalog or MemoryCatalog()
        clock = Clock()
        vault = Vault(key_managers, Secret(bytearray(root)), deployment, wrapping_keys=catalog.wrapping_key, **settings)
        administration = Administration(catalog, key_managers, BY, lambda: int(clock() * 1000), vault)
        return cls(deployment, key_managers, catalog, vault, administration, clock)

    @classmethod
    def new(cls, **options: Any) -> Self:
        """A site over a key manager in memory, ``embedded``; ``options`` as for :meth:`of`."""
        return cls.of({"embedded": MemoryKeyManager()}, **options)

    def after_the_catalog_is_lost(self, **options: Any) -> "Site":
        """The same key managers with an empty catalog; ``options`` as for :meth:`of`."""
        return Site.of(self.key_managers, **{"deployment": self.deployment, **options})

    @property
    def manager(self) -> MemoryKeyManager:
        """The first key manager, which is in memory."""
        manager = next(iter(self.key_managers.values()))
        assert isinstance(manager, MemoryKeyManager)
        return manager

    async def instance(
        self,
        title: str = "a",
        *,
        root_key: str | None = None,
        hierarchy: Hierarchy = Hierarchy.DIRECT,
        storage: Storage = Storage.KEY_MANAGER,
        key_manager: str | None = None,
    ) -> Instance:
        """An instance with a client of its own name."""
        key_manager = key_manager or next(iter(self.key_managers))
        if root_key is None:
            manager: Any = self.key_managers[key_manager]
            root_key = (await manager.create_root_key(f"{title} root key")).identifier
        made = Instance(
            identifier=str(uuid.uuid4()),
            name=title,
            status=InstanceStatus.INSTALLED,
            key_manager=key_manager,
            root_key=str(root_key),
            storage=storage,
            hierarchy=hierarchy,
            created_at=int(self.clock()),
        )
        two_level = hierarchy is Hierarchy.TWO_LEVEL
        wrapping_key = await wrapping_key_for(self.vault, made) if two_level else None
        await install(self.administration, made, wrapping_key=wrapping_key)
        await self.admit(made, title)
        return replace(made, created_by=BY.initiator)

    async def admit(self, instance: Instance, who: str) -> Client:
        """A client of the instance, with a certificate of its own."""
        fingerprint = sha256(f"{self.deployment} {who}".encode()).hexdigest()
        certificate = ClientCertificate(
            fingerprint=fingerprint,
            instance=instance.identifier,
            subject=f"CN={who}",
            not_before=0,
            not_after=2**33,
            der=who.encode(),
            added_at=int(self.clock()),
        )
        entry = Entry(at=0, action="certificate.add", outcome="success", initiator="local-user-test", address="local")
        await self.catalog.commit(Unit(entries=(entry,), certificates=(certificate,)))
        self.house.peers[who] = Peer(fingerprint=fingerprint, address="127.0.0.1:1", tls="TLSv1.3")
        return self.client(who)

    def client(self, who: str = "a") -> Client:
        """Somebody who was admitted."""
        return Client(self.house, who=who)

    async def keys(self, count: int, who: str = "a") -> Sequence[str]:
        """New keys, called ``who 0`` and so on, each with a custom attribute and a group."""
        given = [
            {
                "Name": name(f"{who} {n}"),
                "x-Product": CustomValue(ItemType.TEXT_STRING, "VMware vSphere"),
                "Object Group": "cluster",
            }
            for n in range(count)
        ]
        return [await self.client(who).made(create(each)) for each in given]

    async def rebuild(self, **wishes: Any) -> Rebuilt:
        """Rebuild its catalog."""
        return await Rebuild(
            self.catalog,
            self.administration,
            self.vault,
            self.key_managers,
            deployment=self.deployment,
            wishes=Wishes(**wishes),
        ).run()

    async def verify(self, *instances: Instance, quick: bool = False) -> Verified:
        """Verify these instances, or all."""
        verification = Verification(
            self.catalog, self.vault, self.key_managers, deployment=self.deployment, quick=quick
        )
        return await verification.run(instances or await self.catalog.instances())

    async def restore(self, instance: Instance) -> tuple[Sequence[Due], Outcome]:
        """Put the standard keys of an instance again that are missing or spoilt."""
        restoring = Restoring(
            self.catalog, self.administration, self.vault, self.key_managers, instance, clock=self.clock
        )
        due, _ = await restoring.look()
        return due, await restoring.put_again(due)

    async def adopt(self, into: Instance, **wishes: Any) -> Adopted:
        """Let an instance take over the keys of another site over the same key managers."""
        adoption = Adoption(
            self.catalog,
            self.administration,
            self.vault,
            self.key_managers,
            into,
            deployment=self.deployment,
            wishes=AdoptionWishes(**wishes),
        )
        return await adoption.run()

    async def repair(self, instance: Instance, **options: Any) -> Outcome:
        """Mend the wrapped keys of the catalog that are spoilt."""
        accepts = await is_root_lost(self.catalog, self.vault)
        repair = Repair(
            self.catalog,
            self.administration,
            self.vault,
            self.key_managers,
            instance,
            **{"accepts_any_mac": accepts, **options},
        )
        return await repair.run()
