"""Wrap, unwrap, rewrap and rotate with root keys: Key Protect's actions, and the ciphertext that describes itself."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import InvalidField, UnprocessableCiphertext
from keyrack.embedded.keys import Action, RootKeyRecord
from keyrack.embedded.root_keys.port import RootKeys

MOST_PLAINTEXT = 3072
"""Bytes of the longest plaintext: 4,096 digits of base64."""
MOST_AAD_STRINGS = 126
MOST_AAD_LENGTH = 255
MAGIC = b"KRW\x01"
_NONCE = 12
_HEADER = len(MAGIC) + 16


@dataclass(frozen=True, slots=True)
class WrapResult:
    """A ciphertext, and the version of the root key that made it."""

    ciphertext: bytes
    version: str


@dataclass(frozen=True, slots=True)
class UnwrapResult:
    """A plaintext, the version that had wrapped it, and a new ciphertext where that version is no longer the newest."""

    plaintext: Secret
    version: str
    rewrapped: WrapResult | None


class Actions:
    """What root keys do. Raises the refusals of ``embedded.errors``.

    Each wrap draws a random nonce of 96 bits: rotate a root key long before 2^32 wraps (NIST SP 800-38D, 8.3).
    """

    def __init__(self, root_keys: RootKeys) -> None:
        self._root_keys = root_keys

    def wrap(self, key: str, plaintext: Secret, aad: Sequence[str] = ()) -> WrapResult:
        """Wrap with the newest version; only an active root key does."""
        record = self._root_keys.get(key)
        record.allow(Action.WRAP)
        return self._wrapped(record, plaintext, encoded(aad))

    def unwrap(self, key: str, ciphertext: bytes, aad: Sequence[str] = ()) -> UnwrapResult:
        """Unwrap what any version of this root key has wrapped."""
        record = self._root_keys.get(key)
        record.allow(Action.UNWRAP)
        bound = encoded(aad)
        version, plaintext = self._opened(record, ciphertext, bound)
        if version == record.newest.identifier:
            return UnwrapResult(plaintext, version, None)
        return UnwrapResult(plaintext, version, self._wrapped(record, plaintext, bound))

    def rewrap(self, key: str, ciphertext: bytes, aad: Sequence[str] = ()) -> WrapResult:
        """The same plaintext under the newest version, without handing it out."""
        record = self._root_keys.get(key)
        record.allow(Action.REWRAP)
        bound = encoded(aad)
        _, plaintext = self._opened(record, ciphertext, bound)
        with plaintext:
            return self._wrapped(record, plaintext, bound)

    def _wrapped(self, record: RootKeyRecord, plaintext: Secret, bound: bytes) -> WrapResult:
        if len(plaintext) > MOST_PLAINTEXT:
            raise InvalidField(f"a root key wraps at most {MOST_PLAINTEXT} bytes")
        version = record.newest.identifier
        header = MAGIC + uuid.UUID(version).bytes
        nonce = os.urandom(_NONCE)
        return WrapResult(header + nonce + self._root_keys.encipher(version, nonce, plaintext, header + bound), version)

    def _opened(self, record: RootKeyRecord, ciphertext: bytes, bound: bytes) -> tuple[str, Secret]:
        header, nonce = ciphertext[:_HEADER], ciphertext[_HEADER : _HEADER + _NONCE]
        if len(nonce) != _NONCE or not header.startswith(MAGIC):
            raise UnprocessableCiphertext("the ciphertext is not one that a root key of this key manager has made")
        version = str(uuid.UUID(bytes=header[len(MAGIC) :]))
        if all(version != known.identifier for known in record.versions):
            raise UnprocessableCiphertext("no version of this root key has made the ciphertext")
        sealed = ciphertext[_HEADER + _NONCE :]
        return version, self._root_keys.decipher(version, nonce, sealed, header + bound)


def encoded(aad: Sequence[str]) -> bytes:
    """The strings as bytes that no other sequence of strings gives: their number, then each with its length."""
    if len(aad) > MOST_AAD_STRINGS or any(len(string) > MOST_AAD_LENGTH for string in aad):
        raise InvalidField(
            f"at most {MOST_AAD_STRINGS} strings of {MOST_AAD_LENGTH} characters can be bound to a ciphertext"
        )
    parts = [len(aad).to_bytes(2)]
    for string in aad:
        octets = string.encode()
        parts += (len(octets).to_bytes(2), octets)
    return b"".join(parts)
