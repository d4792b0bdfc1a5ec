"""What falls due: rotations by policy, by the calendar; purges after 90 days; marks for deletion after seven."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded import actions, lifecycle, schedule
from keyrack.embedded.call import Caller
from keyrack.embedded.errors import KeeperUnavailable
from keyrack.embedded.house import DAY, House
from keyrack.embedded.keys import DeletionAuthorisation, Key, KeyState, RotationPolicy
from keyrack.embedded.root_keys.binding import associated
from keyrack.embedded.schedule import months_later, purge_due, rotate_due
from keyrack.testing.clock import Clock
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_house, an_instance, go_on, opened_again, revision
from keyrack.testing.pretended_hsm import PretendedHsm
from keyrack.testing.some_keys import a_root_key, a_standard_key, journal_of, kept

ANOTHER = Caller(identity="local-user-another")
MONTHLY = RotationPolicy(enabled=True, months=1)


def at(text: str) -> int:
    """Seconds since 1970 of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path, clock=Clock(at("2027-01-31T12:00:00")))
    yield house
    house.close()


def a_rotating_key(house: House, **fields: Any) -> Key:
    """Made now, rotated each month."""
    now = house.now
    return a_root_key(
        house, **{"created_at": now, "updated_at": now, "state_changed_at": now, "rotation": MONTHLY, **fields}
    )


def until(house: House, text: str) -> None:
    """Let time pass until then."""
    go_on(house, at(text) - house.now)


@pytest.mark.parametrize(
    ("begin", "months", "end"),
    [
        ("2027-01-31T12:34:56", 1, "2027-02-28T12:34:56"),
        ("2028-01-31T12:34:56", 1, "2028-02-29T12:34:56"),
        ("2028-02-29T00:00:00", 12, "2029-02-28T00:00:00"),
        ("2027-08-31T23:59:59", 1, "2027-09-30T23:59:59"),
        ("2027-12-15T00:00:00", 1, "2028-01-15T00:00:00"),
        ("2027-11-30T01:02:03", 3, "2028-02-29T01:02:03"),
        ("2027-03-27T01:30:00", 1, "2027-04-27T01:30:00"),
    ],
)
def test_a_month_ends_on_its_last_day(begin: str, months: int, end: str) -> None:
    """In UTC, whatever the machine's time zone does in the night."""
    assert at(end) == months_later(at(begin), months)


def test_a_key_is_rotated_when_its_months_are_over(house: House) -> None:
    """Counted from its making and then from each rotation, by Keyrack, and not twice."""
    key = a_rotating_key(house)
    until(house, "2027-02-28T11:59:59")
    assert [] == rotate_due(house)
    until(house, "2027-02-28T12:00:00")
    assert [key.identifier] == rotate_due(house)
    assert [] == rotate_due(house)
    until(house, "2027-03-28T11:59:59")
    assert [] == rotate_due(house)
    go_on(house, 1)
    assert [key.identifier] == rotate_due(house)

    assert 3 == len(kept(house, key).versions)
    assert [("keyrack", "kms.secrets.rotate", key.identifier)] * 2 == [
        (each["initiator"], each["action"], each["target"]) for each in journal_of(house)
    ]


def test_a_rotation_by_hand_begins_the_months_anew(house: House) -> None:
    """As Key Protect has it."""
    key = a_rotating_key(house)
    until(house, "2027-02-20T00:00:00")
    lifecycle.rotate(house, a_call(), key.identifier)
    until(house, "2027-03-19T23:59:59")
    assert [] == rotate_due(house)
    go_on(house, 1)
    assert [key.identifier] == rotate_due(house)


def test_a_policy_for_an_old_key_is_due_at_once(house: House) -> None:
    """Its months began when it was made."""
    key = a_rotating_key(house, created_at=house.now - 400 * DAY, rotation=RotationPolicy(enabled=True, months=12))
    assert [key.identifier] == rotate_due(house)


def test_only_active_generated_root_keys_with_an_enabled_policy_rotate(house: House) -> None:
    """In every instance."""
    an_instance(house, OTHER_INSTANCE)
    due = {a_rotating_key(house).identifier, a_rotating_key(house, instance=OTHER_INSTANCE).identifier}
    others: tuple[dict[str, Any], ...] = (
        {"rotation": None},
        {"rotation": replace(MONTHLY, enabled=False)},
        {"rotation": replace(MONTHLY, months=2)},
        {"imported": True},
        {"state": KeyState.SUSPENDED},
        {"state": KeyState.DESTROYED},
        {"expires_at": house.now + DAY},
    )
    for fields in others:
        a_rotating_key(house, **fields)
    until(house, "2027-02-28T12:00:00")
    assert due == set(rotate_due(house))


