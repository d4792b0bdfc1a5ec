"""A request comes to nothing while the reconciler, whose clock is ahead, completes what it had begun."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.domain.instances import Storage
from keyrack.ports.catalog import OutcomeUnknown, Unit
from keyrack.ports.key_manager import StandardKey
from keyrack.service.care.leftovers import Leftovers
from keyrack.service.care.reconcile import SETTLED, reconcile
from keyrack.service.undoing import take_back
from keyrack.service.vault.standard_keys import name_of
from keyrack.testing.conversation import Client, create
from keyrack.testing.house import House, memory_house
from keyrack.testing.tended import an_entry


@pytest.fixture(params=["memory", "sqlite"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """A house whose instance ``a`` keeps its wrapped keys in the key manager as well."""
    on_disk = request.param == "sqlite"
    built = memory_house(SqliteCatalog(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else None)
    await built.admit("a", storage=Storage.KEY_MANAGER)
    yield built
    await built.catalog.close()


async def reconciled_by_another(house: House) -> None:
    """As a node does whose clock is a minute ahead."""
    await reconcile(house.catalog, house.vault, now=int(house.clock()) + SETTLED + 1)


async def held(house: House) -> tuple[set[str], set[str]]:
    """Names of the standard keys that are there, and of those that objects have."""
    assert isinstance(house.key_manager, MemoryKeyManager)
    there = {key.name async for key in house.key_manager.list_standard_keys("")}
    return there, {name_of(each.unique_identifier) for each in await house.catalog.objects("instance-a")}


async def test_what_is_taken_back_is_not_completed_meanwhile(house: House) -> None:
    """The reconciler looks just before the standard key is deleted: nobody may have an object without it then."""
    manager: Any = house.key_manager
    delete = manager.delete_standard_key

    async def delete_later(identifier: str) -> None:
        await reconciled_by_another(house)
        await delete(identifier)

    manager.delete_standard_key = delete_later
    await Client(house).batch(create(), maximum_response_size=100)  # The key is made, and its answer does not fit.

    assert (set(), set()) == await held(house)
    assert [] == list(await house.catalog.leftovers())


async def test_what_was_taken_back_is_not_completed_by_who_saw_it_before(house: House) -> None:
    """The reconciler has found the standard key, and commits once it was deleted."""
    commit, manager = house.catalog.commit, cast(Any, house.key_manager)

    async def unknown(unit: Unit) -> None:
        if unit.inserted:
            raise OutcomeUnknown
        await commit(unit)

    house.catalog.commit = unknown  # type: ignore[method-assign]
    await Client(house).refused(create())
    house.catalog.commit = commit  # type: ignore[method-assign]
    (intent,), (instance,) = await house.catalog.intents(), await house.catalog.instances()
    find = manager.find_standard_keys

    async def find_then_take_back(called: str) -> Any:
        found = await find(called)
        manager.find_standard_keys = find
        await take_back(house.catalog, house.vault, instance, intent, an_entry("standard-key.intent"))
        return found

    async def get_what_was_found(identifier: str) -> StandardKey:
        return StandardKey(identifier, "", intent.sealed or b"")

    manager.find_standard_keys, manager.get_standard_key = find_then_take_back, get_what_was_found
    await reconciled_by_another(house)

    assert (set(), set()) == await held(house)
    assert [] == list(await house.catalog.intents())


async def test_what_cannot_be_deleted_is_remembered(house: House) -> None:
    """The key manager does not answer just then: the standard key is a leftover, which care deletes."""
    manager: Any = house.key_manager
    manager.fail("delete_standard_key", Fault.UNAVAILABLE)
    await Client(house).batch(create(), maximum_response_size=100)

    (leftover,) = await house.catalog.leftovers()
    assert "undone" == leftover.why
    house.clock.now += SETTLED + 1
    await Leftovers(house.catalog, {"embedded": manager}, house.clock).clear()
    assert (set(), set()) == await held(house)
