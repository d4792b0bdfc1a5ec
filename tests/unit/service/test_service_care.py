"""Care, round by round: what is known of root keys, what a rotation sets going, and which leftovers are deleted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.domain.instances import Home, Instance, Storage
from keyrack.ports.catalog import CatalogUnavailable, Leftover, Unit
from keyrack.ports.key_manager import Condition, KeyManagerRefused, Reason, RootKey
from keyrack.service.care.care import REWRAP_AGAIN_AFTER, Care
from keyrack.service.care.leftovers import AGAIN_AFTER, SETTLED
from keyrack.service.care.validation import READ_ONLY
from keyrack.service.vault.standard_keys import name_of
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.tended import Tended, an_entry


@pytest.fixture(params=["memory", "sqlite"])
async def tended(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tended]:
    """A house over both catalogs."""
    on_disk = request.param == "sqlite"
    made = await Tended.create(await catalog_at(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else None)
    yield made
    await made.catalog.close()


class Telling(MemoryKeyManager):
    """A key manager in memory that tells of its condition."""

    read_only = False

    def condition(self) -> Condition:
        """As told."""
        return Condition(read_only=self.read_only)


# --- what is known of root keys ---


async def test_all_is_well(tended: Tended) -> None:
    """The first time of it is no news; each round keeps when it was looked."""
    first, second = [await tended.round() for _ in range(2)]

    described = await tended.manager.describe_root_key((await tended.instance()).root_key)
    assert ("", "", 1, described.version) == (
        first.reason,
        first.told,
        first.root_key_state,
        first.root_key_version,
    )
    assert (60, 0) == (second.at - first.at, second.since - first.since)
    assert [] == await tended.journal("instance.validate")


async def test_a_root_key_that_is_disabled_is_found_out_and_told_once(tended: Tended) -> None:
    root_key = (await tended.instance()).root_key
    await tended.round()
    await tended.manager.disable_root_key(root_key)
    disabled, still = [await tended.round() for _ in range(2)]
    await tended.manager.enable_root_key(root_key)
    enabled = await tended.round()

    assert (Reason.STATE, 2) == (disabled.reason, disabled.root_key_state)
    assert disabled.since == still.since
    assert still.at > disabled.at
    assert ("", 1, enabled.at) == (enabled.reason, enabled.root_key_state, enabled.since)
    entries = await tended.journal("instance.validate")
    assert [("state", root_key), ("success", root_key)] == [(each["outcome"], each["target"]) for each in entries]
    assert "is in state 2" in entries[0]["detail"]["cause"]


@pytest.mark.parametrize("reason", list(Reason))
async def test_each_reason_is_kept_as_it_is(tended: Tended, reason: Reason) -> None:
    """With what the key manager said, and its code; state and version stay what was known last."""
    before = await tended.round()

    async def refused(root_key: str) -> RootKey:
        raise KeyManagerRefused("it is like this", reason, code="499 SOME_ERR")

    tended.manager.describe_root_key = refused  # type: ignore[method-assign]
    found = await tended.round()

    assert (str(reason), "it is like this (499 SOME_ERR)") == (found.reason, found.told)
    assert (1, before.root_key_version) == (found.root_key_state, found.root_key_version)


async def test_a_key_manager_that_never_answers_is_unreachable(tended: Tended, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keyrack.service.care.validation.PATIENCE", 0.05)
    tended.manager.delay = 5

    found = await tended.round()

    assert (Reason.UNREACHABLE, "no answer within 0 s") == (found.reason, found.told)


async def test_a_key_manager_that_is_not_configured_is_found_out(tended: Tended) -> None:
    await tended.changed(await tended.instance(), key_manager="gone")

    found = await tended.round()

    assert (Reason.OTHER, "the key manager 'gone' is not configured") == (found.reason, found.told)


async def test_a_root_key_is_looked_at_once_for_all_its_instances(tended: Tended) -> None:
    shared = (await tended.instance()).root_key
    await tended.changed(await tended.house.admit("b"), root_key=shared)
    tended.manager.calls.clear()

    await tended.round()

    assert (1, 1) == (tended.manager.calls["describe_root_key"], tended.manager.calls["probe"])


async def test_a_key_manager_that_takes_nothing_new_is_read_only() -> None:
    """It is looked after all the same; what is behind a rotation waits."""
    tended = await Tended.create()
    telling = Telling()
    telling.__dict__.update(vars(tended.manager))
    told: list[Instance] = []

    async def rewrap(instance: Instance) -> None:
        told.append(instance)

    care = Care(tended.catalog, {"embedded": telling}, tended.house.vault, seconds={}, rewrap=rewrap)
    await tended.client().made()
    await telling.rotate_root_key((await tended.instance()).root_key)
    telling.read_only = True
    await care.round("embedded")
    found = await tended.validation()
    await asyncio.sleep(0)
    await care.rest()

    assert (Reason.READ_ONLY, READ_ONLY, []) == (found.reason, found.told, told)
    assert found.synced_at is not None


async def test_a_removed_instance_leaves_no_validation(tended: Tended) -> None:
    instance = await tended.instance()
    await tended.round()
    await tended.catalog.commit(Unit(entries=(an_entry("instance.remove"),), removed_instances=(instance.identifier,)))

    assert {} == dict(await tended.catalog.validations())


# --- rotation ---


async def test_a_rotation_is_noticed_and_what_is_behind_is_counted(tended: Tended) -> None:
    """The journal has it; keys that are made since are not behind."""
    client, instance = tended.client(), await tended.instance()
    for _ in range(3):
        await client.made()
    before = await tended.round()
    await tended.manager.rotate_root_key(instance.root_key)
    await client.made()

    after = await tended.round()

    assert (0, 3) == (before.behind, after.behind)
    (entry,) = await tended.journal("instance.validate")
    assert (after.root_key_version, 3) == (entry["detail"]["version"], entry["detail"]["behind"])
    assert before.root_key_version != after.root_key_version


async def test_of_an_instance_of_two_levels_the_wrapping_key_alone_can_be_behind(tended: Tended) -> None:
    await tended.two_level("b")
    for _ in range(2):
        await tended.client("b").made()
    await tended.manager.rotate_root_key((await tended.instance("b")).root_key)
    await tended.round()

    assert 1 == (await tended.validation("b")).behind


async def test_keys_that_still_have_to_move_are_not_behind(tended: Tended) -> None:
    instance = await tended.instance()
    await tended.client().made()
    other = (await tended.manager.create_root_key("other")).identifier
    await tended.changed(instance, root_key=other, former=Home("embedded", instance.root_key))

    assert 0 == (await tended.round()).behind


async def test_what_is_behind_is_rewrapped_in_the_background() -> None:
    """Once for each rotation, and again later where keys stay behind; what it raises ends nothing."""
    begun: list[str] = []

    async def rewrap(instance: Instance) -> None:
        begun.append(instance.name)
        raise RuntimeError("as told")

    tended = await Tended.create(rewrap=rewrap)
    await tended.client().made()
    await tended.round()
    assert [] == begun
    root_key = (await tended.instance()).root_key
    await tended.manager.rotate_root_key(root_key)
    for _ in range(3):
        await tended.round()
        await asyncio.sleep(0)
    assert ["a"] == begun
    await tended.round(after=REWRAP_AGAIN_AFTER)
    await asyncio.sleep(0)
    assert ["a", "a"] == begun
    await tended.manager.rotate_root_key(root_key)
    await tended.round()
    await asyncio.sleep(0)
    assert ["a", "a", "a"] == begun


async def test_care_goes_on_whatever_happens(tended: Tended, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round fails with the catalog, the next one with a mistake, the third one is a round."""
    rounds = 0

    async def round_(name: str) -> None:
        nonlocal rounds
        rounds += 1
        if rounds < 3:
            raise [CatalogUnavailable("as told"), RuntimeError("as told")][rounds - 1]
        done.set()

    done = asyncio.Event()
    monkeypatch.setattr(tended.care, "round", round_)
    sleep = asyncio.sleep

    async def shortly(seconds: float) -> None:
        await sleep(0)

    monkeypatch.setattr("keyrack.service.care.care.asyncio.sleep", shortly)
    watching = asyncio.create_task(tended.care.watch())
    await asyncio.wait_for(done.wait(), 5)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert rounds >= 3


