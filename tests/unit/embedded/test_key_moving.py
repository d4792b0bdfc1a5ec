"""Root keys move from the software into an HSM: every version, proved, and again after being broken off anywhere."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded import actions, lifecycle
from keyrack.embedded.errors import Contradiction, KeeperUnavailable, Unauthorised
from keyrack.embedded.house import DAY, House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Alias, Key, KeyState
from keyrack.embedded.moving import Moved, move_versions
from keyrack.embedded.root_keys.binding import associated
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper
from keyrack.embedded.root_keys.port import Enciphered, VersionName
from keyrack.testing.clock import Clock
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, go_on, opened_again
from keyrack.testing.pretended_hsm import Killed, PretendedHsm
from keyrack.testing.softhsm import SoftHsm, absent
from keyrack.testing.some_keys import a_root_key, a_standard_key, journal_of, kept, refusal

PLAIN = b"a key of thirty-two bytes length"


@pytest.fixture
def hsm() -> PretendedHsm:
    return PretendedHsm(associated)


@pytest.fixture
def house(tmp_path: Path, hsm: PretendedHsm) -> Iterator[House]:
    """One that makes new keys in software still, with an HSM beside it."""
    house = a_house(tmp_path, hsm=hsm)
    yield replace(house, keeper="software")
    house.close()


def wrapped(house: House, key: Key) -> bytes:
    with Secret(bytearray(PLAIN)) as plaintext:
        return actions.wrap(house, a_call(instance=key.instance), key.identifier, plaintext, ["bound"]).ciphertext


def unwrapped(house: House, key: Key, ciphertext: bytes) -> bytes:
    with actions.unwrap(house, a_call(instance=key.instance), key.identifier, ciphertext, ["bound"]).plaintext as back:
        return bytes(back.reveal())


def keepers_of(house: House, key: Key) -> list[str]:
    return [version.keeper for version in kept(house, key).versions]


def move(house: House, key: str | None = None) -> Moved:
    return move_versions(house, a_call(), "pkcs11", key=key)


def with_old_wraps(house: House, versions: int) -> tuple[Key, list[bytes]]:
    """A root key, and something that each of its versions has wrapped."""
    key = a_root_key(house)
    wraps = [wrapped(house, key)]
    for _ in range(versions - 1):
        key = kept(
            house, lifecycle.rotate(replace(house, waits=replace(house.waits, rotate=0)), a_call(), key.identifier)
        )
        wraps.append(wrapped(house, key))
    return key, wraps


def test_every_version_moves_and_what_it_wrapped_opens(house: House, hsm: PretendedHsm) -> None:
    """Nothing else of the key changes; the software's sealed material is forgotten."""
    key, wraps = with_old_wraps(house, 3)
    steps: list[tuple[int, int]] = []
    answer = move_versions(house, a_call(), "pkcs11", lambda done, total: steps.append((done, total)))

    assert (Moved(3, 0), [(0, 3), (1, 3), (2, 3), (3, 3)]) == (answer, steps)
    after = kept(house, key)
    assert replace(key, versions=after.versions) == after
    assert [(each.identifier, each.created_at, "pkcs11", b"") for each in key.versions] == [
        (each.identifier, each.created_at, each.keeper, each.kept) for each in after.versions
    ]
    assert [PLAIN] * 3 == [unwrapped(house, key, each) for each in wraps]
    assert PLAIN == unwrapped(house, key, wrapped(house, key))
    assert {key.version_name(version) for version in key.versions} == set(hsm.inside)
    moves = [each for each in journal_of(house) if each["action"] == "root-key.move"]
    assert [("local-user-test", key.identifier)] * 3 == [(each["initiator"], each["target"]) for each in moves]
    assert {"from": "software", "to": "pkcs11", "version": key.newest.identifier}.items() <= moves[2]["detail"].items()


def test_a_second_move_has_nothing_to_do(house: House) -> None:
    """And writes nothing."""
    a_root_key(house, versions=2)
    a_standard_key(house)
    assert [Moved(2, 0), Moved(0, 2)] == [move(house), move(house)]


