"""A catalog made again from standard keys alone: every key as a client sees it, and nothing that is not this site's."""

from dataclasses import replace
from typing import Any

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.domain.instances import Hierarchy, Home, Instance
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Unit
from keyrack.service.copies.opening import Opening
from keyrack.service.copies.strangers import HARMLESS, Strange
from keyrack.service.office.refusals import Refused
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.envelope import context_of
from keyrack.spec.enumerations import ObjectType, ResultReason, State
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.conversation import (
    activate,
    create,
    destroy,
    get,
    name,
    register_key,
    register_opaque,
    register_password,
    revoke,
)
from keyrack.testing.ruins import Site
from keyrack.testing.vaults import an_object, material

AFTER = {"Fresh", "Last Change Date"}
"""What a Get and time change in an object that was just made."""


async def lost(site: Site, instance: Instance, **options: Any) -> tuple[Site, Any]:
    """The site after its catalog is lost, rebuilt, with the instance's client let in again."""
    again = site.after_the_catalog_is_lost()
    rebuilt = await again.rebuild(**options)
    if not options.get("dry_run"):
        await again.admit(instance, instance.name)
    return again, rebuilt


@pytest.mark.parametrize("hierarchy", Hierarchy)
async def test_every_key_comes_back_with_its_bytes_its_names_and_its_instance(hierarchy: Hierarchy) -> None:
    site = Site.new()
    instance = await site.instance(hierarchy=hierarchy)
    uids = await site.keys(20)
    before = {uid: await site.client().material(uid) for uid in uids}
    site.manager.calls.clear()

    again, rebuilt = await lost(site, instance)

    made = await again.administration.instance(instance.identifier)
    assert (rebuilt.keys, rebuilt.failures, rebuilt.strangers) == (20, [], [])
    assert (made.root_key, made.key_manager, made.storage) == (instance.root_key, "embedded", instance.storage)
    assert (made.hierarchy, made.name) == (hierarchy, f"kmip-{instance.identifier[:8]}")
    assert site.manager.calls["unwrap"] == (1 if hierarchy is Hierarchy.TWO_LEVEL else 20)
    assert before == {uid: await again.client().material(uid) for uid in uids}
    assert [[uid] for uid in uids] == [await again.client().located({"Name": name(f"a {n}")}) for n in range(20)]
    assert await again.client().attribute(uids[3], "x-Product") == CustomValue(ItemType.TEXT_STRING, "VMware vSphere")


async def test_an_object_has_every_attribute_that_a_create_had_given_it_and_is_active() -> None:
    site = Site.new()
    instance = await site.instance()
    uid = await site.client().made(create({"Name": name("one"), "Object Group": ["g", "h"]}))
    await site.client()(activate(uid))
    before = await site.client().attributes(uid)

    again, _ = await lost(site, instance)

    after = await again.client().attributes(uid)
    assert {title: value for title, value in before.items() if title not in AFTER} == {
        title: value for title, value in after.items() if title not in AFTER
    }
    assert after["State"] == State.ACTIVE
    assert after["Activation Date"] == after["Initial Date"] == before["Initial Date"]
    assert after["Fresh"] is False


async def test_registered_objects_come_back_in_their_form() -> None:
    site = Site.new()
    instance = await site.instance()
    items = [register_key(bytes(range(16))), register_password(b"correct horse"), register_opaque(b"\x01\x02" * 100)]
    uids = [await site.client().made(item) for item in items]
    before = [await site.client()(get(uid)) for uid in uids]

    again, rebuilt = await lost(site, instance)

    assert rebuilt.keys == 3
    assert before == [await again.client()(get(uid)) for uid in uids]
    assert {ObjectType.SYMMETRIC_KEY, ObjectType.SECRET_DATA, ObjectType.OPAQUE_OBJECT} == {
        (await again.client().attributes(uid))["Object Type"] for uid in uids
    }


