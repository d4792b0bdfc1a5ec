"""A process that remembers an instance from before a change: what its clients get until it has heard of it."""

from dataclasses import replace

import pytest

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.instances import Instance, Storage
from keyrack.ports.catalog import Unit
from keyrack.service.care.reconcile import SETTLED, Outcome, reconcile
from keyrack.service.vault.envelope import Vault
from keyrack.testing.conversation import Client, create, get, name
from keyrack.testing.house import House, memory_house
from keyrack.testing.interrupted_catalog import InterruptedCatalog


class Meanwhile:
    """A house whose instance ``a`` another process gives another root key, while the desk remembers the former."""

    def __init__(self, house: House, instance: Instance) -> None:
        self.house = house
        self.instance = instance

    @classmethod
    async def begin(cls, storage: Storage) -> "Meanwhile":
        house = memory_house(InterruptedCatalog())
        return cls(house, await house.admit("a", storage=storage))

    @property
    def catalog(self) -> InterruptedCatalog:
        assert isinstance(self.house.catalog, InterruptedCatalog)
        return self.house.catalog

    @property
    def manager(self) -> MemoryKeyManager:
        assert isinstance(self.house.key_manager, MemoryKeyManager)
        return self.house.key_manager

    async def begin_move(self) -> None:
        """As ``change-root-key`` does first of all."""
        root_key = await self.manager.create_root_key("another")
        moving = replace(self.instance, root_key=root_key.identifier, former=self.instance.home)
        await self.catalog.commit(Unit(entries=(), seen_instances=(self.instance,), instances=(moving,)))
        self.instance = moving

    async def move(self, uid: str, vault: Vault) -> None:
        """Wrap one key anew, as another process does; its old standard key is deleted at once."""
        managed = await self.catalog.load(self.instance.identifier, uid)
        assert managed is not None
        blob = await vault.reseal(self.instance, managed)
        standard_key = await vault.store(self.instance, blob, uid)
        moved = managed.changed(sealed=blob, standard_key=standard_key)
        await self.catalog.commit(Unit(entries=(), updated=(moved,)))
        if managed.standard_key is not None:
            await self.manager.delete_standard_key(managed.standard_key)

    def homes(self) -> set[str]:
        """Root keys of all objects."""
        vault = self.house.vault
        return {vault.home_of(self.instance, each).root_key for each in self.catalog._objects.values()}


@pytest.fixture(params=list(Storage))
async def meanwhile(request: pytest.FixtureRequest) -> Meanwhile:
    return await Meanwhile.begin(request.param)


@pytest.mark.parametrize("passing", [0, 1])
async def test_a_key_is_never_inserted_under_a_root_key_that_its_instance_has_left(
    meanwhile: Meanwhile, passing: int
) -> None:
    """Its Create began before the change, and ends after it: it is made again, and there is one standard key."""
    client = Client(meanwhile.house)
    await client.made()
    meanwhile.catalog.interrupt(meanwhile.begin_move, passing=passing)

    uid = await client.made(create({"Name": name("k")}))
    await client.made()

    managed = await meanwhile.catalog.load("instance-a", uid)
    assert managed is not None
    if passing == 0 or meanwhile.instance.storage is Storage.KEY_MANAGER:
        assert meanwhile.instance.home == meanwhile.house.vault.home_of(meanwhile.instance, managed)
    assert 32 == len(await client.material(uid))
    assert [] == await meanwhile.catalog.intents()
    stored = meanwhile.instance.storage is Storage.KEY_MANAGER
    listed = [each async for each in meanwhile.manager.list_standard_keys("vmware_kmip_")]
    assert (3 if stored else 0) == len(listed)


async def test_a_key_that_has_just_moved_is_got_by_who_remembers_its_former_home(meanwhile: Meanwhile) -> None:
    """Nobody is refused because a process hears of a move a quarter of a second late."""
    client = Client(meanwhile.house)
    uid = await client.made()
    material = await client.material(uid)
    await meanwhile.begin_move()
    await meanwhile.move(uid, meanwhile.house.vault)
    meanwhile.house.vault.purge()

    assert material == await client.material(uid)


async def test_a_key_that_moves_while_it_is_being_opened_is_got() -> None:
    """The standard key that was to be read is gone: the object says that there is another."""
    meanwhile = await Meanwhile.begin(Storage.KEY_MANAGER)
    client = Client(meanwhile.house)
    uid = await client.made()
    await meanwhile.begin_move()
    meanwhile.house.desk.sessions.forget()
    meanwhile.house.vault.purge()
    read = meanwhile.manager.get_standard_key

    async def late(identifier: str) -> object:
        meanwhile.manager.get_standard_key = read  # type: ignore[method-assign]
        await meanwhile.move(uid, meanwhile.house.vault)
        return await read(identifier)

    meanwhile.manager.get_standard_key = late  # type: ignore[method-assign,assignment]

    assert 32 == len(await client.material(uid))


async def test_a_key_that_does_not_open_is_refused_once(meanwhile: Meanwhile) -> None:
    """Nothing has changed: to try again would not help."""
    client = Client(meanwhile.house)
    uid = await client.made()
    meanwhile.house.vault.purge()
    await meanwhile.manager.delete_root_key(meanwhile.instance.root_key)
    meanwhile.manager.calls.clear()

    await client.refused(get(uid))

    assert 1 == meanwhile.manager.calls["unwrap"]


async def test_the_reconciler_completes_no_key_under_a_root_key_that_is_left() -> None:
    """The instance changes just before it commits: it leaves the intent for the next round, which completes it."""
    meanwhile = await Meanwhile.begin(Storage.KEY_MANAGER)
    client, catalog = Client(meanwhile.house), meanwhile.catalog
    catalog.interrupt(_fails, passing=1)
    with pytest.raises(RuntimeError):
        await client.made()
    (intent,) = await catalog.intents()
    meanwhile.house.clock.now += SETTLED + 1
    find, now = meanwhile.manager.find_standard_keys, int(meanwhile.house.clock())

    async def late(name: str) -> object:
        meanwhile.manager.find_standard_keys = find  # type: ignore[method-assign]
        found = await find(name)
        await meanwhile.begin_move()
        return found

    meanwhile.manager.find_standard_keys = late  # type: ignore[method-assign,assignment]

    assert Outcome() == await reconcile(catalog, meanwhile.house.vault, now=now)
    assert [intent] == await catalog.intents()
    assert Outcome(completed=1) == await reconcile(catalog, meanwhile.house.vault, now=now)
    assert 1 == await catalog.count("instance-a")


async def _fails() -> None:
    raise RuntimeError("the process ends here")
