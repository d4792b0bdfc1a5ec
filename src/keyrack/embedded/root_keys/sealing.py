"""Seals secrets with AES-256-GCM, each bound to what it is, and derives keys for one purpose each."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged

KEY = 32
"""Length of every key here, in bytes: AES-256."""
NONCE = 12
TAG = 16


class Sealing:
    """Seals under one key; thread-safe. OpenSSL keeps the key in its schedule and clears it when this object goes."""

    __slots__ = ("_cipher",)

    def __init__(self, key: Secret) -> None:
        """``key`` has 32 bytes and stays the caller's, who wipes it."""
        self._cipher = AESGCM(key.reveal())

    def seal(self, material: Secret, purpose: str) -> bytes:
        """Nonce, ciphertext and tag; ``purpose`` says what it is and must be said again to open."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, material.reveal(), purpose.encode())

    def open(self, sealed: bytes, purpose: str, what: str = "") -> Secret:
        """The secret again; :class:`KeystoreDamaged` where it was changed or stood elsewhere.

        ``what`` names it in the error; without it ``purpose`` does.
        """
        buffer = Secret(bytearray(max(len(sealed) - NONCE - TAG, 0)))
        try:
            self._cipher.decrypt_into(sealed[:NONCE], sealed[NONCE:], purpose.encode(), buffer.reveal())
        except (InvalidTag, ValueError):
            buffer.wipe()  # GCM deciphers before it knows that the tag is wrong.
            raise KeystoreDamaged(
                f"the {what or purpose} was changed, or stood elsewhere: restore it from a backup"
            ) from None
        return buffer


def derive(key: Secret, salt: str, info: str) -> Secret:
    """A key of its own for the purpose that ``info`` names (HKDF-SHA256, RFC 5869); the caller wipes it."""
    derived = bytearray(KEY)
    HKDF(algorithm=SHA256(), length=KEY, salt=salt.encode(), info=info.encode()).derive_into(key.reveal(), derived)
    return Secret(derived)