@pytest.mark.parametrize(("title", "value"), [("Sensitive", True), ("Extractable", False)])
async def test_what_must_not_leave_in_the_clear_must_not_after_a_rebuild(title: str, value: bool) -> None:
    """Else losing the catalog would be a way to a key that nobody was to have."""
    site = Site.new()
    instance = await site.instance()
    uid = await site.client().made(create({title: value}))
    refusal = await site.client().refused(get(uid))
    assert refusal in {ResultReason.SENSITIVE, ResultReason.NOT_EXTRACTABLE}

    again, _ = await lost(site, instance)

    assert await again.client().refused(get(uid)) == refusal
    assert await again.client().attribute(uid, title) is value


async def test_the_same_command_goes_on_where_it_was_broken_off_and_doubles_nothing() -> None:
    site = Site.new()
    instance = await site.instance()
    uids = await site.keys(30)
    again = site.after_the_catalog_is_lost()
    site.manager.fail("unwrap", Fault.UNAVAILABLE, times=10)

    first = await again.rebuild()
    second = await again.rebuild()
    third = await again.rebuild()

    assert (first.keys, len(first.failures), first.stopped) == (20, 10, False)
    assert (second.keys, second.there, second.failures) == (10, 20, [])
    assert (third.keys, third.there) == (0, 30)
    assert len(await again.catalog.instances()) == 1
    await again.admit(instance, "a")
    assert [len(await again.client().material(uid)) for uid in uids] == [32] * 30


async def test_under_a_root_key_that_is_disabled_nothing_is_tried_and_nothing_entered() -> None:
    site = Site.new()
    instance = await site.instance()
    await site.keys(40)
    await site.manager.disable_root_key(instance.root_key)
    site.manager.calls.clear()

    again, rebuilt = await lost(site, instance, dry_run=True)

    assert (rebuilt.keys, len(rebuilt.failures), rebuilt.stopped) == (0, 40, False)
    assert site.manager.calls["unwrap"] == 0
    assert "state 2" in rebuilt.failures[0][1]
    assert await again.catalog.instances() == []


async def test_a_key_manager_that_fails_all_the_time_ends_it() -> None:
    site = Site.new()
    await site.instance()
    await site.keys(60)
    site.manager.fail("unwrap", Fault.UNAVAILABLE, times=1000)

    rebuilt = await site.after_the_catalog_is_lost().rebuild()

    assert rebuilt.stopped
    assert rebuilt.keys == 0
    assert len(rebuilt.failures) < 30


async def test_however_many_forgeries_lie_before_them_every_key_of_ours_comes_back() -> None:
    """They are older than all keys of ours, and each is refused by itself."""
    site = Site.new()
    instance = await site.instance()
    uids = await site.keys(3)
    held = await site.catalog.load(instance.identifier, uids[0])
    assert held is not None
    ours = blobs.parse(held.sealed or b"")
    for number in range(50):
        context = replace(ours.header.context, unique_identifier=f"forged-{number}", created_at=1)
        header = replace(ours.header, context=context).encode()
        octets = blobs.unauthenticated(header, ours.wrapped_by, ours.wrapped, b"", ours.check_value)
        await site.manager.put_standard_key(f"vmware_kmip_forged-{number}", octets + bytes(32))

    for wishes in ({}, {"authenticate_anew": True}):
        rebuilt = await site.after_the_catalog_is_lost().rebuild(**wishes)
        assert (rebuilt.keys, len(rebuilt.failures), rebuilt.stopped) == (3, 50, False)


async def test_forgeries_do_not_say_where_an_instance_is_at_home() -> None:
    """Else whoever may write standard keys could have new keys wrapped by a root key of his own."""
    site = Site.new()
    instance = await site.instance()
    (uid,) = await site.keys(1)
    theirs = (await site.manager.create_root_key("theirs")).identifier
    held = await site.catalog.load(instance.identifier, uid)
    assert held is not None
    ours = blobs.parse(held.sealed or b"")
    for number in range(5):
        context = replace(ours.header.context, unique_identifier=f"forged-{number}")
        header = replace(ours.header, context=context, root_key=theirs).encode()
        octets = blobs.unauthenticated(header, ours.wrapped_by, ours.wrapped, b"", ours.check_value)
        await site.manager.put_standard_key(f"vmware_kmip_forged-{number}", octets + bytes(32))

    again, rebuilt = await lost(site, instance)

    made = await again.administration.instance(instance.identifier)
    assert (made.root_key, made.former) == (instance.root_key, None)
    assert (rebuilt.keys, len(rebuilt.failures)) == (1, 5)


