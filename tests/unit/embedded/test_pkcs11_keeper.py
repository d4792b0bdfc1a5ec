"""The keeper in an HSM: what it enciphers opens under the same version and strings alone, and keys never leave.

SoftHSM2 is the HSM; both mechanisms are tried on it.
"""

import os
import resource
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import InvalidField, KeeperUnavailable, KeystoreDamaged, UnprocessableCiphertext
from keyrack.embedded.root_keys.binding import associated
from keyrack.embedded.root_keys.pkcs11 import LONGEST, Pkcs11Keeper
from keyrack.embedded.root_keys.port import Enciphered, Keeper, VersionName
from keyrack.testing.canaries import in_memory
from keyrack.testing.softhsm import SoftHsm, absent

pytestmark = pytest.mark.skipif(absent() is not None, reason=str(absent()))

with_tool = pytest.mark.skipif(shutil.which("pkcs11-tool") is None, reason="no pkcs11-tool: apt install opensc")

PLAIN = b"a key of thirty-two bytes length"


def secret(octets: bytes) -> Secret:
    return Secret(bytearray(octets))


def a_version() -> VersionName:
    return VersionName(str(uuid.uuid4()), str(uuid.uuid4()), str(uuid.uuid4()))


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    return SoftHsm.create(tmp_path_factory.mktemp("hsm"))


@pytest.fixture(scope="module", params=["gcm", "kwp"])
def keeper(hsm: SoftHsm, request: pytest.FixtureRequest) -> Iterator[Pkcs11Keeper]:
    keeper = Pkcs11Keeper(hsm.settings(mechanism=request.param, timeout=20.0))
    yield keeper
    keeper.close()


@pytest.fixture(scope="module")
def gcm(hsm: SoftHsm) -> Iterator[Pkcs11Keeper]:
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))
    yield keeper
    keeper.close()


def opened(keeper: Pkcs11Keeper, version: VersionName, enciphered: Enciphered, bound: bytes = b"bound") -> bytes:
    with keeper.decipher(version, b"", enciphered, bound) as plaintext:
        return bytes(plaintext.reveal())


def process_of(keeper: Pkcs11Keeper) -> int:
    keeper.probe()
    process = keeper._line._process
    assert process is not None
    return process.pid


def test_it_is_a_keeper(keeper: Pkcs11Keeper) -> None:
    """Which may wait, so that no event loop waits for it."""
    fits: Keeper = keeper

    assert ("pkcs11", False) == (fits.name, fits.prompt)
    fits.probe()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 15, 16, 17, 32, 7500, LONGEST])
def test_what_it_enciphers_opens_again(keeper: Pkcs11Keeper, length: int) -> None:
    """Of any length; the database keeps nothing of the key."""
    version = a_version()
    plaintext = os.urandom(length)
    assert b"" == keeper.generate(version)

    enciphered = keeper.encipher(version, b"", secret(plaintext), b"bound")

    assert plaintext == opened(keeper, version, enciphered)
    assert plaintext not in enciphered.ciphertext or length < 8


def test_a_plaintext_that_is_too_long_is_refused(keeper: Pkcs11Keeper) -> None:
    """Before it goes anywhere."""
    with pytest.raises(InvalidField):
        keeper.encipher(a_version(), b"", secret(bytes(LONGEST + 1)), b"")
    with pytest.raises(UnprocessableCiphertext):
        keeper.decipher(a_version(), b"", Enciphered(bytes(12), bytes(LONGEST + 99)), b"")


def test_it_opens_under_nothing_else(keeper: Pkcs11Keeper) -> None:
    """Neither other strings, nor another version, key or instance, although the same material lies under each."""
    version = a_version()
    others = [
        replace(version, version=str(uuid.uuid4())),
        replace(version, key=str(uuid.uuid4())),
        replace(version, instance=str(uuid.uuid4())),
    ]
    for each in (version, *others[:2]):
        keeper.take(each, secret(PLAIN))
    enciphered = keeper.encipher(version, b"", secret(PLAIN), b"bound")

    for other in others:
        with pytest.raises(UnprocessableCiphertext):
            opened(keeper, other, enciphered)
    for bound in (b"", b"boun", b"bound\0", b"Bound"):
        with pytest.raises(UnprocessableCiphertext):
            opened(keeper, version, enciphered, bound)
    assert PLAIN == opened(keeper, version, enciphered)


