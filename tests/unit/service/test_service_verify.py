"""Both copies of every key, held against each other; and the catalog's, put into the key manager again."""

from dataclasses import replace

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.domain.instances import Hierarchy, Instance, Storage
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Leftover, Unit
from keyrack.ports.key_manager import KeyManagerUnavailable
from keyrack.service.copies.strangers import Strange
from keyrack.service.copies.verify import Flaw, Verified
from keyrack.service.office.refusals import Refused
from keyrack.spec.enumerations import ResultReason
from keyrack.testing.conversation import destroy, get
from keyrack.testing.ruins import Site


async def furnished(**options: object) -> tuple[Site, Instance, list[ManagedObject]]:
    """A site with one instance and four keys."""
    site = Site.new()
    instance = await site.instance(**options)  # type: ignore[arg-type]
    uids = await site.keys(4)
    held = [await site.catalog.load(instance.identifier, uid) for uid in uids]
    return site, instance, [each for each in held if each is not None]


def told(verified: Verified) -> dict[str, Flaw]:
    return {each.unique_identifier: each.flaw for each in verified.disagreements}


async def changed(site: Site, managed: ManagedObject, **fields: object) -> None:
    await site.catalog.commit(Unit(entries=(), updated=(managed.changed(**fields),)))


@pytest.mark.parametrize("hierarchy", Hierarchy)
@pytest.mark.parametrize("storage", Storage)
async def test_where_all_is_well_every_key_agrees_and_opens(hierarchy: Hierarchy, storage: Storage) -> None:
    site, instance, _ = await furnished(hierarchy=hierarchy, storage=storage)

    verified = await site.verify(instance)

    keys = 5 if hierarchy is Hierarchy.TWO_LEVEL else 4
    assert verified.well
    assert (verified.keys, verified.agree) == (keys, keys)
    assert verified.in_catalog_alone == (keys if storage is Storage.CATALOG else 0)


async def test_quick_reads_and_opens_nothing() -> None:
    site, _, _ = await furnished()
    site.manager.calls.clear()

    assert (await site.verify(quick=True)).well

    assert site.manager.calls == {"list_standard_keys": 1, "get_standard_key": 4}


async def test_each_flaw_is_told_with_what_to_do() -> None:
    site, instance, (missing, spoilt, foreign, broken) = await furnished()
    manager = site.manager
    await manager.delete_standard_key(missing.standard_key or "")
    payload = spoilt.sealed or b""
    manager.replace_standard_key(spoilt.standard_key or "", payload[:150] + b"\x00" + payload[151:])
    manager.replace_standard_key(foreign.standard_key or "", payload)
    await changed(site, broken, sealed=(broken.sealed or b"")[:-1] + b"\x00")

    verified = await site.verify()

    assert told(verified) == {
        missing.unique_identifier: Flaw.MISSING,
        spoilt.unique_identifier: Flaw.SPOILT,
        foreign.unique_identifier: Flaw.FOREIGN,
        broken.unique_identifier: Flaw.CATALOG,
    }
    assert not verified.well
    assert all(instance.name in each.advice or "--repair" in each.advice for each in verified.disagreements)


async def test_a_changed_mac_alone_is_told_too_because_a_rebuild_would_stumble_over_it() -> None:
    site, _, (one, *_) = await furnished()
    payload = one.sealed or b""
    site.manager.replace_standard_key(one.standard_key or "", payload[:-1] + bytes([payload[-1] ^ 1]))

    assert told(await site.verify()) == {one.unique_identifier: Flaw.MAC}


async def test_a_copy_of_another_generation_is_told_and_one_that_does_not_open_is_spoilt() -> None:
    site, instance, (behind, broken, *_) = await furnished()
    await site.manager.rotate_root_key(instance.root_key)
    await changed(site, behind, sealed=await site.vault.rewrap(instance, behind))
    other = site.vault.wrapping
    rewrapped = await site.vault.rewrap(instance, broken)
    blob = other.verified(instance.identifier, rewrapped)
    spoilt = replace(blob, authenticated=blob.authenticated.replace(blob.wrapped, bytes(len(blob.wrapped))))
    site.manager.replace_standard_key(broken.standard_key or "", other.authenticated_anew(spoilt))

    assert told(await site.verify()) == {
        behind.unique_identifier: Flaw.GENERATION,
        broken.unique_identifier: Flaw.SPOILT,
    }


async def test_what_does_not_open_is_told_and_only_opening_finds_it() -> None:
    site, instance, held = await furnished()
    await site.manager.disable_root_key(instance.root_key)

    assert told(await site.verify()) == {each.unique_identifier: Flaw.CLOSED for each in held}
    assert (await site.verify(quick=True)).well