async def test_without_the_integrity_root_keys_are_proved_by_opening_them_and_authenticated_anew() -> None:
    site = Site.new()
    instance = await site.instance()
    uids = await site.keys(3)
    before = [await site.client().material(uid) for uid in uids]
    again = site.after_the_catalog_is_lost(root=b"another root" * 3)

    rebuilt = await again.rebuild()

    await again.admit(instance, "a")
    assert (rebuilt.keys, rebuilt.anew) == (3, 3)
    # Served although the copy in the key manager has the old MAC still: it is the same key.
    assert before == [await again.client().material(uid) for uid in uids]


async def test_one_mac_of_ours_makes_every_other_one_a_warning() -> None:
    """Somebody who may wrap under the root key writes a key of his own choice under an identifier of ours."""
    site = Site.new()
    instance = await site.instance()
    forged, _ = await site.keys(2)
    stranger = site.after_the_catalog_is_lost(root=b"another root" * 3)
    await stranger.rebuild()
    payload = (await stranger.catalog.load(instance.identifier, forged)).sealed  # type: ignore[union-attr]
    held = await site.catalog.load(instance.identifier, forged)
    assert held is not None
    assert payload is not None
    site.manager.replace_standard_key(held.standard_key or "", payload)

    again = site.after_the_catalog_is_lost()
    rebuilt = await again.rebuild()
    accepted = await again.rebuild(authenticate_anew=True)

    assert (rebuilt.keys, [uid for uid, _ in rebuilt.failures]) == (1, [forged])
    assert "integrity root" in rebuilt.failures[0][1]
    assert (accepted.keys, accepted.anew) == (1, 1)


async def test_quick_opens_nothing_and_takes_no_mac_but_ours() -> None:
    site = Site.new()
    instance = await site.instance()
    await site.keys(3)
    site.manager.calls.clear()

    again, rebuilt = await lost(site, instance, quick=True)
    other = await site.after_the_catalog_is_lost(root=b"another root" * 3).rebuild(quick=True)

    assert (rebuilt.keys, site.manager.calls["unwrap"]) == (3, 0)
    assert (other.keys, len(other.failures)) == (0, 3)
    assert "no --quick" in other.failures[0][1]
    assert len(await again.catalog.objects(instance.identifier)) == 3


async def test_a_dry_run_opens_everything_and_enters_nothing() -> None:
    site = Site.new()
    instance = await site.instance()
    await site.keys(3)

    again, rebuilt = await lost(site, instance, dry_run=True)

    assert (rebuilt.keys, [each.identifier for each in rebuilt.instances]) == (3, [instance.identifier])
    assert await again.catalog.instances() == []
    assert await again.catalog.journal() == []


async def test_the_copy_under_the_newest_version_of_the_root_key_wins_and_the_other_is_told_of() -> None:
    """As a crash leaves them between a rewrap's new standard key and the commit, or between the commit and the end."""
    site = Site.new()
    instance = await site.instance()
    (uid,) = await site.keys(1)
    held = await site.catalog.load(instance.identifier, uid)
    assert held is not None
    await site.manager.rotate_root_key(instance.root_key)
    newer = await site.vault.put(instance.home, await site.vault.rewrap(instance, held), uid)

    again, rebuilt = await lost(site, instance)

    found = await again.catalog.load(instance.identifier, uid)
    assert found is not None
    assert found.standard_key == newer
    assert [(each.label.identifier, each.kind) for each in rebuilt.strangers] == [(held.standard_key, Strange.FORMER)]


async def test_where_the_newest_copy_is_spoilt_the_older_one_is_taken() -> None:
    site = Site.new()
    instance = await site.instance()
    (uid,) = await site.keys(1)
    before = await site.client().material(uid)
    held = await site.catalog.load(instance.identifier, uid)
    assert held is not None
    await site.manager.rotate_root_key(instance.root_key)
    newer = await site.vault.rewrap(instance, held)
    await site.manager.put_standard_key(f"vmware_kmip_{uid}", newer[:-1] + bytes([newer[-1] ^ 1]))

    again, rebuilt = await lost(site, instance)

    assert (rebuilt.keys, rebuilt.failures) == (1, [])
    assert await again.client().material(uid) == before


