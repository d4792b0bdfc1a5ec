"""The software keeper: material that opens only as the version that it is, and ciphertexts that open only whole."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import InvalidField, KeeperUnavailable, KeystoreDamaged, UnprocessableCiphertext
from keyrack.embedded.root_keys import software
from keyrack.embedded.root_keys.binding import associated
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.port import Enciphered, Keeper, VersionName
from keyrack.embedded.root_keys.sealing import Sealing
from keyrack.embedded.root_keys.software import SoftwareKeeper
from keyrack.embedded.root_keys.unlock import KeyFile

VERSION = VersionName("instance-1", "key-1", "version-1")
OTHERS = (
    replace(VERSION, instance="instance-2"),
    replace(VERSION, key="key-2"),
    replace(VERSION, version="version-2"),
)
PLAIN = b"a key of thirty-two bytes length"


def secret(octets: bytes) -> Secret:
    return Secret(bytearray(octets))


@pytest.fixture
def keystore(tmp_path: Path) -> Keystore:
    unlock = KeyFile(tmp_path / "keystore.key")
    unlock.create()
    return Keystore.create(tmp_path / "keystore", unlock, at=1)


@pytest.fixture
def keeper(keystore: Keystore) -> SoftwareKeeper:
    return SoftwareKeeper(keystore)


def test_it_is_a_keeper(keeper: SoftwareKeeper) -> None:
    """Which answers at once, so that an event loop may wait for it."""
    fits: Keeper = keeper

    assert ("software", True) == (fits.name, fits.prompt)
    fits.probe()


def test_what_it_enciphers_opens_again(keystore: Keystore, keeper: SoftwareKeeper) -> None:
    """Also in another process, which has the keystore and what was kept."""
    kept = keeper.generate(VERSION)
    enciphered = keeper.encipher(VERSION, kept, secret(PLAIN), b"bound")
    keeper.close()

    again = SoftwareKeeper(keystore).decipher(VERSION, kept, enciphered, b"bound")

    assert again.matches(secret(PLAIN))


@pytest.mark.parametrize("length", [16, 24, 32])
def test_imported_material_is_used_as_it_is(keeper: SoftwareKeeper, length: int) -> None:
    """AES-GCM under that very key, as another program deciphers it."""
    material = bytes(range(length))
    imported = secret(material)
    kept = keeper.take(VERSION, imported)
    imported.wipe()

    enciphered = keeper.encipher(VERSION, kept, secret(PLAIN), b"bound")

    assert 12 == len(enciphered.iv)
    assert PLAIN == AESGCM(material).decrypt(enciphered.iv, enciphered.ciphertext, associated(VERSION, b"bound"))


@pytest.mark.parametrize("length", [0, 8, 15, 17, 31, 33, 64])
def test_material_of_another_length_is_refused(keeper: SoftwareKeeper, length: int) -> None:
    """Nothing is padded and nothing is cut."""
    with pytest.raises(InvalidField, match="16, 24 or 32 bytes"):
        keeper.take(VERSION, secret(bytes(length)))


def test_taking_the_same_again_is_harmless(keeper: SoftwareKeeper) -> None:
    """Each answer opens what the other has enciphered."""
    first, second = (keeper.take(VERSION, secret(bytes(32))) for _ in range(2))

    enciphered = keeper.encipher(VERSION, first, secret(PLAIN), b"")

    assert first != second
    assert keeper.decipher(VERSION, second, enciphered, b"").matches(secret(PLAIN))


def test_material_is_new_each_time_and_never_in_clear(keystore: Keystore, keeper: SoftwareKeeper) -> None:
    """Two versions have nothing in common, and what is kept does not show the material."""
    kept = [keeper.generate(VERSION) for _ in range(20)]

    with keystore.derived("material") as key:
        opened = [bytes(Sealing(key).open(each, f"root key version {VERSION}").reveal()) for each in kept]

    assert 20 == len(set(opened))
    assert {32} == {len(material) for material in opened}
    assert not [material for material in opened for each in kept if material in each]


@pytest.mark.parametrize("other", OTHERS, ids=["instance", "key", "version"])
def test_material_opens_only_as_the_version_that_it_is(keeper: SoftwareKeeper, other: VersionName) -> None:
    """Whoever exchanges rows of the database gets a refusal."""
    kept = keeper.generate(VERSION)
    enciphered = keeper.encipher(VERSION, kept, secret(PLAIN), b"")

    with pytest.raises(KeystoreDamaged, match="was changed, or stood elsewhere"):
        keeper.decipher(other, kept, enciphered, b"")
    with pytest.raises(KeystoreDamaged):
        keeper.encipher(other, kept, secret(PLAIN), b"")


def test_every_flipped_bit_of_what_is_kept_is_noticed(keeper: SoftwareKeeper) -> None:
    """With the version's cipher in memory as well: nothing wrong is ever enciphered with."""
    kept = keeper.generate(VERSION)
    keeper.encipher(VERSION, kept, secret(PLAIN), b"")

    for bit in range(8 * len(kept)):
        changed = bytearray(kept)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(KeystoreDamaged):
            keeper.encipher(VERSION, bytes(changed), secret(PLAIN), b"")
    for cut in (b"", kept[:12], kept[:-1], kept + b"\0"):
        with pytest.raises(KeystoreDamaged):
            keeper.encipher(VERSION, cut, secret(PLAIN), b"")


