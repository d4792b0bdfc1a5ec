"""Payloads of standard keys at rest: sealed, each bound to its instance, its key ring and its key."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.keys import Key
from keyrack.embedded.root_keys.keystore import Keystore

NONCE = 12
TAG = 16


class Payloads:
    """Seals and opens with a key of the keystore (AES-256-GCM)."""

    def __init__(self, keystore: Keystore) -> None:
        with keystore.derived("payloads") as key:
            self._cipher: AESGCM | None = AESGCM(key.reveal())

    def seal(self, key: Key, payload: Secret) -> bytes:
        """The payload for this key in this ring; moving the key means sealing anew."""
        nonce = os.urandom(NONCE)
        return nonce + self._ready().encrypt(nonce, payload.reveal(), _bound(key))

    def open(self, key: Key) -> Secret:
        """The payload of a standard key, which the caller wipes; raises :class:`KeystoreDamaged`."""
        buffer = Secret(bytearray(max(len(key.payload) - NONCE - TAG, 0)))
        try:
            self._ready().decrypt_into(key.payload[:NONCE], key.payload[NONCE:], _bound(key), buffer.reveal())
        except (InvalidTag, ValueError):
            buffer.wipe()  # GCM deciphers before it knows that the tag is wrong.
            raise KeystoreDamaged(
                f"the payload of the standard key {key.identifier} was changed: restore the database from a backup"
            ) from None
        return buffer

    def close(self) -> None:
        """Forget the key."""
        self._cipher = None

    def _ready(self) -> AESGCM:
        if self._cipher is None:
            raise KeystoreDamaged("the keystore is closed")
        return self._cipher


def _bound(key: Key) -> bytes:
    return f"standard key\0{key.instance}\0{key.ring}\0{key.identifier}".encode()
