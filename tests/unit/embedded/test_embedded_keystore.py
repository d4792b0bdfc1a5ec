"""The keystore: one key, sealed; nothing in clear, nothing changed unnoticed, nothing half written."""

import base64
import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.errors import (
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreLocked,
    KeystoreMissing,
)
from keyrack.embedded.root_keys import document
from keyrack.embedded.root_keys import keystore as room
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.sealing import Sealing, derive
from keyrack.embedded.root_keys.unlock import LEAST_MEMORY, KeyFile, Passphrase, Recovered, Unlock

NOW = 1_700_000_000
PURPOSES = ("integrity root", "rows", "payloads", "material", "api keys", "import tokens", "token signing", "anchor")


def secret(octets: bytes) -> Secret:
    return Secret(bytearray(octets))


def passphrase(words: str) -> Passphrase:
    """With as little memory as a keystore may ask for: these tests are many."""
    return Passphrase(secret(words.encode()), memory=LEAST_MEMORY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keystore"


@pytest.fixture
def unlock(tmp_path: Path) -> KeyFile:
    key_file = KeyFile(tmp_path / "keystore.key")
    key_file.create()
    return key_file


@pytest.fixture
def keystore(path: Path, unlock: KeyFile) -> Keystore:
    return Keystore.create(path, unlock, at=NOW)


def keys(keystore: Keystore) -> list[bytes]:
    """What it derives for every purpose."""
    return [bytes(keystore.derived(purpose).reveal()) for purpose in PURPOSES]


def test_it_derives_the_same_keys_after_opening_it_again(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """One for each purpose, all different, and the identifier stays."""
    before = keys(keystore)
    keystore.close()

    again = Keystore.open(path, unlock)

    assert before == keys(again)
    assert len(PURPOSES) == len(set(before))
    assert {32} == {len(key) for key in before}
    assert keystore.identifier == again.identifier


def test_two_keystores_of_one_key_file_have_nothing_in_common(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """Neither their key nor what they derive."""
    other = Keystore.create(path.with_name("other"), unlock, at=NOW)

    assert not set(keys(keystore)) & set(keys(other))


def test_the_derivation_is_the_documented_one(keystore: Keystore) -> None:
    """HKDF-SHA256 with the identifier as its salt, written down again by hand (RFC 5869)."""
    import hashlib
    import hmac

    extracted = hmac.digest(keystore.identifier.encode(), keystore.key().reveal(), hashlib.sha256)
    expanded = hmac.digest(extracted, b"keyrack keystore rows v2\x01", hashlib.sha256)

    assert expanded == bytes(keystore.derived("rows").reveal())


def test_both_files_are_their_owners_alone(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """Mode 0600, after a change too, whatever the umask is."""
    other = KeyFile(path.with_name("other.key"))
    before = os.umask(0)
    try:
        other.create()
        keystore.change_unlock(other, keep=path.with_name("kept"))
    finally:
        os.umask(before)

    files = (path, unlock.path, other.path, path.with_name("kept"))
    assert [0o600] * 4 == [stat.S_IMODE(each.stat().st_mode) for each in files]


def test_no_key_is_in_clear_on_the_disk(tmp_path: Path, path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """Neither the keystore's key nor a derived one nor the master key, in whatever writing; the key file excepted."""
    canaries = [bytes(keystore.key().reveal()), unlock.path.read_bytes(), *keys(keystore)]

    on_disk = b"".join(each.read_bytes() for each in tmp_path.iterdir() if each != unlock.path)

    for canary in canaries:
        for written in (
            canary,
            canary.hex().encode(),
            *(base64.b64encode(canary[skipped:])[:36] for skipped in range(3)),
        ):
            assert written not in on_disk
    assert keystore.identifier.encode() in on_disk


def test_a_passphrase_opens_what_it_has_sealed(path: Path) -> None:
    """And no other passphrase does; Argon2id is as expensive as it is said to be."""
    made = Keystore.create(path, Passphrase(secret(b"correct horse")), at=NOW)

    opened = Keystore.open(path, passphrase("correct horse"))

    assert keys(made) == keys(opened)
    noted = json.loads(path.read_text())["unlock"]
    assert (noted["kdf"], noted["memory_kib"], noted["passes"], noted["lanes"]) == ("argon2id", 262_144, 3, 4)
    with pytest.raises(KeystoreLocked, match="passphrase is not the one"):
        Keystore.open(path, passphrase("battery staple"))
    with pytest.raises(KeystoreLocked, match="empty"):
        Keystore.open(path, passphrase(""))


def test_one_passphrase_never_gives_the_same_master_key() -> None:
    """A salt of its own each time: nobody guesses for two keystores at once."""
    noted = [passphrase("correct horse").prepare() for _ in range(2)]

    assert noted[0]["salt"] != noted[1]["salt"]
    assert {64} == {len(each["salt"]) for each in noted}
    masters = [passphrase("correct horse").master_key(each) for each in noted]
    assert not masters[0].matches(masters[1])


def test_the_memory_for_a_passphrase_that_is_not_there_is_told(path: Path) -> None:
    """A small container: one line, no traceback of an allocator."""
    Keystore.create(path, Passphrase(secret(b"correct horse")), at=NOW)
    program = (
        "import resource, sys; from pathlib import Path;"
        "from keyrack.domain.secret import Secret;"
        "from keyrack.embedded.root_keys.keystore import Keystore;"
        "from keyrack.embedded.root_keys.unlock import Passphrase;"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize();"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 2**27,) * 2);"
        "Keystore.open(Path(sys.argv[1]), Passphrase(Secret(bytearray(b'correct horse'))))"
    )

    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)

    assert "KeystoreLocked" in done.stderr.splitlines()[-1]
    assert "takes 256 MiB of memory to try" in done.stderr.splitlines()[-1]


def test_another_key_file_does_not_open(tmp_path: Path, path: Path, keystore: Keystore) -> None:
    """It is told apart from a damaged keystore."""
    other = KeyFile(tmp_path / "other.key")
    other.create()

    with pytest.raises(KeystoreLocked, match="key file is not the one"):
        Keystore.open(path, other)
    with pytest.raises(KeystoreLocked, match="sealed by a key file, and a passphrase was given"):
        Keystore.open(path, passphrase("words"))


def test_the_key_itself_opens_it_too(path: Path, keystore: Keystore) -> None:
    """As shares give it back; another key does not."""
    opened = Keystore.open(path, Recovered(keystore.key()))

    assert keys(keystore) == keys(opened)
    with pytest.raises(KeystoreLocked, match="shares do not give its key"):
        Keystore.open(path, Recovered(secret(bytes(32))))


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o604, 0o777])
def test_a_key_file_open_to_others_is_refused(path: Path, keystore: Keystore, unlock: KeyFile, mode: int) -> None:
    """With the command that mends it."""
    unlock.path.chmod(mode)

    with pytest.raises(KeystoreLocked, match="chmod 600"):
        Keystore.open(path, unlock)


def test_a_credential_of_the_service_manager_is_a_key_file(path: Path, keystore: Keystore, unlock: KeyFile) -> None:
    """systemd makes them 0440, in a directory that only the service enters."""
    unlock.path.chmod(0o440)

    assert keys(keystore) == keys(Keystore.open(path, unlock))


@pytest.mark.parametrize("length", [0, 31, 33, 1000])
def test_a_key_file_of_another_length_is_refused(path: Path, keystore: Keystore, unlock: KeyFile, length: int) -> None:
    """It is another file, or was cut off."""
    unlock.path.write_bytes(bytes(length))

    with pytest.raises(KeystoreLocked, match="exactly 32 bytes"):
        Keystore.open(path, unlock)


def test_what_is_missing_is_named(tmp_path: Path, path: Path, unlock: KeyFile) -> None:
    """The keystore, or the key file."""
    with pytest.raises(KeystoreMissing, match="keystore"):
        Keystore.open(path, unlock)
    Keystore.create(path, unlock, at=NOW)
    with pytest.raises(KeystoreMissing, match=r"absent\.key"):
        Keystore.open(path, KeyFile(tmp_path / "absent.key"))


def test_nothing_is_overwritten(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """A second init loses no keys; nor does a change that would keep the old file where another one is."""
    before = path.read_bytes(), unlock.path.read_bytes()
    path.with_name("kept").write_text("another")

    with pytest.raises(KeystoreExists):
        Keystore.create(path, unlock, at=NOW)
    with pytest.raises(KeystoreExists):
        unlock.create()
    with pytest.raises(FileExistsError):
        keystore.change_unlock(unlock, keep=path.with_name("kept"))

    assert before == (path.read_bytes(), unlock.path.read_bytes())
    assert path.with_name("kept").read_text() == "another"


def test_a_keystore_that_appears_meanwhile_is_not_overwritten(path: Path, unlock: KeyFile) -> None:
    """Two inits at once: one of them is told."""

    @dataclass(frozen=True)
    class Slow:
        kind: str = "key_file"

        def prepare(self) -> Mapping[str, Any]:
            path.write_text("another's")
            return {}

        def master_key(self, parameters: Mapping[str, Any]) -> Secret:
            return unlock.master_key(parameters)

    with pytest.raises(KeystoreExists):
        Keystore.create(path, Slow(), at=NOW)

    assert "another's" == path.read_text()


def test_every_flipped_bit_is_noticed(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """Each single one of the file: a keystore's error, and never a key."""
    original = path.read_bytes()

    for bit in range(8 * len(original)):
        changed = bytearray(original)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        for opener in (unlock, Recovered(keystore.key())):
            with pytest.raises((KeystoreDamaged, KeystoreLocked)):
                Keystore.open(path, opener)


def test_a_flipped_bit_beside_a_passphrase_is_noticed_too(path: Path) -> None:
    """In whatever Argon2id takes: there a hundred by chance, since each costs a derivation."""
    Keystore.create(path, passphrase("words"), at=NOW)
    original, randomness = path.read_bytes(), random.Random(7)

    for _ in range(100):
        changed = bytearray(original)
        bit = randomness.randrange(8 * len(changed))
        changed[bit // 8] ^= 1 << bit % 8
        if b'"memory_kib": 65536' not in changed:  # a dearer one within the bounds would only take longer
            continue
        path.write_bytes(changed)
        with pytest.raises((KeystoreDamaged, KeystoreLocked)):
            Keystore.open(path, passphrase("words"))


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_keystore_that_was_cut_off_or_grew_is_damaged(
    path: Path, unlock: KeyFile, keystore: Keystore, length: int
) -> None:
    """Wherever."""
    text = path.read_bytes()
    path.write_bytes(text + b" " if length < 0 else text[:-length] if length else b"")

    with pytest.raises(KeystoreDamaged):
        Keystore.open(path, unlock)


def other_than(made: document.Document) -> dict[str, document.Document]:
    """A keystore's document, changed by somebody who knows its form and has no key."""
    return {
        "identifier": replace(made, identifier="6d3cbd4c-6a11-4d5a-9d0e-3f2a0a3c1b11"),
        "age": replace(made, created_at=made.created_at + 1),
        "note": replace(made, unlock={**made.unlock, "note": "harmless"}),
        "check": replace(made, unlock={**made.unlock, "check": "00" * 16}),
        "half a character": replace(made, unlock={**made.unlock, "check": "\ud800"}),
        "no check": replace(made, unlock={"kind": "key_file"}),
        "kind": replace(made, unlock={**made.unlock, "kind": "hsm"}),
        "half a kind": replace(made, unlock={**made.unlock, "kind": "\ud800"}),
        "half an identifier": replace(made, identifier="\ud800"),
        "sealed": replace(made, sealed=bytes(60)),
        "no seal": replace(made, sealed=b""),
        "mac": replace(made, mac=bytes(32)),
        "no mac": replace(made, mac=b""),
    }


@pytest.mark.parametrize("change", sorted(other_than(document.Document(identifier="", created_at=0, unlock={}))))
def test_a_writer_of_the_file_cannot_change_what_it_says(
    path: Path, unlock: KeyFile, keystore: Keystore, change: str
) -> None:
    """Not for the one who has the key file, and not for those who have the shares."""
    path.write_bytes(document.write(other_than(document.read(path.read_bytes()))[change]))

    with pytest.raises((KeystoreDamaged, KeystoreLocked), match=str(path)):
        Keystore.open(path, unlock)
    with pytest.raises((KeystoreDamaged, KeystoreLocked), match=str(path)):
        Keystore.open(path, Recovered(keystore.key()))


def test_the_sealed_key_of_another_keystore_does_not_fit(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """Even under one key file: it is bound to all that the file says."""
    other = path.with_name("other")
    Keystore.create(other, unlock, at=NOW)
    mine, theirs = document.read(path.read_bytes()), document.read(other.read_bytes())
    path.write_bytes(document.write(replace(mine, sealed=theirs.sealed)))

    with pytest.raises(KeystoreDamaged, match="key in it was changed"):
        Keystore.open(path, unlock)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "null", '{"keyrack_keystore": 1}', '{"keyrack_keystore": 2}', "[" * 100_000, "\ud800"],
)
def test_another_file_is_not_taken_for_a_keystore(path: Path, unlock: KeyFile, text: str) -> None:
    """One clear error, whatever it is."""
    path.write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(KeystoreDamaged, match="does not open"):
        Keystore.open(path, unlock)


TEXTS = st.text(st.characters(), max_size=40)  # halves of surrogate pairs as well: JSON can say them
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"keyrack_keystore": st.just(2)},
        optional={
            "id": VALUES | st.just("6d3cbd4c-6a11-4d5a-9d0e-3f2a0a3c1b11"),
            "created_at": VALUES,
            "unlock": VALUES | st.fixed_dictionaries({"kind": st.just("key_file") | TEXTS, "check": VALUES}),
            "sealed": VALUES | st.just("AAAA"),
            "mac": VALUES | st.just("00"),
        },
    )
)
def test_whatever_a_file_says_it_is_only_refused(tmp_path_factory: pytest.TempPathFactory, said: object) -> None:
    """With a keystore's error, and with no other."""
    path = tmp_path_factory.getbasetemp() / "said"
    key_file = KeyFile(path.with_name("said.key"))
    if not key_file.path.exists():
        key_file.create()
    path.write_bytes(json.dumps(said, indent=1).encode() + b"\n")

    for opener in (key_file, Recovered(secret(bytes(32)))):
        with pytest.raises((KeystoreDamaged, KeystoreLocked)):
            Keystore.open(path, opener)


@pytest.mark.parametrize(
    "parameters",
    [
        {"memory_kib": LEAST_MEMORY - 1},
        {"memory_kib": 2**31 - 1},
        {"memory_kib": 1},
        {"memory_kib": "x"},
        {"memory_kib": True},
        {"passes": 2},
        {"passes": 10**6},
        {"lanes": 1},
        {"lanes": 10_000},
        {"salt": "00"},
        {"salt": 7},
        {"kdf": "scrypt"},
    ],
    ids=str,
)
def test_parameters_of_a_stranger_are_not_derived_with(path: Path, parameters: Mapping[str, object]) -> None:
    """Too cheap ones give a passphrase away, too dear ones take all memory."""
    Keystore.create(path, passphrase("words"), at=NOW)
    made = document.read(path.read_bytes())
    path.write_bytes(document.write(replace(made, unlock={**made.unlock, **parameters})))

    with pytest.raises(KeystoreDamaged, match="Argon2id parameters"):
        Keystore.open(path, passphrase("words"))


def test_a_secret_opens_only_as_what_it_was_sealed() -> None:
    """Exchanging two sealed keys would not help; and it is sealed under that very key, wiped or not."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = secret(b"0123456789abcdef" * 2)
    sealing = Sealing(key)
    key.wipe()
    sealed = sealing.seal(secret(b"k" * 32), "root key version 1")

    assert sealing.open(sealed, "root key version 1").matches(secret(b"k" * 32))
    assert AESGCM(b"0123456789abcdef" * 2).decrypt(sealed[:12], sealed[12:], b"root key version 1") == b"k" * 32
    for other, purpose in ((sealing, "root key version 2"), (Sealing(secret(bytes(32))), "root key version 1")):
        with pytest.raises(KeystoreDamaged):
            other.open(sealed, purpose)


def test_closing_waits_for_a_key_that_is_being_derived(keystore: Keystore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key derived from what is being wiped would be a wrong key."""
    right = keystore.derived("rows")
    begun = threading.Event()

    def slowly(key: Secret, salt: str, info: str) -> Secret:
        begun.set()
        time.sleep(0.2)
        return derive(key, salt, info)

    monkeypatch.setattr(room, "derive", slowly)
    with ThreadPoolExecutor() as pool:
        derived = pool.submit(keystore.derived, "rows")
        begun.wait()
        keystore.close()

    assert derived.result().matches(right)


def test_many_threads_derive_at_once(keystore: Keystore) -> None:
    """All the same key; once it is closed, none."""
    right = keystore.derived("rows")

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda _: keystore.derived("rows").matches(right), range(500)))

    keystore.close()
    with pytest.raises(KeystoreLocked, match="is closed"):
        keystore.derived("rows")
    with pytest.raises(KeystoreLocked, match="is closed"):
        keystore.key()


