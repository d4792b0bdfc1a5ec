"""What came after a copy, read from records of all forms, and done again: the last word on each thing counts."""

import json
from pathlib import Path

import pytest

from keyrack.adapters.journals.changes_file import ChangesFile
from keyrack.domain import cadf
from keyrack.domain.cadf import Place
from keyrack.domain.journal import Entry
from keyrack.domain.journal_chain import canonical
from keyrack.domain.lifecycle import DESTROYED_STATES
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import NotAuthorised, RollbackMode, Unit
from keyrack.ports.cluster import ClusterChanges
from keyrack.ports.journal import JournalRecord
from keyrack.service.journal.changes import Following, changes_of
from keyrack.service.recovery.applying import Applying
from keyrack.service.recovery.later import Later, kept_of, later
from keyrack.service.recovery.rollback import Evidence, begin, end_of, older, settle
from keyrack.spec.enumerations import State
from keyrack.testing.conversation import activate, destroy
from keyrack.testing.offices import Offices, open_offices


def entry(action: str, target: str = "", *, instance: str = "i", at: int = 1_000, outcome: str = "success") -> Entry:
    return Entry(
        at=at, action=action, outcome=outcome, initiator="x", address="local", instance=instance, target=target
    )


def record(number: int, told: Entry) -> JournalRecord:
    return JournalRecord("kmip-0", number, canonical(told), bytes(32), number)


def raw(number: int, told: Entry) -> str:
    kept = record(number, told)
    return json.dumps(
        {"chain": kept.chain, "sequence": number, "number": number, "hash": "00" * 32, "record": kept.text}
    )


def as_event(number: int, told: Entry) -> str:
    return cadf.line(cadf.event(told, Place("kmip-0", number, bytes(32), number)))


@pytest.mark.parametrize("form", [raw, as_event])
def test_records_of_every_form_tell_the_same(form: object) -> None:
    acts = [
        entry("Create", "k1"),
        entry("Get", "k1"),
        entry("Create", "k2"),
        entry("Destroy", "k2"),
        entry("Destroy", "k3", outcome="Item Not Found"),
        entry("key.destroy", "k4"),
        entry("key.recover", "k4"),
        entry("key.purge", "k5"),
        entry("certificate.remove", "f1"),
        entry("certificate.remove", "f2"),
        entry("certificate.add", "f2"),
        entry("instance.seal", "i"),
        entry("api-key.revoke", "a"),
        entry("person.grant", "p"),
    ]
    lines = [form(number, told) for number, told in enumerate(acts, 1)]  # type: ignore[operator]

    found = later(kept_of(["nonsense", *lines, *lines, '{"checkpoint": "x"}']), 0)

    assert set(found.made) == {"k1", "k2"}
    assert set(found.destroyed) == {"k2", "k5"}
    assert set(found.purged) == {"k5"}
    assert [place[1] for place in found.certificates] == ["f1"]
    assert (set(found.sealed), set(found.api_keys)) == ({"i"}, {"a"})
    assert [each.entry.action for each in found.lost] == ["certificate.add", "person.grant"]


def test_what_the_copy_has_and_what_was_given_up_does_not_count() -> None:
    lines = [raw(1, entry("Destroy", "in the copy")), raw(5, entry("Destroy", "given up"))]
    lines += [json.dumps({"given_up": {"through": 3, "by": "x", "at": 1}}), raw(4, entry("Destroy", "of today"))]

    assert set(later(kept_of(lines), 2).destroyed) == {"of today"}


def test_changes_survive_a_torn_line_and_a_full_file(tmp_path: Path) -> None:
    file = ChangesFile(tmp_path / "j" / "changes.jsonl", largest=400)
    assert file.last() == 0
    file.append([record(1, entry("Create", "k1"))])
    with file.path.open("a") as torn:
        torn.write('{"number": 99, "rec')
    assert file.last() == 1
    file.append([record(2, entry("Create", "k2"))])
    assert [set(later(kept_of(file.lines()), 0).made)] == [{"k1", "k2"}]

    for number in range(3, 6):
        file.append([record(number, entry("Create", f"k{number}"))])
    assert file.before.exists()
    assert file.last() == 5
    file.give_up(3, "somebody", 1)
    assert file.last() == 3
    assert "k4" not in later(kept_of(file.lines()), 0).made
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_what_another_deployment_has_left_says_nothing(tmp_path: Path) -> None:
    other, file = ChangesFile(tmp_path / "changes.jsonl", "other"), ChangesFile(tmp_path / "changes.jsonl", "ours")
    other.append([record(9, entry("Destroy", "k1"))])
    assert (file.last(), list(file.lines())) == (0, [])

    file.append([record(1, entry("Create", "k2"))])

    assert set(later(kept_of(file.lines()), 0).made) == {"k2"}
    assert file.path.with_name("changes.jsonl.of-another").exists()


def test_only_what_changes_something_is_kept() -> None:
    records = [record(n, entry(action, "x")) for n, action in enumerate(("Get", "Locate", "Create", "odd.act"), 1)]
    records.append(record(9, entry("Destroy", "x", outcome="Permission Denied")))

    assert [each.number for each in changes_of(records)] == [3, 4]


async def loaded(offices: Offices, uid: str) -> ManagedObject:
    found = await offices.catalog.load(offices.instance.identifier, uid)
    assert found is not None
    return found


