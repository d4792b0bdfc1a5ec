"""Keys of another Keyrack over the same root key: taken over under their own identifiers, and left where they were."""

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.domain.instances import Hierarchy, Instance, Storage
from keyrack.service.office.refusals import Refused
from keyrack.service.vault import blob as blobs
from keyrack.spec.enumerations import State
from keyrack.testing.conversation import create, name
from keyrack.testing.ruins import Site


async def two_sites(
    theirs: Hierarchy = Hierarchy.DIRECT, ours: Hierarchy = Hierarchy.DIRECT, storage: Storage = Storage.KEY_MANAGER
) -> tuple[Site, Instance, Site, Instance]:
    """A site with keys that is far away, or gone; and one over the same root key with an instance of its own."""
    far = Site.new(deployment="far", root=b"their root" * 4)
    there = await far.instance("a", hierarchy=theirs)
    near = far.after_the_catalog_is_lost(deployment="near")
    here = await near.instance("a", root_key=there.root_key, hierarchy=ours, storage=storage)
    return far, there, near, here


@pytest.mark.parametrize("theirs", Hierarchy)
@pytest.mark.parametrize("ours", Hierarchy)
@pytest.mark.parametrize("storage", Storage)
async def test_every_key_is_served_under_its_own_identifier_by_both(
    theirs: Hierarchy, ours: Hierarchy, storage: Storage
) -> None:
    far, there, near, here = await two_sites(theirs, ours, storage)
    uids = await far.keys(6)
    before = {uid: await far.client().material(uid) for uid in uids}
    untouched = dict(far.manager._standard_keys)

    adopted = await near.adopt(here)

    assert (adopted.keys, adopted.failures, adopted.there) == (6, [], [])
    assert (adopted.source.deployment, adopted.source.instance) == ("far", there.identifier)
    assert before == {uid: await near.client().material(uid) for uid in uids}
    assert before == {uid: await far.client().material(uid) for uid in uids}
    assert untouched.items() <= far.manager._standard_keys.items()
    assert [[uid] for uid in uids] == [await near.client().located({"Name": name(f"a {n}")}) for n in range(6)]
    assert {State.ACTIVE} == {await near.client().attribute(uid, "State") for uid in uids}
    assert (await near.verify()).well
    held = await near.catalog.load(here.identifier, uids[0])
    assert held is not None
    header = blobs.parse(held.sealed or b"").header
    assert (header.deployment, header.instance) == ("near", here.identifier)


async def test_what_was_taken_over_survives_the_loss_of_the_catalog_here() -> None:
    far, _, near, here = await two_sites()
    uids = await far.keys(3)
    before = {uid: await far.client().material(uid) for uid in uids}
    await near.adopt(here)

    again = near.after_the_catalog_is_lost()
    rebuilt = await again.rebuild()

    await again.admit(here, "a")
    assert (rebuilt.keys, len(rebuilt.strangers)) == (3, 3)
    assert before == {uid: await again.client().material(uid) for uid in uids}


async def test_a_dry_run_opens_all_and_changes_nothing() -> None:
    far, _, near, here = await two_sites()
    await far.keys(3)
    kept = dict(far.manager._standard_keys)

    adopted = await near.adopt(here, dry_run=True)

    assert adopted.keys == 3
    assert await near.catalog.objects(here.identifier) == []
    assert kept == far.manager._standard_keys


async def test_broken_off_after_a_put_the_same_command_goes_on_and_puts_nothing_twice() -> None:
    for ours in Hierarchy:
        far, _, near, here = await two_sites(ours=ours)
        uids = await far.keys(5)
        near.catalog.available = False  # type: ignore[attr-defined]
        first = await near.adopt(here)
        near.catalog.available = True  # type: ignore[attr-defined]
        puts = far.manager.calls["put_standard_key"]

        second = await near.adopt(here)
        third = await near.adopt(here)

        assert (first.keys, len(first.failures)) == (0, 5)
        assert (second.keys, second.failures) == (5, [])
        assert far.manager.calls["put_standard_key"] == puts
        assert (third.keys, sorted(third.there)) == (0, sorted((uid, "a") for uid in uids))
        assert (await near.verify()).well


