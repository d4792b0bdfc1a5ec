"""Seals: from the act on nobody gets a key of the instance, and no process keeps one in memory."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from keyrack.domain.errors import PermissionDenied
from keyrack.domain.instances import Home, Instance, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import CatalogUnavailable, InstanceChanged
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office import seals
from keyrack.service.office.administration import Administration, Administrator, NotThere, Refused
from keyrack.service.office.refusals import ConfirmationNeeded, Unusable
from keyrack.service.office.seals import Seals, unseal
from keyrack.service.vault.envelope import SealContext
from keyrack.spec.enumerations import ResultReason
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import create, get
from keyrack.testing.tended import Tended
from keyrack.testing.vaults import material

NOW = 1_800_000_000


@pytest.fixture
async def tended(tmp_path: Path) -> AsyncIterator[Tended]:
    catalog = await catalog_at(tmp_path / "catalog.sqlite", "kmip-0")
    yield await Tended.create(catalog)
    await catalog.close()


def administration(tended: Tended) -> Administration:
    """An administrator's."""
    managers = {"embedded": tended.manager}
    return Administration(tended.catalog, managers, Administrator("local-user-ann"), lambda: NOW * 1000)


async def seal(administration: Administration, name: str) -> tuple[Instance, bool]:
    """As an administrator who has repeated the name."""
    return await seals.seal(administration, cast(WholeCatalog, administration.catalog), name, confirmation=name)


async def test_what_stops_machines_is_told_and_confirmed_first(tended: Tended) -> None:
    """With the keys and their last fetches; nothing is sealed by it."""
    uid = await tended.client().made()
    await tended.client().material(uid)
    acts, catalog = administration(tended), cast(WholeCatalog, tended.catalog)

    with pytest.raises(ConfirmationNeeded) as needed:
        await seals.seal(acts, catalog, "a")
    with pytest.raises(Unusable):
        await seals.seal(acts, catalog, "a", confirmation="b")

    (key,) = needed.value.impact["keys"]
    assert ("a", uid) == (needed.value.confirmation, key["unique_identifier"])
    assert key["last_fetch"] is not None
    assert (await tended.instance()).sealed_at is None


async def test_a_sealed_instance_hands_out_nothing_until_it_is_unsealed(tended: Tended) -> None:
    client = tended.client()
    uid = await client.made()
    before = await client.material(uid)

    sealed, new = await seal(administration(tended), "a")

    assert (NOW, True) == (sealed.sealed_at, new)
    for item in (get(uid), create()):
        assert ResultReason.PERMISSION_DENIED == await client.refused(item)
    await unseal(administration(tended), "a")
    assert before == await client.material(uid)
    entries = await tended.journal("instance.seal", "instance.unseal")
    assert [("instance.seal", "local-user-ann"), ("instance.unseal", "local-user-ann")] == [
        (each["action"], each["initiator"]) for each in entries
    ]


async def test_doing_it_twice_changes_nothing(tended: Tended) -> None:
    assert [True, False] == [(await seal(administration(tended), "a"))[1] for _ in range(2)]
    assert NOW == (await tended.instance()).sealed_at
    assert [True, False] == [(await unseal(administration(tended), "a"))[1] for _ in range(2)]


async def test_an_instance_that_is_not_there_is_told(tended: Tended) -> None:
    with pytest.raises(NotThere):
        await seal(administration(tended), "nobody")


async def test_every_process_lets_go_of_the_plaintext(tended: Tended) -> None:
    """Of that instance alone."""
    await tended.house.admit("b", storage=Storage.KEY_MANAGER)
    for who in ("a", "b"):
        await tended.client(who).made()
    await tended.seals.look()
    assert 2 == len(tended.house.vault._cache)

    await seal(administration(tended), "a")
    await tended.seals.look()

    assert ["instance-b"] == [each.instance for each in tended.house.vault._cache._entries.values()]


async def sealed_object(tended: Tended) -> tuple[Instance, ManagedObject]:
    """An object as it was read before the seal, and its instance."""
    uid = await tended.client().made()
    managed = await tended.catalog.load("instance-a", uid)
    assert managed is not None
    return await tended.instance(), managed


