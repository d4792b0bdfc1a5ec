"""The material of a purged key: destroyed after the key is forgotten, and whatever happens in between, not lost of."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.embedded import lifecycle
from keyrack.embedded.destruction import LIST, carry_out, condemned
from keyrack.embedded.errors import KeeperUnavailable, KeyNotFound, KeystoreDamaged
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key, KeyState
from keyrack.embedded.root_keys.binding import associated
from keyrack.embedded.schedule import purge_due
from keyrack.testing.key_houses import a_call, a_house, go_on, opened_again, revision
from keyrack.testing.pretended_hsm import Killed, PretendedHsm
from keyrack.testing.some_keys import a_root_key, a_standard_key, journal_of, kept, refusal


@pytest.fixture
def hsm() -> PretendedHsm:
    return PretendedHsm(associated)


@pytest.fixture
def house(tmp_path: Path, hsm: PretendedHsm) -> Iterator[House]:
    house = a_house(tmp_path, hsm=hsm)
    yield house
    house.close()


def purge(house: House, key: Key) -> None:
    lifecycle.purge(house, a_call(), key.identifier)


def left(house: House) -> int:
    """How many versions are condemned, and still there."""
    with house.reading() as reading:
        return len(condemned(house, reading))


def test_a_purge_destroys_the_material_of_every_version(house: House, hsm: PretendedHsm) -> None:
    """And of no other key."""
    stays = a_root_key(house, versions=2)
    purge(house, a_root_key(house, versions=3, state=KeyState.DESTROYED))
    assert {stays.version_name(version) for version in stays.versions} == set(hsm.inside)
    assert 0 == left(house)


def test_a_purge_while_the_hsm_is_away_changes_nothing(house: House, hsm: PretendedHsm) -> None:
    """It is no refusal: the caller tries again."""
    key = a_root_key(house, state=KeyState.DESTROYED)
    before, hsm.away = revision(house), True
    with pytest.raises(KeeperUnavailable):
        purge(house, key)
    assert (before, key) == (revision(house), kept(house, key))


@pytest.mark.parametrize("look", [1, 2, 3])
def test_a_crash_before_the_key_is_forgotten_destroys_nothing(house: House, hsm: PretendedHsm, look: int) -> None:
    """At each look at the clock, the last one of them where the journal's entry is written: the key can be restored."""
    key = a_root_key(house, state=KeyState.DESTROYED)
    looks = iter(range(1, 100))

    def clock() -> float:
        if next(looks) == look:
            raise Killed
        return house.clock()

    with pytest.raises(Killed):
        purge(replace(house, clock=clock), key)
    assert ({key.version_name(key.newest)}, 0) == (set(hsm.inside), left(house))
    lifecycle.restore(house, a_call(), key.identifier)


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_crash_after_the_key_is_forgotten_is_cleaned_up(
    tmp_path: Path, house: House, hsm: PretendedHsm, nth: int
) -> None:
    """Before the first, the second or the third of its versions: the schedule destroys what is left after a restart."""
    key = a_root_key(house, versions=3, state=KeyState.DESTROYED)
    hsm.kill_at("destroy", nth)
    with pytest.raises(Killed):
        purge(house, key)
    assert 4 - nth == len(hsm.inside)

    hsm.before.clear()
    again = opened_again(tmp_path, hsm=hsm)
    try:
        assert (404, "KEY_NOT_FOUND_ERR") == refusal(lifecycle.restore, again, a_call(), key.identifier)
        assert [] == purge_due(again)
        assert ({}, 0) == (hsm.inside, left(again))
        assert ["kms.secrets.purge", "root-key.destroy-material"] == [each["action"] for each in journal_of(again)]
    finally:
        again.close()


def test_what_cannot_be_destroyed_now_is_destroyed_later(house: House, hsm: PretendedHsm) -> None:
    """The HSM went away in the middle of the purge: the key is gone, and its material follows."""
    key = a_root_key(house, state=KeyState.DESTROYED)

    def go_away() -> None:
        hsm.away = True
        raise KeeperUnavailable("the HSM does not answer")

    hsm.before["destroy"] = go_away
    purge(house, key)
    with pytest.raises(KeyNotFound):
        kept(house, key)
    hsm.before.clear()
    for _ in range(2):
        assert 1 == len(carry_out(house))
    hsm.away = False
    assert () == carry_out(house)
    assert {} == hsm.inside


def test_material_that_a_broken_off_move_left_in_the_hsm_goes_too(house: House, hsm: PretendedHsm) -> None:
    """A version that the software keeps may lie in the HSM as well."""
    key = a_root_key(house, state=KeyState.DESTROYED)
    software = house.keepers["software"]
    moved_back = replace(key.newest, keeper="software", kept=software.generate(key.version_name(key.newest)))
    with house.database.change() as unit:
        unit.put_key(replace(key, versions=(moved_back,)))
    purge(house, key)
    assert {} == hsm.inside


def test_a_list_that_was_changed_is_refused(house: House, hsm: PretendedHsm) -> None:
    """Nobody who can write the database lets an HSM destroy a key that way."""
    victim = a_root_key(house)
    with house.database.change() as unit:
        unit.put_sealed_value(LIST, b"\0" * 100)
    with pytest.raises(KeystoreDamaged):
        carry_out(house)
    assert {victim.version_name(victim.newest)} == set(hsm.inside)


def test_a_purged_standard_key_has_nothing_to_destroy(house: House) -> None:
    """Its payload went with its row."""
    purge(house, a_standard_key(house, state=KeyState.DESTROYED))
    assert ["kms.secrets.purge"] == [each["action"] for each in journal_of(house)]


def test_a_rotation_that_fails_leaves_no_material_behind(house: House, hsm: PretendedHsm) -> None:
    """The other one was faster, and the database knows only its version."""
    key = a_root_key(house)
    lifecycle.rotate(house, a_call(), key.identifier)
    two = set(hsm.inside)
    assert (409, "KEY_ROTATION_NOT_PERMITTED") == refusal(lifecycle.rotate, house, a_call(), key.identifier)

    def deleted_meanwhile() -> None:
        hsm.before.clear()
        lifecycle.delete(house, a_call(), key.identifier)

    go_on(house, 3600)
    hsm.before["generate"] = deleted_meanwhile
    with pytest.raises(Exception, match="has been deleted"):
        lifecycle.rotate(house, a_call(), key.identifier)
    assert two == set(hsm.inside)
