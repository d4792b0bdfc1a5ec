"""The parts of ``keyrack root-key``: which key is meant, what is told of it, consent, and material that is brought."""

import base64
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.embedded import lifecycle
from keyrack.embedded.creation import NewKey, create, create_with_overrides
from keyrack.embedded.errors import KeyNotFound, KeyRotationNotPermitted
from keyrack.embedded.house import DAY, House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.keys import Key, KeyState, Registration, RotationPolicy
from keyrack.embedded.moving import Moved, NotMoved
from keyrack.embedded.root_keys.binding import associated
from keyrack.shell.cli import root_key, root_key_desk, root_key_moving, root_key_screens
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.root_key_desk import Desk, User
from keyrack.shell.cli.root_key_material import material_of
from keyrack.testing.key_houses import INSTANCE, a_call, a_house, go_on
from keyrack.testing.pretended_hsm import PretendedHsm

HOUR = 3600


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = a_house(tmp_path)
    yield made
    made.close()


@pytest.fixture
def desk(house: House) -> Desk:
    """An administrator's desk, with one instance of Keyrack that uses the root key "r"."""
    with house.reading() as reading:
        instance = reading.instance(INSTANCE)
    return Desk(
        house=house,
        call=a_call(),
        instance=instance,
        key_manager="embedded",
        names=frozenset({"embedded", f"embedded/{INSTANCE}"}),
        users=[],
    )


def a_root_key(house: House, name: str = "prod", **more: object) -> Key:
    return create(house, a_call(), NewKey(name=name, extractable=False, **more))  # type: ignore[arg-type]


def used(desk: Desk, key: Key) -> Desk:
    """The desk of a deployment in which an instance uses the key."""
    users = [User(name="berlin", key_manager="embedded", root_key=key.identifier, keys=212, clients=2)]
    return replace(desk, users=users)


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


def test_a_root_key_is_found_by_whatever_names_it(desk: Desk) -> None:
    """Identifier, its beginning, alias, name."""
    key = a_root_key(desk.house, aliases=("the-one",))
    a_root_key(desk.house, "other")

    assert [desk.find(word) for word in (key.identifier, key.identifier[:8].upper(), "the-one", "prod")] == [key] * 4


@pytest.mark.parametrize("word", ["absent", "", "%", "0"])
def test_what_names_nothing_is_told_with_the_way_out(desk: Desk, word: str) -> None:
    """Three characters are no beginning."""
    a_root_key(desk.house)

    with pytest.raises(Failed, match="see 'keyrack root-key list'"):
        desk.find(word)


def test_a_beginning_of_less_than_four_characters_means_nothing(desk: Desk) -> None:
    """It would soon mean another key."""
    key = a_root_key(desk.house)

    with pytest.raises(Failed):
        desk.find(key.identifier[:3])


def test_a_name_that_two_living_keys_have_is_refused(desk: Desk) -> None:
    """With the identifiers to choose from."""
    both = [a_root_key(desk.house).identifier for _ in range(2)]

    with pytest.raises(Failed) as told:
        desk.find("prod")

    assert all(identifier in str(told.value) for identifier in both)


def test_a_name_means_the_living_key_and_for_a_restore_the_deleted_one(desk: Desk) -> None:
    """After a key was deleted and made anew under the same name."""
    old = a_root_key(desk.house)
    lifecycle.delete(desk.house, desk.call, old.identifier)
    new = a_root_key(desk.house)

    assert (desk.find("prod").identifier, desk.find("prod", deleted=True).identifier) == (
        new.identifier,
        old.identifier,
    )


def test_the_only_key_of_a_name_is_meant_whatever_its_state(desk: Desk) -> None:
    """So that 'show' shows a deleted one, and 'purge' says that a living one is not deleted."""
    key = a_root_key(desk.house)
    living = desk.find("prod", deleted=True)
    lifecycle.delete(desk.house, desk.call, key.identifier)

    assert (living, desk.find("prod").state) == (key, KeyState.DESTROYED)


