"""The software keystore: nothing in clear, nothing changed unnoticed, nothing half written."""

import base64
import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.actions import Actions
from keyrack.embedded.errors import (
    KeyDeleted,
    KeyNotFound,
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreLocked,
    KeystoreMissing,
)
from keyrack.embedded.keys import Action
from keyrack.embedded.root_keys.sealing import Sealing
from keyrack.embedded.root_keys.software import SoftwareKeystore
from keyrack.embedded.root_keys.unlock import KeyFile, Passphrase, Unlock

NOW = 1_700_000_000


def secret(octets: bytes) -> Secret:
    return Secret(bytearray(octets))


def passphrase(words: str) -> Passphrase:
    return Passphrase(secret(words.encode()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystore"


@pytest.fixture
def unlock(tmp_path: Path) -> KeyFile:
    key_file = KeyFile(tmp_path / "keystore.key")
    key_file.create()
    return key_file


@pytest.fixture
def keystore(path: Path, unlock: KeyFile) -> SoftwareKeystore:
    return SoftwareKeystore.create(path, unlock, at=NOW)


def test_what_was_made_is_there_after_opening_it_again(path: Path, unlock: KeyFile, keystore: SoftwareKeystore) -> None:
    """Root keys with their names and versions, what they have wrapped, and the integrity root."""
    made = keystore.create_root_key("vmware", at=NOW)
    rotated = keystore.rotate(made.identifier, at=NOW + 1)
    wrapped = Actions(keystore).wrap(made.identifier, secret(b"k" * 32), ("a",))
    root = keystore.integrity_root()
    keystore.close()

    again = SoftwareKeystore.open(path, unlock)

    assert (rotated,) == again.all()
    assert Actions(again).unwrap(made.identifier, wrapped.ciphertext, ("a",)).plaintext.matches(secret(b"k" * 32))
    assert again.integrity_root().matches(root)


def test_both_files_are_their_owners_alone(path: Path, unlock: KeyFile, keystore: SoftwareKeystore) -> None:
    """Mode 0600, after a change too, whatever the umask is."""
    before = os.umask(0)
    try:
        keystore.create_root_key("vmware", at=NOW)
    finally:
        os.umask(before)

    assert [0o600, 0o600] == [stat.S_IMODE(each.stat().st_mode) for each in (path, unlock.path)]


def test_no_key_is_in_clear_on_the_disk(tmp_path: Path, path: Path, unlock: KeyFile) -> None:
    """Neither root keys nor the integrity root nor the master key, in whatever writing; the key file excepted."""
    keystore = SoftwareKeystore.create(path, unlock, at=NOW)
    record = keystore.create_root_key("vmware", at=NOW)
    master = unlock.path.read_bytes()
    version = record.newest.identifier
    material = keystore._sealing.open(keystore._current().material[version], f"root key version {version}")
    canaries = [bytes(material.reveal()), bytes(keystore.integrity_root().reveal()), master]

    on_disk = b"".join(each.read_bytes() for each in tmp_path.iterdir() if each != unlock.path)

    for canary in canaries:
        for written in (
            canary,
            canary.hex().encode(),
            base64.b64encode(canary)[:40],
            base64.b64encode(canary[1:])[:40],
        ):
            assert written not in on_disk
    assert version.encode() in on_disk


def test_a_passphrase_opens_what_it_has_sealed(path: Path) -> None:
    """And no other passphrase does; scrypt is as expensive as it is said to be."""
    keystore = SoftwareKeystore.create(path, passphrase("correct horse"), at=NOW)
    made = keystore.create_root_key("vmware", at=NOW)

    opened = SoftwareKeystore.open(path, passphrase("correct horse"))

    assert made == opened.get(made.identifier)
    assert 2**17 <= json.loads(path.read_text())["unlock"]["n"]
    with pytest.raises(KeystoreLocked, match="passphrase is not the one"):
        SoftwareKeystore.open(path, passphrase("battery staple"))
    with pytest.raises(KeystoreLocked, match="empty"):
        SoftwareKeystore.open(path, passphrase(""))


def test_another_key_file_does_not_open(tmp_path: Path, path: Path, keystore: SoftwareKeystore) -> None:
    """It is told apart from a damaged keystore."""
    other = KeyFile(tmp_path / "other.key")
    other.create()

    with pytest.raises(KeystoreLocked, match="key file is not the one"):
        SoftwareKeystore.open(path, other)
    with pytest.raises(KeystoreLocked, match="sealed by a key file, and a passphrase was given"):
        SoftwareKeystore.open(path, passphrase("words"))


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o777])
def test_a_key_file_open_to_others_is_refused(
    path: Path, keystore: SoftwareKeystore, unlock: KeyFile, mode: int
) -> None:
    """With the command that mends it."""
    unlock.path.chmod(mode)

    with pytest.raises(KeystoreLocked, match="chmod 600"):
        SoftwareKeystore.open(path, unlock)