def test_sealed_material_of_another_length_is_damaged(keystore: Keystore, keeper: SoftwareKeeper) -> None:
    """Even if whoever sealed it had the keystore."""
    with keystore.derived("material") as key:
        kept = Sealing(key).seal(secret(bytes(20)), f"root key version {VERSION}")

    with pytest.raises(KeystoreDamaged, match="no length that a key has"):
        keeper.encipher(VERSION, kept, secret(PLAIN), b"")


def test_every_flipped_bit_of_a_ciphertext_is_noticed(keeper: SoftwareKeeper) -> None:
    """Of the nonce, of the ciphertext, of the tag; and what it is bound to."""
    kept = keeper.generate(VERSION)
    good = keeper.encipher(VERSION, kept, secret(PLAIN), b"bound")
    whole = good.iv + good.ciphertext

    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnprocessableCiphertext):
            keeper.decipher(VERSION, kept, Enciphered(bytes(changed[:12]), bytes(changed[12:])), b"bound")
    for bound in (b"", b"boune", b"bound\0"):
        with pytest.raises(UnprocessableCiphertext):
            keeper.decipher(VERSION, kept, good, bound)


@pytest.mark.parametrize("iv", [b"", bytes(8), bytes(11), bytes(13), bytes(16), bytes(100)])
@pytest.mark.parametrize("ciphertext", [b"", bytes(15), bytes(16), bytes(17), bytes(5000)])
def test_a_ciphertext_of_any_form_is_only_refused(keeper: SoftwareKeeper, iv: bytes, ciphertext: bytes) -> None:
    """Never another exception."""
    with pytest.raises(UnprocessableCiphertext):
        keeper.decipher(VERSION, keeper.generate(VERSION), Enciphered(iv, ciphertext), b"")


def test_two_keystores_do_not_open_each_others_material(tmp_path: Path, keeper: SoftwareKeeper) -> None:
    """Under one key file, and for the same version."""
    other = SoftwareKeeper(Keystore.create(tmp_path / "other", KeyFile(tmp_path / "keystore.key"), at=1))

    with pytest.raises(KeystoreDamaged):
        other.encipher(VERSION, keeper.generate(VERSION), secret(PLAIN), b"")


def test_each_use_draws_a_nonce(keeper: SoftwareKeeper) -> None:
    """Never twice under one key."""
    kept = keeper.generate(VERSION)

    drawn = {keeper.encipher(VERSION, kept, secret(PLAIN), b"").iv for _ in range(1000)}

    assert 1000 == len(drawn)


def test_destroying_forgets_the_cipher(keeper: SoftwareKeeper) -> None:
    """Repeated it is harmless, as for a version that was never used."""
    kept = keeper.generate(VERSION)
    keeper.encipher(VERSION, kept, secret(PLAIN), b"")

    for _ in range(2):
        keeper.destroy(VERSION, kept)

    assert not keeper._ciphers


def test_memory_for_ciphers_is_bounded(keeper: SoftwareKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The least used go first."""
    monkeypatch.setattr(software, "MOST_CACHED", 3)
    versions = [replace(VERSION, version=str(number)) for number in range(5)]
    kept = {version: keeper.generate(version) for version in versions}
    for version in versions[:3]:
        keeper.encipher(version, kept[version], secret(PLAIN), b"")
    for version in (versions[0], versions[3], versions[4]):
        keeper.encipher(version, kept[version], secret(PLAIN), b"")

    assert [versions[0], versions[3], versions[4]] == [version for version, _ in keeper._ciphers]


def test_after_its_end_it_refuses_everything(keeper: SoftwareKeeper) -> None:
    """And nothing stays in memory."""
    kept = keeper.generate(VERSION)
    enciphered = keeper.encipher(VERSION, kept, secret(PLAIN), b"")
    keeper.close()
    keeper.close()
    uses: list[Callable[[], object]] = [
        lambda: keeper.generate(VERSION),
        lambda: keeper.take(VERSION, secret(bytes(32))),
        lambda: keeper.encipher(VERSION, kept, secret(PLAIN), b""),
        lambda: keeper.decipher(VERSION, kept, enciphered, b""),
        keeper.probe,
    ]

    for use in uses:
        with pytest.raises(KeeperUnavailable, match="is closed"):
            use()
    assert not keeper._ciphers


def test_64_threads_at_once(keeper: SoftwareKeeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 values through few places in memory: each comes back as it went in."""
    monkeypatch.setattr(software, "MOST_CACHED", 4)
    versions = [replace(VERSION, version=str(number)) for number in range(8)]
    kept = {version: keeper.generate(version) for version in versions}
    begun = threading.Barrier(64)

    def work(worker: int) -> bool:
        begun.wait()
        for turn in range(157):
            version = versions[(worker + turn) % 8]
            value = secret(f"{worker}/{turn}".encode())
            enciphered = keeper.encipher(version, kept[version], value, str(worker).encode())
            if not keeper.decipher(version, kept[version], enciphered, str(worker).encode()).matches(value):
                return False
        return True

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(work, range(64)))
    assert len(keeper._ciphers) <= 4