# --- leftovers ---


async def left(tended: Tended, *, why: str = "rewrapped", key_manager: str = "embedded") -> Leftover:
    """A standard key that an object has had before."""
    uid = await tended.client().made()
    old = await tended.manager.put_standard_key(name_of(uid), b"old")
    leftover = Leftover(
        key_manager=key_manager,
        standard_key=old,
        instance="instance-a",
        unique_identifier=uid,
        why=why,
        at=int(tended.house.clock()),
    )
    await tended.catalog.commit(Unit(entries=(an_entry("key.rewrap"),), leftovers=(leftover,)))
    return leftover


async def test_a_leftover_is_deleted_after_a_while_and_forgotten(tended: Tended) -> None:
    """Not at once: whoever has read the old state of its key may still be asking for it."""
    leftover = await left(tended)
    uid = leftover.unique_identifier
    await tended.round(after=SETTLED - 1)
    assert 2 == len(await tended.manager.find_standard_keys(name_of(uid)))

    await tended.round(after=1)

    (kept,) = await tended.manager.find_standard_keys(name_of(uid))
    assert kept.identifier != leftover.standard_key
    assert [] == list(await tended.catalog.leftovers())
    (entry,) = await tended.journal("standard-key.delete")
    assert ("success", uid, leftover.standard_key) == (
        entry["outcome"],
        entry["target"],
        entry["detail"]["standard_key"],
    )