def test_another_unlock_opens_the_same_keys(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """The old one opens no more, except the file that was kept."""
    keystore.change_unlock(passphrase("correct horse"), keep=path.with_name("kept"))

    assert keys(keystore) == keys(Keystore.open(path, passphrase("correct horse")))
    assert "passphrase" == keystore.kind
    with pytest.raises(KeystoreLocked):
        Keystore.open(path, unlock)
    assert keys(keystore) == keys(Keystore.open(path.with_name("kept"), unlock))


@dataclass(frozen=True)
class Forgetful:
    """An unlock that gives another master key each time, as a broken HSM might."""

    kind: str = "key_file"

    def prepare(self) -> Mapping[str, Any]:
        return {}

    def master_key(self, parameters: Mapping[str, Any]) -> Secret:
        master = bytearray(32)
        randomize(master)
        return Secret(master)


def test_an_unlock_that_does_not_open_seals_nothing(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """It is tried before the old file is replaced."""
    before = path.read_bytes()

    with pytest.raises(KeystoreLocked):
        keystore.change_unlock(Forgetful(), keep=path.with_name("kept"))

    assert before == path.read_bytes()
    assert not path.with_name("kept").exists()


def test_a_keystore_that_was_put_in_its_place_is_not_replaced(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """Another one's key would be lost."""
    other = path.with_name("other")
    Keystore.create(other, unlock, at=NOW)
    other.rename(path)
    before = path.read_bytes()

    with pytest.raises(KeystoreDamaged, match="was replaced meanwhile"):
        keystore.change_unlock(passphrase("words"))

    assert before == path.read_bytes()


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_failing_disk_leaves_the_old_keystore_whole(
    path: Path, unlock: KeyFile, keystore: Keystore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Full, or gone in the middle: the change is refused, and nothing lies about it."""
    before = path.read_bytes()

    def fails(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, step, fails)
        with pytest.raises(OSError, match="No space"):
            keystore.change_unlock(passphrase("words"))

    assert before == path.read_bytes()
    assert "key_file" == keystore.kind
    assert not list(path.parent.glob(".*.new"))
    keystore.change_unlock(unlock)


def test_processes_that_change_at_the_same_time_lose_nothing(path: Path, unlock: KeyFile, keystore: Keystore) -> None:
    """Four writers: one wins each time, the others are told, and the file is whole throughout."""
    for name in "abcd":
        KeyFile(path.with_name(name)).create()
    program = (
        "import sys; from pathlib import Path;"
        "from keyrack.embedded.errors import KeystoreDamaged, KeystoreLocked;"
        "from keyrack.embedded.root_keys.keystore import Keystore;"
        "from keyrack.embedded.root_keys.unlock import KeyFile, Recovered;"
        "from keyrack.domain.secret import Secret;\n"
        "for _ in range(20):\n"
        "    k = Keystore.open(Path(sys.argv[1]), Recovered(Secret(bytearray.fromhex(sys.argv[3]))))\n"
        "    try: k.change_unlock(KeyFile(Path(sys.argv[2])))\n"
        "    except KeystoreDamaged: pass\n"
    )
    key = keystore.key().reveal().hex()
    with ThreadPoolExecutor() as pool:
        done = list(
            pool.map(
                lambda name: subprocess.run(
                    [sys.executable, "-c", program, str(path), str(path.with_name(name)), key], timeout=60, check=False
                ),
                "abcd",
            )
        )

    assert [0] * 4 == [each.returncode for each in done]
    opens = [_opens(path, KeyFile(path.with_name(name))) for name in "abcd"]
    assert 1 == sum(opens)


def _opens(path: Path, unlock: Unlock) -> bool:
    try:
        Keystore.open(path, unlock).close()
    except KeystoreError:
        return False
    return True


def test_what_opens_shows_nothing_secret(keystore: Keystore) -> None:
    """Nor does what the keystore notes of it, nor an error."""
    ways: list[Unlock] = [KeyFile(Path("k")), passphrase("correct horse")]
    shown: Callable[[object], str] = repr

    for way in ways:
        assert "correct" not in shown(way) + shown(way.prepare())
    with pytest.raises(KeystoreLocked) as refused:
        Keystore.open(keystore._path, passphrase("correct horse"))
    assert "correct" not in str(refused.value)
    assert keystore.key().reveal().hex() not in shown(Recovered(keystore.key())) + shown(vars(keystore))