def test_each_bit_counts(keeper: Pkcs11Keeper) -> None:
    """A ciphertext that was changed, cut or lengthened does not open, and the keeper works on in the same process."""
    version = a_version()
    keeper.generate(version)
    whole = keeper.encipher(version, b"", secret(PLAIN), b"bound")
    before = process_of(keeper)
    changed = [
        replace(whole, ciphertext=bytes(octet ^ (place == where) for where, octet in enumerate(whole.ciphertext)))
        for place in range(len(whole.ciphertext))
    ]
    changed += [replace(whole, ciphertext=whole.ciphertext[:length]) for length in (0, 8, 15, 16, 24, 32, 40)]
    changed += [replace(whole, ciphertext=whole.ciphertext + bytes(8)), replace(whole, iv=bytes(12))]
    changed += [replace(whole, iv=b"" if whole.iv else bytes(12)), replace(whole, iv=bytes(11))]

    for each in changed:
        with pytest.raises(UnprocessableCiphertext):
            opened(keeper, version, each)

    assert PLAIN == opened(keeper, version, whole)
    assert before == process_of(keeper)


def test_the_same_plaintext_is_never_enciphered_alike_with_gcm(gcm: Pkcs11Keeper) -> None:
    """Each has a nonce of its own; key wrap needs none."""
    version = a_version()
    gcm.generate(version)

    nonces = {gcm.encipher(version, b"", secret(PLAIN), b"").iv for _ in range(200)}

    assert 200 == len(nonces)
    assert {12} == set(map(len, nonces))


@pytest.mark.parametrize(("before", "after"), [("gcm", "kwp"), ("kwp", "gcm")])
def test_a_ciphertext_outlives_a_change_of_the_mechanism(hsm: SoftHsm, before: str, after: str) -> None:
    """Each key goes on with the mechanism that it was made for."""
    version = a_version()
    old, new = (Pkcs11Keeper(hsm.settings(mechanism=each, timeout=20.0)) for each in (before, after))
    old.generate(version)
    enciphered = old.encipher(version, b"", secret(PLAIN), b"bound")

    assert PLAIN == opened(new, version, enciphered)
    assert PLAIN == opened(old, version, new.encipher(version, b"", secret(PLAIN), b"bound"))
    assert (before == "kwp") == (enciphered.iv == b"")
    old.close()
    new.close()


def test_generating_again_finds_the_key(keeper: Pkcs11Keeper) -> None:
    """A repeated request makes no second key, and the first one's ciphertexts open."""
    version = a_version()
    keeper.generate(version)
    enciphered = keeper.encipher(version, b"", secret(PLAIN), b"bound")

    keeper.generate(version)

    assert PLAIN == opened(keeper, version, enciphered)


@pytest.mark.parametrize("length", [16, 24, 32])
def test_imported_material_is_what_it_is(keeper: Pkcs11Keeper, length: int) -> None:
    """Whoever has the material opens what the HSM has enciphered, and taking it once more is harmless."""
    version = a_version()
    material = os.urandom(length)

    assert b"" == keeper.take(version, secret(material))
    assert b"" == keeper.take(version, secret(material))

    enciphered = keeper.encipher(version, b"", secret(PLAIN), b"bound")
    if enciphered.iv:
        context = associated(version, b"bound")
        assert PLAIN == AESGCM(material).decrypt(enciphered.iv, enciphered.ciphertext, context)
    assert PLAIN == opened(keeper, version, enciphered)


def test_other_material_under_the_same_name_is_refused(keeper: Pkcs11Keeper) -> None:
    """What is there stays."""
    version = a_version()
    keeper.take(version, secret(PLAIN))
    enciphered = keeper.encipher(version, b"", secret(b"text"), b"bound")

    with pytest.raises(KeystoreDamaged, match="another key than the imported one"):
        keeper.take(version, secret(PLAIN[::-1]))
    with pytest.raises(KeystoreDamaged):
        keeper.take(version, secret(PLAIN[:16]))

    assert b"text" == opened(keeper, version, enciphered)


def test_material_has_the_length_of_an_aes_key(keeper: Pkcs11Keeper) -> None:
    """16, 24 or 32 bytes."""
    for length in (0, 15, 31, 33):
        with pytest.raises(InvalidField):
            keeper.take(a_version(), secret(bytes(length)))


def test_what_software_has_enciphered_opens_after_its_material_was_moved(keeper: Pkcs11Keeper) -> None:
    """Whichever mechanism enciphers now."""
    version = a_version()
    material, nonce = os.urandom(32), os.urandom(12)
    ciphertext = AESGCM(material).encrypt(nonce, PLAIN, associated(version, b"bound"))

    keeper.take(version, secret(material))

    assert PLAIN == opened(keeper, version, Enciphered(nonce, ciphertext))


def test_a_destroyed_key_is_gone(keeper: Pkcs11Keeper) -> None:
    """From all handles; destroying it once more is harmless."""
    version = a_version()
    keeper.generate(version)
    enciphered = keeper.encipher(version, b"", secret(PLAIN), b"bound")

    keeper.destroy(version, b"")
    keeper.destroy(version, b"")

    with pytest.raises(KeystoreDamaged, match="deleted there"):
        opened(keeper, version, enciphered)
    with pytest.raises(KeystoreDamaged):
        keeper.encipher(version, b"", secret(PLAIN), b"bound")


