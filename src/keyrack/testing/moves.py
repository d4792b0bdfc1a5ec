"""A house whose keys are wrapped anew while clients use them: two key managers, and whoever moves keys between them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import uuid4

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import Hierarchy, Instance, Storage
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Unit
from keyrack.ports.key_manager import KeyManager
from keyrack.service.batch import Desk
from keyrack.service.moves.successors import Ground
from keyrack.service.moves.walk import things
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.vault.envelope import Sealed, Vault
from keyrack.service.vault.standard_keys import PREFIX, unique_identifier_of
from keyrack.testing.conversation import Client, activate, create, get, register_opaque
from keyrack.testing.house import Clock, House

HERE, THERE = "embedded", "other"
"""The two key managers."""


class Crash(Exception):
    """The process ends here; nothing of it does anything more."""


@dataclass(slots=True)
class Fate:
    """Says when a process ends: at its ``ends_at``-th step towards the outside, before it is done or just after."""

    ends_at: int | None = None
    steps: int = 0
    over: bool = False

    async def step(self, act: Callable[[], Awaitable[Any]]) -> Any:
        """Do ``act`` unless it is over; each act is two steps: nothing of it, and all of it but the answer."""
        self._count()
        answer = await act()
        self._count()
        return answer

    def _count(self) -> None:
        self.steps += 1
        self.over = self.over or self.steps == self.ends_at
        if self.over:
            raise Crash


class Mortal:
    """A catalog or a key manager as one process sees it, which may end at any of its calls."""

    def __init__(self, inner: Any, fate: Fate, fatal: Sequence[str]) -> None:
        """``fatal`` are the methods at which it may end; all fail once it has."""
        self._inner = inner
        self._fate = fate
        self._fatal = fatal

    def __getattr__(self, name: str) -> Any:
        """The method, as the process calls it."""
        method = getattr(self._inner, name)
        if name not in self._fatal:
            return method

        async def called(*arguments: Any, **named: Any) -> Any:
            return await self._fate.step(lambda: method(*arguments, **named))

        return called


class FailingCatalog(MemoryCatalog):
    """A catalog whose commits fail where a test says so; with ``kept`` they are kept, and nobody hears of it."""

    def __init__(self) -> None:
        """Fail nowhere."""
        super().__init__()
        self.fails: Callable[[Unit], bool] = lambda unit: False
        self.kept = False

    async def commit(self, unit: Unit) -> None:
        """Fail, if so told."""
        if not self.fails(unit):
            await super().commit(unit)
            return
        if self.kept:
            await super().commit(unit)
        raise CatalogUnavailable("the commit failed, as told")


@dataclass(slots=True)
class Moves:
    """A house with the instance ``a``, its clients, and what an administrator's process works with."""

    house: House
    managers: dict[str, MemoryKeyManager]
    instance_name: str = "a"
    materials: dict[str, bytes] = field(default_factory=dict)
    """What clients were given, by Unique Identifier."""

    @classmethod
    async def create(
        cls,
        catalog: Catalog | None = None,
        *,
        storage: Storage,
        hierarchy: Hierarchy = Hierarchy.DIRECT,
        binds: bool = True,
    ) -> Self:
        """Everything new; the instance begins in the first key manager, which ``binds`` ciphertexts to strings."""
        managers = {HERE: MemoryKeyManager(binds_aad=binds), THERE: MemoryKeyManager(binds_aad=False)}
        catalog = catalog if catalog is not None else MemoryCatalog()
        clock = Clock()
        vault = _vault(catalog, managers)
        house = House(catalog, managers[HERE], vault, Desk(catalog, vault, clock=clock), clock)
        moves = cls(house, managers)
        await house.admit("a", storage=storage)
        if hierarchy is Hierarchy.TWO_LEVEL:
            await moves._enter_wrapping_key()
        return moves

    async def _enter_wrapping_key(self) -> None:
        instance, vault = await self.instance(), self.house.vault
        two_level = replace(instance, hierarchy=Hierarchy.TWO_LEVEL)
        made = await vault.seal_wrapping_key(two_level, str(uuid4()), int(self.house.clock()))
        made = replace(made, standard_key=await vault.store(two_level, made.sealed, made.unique_identifier))
        await self.catalog.commit(Unit(entries=(), instances=(two_level,), wrapping_keys=(made,)))
        self.house.desk.sessions.forget()

    @property
    def catalog(self) -> Catalog:
        """The catalog."""
        return self.house.catalog

    @property
    def here(self) -> MemoryKeyManager:
        """The key manager that the instance begins in."""
        return self.managers[HERE]

    @property
    def there(self) -> MemoryKeyManager:
        """The other one."""
        return self.managers[THERE]

    @property
    def client(self) -> Client:
        """A client of the instance."""
        return Client(self.house)

    async def instance(self) -> Instance:
        """The instance as it is now."""
        return next(each for each in await self.catalog.instances() if each.name == self.instance_name)

    async def fill(self, count: int) -> list[str]:
        """Make so many keys; the last is longer than a root key wraps itself."""
        made = [await self.made() for _ in range(count - 1)]
        octets = bytes(range(256)) * 4
        made.append(await self.client.made(register_opaque(octets)))
        self.materials[made[-1]] = octets
        return made

    async def made(self) -> str:
        """Make a key, and remember what it is."""
        uid = await self.client.made(create())
        self.materials[uid] = await self.client.material(uid)
        return uid

    def ground(self, fate: Fate | None = None) -> Ground:
        """What an administrator's process stands on: a vault of its own, with nothing in memory."""
        catalog: Catalog = self.catalog
        managers: dict[str, KeyManager] = dict(self.managers)
        if fate is not None:
            catalog = Mortal(catalog, fate, ("commit",))
            managers = {name: Mortal(each, fate, _FATAL) for name, each in managers.items()}

        def clock() -> int:
            return int(self.house.clock() * 1000)

        return Ground(
            catalog=catalog,
            vault=_vault(catalog, managers),
            key_managers=managers,
            administration=Administration(catalog, managers, Administrator("local-user-eve"), clock),
            clock=clock,
        )

    async def use(self, until: asyncio.Event) -> int:
        """Make keys, activate them and get them and others, until told; how often it was done."""
        done = 0
        while not until.is_set():
            uid = await self.made()
            await self.client(activate(uid))
            for each in list(self.materials)[-5:]:
                await self.got(each)
            done += 1
            await asyncio.sleep(0)
        return done

    async def got(self, uid: str) -> None:
        """Get a key; raises ``AssertionError`` unless it is the one that was made."""
        value = (await self.client(get(uid))).object
        block = getattr(value, "key_block", None)
        found = bytes(block.key_value.key_material if block else value.opaque_data_value)
        if found != self.materials[uid]:
            raise AssertionError(f"{uid} is another key now")

    async def verify(self) -> None:
        """Every key opens, in a process that knows nothing yet, and is what it was."""
        self.house.vault.purge()
        self.house.desk.sessions.forget()
        for uid in self.materials:
            await self.got(uid)

    async def copies(self) -> dict[str, Counter[str]]:
        """How many standard keys each object has, by key manager."""
        return {
            name: Counter([str(unique_identifier_of(each.name)) async for each in manager.list_standard_keys(PREFIX)])
            for name, manager in self.managers.items()
        }

    async def sealed(self) -> list[Sealed]:
        """Everything that is sealed."""
        return [each async for each in things(self.catalog, await self.instance())]

    async def verify_copies(self) -> None:
        """Each key has one standard key where its instance is, and it is the one that the catalog names; else none.

        Raises ``AssertionError``.
        """
        instance, sealed = await self.instance(), await self.sealed()
        manager = self.managers[instance.key_manager]
        wanted: dict[str, Counter[str]] = {name: Counter() for name in self.managers}
        if instance.storage is Storage.KEY_MANAGER:
            wanted[instance.key_manager] = Counter(each.unique_identifier for each in sealed)
            for each in sealed:
                if each.sealed != (await manager.get_standard_key(each.standard_key or "")).payload:
                    raise AssertionError(f"the copies of {each.unique_identifier} differ")
        found, leftovers = await self.copies(), await self.catalog.leftovers()
        for name in self.managers:
            missing, more = wanted[name] - found[name], found[name] - wanted[name]
            if missing or more:
                raise AssertionError(f"in {name} are missing {dict(missing)}, and too many {dict(more)}")
        if leftovers:
            raise AssertionError(f"{len(leftovers)} standard keys are still to be deleted")


_FATAL = ("rewrap", "wrap", "unwrap", "put_standard_key", "get_standard_key", "delete_standard_key")


def _vault(catalog: Catalog, managers: Any) -> Vault:
    root = Secret(bytearray(b"integrity root" * 3))
    return Vault(managers, root, "deployment", wrapping_keys=catalog.wrapping_key)
