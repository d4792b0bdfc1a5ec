"""Where root keys live: software today, a PKCS#11 token later. Their material never crosses this line."""

from collections.abc import Sequence
from typing import Protocol

from keyrack.domain.secret import Secret
from keyrack.embedded.keys import Action, RootKeyRecord


class RootKeys(Protocol):
    """Holds root keys with all their versions, and enciphers with them (AES-256-GCM).

    Raises the refusals of ``embedded.errors``; ``KeystoreError`` or ``OSError`` when the store itself fails.
    """

    def all(self) -> Sequence[RootKeyRecord]:
        """Every root key that was ever created, oldest first."""
        ...

    def get(self, identifier: str) -> RootKeyRecord:
        """The root key as it is now; :class:`~keyrack.embedded.errors.KeyNotFound` where there is none."""
        ...

    def create_root_key(self, name: str, *, at: int) -> RootKeyRecord:
        """A new active root key; durable when this returns."""
        ...

    def rotate(self, identifier: str, *, at: int) -> RootKeyRecord:
        """Give the root key another version, which wraps from now on; durable when this returns."""
        ...

    def change(self, identifier: str, action: Action) -> RootKeyRecord:
        """Disable, enable or delete; durable when this returns."""
        ...

    def encipher(self, version: str, nonce: bytes, plaintext: Secret, aad: bytes) -> bytes:
        """AES-256-GCM under one version: ciphertext and 16 bytes of tag."""
        ...

    def decipher(self, version: str, nonce: bytes, ciphertext: bytes, aad: bytes) -> Secret:
        """The reverse; ``UnprocessableCiphertext`` where the tag does not fit."""
        ...