@pytest.mark.parametrize("length", [0, 31, 33, 1000])
def test_a_key_file_of_another_length_is_refused(
    path: Path, keystore: SoftwareKeystore, unlock: KeyFile, length: int
) -> None:
    """It is another file, or was cut off."""
    unlock.path.write_bytes(bytes(length))

    with pytest.raises(KeystoreLocked, match="exactly 32 bytes"):
        SoftwareKeystore.open(path, unlock)


def test_what_is_missing_is_named(tmp_path: Path, path: Path, unlock: KeyFile) -> None:
    """The keystore, or the key file."""
    with pytest.raises(KeystoreMissing, match="keystore"):
        SoftwareKeystore.open(path, unlock)
    SoftwareKeystore.create(path, unlock, at=NOW)
    with pytest.raises(KeystoreMissing, match="absent.key"):
        SoftwareKeystore.open(path, KeyFile(tmp_path / "absent.key"))


def test_nothing_is_overwritten(path: Path, unlock: KeyFile, keystore: SoftwareKeystore) -> None:
    """A second init loses no keys."""
    before = path.read_bytes(), unlock.path.read_bytes()

    with pytest.raises(KeystoreExists):
        SoftwareKeystore.create(path, unlock, at=NOW)
    with pytest.raises(KeystoreExists):
        unlock.create()

    assert before == (path.read_bytes(), unlock.path.read_bytes())


def test_a_changed_keystore_does_not_open(path: Path, unlock: KeyFile, keystore: SoftwareKeystore) -> None:
    """A thousand flipped bits: refused with a keystore's error, unless the JSON says the same."""
    keystore.create_root_key("vmware", at=NOW)
    original, randomness = path.read_bytes(), random.Random(5)

    for _ in range(1000):
        changed = bytearray(original)
        bit = randomness.randrange(8 * len(changed))
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            opened = SoftwareKeystore.open(path, unlock)
        except KeystoreError:
            continue
        # White space, or another way to write the same: a digit of the MAC in the other case.
        said = json.loads(bytes(changed))
        assert json.loads(original) == {**said, "mac": said["mac"].lower()}
        opened.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["root_keys"][0].update(state=1),
        lambda content: content["root_keys"].pop(),
        lambda content: content["root_keys"].reverse(),
        lambda content: content.update(revision=1),
        lambda content: content["unlock"].update(check="00" * 16),
        lambda content: content.pop("mac"),
        lambda content: content.pop("unlock"),
        lambda content: content.update(keyrack_keystore=2),
        lambda content: content.update(id=7),
        lambda content: content["root_keys"][0]["versions"][0].update(
            sealed=content["root_keys"][1]["versions"][0]["sealed"]
        ),
    ],
)
def test_a_writer_of_the_file_cannot_change_what_it_says(
    path: Path, unlock: KeyFile, keystore: SoftwareKeystore, change: Callable[[dict[str, object]], object]
) -> None:
    """A disabled root key stays disabled, and none is lost or exchanged unnoticed."""
    for name in ("one", "two"):
        keystore.change(keystore.create_root_key(name, at=NOW).identifier, Action.DISABLE)
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))

    with pytest.raises((KeystoreDamaged, KeystoreLocked), match=str(path)):
        SoftwareKeystore.open(path, unlock)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '{"keyrack_keystore": 1}', "[" * 100_000, "\ud800"])
def test_another_file_is_not_taken_for_a_keystore(path: Path, unlock: KeyFile, text: str) -> None:
    """One clear error, whatever it is."""
    path.write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(KeystoreDamaged, match="does not open"):
        SoftwareKeystore.open(path, unlock)


@pytest.mark.parametrize(
    "parameters",
    [{"n": 1024}, {"n": 2**30}, {"n": 2**17 + 1}, {"p": 1000}, {"r": 1}, {"salt": "00"}, {"kdf": "md5"}, {"n": "x"}],
)
def test_parameters_of_a_stranger_are_not_derived_with(path: Path, parameters: dict[str, object]) -> None:
    """Too cheap ones give a passphrase away, too dear ones take all memory."""
    SoftwareKeystore.create(path, passphrase("words"), at=NOW)
    content = json.loads(path.read_bytes())
    content["unlock"].update(parameters)
    path.write_text(json.dumps(content))

    with pytest.raises(KeystoreDamaged, match="scrypt"):
        SoftwareKeystore.open(path, passphrase("words"))