async def test_of_several_sources_one_has_to_be_named() -> None:
    far, there, near, here = await two_sites()
    await far.keys(1)
    other = far.after_the_catalog_is_lost(deployment="elsewhere")
    second = await other.instance("b", root_key=there.root_key)
    (uid,) = await other.keys(1, "b")

    with pytest.raises(Refused) as refused:
        await near.adopt(here)
    adopted = await near.adopt(here, deployment="elsewhere", instance=second.identifier)

    assert there.identifier in str(refused.value)
    assert second.identifier in str(refused.value)
    assert (adopted.keys, len(await near.client().material(uid))) == (1, 32)


async def test_keys_under_another_root_key_are_listed_with_it() -> None:
    far, there, near, here = await two_sites()
    opens, closed = await far.keys(2)
    held = await far.catalog.load(there.identifier, closed)
    assert held is not None
    other = (await far.manager.create_root_key("other")).identifier
    header = (held.sealed or b"").replace(there.root_key.encode(), other.encode())
    spoilt = blobs.parse(held.sealed or b"")
    far.manager.replace_standard_key(
        held.standard_key or "",
        blobs.unauthenticated(
            header[: len(spoilt.header.encode())], spoilt.wrapped_by, spoilt.wrapped, b"", spoilt.check_value
        )
        + bytes(32),
    )

    adopted = await near.adopt(here)

    assert adopted.keys == 1
    assert [uid for uid, _ in adopted.failures] == [closed]
    assert other in adopted.failures[0][1]
    assert len(await near.client().material(opens)) == 32


async def test_a_ciphertext_that_was_moved_is_not_taken_over() -> None:
    """The other site's MAC cannot be checked here; strings, hash and check value can."""
    far, there, near, here = await two_sites()
    victim, thief = await far.keys(2)
    stolen, mine = [await far.catalog.load(there.identifier, uid) for uid in (victim, thief)]
    assert stolen is not None
    assert mine is not None
    one, other = blobs.parse(stolen.sealed or b""), blobs.parse(mine.sealed or b"")
    forged = blobs.unauthenticated(other.header.encode(), one.wrapped_by, one.wrapped, b"", one.check_value)
    far.manager.replace_standard_key(mine.standard_key or "", forged + bytes(32))

    adopted = await near.adopt(here)

    assert [uid for uid, _ in adopted.failures] == [thief]
    assert adopted.keys == 1


async def test_identifiers_that_are_here_already_are_skipped_and_told() -> None:
    far, _, near, here = await two_sites()
    (uid,) = await far.keys(1)
    await near.adopt(here)
    second = await near.instance("b", root_key=here.root_key)

    adopted = await near.adopt(second)

    assert (adopted.keys, adopted.there) == (0, [(uid, "a")])


async def test_a_name_that_is_taken_here_stays_where_it_is() -> None:
    far, _, near, here = await two_sites()
    theirs = await far.client().made(create({"Name": name("disk")}))
    ours = await near.client().made(create({"Name": name("disk")}))

    adopted = await near.adopt(here)

    assert adopted.nameless == [(theirs, "disk")]
    assert await near.client().located({"Name": name("disk")}) == [ours]


async def test_where_nothing_fits_it_says_so() -> None:
    far, _, near, here = await two_sites()
    with pytest.raises(Refused, match="no keys of another deployment"):
        await near.adopt(here)
    await far.keys(1)
    with pytest.raises(Refused, match="fit what was asked for"):
        await near.adopt(here, deployment="somewhere")


async def test_a_key_manager_that_fails_once_costs_one_key_until_the_next_run() -> None:
    far, _, near, here = await two_sites()
    await far.keys(4)
    far.manager.fail("wrap", Fault.UNAVAILABLE)

    first, second = await near.adopt(here), await near.adopt(here)

    assert (first.keys, len(first.failures), second.keys) == (3, 1, 1)


async def test_no_plaintext_stays_in_the_vault() -> None:
    far, _, near, here = await two_sites()
    uids = await far.keys(3)

    await near.adopt(here)

    for uid in uids:
        held = await near.catalog.load(here.identifier, uid)
        assert held is not None
        assert near.vault.cached(here, held) is None