async def test_withheld_keys_are_told_as_such_and_never_opened() -> None:
    site, _, (gone, back, *_) = await furnished()
    await site.manager.delete_standard_key(gone.standard_key or "")
    for each in (gone, back):
        await changed(site, each, withheld_at=1_800_000_000)
    site.manager.calls.clear()

    verified = await site.verify()

    assert told(verified) == {gone.unique_identifier: Flaw.WITHHELD, back.unique_identifier: Flaw.RETURNED}
    assert site.manager.calls["unwrap"] == 2


async def test_a_key_that_should_be_in_the_key_manager_and_never_was() -> None:
    site, _, (one, *_) = await furnished()
    await changed(site, one, standard_key=None)

    verified = await site.verify()

    assert told(verified) == {one.unique_identifier: Flaw.UNSTORED}
    assert [each.kind for each in verified.strangers] == [Strange.FORMER]


async def test_of_destroyed_keys_no_copy_is_missed() -> None:
    site, _, (one, *_) = await furnished()
    await site.client()(destroy(one.unique_identifier))
    await site.manager.delete_standard_key(one.standard_key or "")

    verified = await site.verify()

    assert verified.well
    assert verified.destroyed == 1


async def test_strangers_are_told_by_what_they_say_of_themselves() -> None:
    site, instance, (kept, lost, *_) = await furnished()
    site.catalog._objects.pop(lost.unique_identifier)  # type: ignore[attr-defined]
    former = await site.manager.put_standard_key(f"vmware_kmip_{kept.unique_identifier}", kept.sealed or b"")
    leftover = await site.manager.put_standard_key(f"vmware_kmip_{kept.unique_identifier}", kept.sealed or b"")
    other = site.after_the_catalog_is_lost(deployment="elsewhere")
    await other.instance("b", root_key=instance.root_key)
    await other.keys(1, "b")
    await site.manager.put_standard_key("vmware_kmip_of-ibm", bytes(48))
    await site.manager.put_standard_key("vmware_kmip_damaged", b"KEK1" + bytes(48))
    await site.catalog.commit(
        Unit(
            entries=(),
            leftovers=(
                Leftover(
                    key_manager="embedded",
                    standard_key=leftover,
                    instance=instance.identifier,
                    unique_identifier=kept.unique_identifier,
                    why="moved",
                    at=1,
                ),
            ),
        )
    )

    verified = await site.verify()

    kinds = {each.kind: each.label.identifier for each in verified.strangers}
    assert set(kinds) == set(Strange)
    assert kinds[Strange.FORMER] == former
    assert kinds[Strange.LOST] == lost.standard_key
    assert [each.standard_key for each in verified.leftovers] == [leftover]
    assert verified.disagreements == []
    assert not verified.well


async def test_the_keys_of_another_deployment_disturb_nobody() -> None:
    site, instance, _ = await furnished()
    other = site.after_the_catalog_is_lost(deployment="elsewhere")
    await other.instance("b", root_key=instance.root_key)
    await other.keys(2, "b")

    verified = await site.verify()

    assert verified.well
    assert [each.kind for each in verified.strangers] == [Strange.DEPLOYMENT] * 2


async def test_one_instance_is_not_troubled_by_the_strangers_of_another() -> None:
    site, instance, _ = await furnished()
    other = await site.instance("b")
    (uid,) = await site.keys(1, "b")
    site.catalog._objects.pop(uid)  # type: ignore[attr-defined]

    assert (await site.verify(instance)).strangers == []
    assert [each.kind for each in (await site.verify(other)).strangers] == [Strange.LOST]


async def test_a_key_manager_that_does_not_answer_stops_it_and_is_no_flaw_of_the_keys() -> None:
    site, _, held = await furnished()
    site.manager.fail("get_standard_key", Fault.UNAVAILABLE, 2)

    verified = await site.verify()

    assert sorted(told(verified).values()) == [Flaw.UNREAD] * 2
    assert verified.agree == len(held) - 2
    site.manager.down = Fault.UNAVAILABLE
    with pytest.raises(KeyManagerUnavailable):
        await site.verify()


async def test_missing_and_spoilt_standard_keys_are_put_again_and_the_keys_served_again() -> None:
    site, instance, (missing, withheld, spoilt, well) = await furnished()
    before = await site.client().material(missing.unique_identifier)
    for each in (missing, withheld):
        await site.manager.delete_standard_key(each.standard_key or "")
    await changed(site, withheld, withheld_at=1_800_000_000)
    site.manager.replace_standard_key(spoilt.standard_key or "", b"KEK1")
    assert await site.client().refused(get(withheld.unique_identifier)) is not None

    due, outcome = await site.restore(instance)
    again, second = await site.restore(instance)

    assert {each.thing.unique_identifier for each in due if each.revoked} == {
        missing.unique_identifier,
        withheld.unique_identifier,
    }
    assert (len(due), outcome.changed, outcome.failures) == (3, 3, ())
    assert (again, second.changed) == ([], 0)
    verified = await site.verify()
    assert (verified.well, [each.kind for each in verified.strangers]) == (True, [Strange.FORMER])
    assert await site.client().material(missing.unique_identifier) == before
    assert await site.client().refused(get("nothing")) == ResultReason.ITEM_NOT_FOUND
    assert (await site.catalog.load(instance.identifier, well.unique_identifier)) == well


