"""Import tokens: an RSA key of an instance, under which key material comes in without being in clear on the way."""

import hmac
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from keyrack.domain.secret import Secret, overwrite
from keyrack.embedded.call import Call
from keyrack.embedded.errors import (
    ImportTokenExpired,
    ImportTokenNotFound,
    IncorrectNonce,
    IncorrectNonceIv,
    InvalidField,
    KeystoreDamaged,
    TooManyRequests,
)
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.instances import ImportToken, KeyManagerInstance
from keyrack.embedded.new_versions import check_material
from keyrack.embedded.root_keys.sealing import Sealing
from keyrack.embedded.store.reading import Reading

SHORTEST, LONGEST = 300, 86_400
"""Seconds for which a token may be valid."""
MOST_RETRIEVALS = 500
BITS = 4096
NONCE = 12
_BLOCK = 16
_MOST_AT_ONCE = 2
"""Tokens that are made, or wait for their turn: each holds one of the few threads that serve every instance."""

_making = threading.Lock()
"""One RSA key at a time: each takes a core for up to some seconds."""
_lining_up = threading.Lock()
_in_line: set[str] = set()
"""The instances whose tokens are being made: one that asks again and again takes nobody else's turn."""


@dataclass(frozen=True, slots=True)
class EncryptedImport:
    """What comes with material that is encrypted under an import token."""

    encrypted_nonce: bytes
    """The token's nonce, encrypted under the material itself."""
    iv: bytes
    algorithm: str
    """``RSAES_OAEP_SHA_256``, with AES-GCM for the nonce, or ``RSAES_OAEP_SHA_1``, with AES-CBC."""


def make(house: House, call: Call, expiration: int = 600, most: int = 1) -> ImportToken:
    """Make a token for ``expiration`` seconds and ``most`` retrievals; it replaces the one that is there."""
    _check_range("expiration", expiration, SHORTEST, LONGEST)
    _check_range("maxAllowedRetrievals", most, 1, MOST_RETRIEVALS)
    with house.reading() as reading:
        reading.allow(call, Right.CREATE_IMPORT_TOKEN)
        reading.instance(call.instance)
    nonce = os.urandom(NONCE)
    public, sealed = _new_pair(house, call.instance, nonce)
    now = house.now
    token = ImportToken(
        sealed=sealed,
        public=public,
        nonce=nonce,
        created_at=now,
        expires_at=now + expiration,
        most_retrievals=most,
    )
    with house.change(call, Right.CREATE_IMPORT_TOKEN.value) as unit:
        unit.allow(call, Right.CREATE_IMPORT_TOKEN)
        unit.put_instance(replace(unit.instance(call.instance), import_token=token))
    return token


def retrieve(house: House, call: Call) -> ImportToken:
    """The instance's token, with this retrieval counted.

    Raises :class:`ImportTokenNotFound`, and :class:`ImportTokenExpired` when its time or its retrievals are over.
    """
    with house.change(call, Right.READ_IMPORT_TOKEN.value) as unit:
        unit.allow(call, Right.READ_IMPORT_TOKEN)
        instance = unit.instance(call.instance)
        token = _valid(instance, house.now)
        if token.retrievals >= token.most_retrievals:
            raise ImportTokenExpired(
                f"The import token was retrieved {token.retrievals} times, as often as it may be: make a new one"
            )
        counted = replace(token, retrievals=token.retrievals + 1)
        unit.put_instance(replace(instance, import_token=counted))
    return counted


def opened(house: House, reading: Reading, call: Call, payload: bytes, encrypted: EncryptedImport) -> Secret:
    """The material in clear, which the caller wipes. The caller has looked whether the caller of the call may import.

    Raises :class:`InvalidField`, :class:`ImportTokenNotFound`, :class:`ImportTokenExpired`, :class:`IncorrectNonce`
    and :class:`IncorrectNonceIv`. It takes some milliseconds: call it with a reading, not within a change.
    """
    if encrypted.algorithm not in _ALGORITHMS:
        raise InvalidField(
            f"The field `encryptionAlgorithm` must be one of {', '.join(_ALGORITHMS)}",
            target=("field", "encryptionAlgorithm"),
        )
    padding, check_nonce = _ALGORITHMS[encrypted.algorithm]
    token = _valid(reading.instance(call.instance), house.now)
    material = _decrypted(_private_key(house, call.instance, token), payload, padding)
    try:
        check_material(material)
        check_nonce(material, encrypted, token.nonce)
    except BaseException:
        material.wipe()
        raise
    return material


