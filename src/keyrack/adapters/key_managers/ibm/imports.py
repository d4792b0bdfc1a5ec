"""Key material under an import token, so that it is in clear neither on the way nor at whoever ends TLS."""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keyrack.adapters.key_managers.ibm.answers import broken
from keyrack.domain.secret import Secret, overwrite
from keyrack.ports.key_manager import KeyManagerRefused, Reason

LENGTHS: Final = (16, 24, 32)
"""Bytes of a root key."""
_BLOCK: Final = 16


@dataclass(frozen=True, slots=True)
class Manner:
    """How a service wants imported material encrypted."""

    algorithm: str
    digest: Callable[[], HashAlgorithm]
    seal_nonce: Callable[[Secret, bytes, bytes], bytes]
    """From the material, an initialisation vector and the import token's nonce."""
    iv: int
    """Bytes of the initialisation vector."""


def encrypted(manner: Manner, token: Mapping[str, Any], material: Secret) -> Mapping[str, str]:
    """The fields of a new key that bring ``material`` under an import token; the caller wipes the material.

    Raises :class:`KeyManagerRefused` for material of a wrong length, and :class:`KeyManagerUnavailable` for a token
    that is none.
    """
    if len(material) not in LENGTHS:
        raise KeyManagerRefused(f"a root key has {', '.join(map(str, LENGTHS))} bytes", Reason.REQUEST)
    public, nonce = _read(token)
    digest = manner.digest()
    plain = bytes(material.reveal())  # the one copy, which is overwritten: RSA takes nothing else
    try:
        payload = public.encrypt(plain, OAEP(MGF1(digest), digest, None))
    finally:
        overwrite(plain)
    iv = os.urandom(manner.iv)
    return {
        "payload": _text(payload),
        "encryptedNonce": _text(manner.seal_nonce(material, iv, nonce)),
        "iv": _text(iv),
        "encryptionAlgorithm": manner.algorithm,
    }


def _by_gcm(material: Secret, iv: bytes, nonce: bytes) -> bytes:
    return AESGCM(material.reveal()).encrypt(iv, nonce, None)


def _by_cbc(material: Secret, iv: bytes, nonce: bytes) -> bytes:
    missing = _BLOCK - len(nonce) % _BLOCK
    encryptor = Cipher(AES(material.reveal()), CBC(iv)).encryptor()
    return encryptor.update(nonce + bytes([missing] * missing)) + encryptor.finalize()


OF_KEY_PROTECT: Final = Manner("RSAES_OAEP_SHA_256", SHA256, _by_gcm, 12)
OF_HPCS: Final = Manner("RSAES_OAEP_SHA_1", SHA1, _by_cbc, _BLOCK)


def _read(token: Mapping[str, Any]) -> tuple[RSAPublicKey, bytes]:
    try:
        public = load_pem_public_key(base64.b64decode(token["payload"], validate=True))
        nonce = base64.b64decode(token["nonce"], validate=True)
    except (ValueError, LookupError, TypeError):
        raise broken("a question for the import token", "it has no public key and nonce") from None
    if not isinstance(public, RSAPublicKey):
        raise broken("a question for the import token", "its key is none of RSA")
    return public, nonce


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")