def test_more_keys_than_a_page_rotate(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left out where one page ends."""
    monkeypatch.setattr(schedule, "PAGE", 3)
    keys = {a_rotating_key(house).identifier for _ in range(10)}
    until(house, "2027-02-28T12:00:00")
    assert keys == set(rotate_due(house))


def test_a_key_that_fails_stops_no_other_and_is_journaled(tmp_path: Path) -> None:
    """The HSM is away for one of them; the next call tries it again."""
    hsm = PretendedHsm(associated)
    house = a_house(tmp_path, clock=Clock(at("2027-01-31T12:00:00")), hsm=hsm)
    keys = sorted(a_rotating_key(house).identifier for _ in range(3))
    until(house, "2027-02-28T12:00:00")
    asked: list[str] = []

    def generate() -> None:
        asked.append("generate")
        if len(asked) == 2:
            raise KeeperUnavailable("the HSM does not answer: plug it in")

    hsm.before["generate"] = generate
    assert [keys[0], keys[2]] == rotate_due(house)
    failed = [each for each in journal_of(house) if each["outcome"] != "success"]
    assert [(keys[1], "kms.secrets.rotate", "keyrack")] == [
        (each["target"], each["action"], each["initiator"]) for each in failed
    ]
    assert "the HSM does not answer" in failed[0]["detail"]["reason"]
    assert [keys[1]] == rotate_due(house)
    house.close()


def test_two_schedules_at_once_rotate_each_key_once(tmp_path: Path) -> None:
    """Two processes; even where no wait between rotations would keep the second one back."""
    clock = Clock(at("2027-01-31T12:00:00"))
    one = a_house(tmp_path, clock=clock, rotate=0)
    other = opened_again(tmp_path, clock=clock, rotate=0)
    keys = [a_rotating_key(one) for _ in range(100)]
    clock.go_on(28 * DAY)
    done: list[list[str]] = []

    def rotate_all(house: House) -> None:
        done.append(rotate_due(house))

    threads = [threading.Thread(target=rotate_all, args=(house,)) for house in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(key.identifier for key in keys) == sorted(done[0] + done[1])
    assert {2} == {len(kept(one, key).versions) for key in keys}
    one.close()
    other.close()


def test_what_a_key_wrapped_opens_after_it_was_rotated_by_policy(house: House) -> None:
    """And comes back wrapped anew."""
    key = a_rotating_key(house)
    with Secret(bytearray(b"p" * 32)) as plaintext:
        wrapped = actions.wrap(house, a_call(), key.identifier, plaintext)
    until(house, "2027-02-28T12:00:00")
    rotate_due(house)
    answer = actions.unwrap(house, a_call(), key.identifier, wrapped.ciphertext)
    assert b"p" * 32 == bytes(answer.plaintext.reveal())
    assert kept(house, key).newest.identifier == answer.rewrapped_version


def test_a_key_is_purged_90_days_after_its_deletion(house: House) -> None:
    """Root and standard keys, to the second, by Keyrack."""
    keys = [a_root_key(house), a_standard_key(house)]
    stays = a_root_key(house)
    for key in keys:
        lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, 90 * DAY - 1)
    assert [] == purge_due(house)
    go_on(house, 1)
    assert {key.identifier for key in keys} == set(purge_due(house))
    assert [] == purge_due(house)
    assert stays == kept(house, stays)
    purged = [each for each in journal_of(house) if each["action"] == "kms.secrets.purge"]
    assert [("keyrack", "success")] * 2 == [(each["initiator"], each["outcome"]) for each in purged]


def test_a_restored_key_is_not_purged(house: House) -> None:
    """And its 90 days begin anew with the next deletion."""
    key = a_root_key(house)
    lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, 20 * DAY)
    lifecycle.restore(house, a_call(), key.identifier)
    lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, 70 * DAY)
    assert [] == purge_due(house)
    go_on(house, 20 * DAY)
    assert [key.identifier] == purge_due(house)


def test_a_purge_that_fails_stops_no_other_and_is_journaled(tmp_path: Path) -> None:
    """The HSM is away: what the software keeps goes all the same."""
    hsm = PretendedHsm(associated)
    house = a_house(tmp_path, hsm=hsm)
    in_hsm = a_root_key(house, state=KeyState.DESTROYED)
    standard = a_standard_key(house, state=KeyState.DESTROYED)
    go_on(house, 90 * DAY)
    hsm.away = True
    assert [standard.identifier] == purge_due(house)
    failed = [each for each in journal_of(house) if each["outcome"] == "failure"]
    assert [(in_hsm.identifier, "kms.secrets.purge")] == [(each["target"], each["action"]) for each in failed]
    hsm.away = False
    assert [in_hsm.identifier] == purge_due(house)
    assert {} == hsm.inside
    house.close()


def test_a_mark_for_deletion_is_forgotten_after_seven_days(house: House) -> None:
    """A fresh one stays; a name that looks like a mark is none."""
    old = a_root_key(house, dual_auth_delete=True)
    tricky = a_standard_key(house, name='"set_for_deletion":{', dual_auth_delete=True)
    lifecycle.set_for_deletion(house, a_call(), old.identifier)
    go_on(house, 7 * DAY - 1)
    fresh = a_root_key(house, dual_auth_delete=True)
    lifecycle.set_for_deletion(house, a_call(ANOTHER), fresh.identifier)
    before = revision(house)
    assert ([], before) == (purge_due(house), revision(house))
    go_on(house, 1)
    purge_due(house)
    assert None is kept(house, old).set_for_deletion
    assert DeletionAuthorisation(by="local-user-another", at=house.now - 1) == kept(house, fresh).set_for_deletion
    assert tricky == kept(house, tricky)
    last = journal_of(house)[-1]
    assert ("kms.secrets.unsetkeyfordeletion", "keyrack", old.identifier) == (
        last["action"],
        last["initiator"],
        last["target"],
    )
    before = revision(house)
    assert ([], before) == (purge_due(house), revision(house))