async def test_what_is_not_ours_is_told_of_and_left_alone() -> None:
    site = Site.new()
    instance = await site.instance()
    await site.keys(2)
    other = site.after_the_catalog_is_lost(deployment="elsewhere", root=b"their root" * 4)
    await other.instance("a", root_key=instance.root_key)
    await other.keys(3)
    await site.manager.put_standard_key("vmware_kmip_of-ibm", b"\x00" * 48)

    again, rebuilt = await lost(site, instance)

    assert rebuilt.keys == 2
    assert sorted(each.kind for each in rebuilt.strangers) == [Strange.DEPLOYMENT] * 3 + [Strange.OTHER]
    assert len(await again.catalog.instances()) == 1


@pytest.mark.parametrize("place", [8, 200, -100, -1])
async def test_a_copy_that_was_changed_is_not_entered_and_told_of(place: int) -> None:
    site = Site.new()
    instance = await site.instance()
    spoilt, _ = await site.keys(2)
    held = await site.catalog.load(instance.identifier, spoilt)
    assert held is not None
    payload = bytearray(held.sealed or b"")
    payload[place] ^= 1
    site.manager.replace_standard_key(held.standard_key or "", bytes(payload))

    again, rebuilt = await lost(site, instance)

    assert rebuilt.keys == 1
    assert await again.catalog.load(instance.identifier, spoilt) is None
    told = [uid for uid, _ in rebuilt.failures] + [each.label.unique_identifier for each in rebuilt.strangers]
    assert told == [spoilt]
    assert all(each.kind not in HARMLESS for each in rebuilt.strangers)


async def test_a_copy_under_the_name_of_another_object_is_its_own() -> None:
    """Names in a key manager are anybody's to give; what counts is what the wrapped key says, and proves."""
    site = Site.new()
    instance = await site.instance()
    one, other = await site.keys(2)
    before = {uid: await site.client().material(uid) for uid in (one, other)}
    kept = site.manager._standard_keys
    first, second = kept.values()
    kept[first.identifier], kept[second.identifier] = replace(first, name=second.name), replace(second, name=first.name)

    again, rebuilt = await lost(site, instance)

    assert rebuilt.keys == 2
    assert before == {uid: await again.client().material(uid) for uid in (one, other)}


async def test_what_the_catalog_has_is_never_overwritten() -> None:
    site = Site.new()
    instance = await site.instance()
    kept, gone = await site.keys(2)
    await site.client()(activate(kept))
    await site.client()(revoke(kept))
    before = await site.catalog.load(instance.identifier, kept)
    site.catalog._objects.pop(gone)  # type: ignore[attr-defined]

    rebuilt = await site.rebuild()

    assert (rebuilt.keys, rebuilt.there) == (1, 1)
    assert await site.catalog.load(instance.identifier, kept) == before
    assert len(await site.client().material(gone)) == 32


async def test_of_two_objects_with_one_name_the_younger_has_it() -> None:
    """The older one had been destroyed when the younger was made; that is not written in a wrapped key."""
    site = Site.new()
    instance = await site.instance()
    older = await site.client().made(create({"Name": name("disk")}))
    await site.client()(destroy(older))
    site.clock.now += 60
    younger = await site.client().made(create({"Name": name("disk")}))

    again, rebuilt = await lost(site, instance)

    assert rebuilt.nameless == [(older, "disk")]
    assert await again.client().located({"Name": name("disk")}) == [younger]


async def test_a_name_that_somebody_has_by_now_stays_with_them() -> None:
    site = Site.new()
    instance = await site.instance()
    uid = await site.client().made(create({"Name": name("disk")}))
    site.catalog._objects.pop(uid)  # type: ignore[attr-defined]
    taker = await site.client().made(create({"Name": name("disk")}))

    rebuilt = await site.rebuild()

    assert rebuilt.nameless == [(uid, "disk")]
    assert await site.client().located({"Name": name("disk")}) == [taker]
    assert len(await site.client().material(uid)) == 32
    assert instance.identifier in rebuilt.by_instance


