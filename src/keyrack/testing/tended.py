"""A house whose keys lie in a key manager too, and whoever cares for it, round by round."""

import json
from dataclasses import dataclass, replace
from typing import Any, Self
from uuid import uuid4

from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.domain.instances import Hierarchy, Instance, Storage, WrappingKey
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Catalog, Unit, Validation
from keyrack.ports.key_manager import StandardKey
from keyrack.service.care.care import Care, Rewrap
from keyrack.service.office.seals import Seals
from keyrack.service.vault.standard_keys import name_of
from keyrack.testing.conversation import Client
from keyrack.testing.house import House, memory_house


@dataclass(slots=True)
class Tended:
    """A house with the instance ``a``, and the care of its key manager ``embedded``."""

    house: House
    care: Care
    seals: Seals

    @classmethod
    async def create(cls, catalog: Catalog | None = None, *, rewrap: Rewrap | None = None) -> Self:
        """Everything new; the storage of ``a`` is ``key_manager``."""
        house = memory_house(catalog)
        await house.admit("a", storage=Storage.KEY_MANAGER)
        managers = {"embedded": house.key_manager}
        care = Care(
            house.catalog,
            managers,  # type: ignore[arg-type] # The one in memory is both.
            house.vault,
            seconds={},
            rewrap=rewrap,
            clock=house.clock,
        )
        return cls(house, care, Seals(house.catalog, house.vault))

    @property
    def catalog(self) -> Catalog:
        """The catalog."""
        return self.house.catalog

    @property
    def manager(self) -> MemoryKeyManager:
        """The key manager, which fails as it is told."""
        assert isinstance(self.house.key_manager, MemoryKeyManager)
        return self.house.key_manager

    def client(self, who: str = "a") -> Client:
        """A client of an instance."""
        return Client(self.house, who=who)

    async def instance(self, name: str = "a") -> Instance:
        """An instance as it is now."""
        return next(each for each in await self.catalog.instances() if each.name == name)

    async def changed(self, instance: Instance, **fields: Any) -> Instance:
        """The instance with other fields, committed."""
        other = replace(instance, **fields)
        await self.catalog.commit(Unit(entries=(an_entry("changed"),), instances=(other,)))
        return other

    async def two_level(self, name: str) -> WrappingKey:
        """Another instance, with a wrapping key that lies in the key manager too."""
        instance = await self.house.admit(name, storage=Storage.KEY_MANAGER)
        instance = await self.changed(instance, hierarchy=Hierarchy.TWO_LEVEL)
        made = await self.house.vault.seal_wrapping_key(instance, str(uuid4()), int(self.house.clock()))
        standard_key = await self.house.vault.store(instance, made.sealed, made.unique_identifier)
        made = replace(made, standard_key=standard_key)
        await self.catalog.commit(Unit(entries=(an_entry("wrapping-key"),), wrapping_keys=(made,)))
        return made

    async def round(self, *, after: float = 60.0) -> Validation:
        """Let time pass, and one round of care; what is known of ``a`` then. The catalog's generation is looked at."""
        self.house.clock.now += after
        await self.care.round("embedded")
        await self.seals.look()
        return await self.validation()

    async def validation(self, name: str = "a") -> Validation:
        """What is known of an instance."""
        return (await self.catalog.validations())[(await self.instance(name)).identifier]

    async def standard_key(self, uid: str) -> str:
        """The identifier of the standard key of an object."""
        (found,) = await self.manager.find_standard_keys(name_of(uid))
        return found.identifier

    async def taken(self, uid: str) -> StandardKey:
        """Delete an object's standard key behind the house's back; it, so that it can be restored."""
        key = await self.manager.get_standard_key(await self.standard_key(uid))
        await self.manager.delete_standard_key(key.identifier)
        return key

    async def journal(self, *actions: str) -> list[dict[str, Any]]:
        """The entries of the journal of these actions, or all."""
        entries = [json.loads(record.text) for record in await self.catalog.journal()]
        return [each for each in entries if not actions or each["action"] in actions]


def an_entry(action: str) -> Entry:
    """An entry of a test's own acts."""
    return Entry(at=0, action=action, outcome="success", initiator="local-user-test", address="local")
