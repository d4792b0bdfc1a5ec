"""A vault over the key manager in memory, with a clock that a test moves."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.instances import Instance, InstanceStatus, Storage
from keyrack.domain.objects import Attributes, Indexed, ManagedObject
from keyrack.domain.secret import Secret
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.spec.enumerations import CryptographicAlgorithm, CryptographicUsageMask, ObjectType, State

DEPLOYMENT = "keyrack-1"


@dataclass(slots=True)
class SteadyClock:
    """Seconds that go on when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        """The seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def an_instance(root_key: str, identifier: str = "instance-1", storage: Storage = Storage.CATALOG) -> Instance:
    """An installed instance whose key manager is called ``memory``."""
    return Instance(
        identifier=identifier,
        name=identifier,
        status=InstanceStatus.INSTALLED,
        key_manager="memory",
        root_key=root_key,
        storage=storage,
        created_at=1,
    )


def an_object(unique_identifier: str = "object-1", instance: str = "instance-1") -> ManagedObject:
    """An AES-256 key, not sealed yet."""
    attributes: Attributes = {
        "Cryptographic Algorithm": (Indexed(0, CryptographicAlgorithm.AES),),
        "Cryptographic Length": (Indexed(0, 256),),
        "Cryptographic Usage Mask": (Indexed(0, CryptographicUsageMask.ENCRYPT | CryptographicUsageMask.DECRYPT),),
        "Initial Date": (Indexed(0, 1_700_000_000),),
    }
    return ManagedObject(
        unique_identifier=unique_identifier,
        instance=instance,
        object_type=ObjectType.SYMMETRIC_KEY,
        state=State.ACTIVE,
        attributes=attributes,
    )


def material(octets: bytes) -> Secret:
    """A secret of given bytes; for tests, which know them."""
    return Secret(bytearray(octets))


@dataclass(slots=True)
class VaultWorld:
    """A vault, what it stands on, and one instance."""

    manager: MemoryKeyManager
    clock: SteadyClock
    vault: Vault
    instance: Instance
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    async def create(cls, *, binds_aad: bool = True, storage: Storage = Storage.CATALOG, **settings: Any) -> Self:
        """Everything new; ``settings`` go to the vault."""
        manager, clock = MemoryKeyManager(binds_aad=binds_aad), SteadyClock()
        root_key = await manager.create_root_key("root")
        vault = Vault({"memory": manager}, material(b"integrity root" * 3), DEPLOYMENT, clock, **settings)
        return cls(manager, clock, vault, an_instance(root_key.identifier, storage=storage), settings)

    def restart(self) -> None:
        """Another vault on the same ground, with nothing in memory."""
        root = material(b"integrity root" * 3)
        self.vault = Vault({"memory": self.manager}, root, DEPLOYMENT, self.clock, **self.settings)

    async def sealed(
        self, octets: bytes, unique_identifier: str = "object-1", instance: Instance | None = None
    ) -> ManagedObject:
        """An object of the instance, sealed and stored."""
        instance = instance or self.instance
        managed = an_object(unique_identifier, instance.identifier)
        with material(octets) as secret:
            blob = await self.vault.seal_new(instance, context_of(managed), secret)
        standard_key = await self.vault.store(instance, blob, unique_identifier)
        return replace(managed, sealed=blob, standard_key=standard_key)

    async def opened(self, managed: ManagedObject) -> bytes:
        """A copy of what the vault opens; for tests, which may leave it behind."""
        return bytes((await self.vault.open(self.instance, managed)).reveal())