def _check_range(field: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise InvalidField(f"The field `{field}` must be from {least} to {most}", target=("field", field))


def _valid(instance: KeyManagerInstance, now: int) -> ImportToken:
    token = instance.import_token
    if token is None:
        raise ImportTokenNotFound("This instance has no import token: make one first")
    if token.expires_at <= now:
        raise ImportTokenExpired("The import token has expired: make a new one, and encrypt the key material with it")
    return token


@contextmanager
def _turn(instance: str) -> Iterator[None]:
    with _lining_up:
        if instance in _in_line or len(_in_line) >= _MOST_AT_ONCE:
            raise TooManyRequests("Too many import tokens are being made: try again in a few seconds")
        _in_line.add(instance)
    try:
        with _making:
            yield
    finally:
        with _lining_up:
            _in_line.discard(instance)


def _new_pair(house: House, instance: str, nonce: bytes) -> tuple[bytes, bytes]:
    """A new public key, in PEM, and its private key, sealed."""
    with _turn(instance):
        private = rsa.generate_private_key(65537, BITS)
    clear = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with house.keystore.derived("import tokens") as key, Secret(bytearray(clear)) as secret:
        overwrite(clear)
        sealed = Sealing(key).seal(secret, _purpose(instance, nonce))
    return private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), sealed


def _private_key(house: House, instance: str, token: ImportToken) -> rsa.RSAPrivateKey:
    with house.keystore.derived("import tokens") as key:
        secret = Sealing(key).open(token.sealed, _purpose(instance, token.nonce), "private key of the import token")
    with secret:
        # Sealed by ourselves: the validation of its primes would hold every other thread up for a third of a second.
        private = load_der_private_key(secret.reveal(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise KeystoreDamaged("the private key of the import token is no RSA key: make a new import token")
    return private


def _purpose(instance: str, nonce: bytes) -> str:
    return f"import token {instance} {nonce.hex()}"


def _decrypted(private: rsa.RSAPrivateKey, payload: bytes, padding: OAEP) -> Secret:
    try:
        clear = private.decrypt(payload, padding)
    except ValueError:
        raise InvalidField(
            "The field `payload` is not key material that was encrypted with the public key of the import token",
            target=("field", "payload"),
        ) from None
    material = Secret(bytearray(clear))
    overwrite(clear)
    return material


def _check_nonce_gcm(material: Secret, encrypted: EncryptedImport, nonce: bytes) -> None:
    try:
        told = AESGCM(material.reveal()).decrypt(encrypted.iv, encrypted.encrypted_nonce, None)
    except (InvalidTag, ValueError):
        raise IncorrectNonceIv(
            "The nonce does not open under this initialisation vector and key material", target=("field", "iv")
        ) from None
    _require_same(told, nonce)


def _check_nonce_cbc(material: Secret, encrypted: EncryptedImport, nonce: bytes) -> None:
    if len(encrypted.iv) != _BLOCK:
        raise IncorrectNonceIv(f"The initialisation vector of AES-CBC has {_BLOCK} bytes", target=("field", "iv"))
    if len(encrypted.encrypted_nonce) != _BLOCK:
        _require_same(b"", nonce)
    decryptor = Cipher(AES(material.reveal()), CBC(encrypted.iv)).decryptor()
    told = decryptor.update(encrypted.encrypted_nonce) + decryptor.finalize()
    # The padding is compared with the rest: an answer that told it apart would decrypt whatever the key encrypts.
    missing = _BLOCK - NONCE
    _require_same(told, nonce + bytes([missing] * missing))


def _require_same(told: bytes, nonce: bytes) -> None:
    if not hmac.compare_digest(told, nonce):
        raise IncorrectNonce(
            "The nonce is not the import token's: encrypt the nonce that came with it",
            target=("field", "encryptedNonce"),
        )


_ALGORITHMS: Mapping[str, tuple[OAEP, Callable[[Secret, EncryptedImport, bytes], None]]] = {
    "RSAES_OAEP_SHA_256": (OAEP(MGF1(SHA256()), SHA256(), None), _check_nonce_gcm),
    "RSAES_OAEP_SHA_1": (OAEP(MGF1(SHA1()), SHA1(), None), _check_nonce_cbc),  # as HPCS has it
}
"""Key Protect's variant, and that of Hyper Protect Crypto Services."""