async def test_after_a_rebuild_without_the_integrity_root_the_copies_can_be_authenticated_too() -> None:
    """Else the next rebuild would have to be told to accept them."""
    site, instance, _ = await furnished()
    again = site.after_the_catalog_is_lost(root=b"another root" * 3)
    await again.rebuild()
    assert set(told(await again.verify()).values()) == {Flaw.MAC}

    await again.restore(instance)

    verified = await again.verify()
    assert (verified.well, verified.strangers, len(verified.leftovers)) == (True, [], 4)
    third = again.after_the_catalog_is_lost(root=b"another root" * 3)
    assert ((await third.rebuild()).keys, (await third.verify()).well) == (4, True)


async def test_a_wrapping_key_that_was_deleted_is_put_again_like_any_key() -> None:
    site, instance, _ = await furnished(hierarchy=Hierarchy.TWO_LEVEL)
    wrapping_key = await site.catalog.wrapping_key(instance.identifier)
    assert wrapping_key is not None
    await site.manager.delete_standard_key(wrapping_key.standard_key or "")
    verified = await site.verify()
    assert [(each.flaw, each.is_wrapping_key) for each in verified.disagreements] == [(Flaw.MISSING, True)]

    _, outcome = await site.restore(instance)

    assert outcome.changed == 1
    assert (await site.verify()).well


@pytest.mark.parametrize("withheld", [False, True])
async def test_an_instance_of_two_levels_that_has_lost_all_gets_its_wrapping_key_first(withheld: bool) -> None:
    """In a process that has nothing in memory: no key opens before the wrapping key is there."""
    site, instance, held = await furnished(hierarchy=Hierarchy.TWO_LEVEL)
    before = [await site.client().material(each.unique_identifier) for each in held]
    wrapping_key = await site.catalog.wrapping_key(instance.identifier)
    assert wrapping_key is not None
    for identifier in (wrapping_key.standard_key, *(each.standard_key for each in held)):
        await site.manager.delete_standard_key(identifier or "")
    if withheld:
        changed_key = wrapping_key.changed(withheld_at=1_800_000_000)
        await site.catalog.commit(Unit(entries=(), wrapping_keys=(changed_key,)))
    fresh = site.after_the_catalog_is_lost(catalog=site.catalog)
    fresh.house.peers = site.house.peers
    site.manager.delay = 0.001  # So that each waits for its turn, as in a network.

    _, outcome = await fresh.restore(instance)

    assert (outcome.changed, outcome.failures) == (5, ())
    assert (await fresh.verify()).well
    assert before == [await fresh.client().material(each.unique_identifier) for each in held]


async def test_what_is_spoilt_in_the_catalog_keeps_no_other_key_from_being_put() -> None:
    site = Site.new()
    instance = await site.instance()
    held = [await site.catalog.load(instance.identifier, uid) for uid in await site.keys(40)]
    for each in held[:-1]:
        assert each is not None
        await changed(site, each, sealed=b"KEK1")
    last = held[-1]
    assert last is not None
    await site.manager.delete_standard_key(last.standard_key or "")

    due, outcome = await site.restore(instance)

    assert [each.thing.unique_identifier for each in due] == [last.unique_identifier]
    assert outcome.changed == 1


async def test_what_a_broken_run_has_put_is_taken_and_not_put_twice() -> None:
    site, instance, held = await furnished()
    for each in held:
        await site.manager.delete_standard_key(each.standard_key or "")
    site.catalog.available = False  # type: ignore[attr-defined]
    _, broken = await site.restore(instance)
    assert broken.changed == 0
    site.catalog.available = True  # type: ignore[attr-defined]

    _, outcome = await site.restore(instance)

    assert outcome.changed == 4
    verified = await site.verify()
    assert (verified.well, verified.strangers) == (True, [])


async def test_what_does_not_open_is_not_put() -> None:
    site, instance, (one, *_) = await furnished()
    await site.manager.delete_standard_key(one.standard_key or "")
    await site.manager.disable_root_key(instance.root_key)

    _, outcome = await site.restore(instance)

    assert outcome.changed == 0
    assert [uid for uid, _ in outcome.failures] == [one.unique_identifier]
    assert site.manager.calls["put_standard_key"] == 4


async def test_an_instance_that_keeps_nothing_there_is_refused() -> None:
    site, instance, _ = await furnished(storage=Storage.CATALOG)

    with pytest.raises(Refused, match="catalog alone"):
        await site.restore(instance)