async def test_an_instance_that_was_moving_has_two_homes_again_and_every_key_opens() -> None:
    site = Site.new()
    instance = await site.instance()
    uids = await site.keys(5)
    before = {uid: await site.client().material(uid) for uid in uids}
    other = (await site.manager.create_root_key("other")).identifier
    moving = replace(instance, root_key=other, former=instance.home)
    for uid in uids[:3]:
        held = await site.catalog.load(instance.identifier, uid)
        assert held is not None
        await site.vault.put(moving.home, await site.vault.reseal(moving, held), uid)
        await site.manager.delete_standard_key(held.standard_key or "")

    again, rebuilt = await lost(site, instance)

    made = await again.administration.instance(instance.identifier)
    assert (made.root_key, made.former) == (other, Home("embedded", instance.root_key))
    assert (rebuilt.keys, rebuilt.failures) == (5, [])
    assert before == {uid: await again.client().material(uid) for uid in uids}


async def move(site: Site, instance: Instance, uid: str, root_key: str) -> None:
    """One key to another root key, with no trace but its standard key."""
    held = await site.catalog.load(instance.identifier, uid)
    assert held is not None
    moving = replace(instance, root_key=root_key, former=instance.home)
    await site.vault.put(moving.home, await site.vault.reseal(moving, held), uid)
    await site.manager.delete_standard_key(held.standard_key or "")


async def test_a_key_at_a_third_home_is_told_and_not_entered_where_nothing_could_open_it() -> None:
    site = Site.new()
    instance = await site.instance()
    uids = await site.keys(6)
    for root, some in (("second", uids[:2]), ("third", uids[2:3])):
        identifier = (await site.manager.create_root_key(root)).identifier
        for uid in some:
            await move(site, instance, uid, identifier)

    again, rebuilt = await lost(site, instance)

    assert (rebuilt.keys, [uid for uid, _ in rebuilt.failures]) == (5, [uids[2]])
    assert "--root-key" in rebuilt.failures[0][1]
    assert [len(await again.client().material(uid)) for uid in (*uids[:2], *uids[3:])] == [32] * 5


async def test_a_key_that_a_living_instance_has_left_behind_elsewhere_opens_there() -> None:
    """An old backup was restored: the instance is where it is now, and one key is where it was then."""
    site = Site.new()
    instance = await site.instance()
    left, here = await site.keys(2)
    before = await site.client().material(left)
    other = (await site.manager.create_root_key("other")).identifier
    site.catalog._objects.pop(left)  # type: ignore[attr-defined]
    site.catalog._objects.pop(here)  # type: ignore[attr-defined]
    moved = replace(instance, root_key=other)
    await site.administration.commit("instance.root-key", instance.identifier, "", {}, instances=(moved,))

    rebuilt = await site.rebuild()

    found = await site.administration.instance(instance.identifier)
    assert (found.root_key, found.former) == (other, instance.home)
    assert (rebuilt.keys, rebuilt.made) == (2, set())
    assert await site.client().material(left) == before


async def test_a_key_under_another_wrapping_key_than_the_instance_gets_is_told() -> None:
    site = Site.new()
    instance = await site.instance(hierarchy=Hierarchy.TWO_LEVEL)
    await site.keys(2)
    kept = await site.catalog.wrapping_key(instance.identifier)
    assert kept is not None
    second = await site.vault.seal_wrapping_key(instance, "wrapping-2", 1)
    await site.vault.store(instance, second.sealed, "wrapping-2")
    with material(bytes(32)) as secret, material(b"w" * 32) as key:
        context = replace(context_of(an_object("other")), description=b"")
        await site.vault.store(
            instance, await site.vault.wrapping.seal(instance, context, key, ("wrapping-2", secret)), "other"
        )

    again, rebuilt = await lost(site, instance)

    assert (rebuilt.keys, [uid for uid, _ in rebuilt.failures]) == (2, ["other"])
    found = await again.catalog.wrapping_key(instance.identifier)
    assert found is not None
    assert found.unique_identifier == kept.unique_identifier


