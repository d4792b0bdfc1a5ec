"""Wrapped keys that are spoilt in the catalog, mended from the key manager's copies or authenticated anew."""

import pytest

from keyrack.domain.instances import Hierarchy, Instance, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Unit
from keyrack.service.vault import blob as blobs
from keyrack.testing.conversation import activate, get
from keyrack.testing.ruins import Site


async def furnished(**options: object) -> tuple[Site, Instance, list[ManagedObject], list[bytes]]:
    """A site with three keys, and their bytes."""
    site = Site.new()
    instance = await site.instance(**options)  # type: ignore[arg-type]
    uids = await site.keys(3)
    before = [await site.client().material(uid) for uid in uids]
    held = [await site.catalog.load(instance.identifier, uid) for uid in uids]
    return site, instance, [each for each in held if each is not None], before


async def spoil(site: Site, managed: ManagedObject, sealed: bytes) -> None:
    await site.catalog.commit(Unit(entries=(), updated=(managed.changed(sealed=sealed),)))
    site.vault.purge()


@pytest.mark.parametrize("place", [0, 120, -60, -1])
async def test_a_spoilt_wrapped_key_is_taken_from_the_key_manager_and_the_rest_stays(place: int) -> None:
    site, instance, (one, *_), before = await furnished()
    await site.client()(activate(one.unique_identifier))
    held = await site.catalog.load(instance.identifier, one.unique_identifier)
    assert held is not None
    broken = bytearray(held.sealed or b"")
    broken[place] ^= 1
    await spoil(site, held, bytes(broken))
    assert await site.client().refused(get(one.unique_identifier)) is not None

    outcome = await site.repair(instance)

    assert (outcome.changed, outcome.failures) == (1, ())
    assert await site.client().material(one.unique_identifier) == before[0]
    mended = await site.catalog.load(instance.identifier, one.unique_identifier)
    assert mended is not None
    assert (mended.state, mended.attributes) == (held.state, held.attributes)
    assert (await site.verify()).well


async def test_a_wrapped_key_of_another_object_is_no_mend() -> None:
    """Somebody writes one object's key over another's, here and there."""
    site, instance, (victim, other, _), _ = await furnished()
    await spoil(site, victim, other.sealed or b"")
    site.manager.replace_standard_key(victim.standard_key or "", other.sealed or b"")

    outcome = await site.repair(instance, accepts_any_mac=True)

    assert outcome.changed == 0
    assert [uid for uid, _ in outcome.failures] == [victim.unique_identifier]
    assert "belongs to another object" in outcome.failures[0][1]


@pytest.mark.parametrize("hierarchy", Hierarchy)
@pytest.mark.parametrize("storage", Storage)
async def test_a_catalog_whose_integrity_root_is_lost_is_authenticated_anew(
    hierarchy: Hierarchy, storage: Storage
) -> None:
    site, instance, held, before = await furnished(hierarchy=hierarchy, storage=storage)
    again = site.after_the_catalog_is_lost(catalog=site.catalog, root=b"another root" * 3)
    again.house.peers = site.house.peers
    uids = [each.unique_identifier for each in held]
    assert await again.client().refused(get(uids[0])) is not None

    outcome = await again.repair(instance)

    keys = 4 if hierarchy is Hierarchy.TWO_LEVEL else 3
    assert (outcome.changed, outcome.failures) == (keys, ())
    assert before == [await again.client().material(uid) for uid in uids]


async def test_with_a_single_mac_of_ours_no_other_is_accepted() -> None:
    site, instance, (one, *_), _ = await furnished(storage=Storage.CATALOG)
    far = site.after_the_catalog_is_lost(root=b"another root" * 3)
    forged = far.vault.wrapping.authenticated_anew(blobs.parse(one.sealed or b""))
    await spoil(site, one, forged)

    outcome = await site.repair(instance)

    assert [uid for uid, _ in outcome.failures] == [one.unique_identifier]
    assert (await site.repair(instance, accepts_any_mac=True)).changed == 1


async def test_a_dry_run_changes_nothing() -> None:
    site, instance, (one, *_), _ = await furnished()
    await spoil(site, one, b"KEK1")

    assert (await site.repair(instance, dry_run=True)).changed == 1
    assert (await site.repair(instance)).changed == 1
    assert (await site.repair(instance)).changed == 0