def test_a_standard_key_is_no_root_key(desk: Desk) -> None:
    """Even by its identifier."""
    key = create(desk.house, desk.call, NewKey(name="standard", extractable=True))

    with pytest.raises(Failed, match="is a standard key"):
        desk.find(key.identifier)
    with pytest.raises(Failed, match="no root key"):
        desk.find("standard")


def test_a_key_ring_that_is_named_narrows(desk: Desk) -> None:
    """A key of another ring is not there."""
    key = a_root_key(desk.house)
    elsewhere = replace(desk, call=replace(desk.call, ring="vmware"))

    with pytest.raises(Failed):
        elsewhere.find("prod")
    with pytest.raises((KeyNotFound, Failed)):
        elsewhere.find(key.identifier)


def test_users_are_those_of_this_instance_alone(desk: Desk) -> None:
    """By either name of the key manager, and by identifier or alias of the key."""
    key = a_root_key(desk.house, aliases=("the-one",))
    user = User(name="a", key_manager="embedded", root_key=key.identifier, keys=1, clients=1)
    users = [
        user,
        replace(user, name="b", key_manager=f"embedded/{INSTANCE}", root_key="the-one"),
        replace(user, name="c", key_manager="other"),
        replace(user, name="d", key_manager="embedded/5f3a9d20-8f5b-4a57-a7c4-61d0f2b3c4d5"),
        replace(user, name="e", root_key="another"),
    ]

    assert [each.name for each in replace(desk, users=users).users_of(key)] == ["a", "b"]


def test_a_refusal_is_in_the_journal(desk: Desk) -> None:
    """Who tried what on which key, and why it was refused."""
    key = a_root_key(desk.house)
    lifecycle.rotate(desk.house, desk.call, key.identifier)

    with pytest.raises(KeyRotationNotPermitted), desk.journaled(Right.ROTATE, key):
        lifecycle.rotate(desk.house, desk.call, key.identifier)

    with desk.house.reading() as reading:
        last = list(reading.journal())[-1].text
    assert '"action":"kms.secrets.rotate"' in last
    assert '"outcome":"KEY_ROTATION_NOT_PERMITTED"' in last
    assert key.identifier in last


def consent(desk: Desk, key: Key, yes: str | None = None) -> None:
    root_key_desk.consent(desk, key, "disable it", "While it is disabled, nothing starts.", yes)