def test_one_key_or_all_of_them_move(house: House) -> None:
    """By identifier or alias; all means all instances, and deleted keys as long as they are there."""
    an_instance(house, OTHER_INSTANCE)
    alias = Alias(name="vcenter", created_at=1, created_by="x")
    one, other = a_root_key(house, aliases=(alias,)), a_root_key(house, instance=OTHER_INSTANCE)
    deleted = a_root_key(house, state=KeyState.DESTROYED)
    assert Moved(1, 0) == move(house, "vcenter")
    assert [["pkcs11"], ["software"]] == [keepers_of(house, key) for key in (one, other)]
    assert Moved(2, 1) == move(house)
    assert [["pkcs11"]] * 3 == [keepers_of(house, key) for key in (one, other, deleted)]
    restored = lifecycle.restore(house, a_call(), deleted.identifier)
    assert PLAIN == unwrapped(house, restored, wrapped(house, restored))
    event = [each for each in journal_of(house) if each["target"] == other.identifier]
    assert OTHER_INSTANCE == event[0]["instance"]


@pytest.mark.parametrize("length", [16, 24, 32])
def test_imported_material_moves_at_each_length(house: House, length: int) -> None:
    """As it is."""
    key = a_root_key(house, imported=True)
    with Secret(bytearray(range(length))) as material:
        key = lifecycle.rotate(house, a_call(), key.identifier, material)
    wrap = wrapped(house, key)
    move(house)
    assert PLAIN == unwrapped(house, key, wrap)


def test_no_way_leads_out_of_an_hsm(house: House, hsm: PretendedHsm) -> None:
    """It is said before anything moves."""
    key = a_root_key(house)
    move(house)
    a_root_key(house)
    with pytest.raises(Contradiction, match="never leaves it"):
        move_versions(house, a_call(), "software")
    assert ["pkcs11"] == keepers_of(house, key)


def test_only_an_administrator_moves_keys(house: House) -> None:
    """No role of Key Protect is enough; a missing HSM, a missing key and a standard key are told."""
    key = a_root_key(house)
    for role in Role:
        with pytest.raises(Unauthorised):
            move_versions(house, a_call(a_caller(house, role)), "pkcs11")
    with pytest.raises(KeeperUnavailable, match="not configured"):
        move_versions(replace(house, keepers={"software": house.keepers["software"]}), a_call(), "pkcs11")
    assert (404, "KEY_NOT_FOUND_ERR") == refusal(move, house, "absent")
    assert (400, "KEY_ROOT_REQ_ERR") == refusal(move, house, a_standard_key(house).identifier)
    assert ["software"] == keepers_of(house, key)


POINTS = [("take", 1), ("encipher", 1), ("decipher", 1), ("take", 2), ("encipher", 2), ("decipher", 2), ("take", 3)]


@pytest.mark.parametrize(("method", "nth"), POINTS)
def test_a_move_that_was_killed_goes_on(tmp_path: Path, house: House, hsm: PretendedHsm, method: str, nth: int) -> None:
    """At every point: the key works all the time, and the next call moves what is left."""
    key, wraps = with_old_wraps(house, 3)
    hsm.kill_at(method, nth)
    with pytest.raises(Killed):
        move(house)
    hsm.before.clear()
    again = replace(opened_again(tmp_path, hsm=hsm), keeper="software")
    try:
        assert ["pkcs11"] * (nth - 1) == [each for each in keepers_of(again, key) if each == "pkcs11"]
        assert [PLAIN] * 3 == [unwrapped(again, key, each) for each in wraps]
        assert Moved(4 - nth, nth - 1) == move(again)
        assert [PLAIN] * 3 == [unwrapped(again, key, each) for each in wraps]
        assert 3 == len(hsm.inside)
    finally:
        again.close()


def test_a_move_that_was_killed_in_its_transaction_goes_on(house: House, hsm: PretendedHsm) -> None:
    """The material is in the HSM already, and the database says that it is not."""
    key, wraps = with_old_wraps(house, 1)

    def clock() -> float:
        raise Killed

    with pytest.raises(Killed):
        move(replace(house, clock=clock))
    assert (["software"], 1) == (keepers_of(house, key), len(hsm.inside))
    assert Moved(1, 0) == move(house)
    assert PLAIN == unwrapped(house, key, wraps[0])


