"""Rotation: who may, when, with which material; and what it leaves as it was."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keyrack.domain.secret import Secret
from keyrack.embedded import actions, import_tokens, lifecycle
from keyrack.embedded.house import DAY, House
from keyrack.embedded.import_tokens import EncryptedImport
from keyrack.embedded.instances import InstancePolicy, PolicyType
from keyrack.embedded.keys import Key, KeyState
from keyrack.embedded.root_keys.software import SoftwareKeeper
from keyrack.testing.key_houses import INSTANCE, a_call, a_house, an_instance, go_on
from keyrack.testing.some_keys import (
    a_root_key,
    kept,
    refusal,
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    an_instance(house, rings=("first", "second"))
    yield house
    house.close()


def material_of(house: House, key: Key) -> bytes:
    """The material of the newest version, in clear."""
    keeper = house.keepers["software"]
    assert isinstance(keeper, SoftwareKeeper)
    with keeper.material(key.version_name(key.newest), key.newest.kept) as inside:
        return bytes(inside.reveal())


def test_a_rotated_key_wraps_with_the_new_version_and_unwraps_with_the_old(house: House) -> None:
    """Identifier, expiration and old versions stay."""
    key = a_root_key(house, expires_at=house.now + DAY)
    with Secret(bytearray(b"p" * 32)) as plaintext:
        wrapped = actions.wrap(house, a_call(), key.identifier, plaintext)
    go_on(house, 10)
    after = lifecycle.rotate(house, a_call(), key.identifier)

    assert after.versions[:-1] == key.versions
    assert (key.expires_at, house.now, house.now) == (after.expires_at, after.rotated_at, after.updated_at)
    answer = actions.unwrap(house, a_call(), key.identifier, wrapped.ciphertext)
    assert bytes(answer.plaintext.reveal()) == b"p" * 32
    assert (key.newest.identifier, after.newest.identifier) == (answer.version, answer.rewrapped_version)


def test_a_key_rotates_once_an_hour(house: House) -> None:
    """The making of the key does not count, only its last rotation."""
    key = a_root_key(house, created_at=house.now, state_changed_at=house.now)
    lifecycle.rotate(house, a_call(), key.identifier)
    go_on(house, 3599)
    refused = (409, "KEY_ROTATION_NOT_PERMITTED")
    assert refused == refusal(lifecycle.rotate, house, a_call(), key.identifier)
    go_on(house, 1)
    lifecycle.rotate(house, a_call(), key.identifier)


def test_a_deactivated_key_rotates_and_keeps_its_expiration(house: House) -> None:
    """As Key Protect has it; Hyper Protect Crypto Services refuse it."""
    key = a_root_key(house, state=KeyState.DEACTIVATED)
    after = lifecycle.rotate(house, a_call(), key.identifier)
    assert (key.expires_at, KeyState.DEACTIVATED) == (after.expires_at, after.state_at(house.now))


def test_a_generated_key_takes_no_material_and_an_imported_one_needs_some(house: House) -> None:
    """Each refusal has its own code."""
    generated, imported = a_root_key(house), a_root_key(house, imported=True)
    with Secret(bytearray(32)) as material, Secret(bytearray(15)) as short:
        assert (400, "INVALID_QUERY_PARAM_ERR") == refusal(
            lifecycle.rotate, house, a_call(), generated.identifier, material
        )
        assert (400, "INVALID_FIELD_ERR") == refusal(lifecycle.rotate, house, a_call(), imported.identifier, short)
    assert (400, "KEY_PAYLOAD_REQ_ERR") == refusal(lifecycle.rotate, house, a_call(), imported.identifier)
    assert (generated, imported) == (kept(house, generated), kept(house, imported))


@pytest.mark.parametrize("length", [16, 24, 32])
def test_an_imported_key_rotates_with_new_material(house: House, length: int) -> None:
    """Of each length that AES has; what it enciphers, that material deciphers."""
    key = a_root_key(house, imported=True)
    octets = os.urandom(length)
    with Secret(bytearray(octets)) as material:
        after = lifecycle.rotate(house, a_call(), key.identifier, material)
    assert octets == material_of(house, after)


def an_encrypted_import(house: House, material: bytes) -> tuple[Secret, EncryptedImport]:
    """What a client makes of key material and of the instance's import token."""
    import_tokens.make(house, a_call())
    token = import_tokens.retrieve(house, a_call())
    public = load_pem_public_key(token.public)
    assert isinstance(public, RSAPublicKey)
    iv = os.urandom(12)
    payload = public.encrypt(material, OAEP(MGF1(SHA256()), SHA256(), None))
    nonce = AESGCM(material).encrypt(iv, token.nonce, None)
    return Secret(bytearray(payload)), EncryptedImport(nonce, iv, "RSAES_OAEP_SHA_256")


def enforce_token(house: House) -> None:
    """Let the instance take material under an import token alone."""
    policy = InstancePolicy(
        enabled=True, attributes={"enforce_token": True}, created_at=1, created_by="x", updated_at=1, updated_by="x"
    )
    with house.database.change() as unit:
        instance = unit.instance(INSTANCE)
        unit.put_instance(replace(instance, policies={PolicyType.KEY_CREATE_IMPORT_ACCESS: policy}))


def test_an_imported_key_rotates_by_import_token_and_a_wrong_nonce_changes_nothing(house: House) -> None:
    """Where the instance enforces the token, material in clear is refused."""
    key = a_root_key(house, imported=True)
    enforce_token(house)
    material = os.urandom(32)
    payload, encrypted = an_encrypted_import(house, material)
    wrong = replace(encrypted, encrypted_nonce=AESGCM(material).encrypt(encrypted.iv, bytes(12), None))
    with payload, Secret(bytearray(material)) as clear:
        assert (409, "KEY_CREATE_IMPORT_ACCESS_ERR") == refusal(
            lifecycle.rotate, house, a_call(), key.identifier, clear
        )
        assert (400, "INCORRECT_NONCE_ERR") == refusal(
            lifecycle.rotate, house, a_call(), key.identifier, payload, wrong
        )
        after = lifecycle.rotate(house, a_call(), key.identifier, payload, encrypted)
    assert material == material_of(house, after)