async def test_a_key_that_is_being_unwrapped_during_the_seal_is_not_kept(tended: Tended) -> None:
    instance, managed = await sealed_object(tended)
    tended.house.vault.purge()
    tended.manager.delay = 0.05
    opening = asyncio.create_task(tended.house.vault.open(instance, managed))
    await asyncio.sleep(0.02)
    await seal(administration(tended), "a")
    await tended.seals.look()
    await opening

    assert 0 == len(tended.house.vault._cache)


async def test_a_key_that_is_being_made_during_the_seal_is_not_kept(tended: Tended) -> None:
    instance = await tended.instance()
    tended.manager.delay = 0.05
    with material(b"k" * 32) as secret:
        making = asyncio.create_task(sealed_new(tended, instance, secret))
        await asyncio.sleep(0.02)
        await seal(administration(tended), "a")
        await tended.seals.look()
        await making

    assert 0 == len(tended.house.vault._cache)


async def test_a_request_from_before_the_seal_unwraps_nothing_afterwards(tended: Tended) -> None:
    """It has read instance and object already; its commit would be refused, and its plaintext would stay."""
    instance, managed = await sealed_object(tended)
    await seal(administration(tended), "a")
    await tended.seals.look()
    calls = tended.manager.calls.total()

    with pytest.raises(PermissionDenied, match="sealed"):
        await tended.house.vault.open(instance, managed)
    with pytest.raises(PermissionDenied, match="sealed"), material(b"k" * 32) as secret:
        await sealed_new(tended, instance, secret)
    assert (0, calls) == (len(tended.house.vault._cache), tended.manager.calls.total())


async def sealed_new(tended: Tended, instance: Instance, secret: Secret) -> bytes:
    """A new key of the instance."""
    context = SealContext(unique_identifier="new", object_type=2, created_at=1)
    return await tended.house.vault.seal_new(instance, context, secret)


async def test_while_nothing_has_changed_nothing_is_read(tended: Tended) -> None:
    await tended.seals.look()

    async def never() -> list[Instance]:
        raise AssertionError("that was not needed")

    tended.catalog.instances = never  # type: ignore[method-assign]
    await tended.seals.look()


async def test_seals_are_watched_also_after_the_catalog_was_away(
    tended: Tended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keyrack.service.office.seals.LOOK_EVERY", 0.001)
    await tended.client().made()
    usual = tended.catalog.generation

    async def away() -> int:
        raise CatalogUnavailable("as told")

    tended.catalog.generation = away  # type: ignore[method-assign]
    watching = asyncio.create_task(tended.seals.watch())
    await asyncio.sleep(0.01)
    await seal(administration(tended), "a")
    tended.catalog.generation = usual  # type: ignore[method-assign]
    await asyncio.sleep(0.05)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert 0 == len(tended.house.vault._cache)


async def test_an_instance_that_moves_is_sealed_and_goes_on_moving(tended: Tended) -> None:
    """What the seal has read is stale by the time it commits: what came first stays."""
    instance = await tended.instance()
    former = Home("embedded", "old root key")
    acts = administration(tended)
    looked = acts.instance

    async def stale(name: str) -> Instance:
        found = await looked(name)
        if found.former is None:
            await tended.changed(instance, former=former)
        return found

    acts.instance = stale  # type: ignore[method-assign]
    await seal(acts, "a")

    found = await tended.instance()
    assert (former, NOW) == (found.former, found.sealed_at)


async def test_an_instance_that_changes_all_the_time_is_not_sealed_by_force(tended: Tended) -> None:
    acts = administration(tended)

    async def contested(*arguments: object, **changes: object) -> None:
        raise InstanceChanged("as told")

    acts.commit = contested  # type: ignore[method-assign]
    with pytest.raises(Refused, match="try again"):
        await seal(acts, "a")


async def test_a_process_that_starts_knows_what_is_sealed(tended: Tended) -> None:
    instance, managed = await sealed_object(tended)
    await seal(administration(tended), "a")
    tended.house.vault.purge()
    await Seals(tended.catalog, tended.house.vault).look()

    with pytest.raises(PermissionDenied):
        await tended.house.vault.open(instance, managed)