def test_an_hsm_that_goes_away_ends_the_move_and_loses_nothing(house: House, hsm: PretendedHsm) -> None:
    """What went over stays there; the rest follows when it is back."""
    key, wraps = with_old_wraps(house, 3)
    taken: list[int] = []

    def go_away() -> None:
        taken.append(1)
        if len(taken) == 2:
            raise KeeperUnavailable("the HSM does not answer")

    hsm.before["take"] = go_away
    with pytest.raises(KeeperUnavailable):
        move(house)
    assert ["pkcs11", "software", "software"] == keepers_of(house, key)
    assert Moved(2, 1) == move(house)
    assert [PLAIN] * 3 == [unwrapped(house, key, each) for each in wraps]


class _Garbling(PretendedHsm):
    """An HSM that deciphers only what it has enciphered itself, under a nonce that it puts over ours."""

    def decipher(self, version: VersionName, kept: bytes, enciphered: Enciphered, bound: bytes) -> Secret:
        return super().decipher(version, kept, replace(enciphered, iv=enciphered.iv[::-1]), bound)


class _Other(PretendedHsm):
    """An HSM whose ciphertexts the software cannot read."""

    def encipher(self, version: VersionName, kept: bytes, plaintext: Secret, bound: bytes) -> Enciphered:
        enciphered = super().encipher(version, kept, plaintext, bound)
        return replace(enciphered, iv=enciphered.iv[::-1])


@pytest.mark.parametrize("kind", [_Garbling, _Other])
def test_what_the_hsm_would_not_open_stays_where_it_is(tmp_path: Path, kind: Callable[[object], PretendedHsm]) -> None:
    """Proved in both directions before the database says that it has moved; the answer tells why."""
    hsm = kind(associated)
    opened = a_house(tmp_path, hsm=hsm)
    house = replace(opened, keeper="software")
    key, wraps = with_old_wraps(house, 2)
    answer = move(house)
    assert (0, 0, 2) == (answer.versions, answer.there, len(answer.not_moved))
    assert {key.identifier} == {each.key for each in answer.not_moved}
    assert "AES-GCM" in answer.not_moved[0].reason
    assert ["software", "software"] == keepers_of(house, key)
    assert [PLAIN] * 2 == [unwrapped(house, key, each) for each in wraps]
    opened.close()


def test_damaged_material_keeps_no_other_key_back(house: House) -> None:
    """It is told by name and left alone."""
    good, bad = a_root_key(house), a_root_key(house)
    with house.database.change() as unit:
        damaged = replace(bad.newest, kept=bad.newest.kept[:-1] + bytes([bad.newest.kept[-1] ^ 1]))
        unit.put_key(replace(bad, versions=(damaged,)))
    answer = move(house)
    assert (1, [bad.identifier]) == (answer.versions, [each.key for each in answer.not_moved])
    assert [["pkcs11"], ["software"]] == [keepers_of(house, key) for key in (good, bad)]


def test_other_material_under_the_same_name_in_the_hsm_is_told(house: House, hsm: PretendedHsm) -> None:
    """Nothing of it is used."""
    key = a_root_key(house)
    hsm.inside[key.version_name(key.newest)] = bytes(32)
    assert "other material" in move(house).not_moved[0].reason
    assert ["software"] == keepers_of(house, key)


def test_a_key_that_is_purged_while_it_moves_leaves_nothing_in_the_hsm(house: House, hsm: PretendedHsm) -> None:
    """The purge came after the material was taken in, or before."""
    for method in ("take", "decipher"):
        key = a_root_key(house, state=KeyState.DESTROYED)

        def purged(key: Key = key) -> None:
            hsm.before.clear()
            lifecycle.purge(house, a_call(), key.identifier)

        hsm.before[method] = purged
        assert 0 == move(house).versions
        assert {} == hsm.inside


