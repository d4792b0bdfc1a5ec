"""The keys that a master key gives for one keystore: one seals, one authenticates the file, one tells masters apart."""

import hashlib
import hmac
import os
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged

NONCE = 12
TAG = 16


class Sealing:
    """Seals keys for one keystore with AES-256-GCM, each bound to what it is and where it stands."""

    __slots__ = ("_cipher", "check", "mac_key")

    def __init__(self, cipher: AESGCM, mac_key: Secret, check: str) -> None:
        self._cipher = cipher
        self.mac_key = mac_key
        self.check = check
        """Tells whether a master key is the right one, without telling anything of it."""

    @classmethod
    def of(cls, master: Secret, keystore: str) -> Self:
        """Derive the three keys; the master key stays the caller's, who wipes it."""
        with (
            _derived(master, keystore, "seal") as seal,
            _derived(master, keystore, "check") as check,
        ):
            told = hmac.digest(check.reveal(), keystore.encode(), hashlib.sha256)[:16].hex()
            return cls(AESGCM(seal.reveal()), _derived(master, keystore, "mac"), told)

    def seal(self, material: Secret, purpose: str) -> bytes:
        """Nonce, ciphertext and tag; ``purpose`` says which key it is and must be said again to open."""
        nonce = os.urandom(NONCE)
        return nonce + self._cipher.encrypt(nonce, material.reveal(), purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> Secret:
        """The key again; :class:`KeystoreDamaged` where it was changed or stood elsewhere."""
        buffer = Secret(bytearray(max(len(sealed) - NONCE - TAG, 0)))
        try:
            self._cipher.decrypt_into(sealed[:NONCE], sealed[NONCE:], purpose.encode(), buffer.reveal())
        except (InvalidTag, ValueError):
            buffer.wipe()  # GCM deciphers before it knows that the tag is wrong.
            raise KeystoreDamaged(f"the {purpose} in it does not open: restore it from a backup") from None
        return buffer

    def wipe(self) -> None:
        """Forget what can be forgotten; OpenSSL clears the cipher's key when the object goes."""
        self.mac_key.wipe()


def _derived(master: Secret, keystore: str, purpose: str) -> Secret:
    derived = bytearray(32)
    info = f"keyrack keystore {purpose} v1".encode()
    HKDF(algorithm=SHA256(), length=32, salt=keystore.encode(), info=info).derive_into(master.reveal(), derived)
    return Secret(derived)