async def applied(offices: Offices, found: Later) -> dict[str, int]:
    done = await Applying(offices.catalog, found, clock=lambda: offices.now * 1000, initiator="keyrack").run()
    return dict(done.told)


async def roll_back(offices: Offices) -> None:
    assert await begin(offices.catalog, "a test", by="keyrack", clock=lambda: offices.now * 1000)


async def test_in_rollback_mode_keys_are_read_and_nothing_changes(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        kept = await offices.key(fetched=False, active=False)
        await roll_back(offices)

        assert len(await offices.client.material(kept)) == 32  # The first time it is handed out, which is noted later.
        for refused in (activate(kept), destroy(kept)):
            with pytest.raises(Exception, match="keyrack backup agree"):
                await offices.client(refused)
        with pytest.raises(Exception, match="keyrack backup agree"):
            await offices.client.made()
        with pytest.raises(RollbackMode):
            await offices.catalog.commit(Unit(entries=(), removed_instances=(offices.instance.identifier,)))
        assert not await begin(offices.catalog, "again", by="x", clock=lambda: 0)


async def test_what_was_taken_away_later_is_taken_away_again_once(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        gone, purged, stays = [await offices.key() for _ in range(3)]
        instance = offices.instance.identifier
        (pinned,) = await offices.catalog.certificates(instance)
        await roll_back(offices)
        at = offices.now * 1000 + 5000
        acts = [entry("Destroy", gone, instance=instance, at=at)]
        acts += [entry("key.destroy", purged, instance=instance, at=at), entry("key.purge", purged, instance=instance)]
        acts += [entry("certificate.remove", pinned.fingerprint, instance=instance, at=at)]
        acts += [entry("instance.seal", instance, instance=instance, at=at)]
        acts += [entry("Destroy", "not here", instance=instance), entry("Destroy", stays, instance="another")]
        found = later(kept_of(raw(10_000 + n, told) for n, told in enumerate(acts)), 0)

        first, second = await applied(offices, found), await applied(offices, found)

        states = {uid: await loaded(offices, uid) for uid in (gone, purged, stays)}
        assert first == {
            "keys destroyed": 2,
            "keys purged": 1,
            "client certificates removed": 1,
            "instances sealed": 1,
        }
        assert second == {}
        assert states[gone].state in DESTROYED_STATES
        assert states[gone].sealed is not None  # As it was destroyed: softly.
        assert states[purged].sealed is None
        assert states[stays].state is State.ACTIVE
        with pytest.raises(NotAuthorised):
            await offices.catalog.authorise(pinned.fingerprint)


async def test_a_certificate_that_was_let_in_again_since_stays(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        instance = offices.instance.identifier
        (pinned,) = await offices.catalog.certificates(instance)
        told = entry("certificate.remove", pinned.fingerprint, instance=instance, at=(pinned.added_at - 1) * 1000)
        await roll_back(offices)

        assert await applied(offices, later(kept_of([raw(10_000, told)]), 0)) == {}


async def test_later_is_what_stands_behind_the_copy(tmp_path: Path) -> None:
    """The mode's own records take the numbers of those that were lost; only what was kept elsewhere tells of these."""
    async with open_offices(tmp_path) as offices:
        key = await offices.key()
        end = await offices.catalog.journal_end()
        await roll_back(offices)
        await offices.client.material(key)
        rollback = await offices.catalog.rollback()
        assert rollback is not None

        assert await end_of(offices.catalog, rollback) == end
        # Numbers that the mode's own records have by now.
        lines = [raw(end + 1, entry("Destroy", key, instance=offices.instance.identifier))]
        evidence = Evidence(deployment="deployment", exported=None, changes=(end + 1, bytes(32)), lines=lambda: lines)
        settled = await settle(offices.catalog, rollback, evidence, by="keyrack", clock=lambda: offices.now * 1000)
        assert (settled.through, settled.applied.destroyed, settled.doubt) == (0, 1, "")


async def test_a_catalog_that_ends_before_what_was_kept_is_older(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        await offices.key()
        (*_, last) = await offices.catalog.journal(0, 1000)

        same = await older(offices.catalog, Evidence("deployment", None, (last.number, last.hash), lambda: ()))
        less = await older(offices.catalog, Evidence("deployment", None, (last.number + 1, last.hash), lambda: ()))
        other = await older(offices.catalog, Evidence("deployment", None, (last.number, bytes(32)), lambda: ()))
        given_up = await older(offices.catalog, Evidence("deployment", None, (last.number + 9, b""), lambda: ()))

        assert (same, given_up) == ("", "")
        assert "does not have that one" in less
        assert "does not have that one" in other


async def test_while_it_is_rolled_back_nothing_is_added_to_what_was_kept(tmp_path: Path) -> None:
    """What the file says is what the catalog lacks: it must not be told over."""
    async with open_offices(tmp_path) as offices:
        file = ChangesFile(tmp_path / "changes.jsonl")
        following = Following(offices.catalog, file)
        await offices.key()
        while await following.round():
            pass
        before = file.path.read_text()
        await roll_back(offices)
        for _ in range(3):
            await following.round()

        assert file.path.read_text() == before
        await offices.catalog.commit(Unit(entries=(), cluster=ClusterChanges(rollback_over=True), recovers=True))
        await offices.key()
        await following.round()
        assert len(file.path.read_text()) > len(before)
        assert await offices.catalog.rollback() is None