def test_a_rotation_in_the_middle_of_a_move_is_kept(house: House, hsm: PretendedHsm) -> None:
    """The move changes the one version, and not what the key was when it began."""
    key = a_root_key(house)

    def rotated() -> None:
        hsm.before.clear()
        lifecycle.rotate(house, a_call(), key.identifier)

    hsm.before["take"] = rotated
    move(house)
    assert ["pkcs11", "software"] == keepers_of(house, key)


def test_two_moves_at_once_move_each_version_once(tmp_path: Path) -> None:
    """While a third wraps and unwraps: neither of them loses material, and no call fails."""
    clock, hsm = Clock(), PretendedHsm(associated)
    opened = [a_house(tmp_path, clock=clock, hsm=hsm), opened_again(tmp_path, clock=clock, hsm=hsm)]
    houses = [replace(house, keeper="software") for house in opened]
    keys = [a_root_key(houses[0], versions=2) for _ in range(30)]
    answers: list[Moved] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def mover(house: House) -> None:
        answers.append(move(house))

    def user() -> None:
        try:
            while not over.is_set():
                for key in keys:
                    if unwrapped(houses[0], key, wrapped(houses[1], key)) != PLAIN:
                        raise AssertionError(key.identifier)
        except BaseException as error:
            failures.append(error)

    using = threading.Thread(target=user)
    using.start()
    movers = [threading.Thread(target=mover, args=(house,)) for house in houses]
    for thread in movers:
        thread.start()
    for thread in movers:
        thread.join()
    over.set()
    using.join()
    assert [] == failures
    assert (60, ()) == (sum(each.versions for each in answers), answers[0].not_moved + answers[1].not_moved)
    moves = [each["detail"]["version"] for each in journal_of(houses[0]) if each["action"] == "root-key.move"]
    assert (60, 60) == (len(moves), len(set(moves)))
    assert [PLAIN] * 30 == [unwrapped(houses[0], key, wrapped(houses[1], key)) for key in keys]
    for house in opened:
        house.close()


@pytest.mark.skipif(absent() is not None, reason=str(absent()))
def test_root_keys_move_into_a_real_token(tmp_path: Path) -> None:
    """SoftHSM2: old wraps open, new ones are made inside, the keys cannot be read, and a purge destroys them there."""
    token = SoftHsm.create(tmp_path / "hsm")
    keeper = Pkcs11Keeper(token.settings(timeout=20.0))
    opened = a_house(tmp_path, hsm=keeper)
    house = replace(opened, keeper="software")
    key, wraps = with_old_wraps(house, 3)
    with Secret(bytearray(range(16))) as material:
        imported = a_root_key(house, imported=True)
        imported = lifecycle.rotate(house, a_call(), imported.identifier, material)
    imported_wrap = wrapped(house, imported)

    assert [Moved(5, 0), Moved(0, 5)] == [move(house), move(house)]
    assert [PLAIN] * 3 == [unwrapped(house, key, each) for each in wraps]
    assert PLAIN == unwrapped(house, imported, imported_wrap)
    assert PLAIN == unwrapped(house, key, wrapped(house, key))
    listed = token.tool("--list-objects", "--type", "secrkey")
    assert 3 == listed.count(f"keyrack {key.identifier}")
    assert (5, 0) == (listed.count("sensitive"), listed.count("extractable"))

    lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, DAY)
    lifecycle.purge(house, a_call(), key.identifier)
    assert 0 == token.tool("--list-objects", "--type", "secrkey").count(f"keyrack {key.identifier}")
    opened.close()


@pytest.mark.skipif(absent() is not None, reason=str(absent()))
def test_a_token_that_only_wraps_keys_takes_over_none_that_enciphered_otherwise(tmp_path: Path) -> None:
    """It would not open what the software has enciphered with AES-GCM."""
    token = SoftHsm.create(tmp_path / "hsm")
    keeper = Pkcs11Keeper(token.settings(timeout=20.0, mechanism="kwp"))
    opened = a_house(tmp_path, hsm=keeper)
    house = replace(opened, keeper="software")
    key, wraps = with_old_wraps(house, 1)
    answer = move(house)
    assert (0, 1) == (answer.versions, len(answer.not_moved))
    assert "AES-GCM" in answer.not_moved[0].reason
    assert PLAIN == unwrapped(house, key, wraps[0])
    opened.close()
