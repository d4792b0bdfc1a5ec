"""Wrap, unwrap, rewrap and rotate with root keys: Key Protect's actions, and the ciphertext that describes itself."""

import os
import uuid
from collections.abc import Sequence
from functools import lru_cache

from keyrack.domain.secret import Secret
from keyrack.embedded.errors import InvalidField, UnprocessableCiphertext
from keyrack.embedded.keys import Action, RootKeyRecord
from keyrack.embedded.root_keys.port import RootKeys
from keyrack.ports.key_manager import Unwrapped, Wrapped

MOST_PLAINTEXT = 3072
"""Bytes of the longest plaintext: 4,096 digits of base64."""
MOST_AAD_STRINGS = 126
MOST_AAD_LENGTH = 255
MAGIC = b"KRW\x01"
_NONCE = 12
_HEADER = len(MAGIC) + 16


class Actions:
    """What root keys do. Raises the refusals of ``embedded.errors``.

    Each wrap draws a random nonce of 96 bits: rotate a root key long before 2^32 wraps (NIST SP 800-38D, 8.3).
    """

    def __init__(self, root_keys: RootKeys) -> None:
        self._root_keys = root_keys

    def wrap(self, key: str, plaintext: Secret, aad: Sequence[str] = ()) -> Wrapped:
        """Wrap with the newest version; only an active root key does."""
        record = self._root_keys.get(key)
        record.allow(Action.WRAP)
        return self._wrapped(record, plaintext, encoded(aad))

    def unwrap(self, key: str, ciphertext: bytes, aad: Sequence[str] = ()) -> Unwrapped:
        """Unwrap what any version of this root key has wrapped."""
        record = self._root_keys.get(key)
        record.allow(Action.UNWRAP)
        bound = encoded(aad)
        version, plaintext = self._opened(record, ciphertext, bound)
        if version == record.newest.identifier:
            return Unwrapped(plaintext, version)
        return Unwrapped(plaintext, version, self._wrapped(record, plaintext, bound))

    def rewrap(self, key: str, ciphertext: bytes, aad: Sequence[str] = ()) -> Wrapped:
        """The same plaintext under the newest version, without handing it out."""
        record = self._root_keys.get(key)
        record.allow(Action.REWRAP)
        bound = encoded(aad)
        _, plaintext = self._opened(record, ciphertext, bound)
        with plaintext:
            return self._wrapped(record, plaintext, bound)

    def _wrapped(self, record: RootKeyRecord, plaintext: Secret, bound: bytes) -> Wrapped:
        if len(plaintext) > MOST_PLAINTEXT:
            raise InvalidField(f"a root key wraps at most {MOST_PLAINTEXT} bytes")
        version = record.newest.identifier
        header = MAGIC + _raw(version)
        nonce = os.urandom(_NONCE)
        return Wrapped(header + nonce + self._root_keys.encipher(version, nonce, plaintext, header + bound), version)

    def _opened(self, record: RootKeyRecord, ciphertext: bytes, bound: bytes) -> tuple[str, Secret]:
        header, nonce = ciphertext[:_HEADER], ciphertext[_HEADER : _HEADER + _NONCE]
        if len(nonce) != _NONCE or not header.startswith(MAGIC):
            raise UnprocessableCiphertext("the ciphertext is not one that a root key of this key manager has made")
        raw = header[len(MAGIC) :]
        for version in reversed(record.versions):
            if _raw(version.identifier) == raw:
                sealed = ciphertext[_HEADER + _NONCE :]
                return version.identifier, self._root_keys.decipher(version.identifier, nonce, sealed, header + bound)
        raise UnprocessableCiphertext("no version of this root key has made the ciphertext")


def encoded(aad: Sequence[str]) -> bytes:
    """The strings as bytes that no other sequence of strings gives: the length of each, a colon, then all of them."""
    lengths = [len(string) for string in aad]
    if len(lengths) > MOST_AAD_STRINGS or max(lengths, default=0) > MOST_AAD_LENGTH:
        raise InvalidField(f"at most {MOST_AAD_STRINGS} strings of {MOST_AAD_LENGTH} characters bind a ciphertext")
    return f"{','.join(map(str, lengths))}:{''.join(aad)}".encode()


@lru_cache(maxsize=1024)
def _raw(version: str) -> bytes:
    return uuid.UUID(version).bytes