async def test_one_whose_deletion_is_refused_stays_and_is_tried_again_after_an_hour(tended: Tended) -> None:
    """Each refusal stands in the key manager's audit: one for an hour is enough."""
    await left(tended)
    await left(tended)

    async def refused(identifier: str) -> None:
        tended.manager.calls["refused"] += 1
        raise KeyManagerRefused("it takes the role Manager", Reason.PERMISSION, code="403")

    usual, tended.manager.delete_standard_key = tended.manager.delete_standard_key, refused  # type: ignore[method-assign]
    for _ in range(3):
        await tended.round(after=SETTLED)
    assert (1, 2) == (tended.manager.calls["refused"], len(await tended.catalog.leftovers()))
    (entry,) = await tended.journal("standard-key.delete")
    assert ("refused", "permission: 403: it takes the role Manager") == (entry["outcome"], entry["detail"]["cause"])

    tended.manager.delete_standard_key = usual  # type: ignore[method-assign]
    await tended.round(after=AGAIN_AFTER)
    assert [] == list(await tended.catalog.leftovers())


async def test_a_key_manager_that_does_not_answer_keeps_its_leftovers_for_the_next_round(tended: Tended) -> None:
    await left(tended)
    tended.manager.fail("delete_standard_key", Fault.UNAVAILABLE)

    assert [1, 0] == [len(await tended.catalog.leftovers()) for _ in range(2) if await tended.round()]


async def test_a_standard_key_that_is_used_is_never_deleted(tended: Tended) -> None:
    """Whatever stands among the leftovers."""
    leftover = await left(tended)
    managed = await tended.catalog.load("instance-a", leftover.unique_identifier)
    assert managed is not None
    used = replace(leftover, standard_key=managed.standard_key or "")
    await tended.catalog.commit(Unit(entries=(an_entry("mistake"),), leftovers=(used,)))

    await tended.round()

    assert [] == list(await tended.catalog.leftovers())
    kept = await tended.manager.find_standard_keys(name_of(leftover.unique_identifier))
    assert [managed.standard_key] == [each.identifier for each in kept]


async def test_nothing_but_leftovers_is_ever_deleted(tended: Tended) -> None:
    """Not what was withheld, nor strangers, nor the copies of another instance."""
    await tended.house.admit("b", storage=Storage.KEY_MANAGER)
    for who in ("a", "b"):
        await tended.client(who).made()
    await tended.manager.put_standard_key("vmware_kmip_stranger", b"")
    await tended.taken(await tended.client().made())
    for _ in range(3):
        await tended.round(after=3600)

    assert 1 == tended.manager.calls["delete_standard_key"], "the one of the test itself"