def test_a_key_that_another_process_has_destroyed_is_gone_here_too(hsm: SoftHsm, gcm: Pkcs11Keeper) -> None:
    """Although its handle was known: the failure is not taken for a wrong ciphertext, which would be final."""
    version = a_version()
    gcm.generate(version)
    enciphered = gcm.encipher(version, b"", secret(PLAIN), b"bound")
    other = Pkcs11Keeper(hsm.settings(timeout=20.0))
    assert PLAIN == opened(other, version, enciphered)

    other.destroy(version, b"")
    other.close()

    with pytest.raises(KeystoreDamaged):
        opened(gcm, version, enciphered)


def test_a_new_key_is_seen_by_all_processes(hsm: SoftHsm, gcm: Pkcs11Keeper) -> None:
    """Workers of one server have a session each."""
    other = Pkcs11Keeper(hsm.settings(timeout=20.0))
    other.probe()
    version = a_version()

    gcm.generate(version)

    assert PLAIN == opened(other, version, gcm.encipher(version, b"", secret(PLAIN), b"bound"))
    other.close()


@with_tool
def test_an_administrator_finds_the_key_and_cannot_read_it(hsm: SoftHsm, keeper: Pkcs11Keeper) -> None:
    """By key and version, with another program than ours: sensitive, never extractable, made inside."""
    version = a_version()
    keeper.generate(version)
    identifier = version.version.replace("-", "")

    shown = hsm.tool("--list-objects", "--type", "secrkey", "--id", identifier)
    read = hsm.tool("--read-object", "--type", "secrkey", "--id", identifier)

    assert f"keyrack {version.key}" in shown
    assert "sensitive, always sensitive, never extractable, local" in shown
    assert "encrypt, decrypt" in shown or "wrap, unwrap" in shown
    assert "CKR_ATTRIBUTE_SENSITIVE" in read


@with_tool
def test_an_imported_key_cannot_be_read_either(hsm: SoftHsm, keeper: Pkcs11Keeper) -> None:
    """It was outside once, so it is not called never extractable."""
    version = a_version()
    keeper.take(version, secret(PLAIN))
    identifier = version.version.replace("-", "")

    shown = hsm.tool("--list-objects", "--type", "secrkey", "--id", identifier)
    read = hsm.tool("--read-object", "--type", "secrkey", "--id", identifier)

    assert "Access:     sensitive" in shown
    assert "sign" not in shown
    assert "CKR_ATTRIBUTE_SENSITIVE" in read


def test_its_process_does_not_tell_the_pin(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor other secrets of the server: neither in its arguments nor in its environment, and it dumps no core."""
    monkeypatch.setenv("KEYRACK_PASSPHRASE", "open sesame")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/keyrack")
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0))
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    place = Path("/proc") / str(process_of(keeper))
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))

    try:
        told = (place / "cmdline").read_bytes() + (place / "environ").read_bytes()
    except PermissionError:
        pytest.skip("only root looks into a process that is not dumpable")

    assert b"token_process" in told
    for secret_text in (hsm.pin(), "open sesame", "/run/credentials", str(hsm.pin_file)):
        assert secret_text.encode() not in told
    assert "Max core file size        0" in (place / "limits").read_text()
    assert 1 == len(list((place / "task").iterdir()))
    keeper.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root looks into a process that is not dumpable")
def test_its_process_keeps_neither_plaintexts_nor_material_nor_the_pin(hsm: SoftHsm, keeper: Pkcs11Keeper) -> None:
    """After many keys have passed, none is left in its memory, freed or not."""
    version = a_version()
    material = os.urandom(32)
    keeper.take(version, secret(material))
    plaintexts = [os.urandom(length) for length in (16, 32, 100, 300, 513, 1000, 3000, 7000) * 3]
    for plaintext in plaintexts:
        enciphered = keeper.encipher(version, b"", secret(plaintext), b"bound")
        assert plaintext == opened(keeper, version, enciphered)
        with pytest.raises(UnprocessableCiphertext):
            opened(keeper, version, enciphered, b"other")
    everything = [*plaintexts, material, hsm.pin().encode()]

    found = in_memory(everything, process_of(keeper))

    assert {} == {each: count for each, count in found.items() if count}


def test_after_the_end_it_is_not_usable(hsm: SoftHsm) -> None:
    """And ending it once more is harmless; its process is gone."""
    keeper = Pkcs11Keeper(hsm.settings())
    process = process_of(keeper)

    keeper.close()
    keeper.close()

    assert not Path(f"/proc/{process}").exists()
    with pytest.raises(KeeperUnavailable, match="closed"):
        keeper.probe()


def test_a_keeper_that_was_never_asked_has_no_process(hsm: SoftHsm) -> None:
    """It starts with the first request."""
    keeper = Pkcs11Keeper(hsm.settings())

    assert keeper._line._process is None
    keeper.close()