def test_a_sealed_key_opens_only_as_what_it_was_sealed() -> None:
    """Exchanging two sealed keys within the file would not help, MAC or not."""
    sealing = Sealing.of(secret(bytes(32)), "keystore-1")
    sealed = sealing.seal(secret(b"k" * 32), "root key version 1")

    assert sealing.open(sealed, "root key version 1").matches(secret(b"k" * 32))
    for other, purpose in (
        (sealing, "root key version 2"),
        (Sealing.of(secret(bytes(32)), "keystore-2"), "root key version 1"),
    ):
        with pytest.raises(KeystoreDamaged):
            other.open(sealed, purpose)


def test_another_process_sees_a_change_at_once(path: Path, unlock: KeyFile, keystore: SoftwareKeystore) -> None:
    """One disables, the other refuses; a root key of the one is the other's too."""
    made = keystore.create_root_key("vmware", at=NOW)
    other = SoftwareKeystore.open(path, unlock)
    Actions(other).wrap(made.identifier, secret(bytes(16)))

    keystore.change(made.identifier, Action.DELETE)
    second = keystore.create_root_key("second", at=NOW)

    with pytest.raises(KeyDeleted):
        Actions(other).wrap(made.identifier, secret(bytes(16)))
    Actions(other).wrap(second.identifier, secret(bytes(16)))
    assert {second.newest.identifier} == set(other._ciphers)


def test_processes_that_change_at_the_same_time_lose_nothing(path: Path, unlock: KeyFile) -> None:
    """Four writers, forty root keys."""
    SoftwareKeystore.create(path, unlock, at=NOW)
    program = (
        "import sys; from pathlib import Path;"
        "from keyrack.embedded.root_keys.software import SoftwareKeystore;"
        "from keyrack.embedded.root_keys.unlock import KeyFile;"
        "k = SoftwareKeystore.open(Path(sys.argv[1]), KeyFile(Path(sys.argv[2])));"
        "[k.create_root_key(sys.argv[3], at=1) for _ in range(10)]"
    )
    command = [sys.executable, "-c", program, str(path), str(unlock.path)]
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda name: subprocess.run([*command, name], timeout=60, check=False), "abcd"))

    assert [0] * 4 == [each.returncode for each in done]
    assert sorted("abcd" * 10) == sorted(each.name for each in SoftwareKeystore.open(path, unlock).all())


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_failing_disk_leaves_the_old_keystore_whole(
    path: Path, unlock: KeyFile, keystore: SoftwareKeystore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Full, or gone in the middle: the change is refused, and nothing lies about it."""
    made = keystore.create_root_key("vmware", at=NOW)
    before = path.read_bytes()

    def fails(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fails)
        with pytest.raises(OSError, match="No space"):
            keystore.create_root_key("second", at=NOW)

    assert before == path.read_bytes()
    assert (made,) == keystore.all() == SoftwareKeystore.open(path, unlock).all()
    assert not list(path.parent.glob(".*.new"))


def test_a_keystore_that_vanishes_is_an_error_and_comes_back(path: Path, keystore: SoftwareKeystore) -> None:
    """While it is away nothing is wrapped; put back, it works on."""
    made = keystore.create_root_key("vmware", at=NOW)
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(KeystoreMissing):
        keystore.get(made.identifier)

    path.with_name("elsewhere").rename(path)

    assert made == keystore.get(made.identifier)


def test_a_keystore_of_another_deployment_put_in_its_place_is_refused(
    path: Path, unlock: KeyFile, keystore: SoftwareKeystore
) -> None:
    """Even one that the same key file opens: what is in memory belongs to the first."""
    other = path.with_name("other")
    SoftwareKeystore.create(other, unlock, at=NOW)

    other.rename(path)

    with pytest.raises(KeystoreDamaged):
        keystore.all()


def test_an_unknown_root_key_is_not_found(keystore: SoftwareKeystore) -> None:
    """For every use."""
    uses: list[Callable[[], object]] = [
        lambda: keystore.get("absent"),
        lambda: keystore.rotate("absent", at=NOW),
        lambda: keystore.change("absent", Action.DISABLE),
    ]

    for use in uses:
        with pytest.raises(KeyNotFound):
            use()


def test_the_ways_to_unlock_show_nothing_secret() -> None:
    """Nor does what the keystore notes of them."""
    ways: list[Unlock] = [KeyFile(Path("k")), passphrase("correct horse")]

    for way in ways:
        assert "correct" not in repr(way) + repr(way.prepare())