def test_consent_shows_whom_it_concerns(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Instances with keys and clients, what happens, and what a host that runs does."""
    key = a_root_key(desk.house)
    monkeypatch.setattr(sys, "stdin", Terminal("prod\n"))

    consent(used(desk, key), key)

    told = capsys.readouterr().err
    assert "berlin    212   2" in told
    assert "While it is disabled, nothing starts." in told
    assert "A running ESXi host keeps its keys until it restarts." in told
    assert "Type the name of the key (prod) to disable it" in told


def test_another_name_is_no_consent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed, or given by a script."""
    key = a_root_key(desk.house)
    monkeypatch.setattr(sys, "stdin", Terminal("yes\n"))

    with pytest.raises(Failed, match="nothing was changed"):
        consent(desk, key)
    with pytest.raises(WrongUse, match="nothing was changed"):
        consent(desk, key, "yes")


def test_without_a_terminal_nobody_consents(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script says --yes NAME; the refusal says so, as the shell wants it."""
    key = a_root_key(desk.house, "two words")
    monkeypatch.setattr(sys, "stdin", io.StringIO("two words\n"))

    with pytest.raises(WrongUse, match="--yes 'two words' to disable it"):
        consent(desk, key)
    consent(desk, key, "two words")
    consent(desk, key, key.identifier)


def test_resources_of_others_are_named_too(desk: Desk) -> None:
    """Those that registered themselves, and nothing of theirs controls the terminal."""
    resource = Registration(resource="crn:v1:\x1b[2J:bucket", created_at=1, created_by="somebody")
    key = replace(a_root_key(desk.house), registrations=(resource,))

    told = "\n".join(root_key_desk.impact(desk, key, ""))

    assert "1 resource of others is registered with it:" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("length", [16, 24, 32])
@pytest.mark.parametrize("form", ["raw", "base64", "base64 with a line end"])
def test_material_is_taken_raw_or_in_base64(tmp_path: Path, length: int, form: str) -> None:
    """With or without the line end that editors add."""
    octets = bytes(range(200, 200 + length))
    text = base64.b64encode(octets)
    path = tmp_path / "material"
    path.write_bytes({"raw": octets, "base64": text, "base64 with a line end": text + b"\r\n"}[form])
    path.chmod(0o600)

    with material_of(str(path)) as secret:
        assert secret is not None
        assert bytes(secret.reveal()) == octets
    assert len(secret) == 0


@pytest.mark.parametrize("content", [b"", b"x" * 17, b"\xff" * 33, b"\xff" * 500, b"=" * 24 + b"?", b"QUJD"])
def test_what_is_no_material_is_refused_without_being_told(tmp_path: Path, content: bytes) -> None:
    """A wrong length, too much, too little."""
    path = tmp_path / "material"
    path.write_bytes(content)

    with pytest.raises(WrongUse) as told, material_of(str(path)):
        pass

    assert str(told.value).endswith("give 16, 24 or 32 bytes, or these in base64")


def test_material_comes_through_a_pipe_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once, as pipes are."""
    reading, writing = os.pipe()
    os.write(writing, b"0123456789")
    os.write(writing, b"abcdef\xff" * 2 + b"\xff\xff\xff\xff\xff\xff\xff\xff")
    os.close(writing)
    with open(reading, encoding="latin-1") as text:
        monkeypatch.setattr(sys, "stdin", text)
        with material_of("-") as secret:
            assert secret is not None
            assert len(secret) == 32


def test_material_is_never_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would stand on the screen."""
    monkeypatch.setattr(sys, "stdin", Terminal("secret"))

    with pytest.raises(WrongUse, match="could be read on the screen"), material_of("-"):
        pass


def test_material_that_others_can_read_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is taken all the same: the harm is done."""
    path = tmp_path / "material"
    path.write_bytes(bytes(32))
    path.chmod(0o644)

    with material_of(str(path)):
        pass

    assert "others can read" in capsys.readouterr().err


def test_states_are_named_in_words() -> None:
    """Ours and Key Protect's."""
    assert root_key_screens.states("active,Disabled") == "1,2"
    assert root_key_screens.states("suspended") == root_key_screens.states("disabled") == "2"
    assert root_key_screens.states(None) is None
    with pytest.raises(WrongUse, match="use one of: not active yet, active, disabled, expired, deleted"):
        root_key_screens.states("gone")


def lines(desk: Desk, key: Key) -> str:
    with desk.house.reading() as reading:
        return "\n".join(root_key_screens.waits(desk, reading.key(INSTANCE, key.identifier)))


def test_waits_are_told_while_they_last(desk: Desk) -> None:
    """A rotation, an enable."""
    key = a_root_key(desk.house)
    quiet = lines(desk, key)
    lifecycle.rotate(desk.house, desk.call, key.identifier)
    rotated = lines(desk, key)
    go_on(desk.house, HOUR)
    lifecycle.disable(desk.house, desk.call, key.identifier)
    disabled = lines(desk, key)
    go_on(desk.house, 30)

    assert quiet == ""
    assert rotated.startswith("may be rotated again from ")
    assert disabled.startswith("may be enabled from ")
    assert lines(desk, key) == ""


def test_what_follows_a_deletion_is_told_as_time_goes_on(desk: Desk) -> None:
    """Restored for 30 days, purged from four hours on, and after 90 days by itself."""
    key = a_root_key(desk.house)
    lifecycle.delete(desk.house, desk.call, key.identifier)
    fresh = lines(desk, key)
    go_on(desk.house, 4 * HOUR)
    later = lines(desk, key)
    go_on(desk.house, 30 * DAY)

    assert "can be restored until " in fresh
    assert "may be purged from " in fresh
    assert "may be purged now, and is purged by itself on " in later
    assert "cannot be restored any more" in lines(desk, key)


def test_an_expiry_is_told_with_its_meaning(desk: Desk) -> None:
    """Before and after."""
    key = a_root_key(desk.house, expires_at=desk.house.now + DAY)
    before = lines(desk, key)
    go_on(desk.house, DAY)

    assert before.startswith("expires on ")
    assert lines(desk, key).startswith("expired on ")
    assert root_key_screens.as_row(desk, key)["state"] == "expired"


def test_a_rotation_by_itself_has_its_day(desk: Desk) -> None:
    """Months after the last rotation; never for a key that does not work."""
    policy = RotationPolicy(enabled=True, months=3)
    wanted = NewKey(name="prod", extractable=False, rotation=policy)
    key = create_with_overrides(desk.house, desk.call, wanted)

    assert root_key_screens.rotation(key).startswith("every 3 months, next on ")
    assert root_key_screens.rotation(replace(key, state=KeyState.SUSPENDED)) == "every 3 months, while it is active"
    assert root_key_screens.rotation(replace(key, rotation=None, imported=True)) == "by hand, with new material"


def test_what_is_shown_holds_no_material(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither sealed nor open."""
    key = a_root_key(desk.house)

    root_key_screens.show(desk, key)
    told = capsys.readouterr().out + repr(root_key_screens.as_json(desk, key))

    assert key.identifier in told
    assert not any(form in told for form in (key.newest.kept.hex(), base64.b64encode(key.newest.kept).decode()))
    assert "kept=" not in told


def test_a_date_is_a_day_in_utc_or_a_time_with_its_zone() -> None:
    """Nothing that could be meant in two ways."""
    assert root_key._expiry("2030-01-02") == root_key._expiry("2030-01-02T00:00:00Z") == 1893542400
    assert root_key._expiry(None) is None
    for text in ("2030-01-02T00:00:00", "tomorrow", "2030-13-01"):
        with pytest.raises(WrongUse, match="is not a date"):
            root_key._expiry(text)


@pytest.fixture
def hsm() -> PretendedHsm:
    return PretendedHsm(associated)


@pytest.fixture
def moving(tmp_path: Path, hsm: PretendedHsm) -> Iterator[Desk]:
    """A desk with three root keys in software, and an HSM beside it."""
    house = replace(a_house(tmp_path, hsm=hsm), keeper="software")
    for name in ("alpha", "beta", "gamma"):
        a_root_key(house, name)
    with house.reading() as reading:
        instance = reading.instance(INSTANCE)
    names = frozenset({"embedded"})
    yield Desk(house=house, call=a_call(), instance=instance, key_manager="embedded", names=names, users=[])
    house.close()


def test_a_move_shows_how_far_it_is(moving: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal, in one line."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    moved = root_key_moving._moved(moving, [None])

    assert moved.versions == 3
    assert terminal.getvalue().endswith(f"\r  [{'#' * 30}] 3 of 3\n")
    assert f"\r  [{'#' * 10}{'-' * 20}] 1 of 3" in terminal.getvalue()


def test_a_move_through_a_pipe_shows_no_bar(moving: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """What reads it is a program."""
    root_key_moving._moved(moving, [None])

    assert capsys.readouterr().err == ""


def test_a_move_that_is_broken_off_says_that_it_goes_on(
    moving: Desk, hsm: PretendedHsm, capsys: pytest.CaptureFixture[str]
) -> None:
    """What has moved stays moved, and the same command does the rest."""
    hsm.before["take"] = interrupt_at(2)

    with pytest.raises(KeyboardInterrupt):
        root_key_moving._moved(moving, [None])
    told = capsys.readouterr().err
    hsm.before.clear()
    again = root_key_moving._moved(moving, [None])

    assert told == "What was moved has moved; the same command goes on from there.\n"
    assert (again.versions, again.there) == (2, 1)


def interrupt_at(nth: int) -> Callable[[], None]:
    """Ctrl-C at a call."""
    calls = iter(range(1, nth + 1))

    def interrupt() -> None:
        if next(calls) == nth:
            raise KeyboardInterrupt

    return interrupt


def test_what_could_not_move_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason, for each."""
    root_key_moving._tell(Moved(1, 1, (NotMoved("key-1", "version-1", "its material is damaged"),)))

    told = capsys.readouterr().out
    assert "✗ key-1, version version-1, stays where it is: its material is damaged" in told
    assert "1 version moved into the HSM, each tried there first; 1 was there already." in told