async def test_where_two_root_keys_have_as_many_keys_the_administrator_decides() -> None:
    """After a move whose old standard keys could not be deleted both are whole."""
    site = Site.new()
    instance = await site.instance()
    (uid,) = await site.keys(1)
    held = await site.catalog.load(instance.identifier, uid)
    assert held is not None
    other = (await site.manager.create_root_key("other")).identifier
    moving = replace(instance, root_key=other, former=instance.home)
    await site.vault.put(moving.home, await site.vault.reseal(moving, held), uid)

    again, undecided = await lost(site, instance, dry_run=True)
    decided = await again.rebuild(root_key=other)
    repeated = await again.rebuild()

    assert undecided.keys == 0
    assert "--root-key" in undecided.failures[0][1]
    assert (decided.keys, (await again.administration.instance(instance.identifier)).root_key) == (1, other)
    assert (repeated.keys, [each.kind for each in repeated.strangers]) == (0, [Strange.FORMER])


async def test_a_disabled_root_key_is_no_home_where_there_is_another() -> None:
    site = Site.new()
    instance = await site.instance()
    (uid,) = await site.keys(1)
    held = await site.catalog.load(instance.identifier, uid)
    assert held is not None
    other = (await site.manager.create_root_key("other")).identifier
    moving = replace(instance, root_key=other, former=instance.home)
    await site.vault.put(moving.home, await site.vault.reseal(moving, held), uid)
    await site.manager.disable_root_key(instance.root_key)

    again, rebuilt = await lost(site, instance)

    assert rebuilt.keys == 1
    assert (await again.administration.instance(instance.identifier)).root_key == other


async def test_what_a_request_is_just_making_is_left_to_the_reconciler() -> None:
    site = Site.new()
    instance = await site.instance()
    (uid,) = await site.keys(1)
    held = await site.catalog.load(instance.identifier, uid)
    assert held is not None
    site.catalog._objects.pop(uid)  # type: ignore[attr-defined]
    await site.catalog.commit(Unit(entries=(), intents=(replace(held, standard_key=None),)))

    rebuilt = await site.rebuild()

    assert rebuilt.keys == 0
    assert rebuilt.failures == []


async def test_an_instance_of_two_levels_without_keys_gets_its_wrapping_key_again() -> None:
    site = Site.new()
    instance = await site.instance(hierarchy=Hierarchy.TWO_LEVEL)

    again, rebuilt = await lost(site, instance)

    assert [each.identifier for each in rebuilt.instances] == [instance.identifier]
    assert len(await again.client().material(await again.client().made(create()))) == 32


async def test_keys_whose_wrapping_key_is_lost_say_so() -> None:
    site = Site.new()
    instance = await site.instance(hierarchy=Hierarchy.TWO_LEVEL)
    uids = await site.keys(2)
    wrapping_key = await site.catalog.wrapping_key(instance.identifier)
    assert wrapping_key is not None
    await site.manager.delete_standard_key(wrapping_key.standard_key or "")

    _, rebuilt = await lost(site, instance, dry_run=True)

    assert sorted(uid for uid, _ in rebuilt.failures) == sorted(uids)
    assert "wrapping key" in rebuilt.failures[0][1]


async def test_the_instance_gets_the_name_that_it_is_given() -> None:
    site = Site.new()
    instance = await site.instance()
    await site.keys(1)

    again, _ = await lost(site, instance, instance_name="prod")

    assert (await again.administration.instance("prod")).identifier == instance.identifier


async def test_one_name_for_two_instances_is_refused_before_anything_is_entered() -> None:
    site = Site.new()
    for title in ("a", "b"):
        await site.instance(title)
        await site.keys(1, title)
    again = site.after_the_catalog_is_lost()

    with pytest.raises(Refused, match="2 instances"):
        await again.rebuild(instance_name="prod")

    assert await again.catalog.instances() == []


async def test_no_wrapping_key_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site.new()
    await site.instance(hierarchy=Hierarchy.TWO_LEVEL)
    await site.keys(2)
    opened: list[Secret] = []
    opening = Opening.wrapping_keys

    async def watched(self: Opening, copies: Any) -> Any:
        found = await opening(self, copies)
        opened.extend(each.secret for each in found.values())
        assert [len(each) for each in opened] == [32]
        return found

    monkeypatch.setattr(Opening, "wrapping_keys", watched)

    assert (await site.after_the_catalog_is_lost().rebuild()).keys == 2

    assert [len(each) for each in opened] == [0]
