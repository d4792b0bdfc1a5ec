"""How a key inside an HSM enciphers: AES-GCM, or AES key wrap where the HSM does not do GCM with a nonce of ours.

Runs in the process that holds the HSM alone. ``context`` is 32 bytes that stand for all that a ciphertext is bound to.
"""

import hmac
import os
from dataclasses import dataclass
from typing import Any, Protocol

from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass, PKCS11Error

from keyrack.domain.secret import overwrite, wipe

NONCE = 12
TAG = 16
BLOCK = 8
SALT = 16
"""Random bytes that key wrap gets along: without them equal plaintexts would show as equal ciphertexts."""
INSIDE = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False, Attribute.PRIVATE: True}
"""What every key has that is to stay inside."""
_PASSING = {Attribute.TOKEN: False, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
"""What a plaintext has for the moment that it lies in the session as if it were a key."""
_CANARY = bytes(range(32))
_OURS, _ANOTHERS = b"\x5a" * 32, b"\xa5" * 32


class DoesNotOpen(Exception):
    """The ciphertext opens, or half opens, and is not what it should be."""


class Cipher(Protocol):
    """One way to encipher with a key of an HSM. Both methods raise ``PKCS11Error`` where the HSM says no."""

    @property
    def label(self) -> str:
        """The mechanism's name in PKCS#11."""
        ...

    @property
    def uses(self) -> MechanismFlag:
        """What the key must be allowed to do."""
        ...

    def encipher(self, key: Any, context: bytes, plaintext: memoryview) -> tuple[bytes, bytes]:
        """Nonce and ciphertext."""
        ...

    def decipher(self, key: Any, context: bytes, nonce: bytes, ciphertext: bytes) -> bytearray:
        """The plaintext, which the caller wipes; raises :class:`DoesNotOpen` too."""
        ...


@dataclass(frozen=True, slots=True)
class Gcm:
    """AES-256-GCM: a random nonce of 12 bytes, a tag of 16, the context as associated data."""

    label: str = "AES_GCM"
    uses: MechanismFlag = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT

    def encipher(self, key: Any, context: bytes, plaintext: memoryview) -> tuple[bytes, bytes]:
        """Some HSMs put a nonce of their own over ours: the length tells, or that ours has changed in place."""
        nonce = os.urandom(NONCE)
        given = bytes(bytearray(nonce))
        ciphertext = _encrypted(key, given, context, plaintext)
        if given != nonce or len(ciphertext) != len(plaintext) + TAG:
            raise DoesNotOpen("the HSM does not take the nonce that it is given")
        return nonce, ciphertext

    def decipher(self, key: Any, context: bytes, nonce: bytes, ciphertext: bytes) -> bytearray:
        """GCM checks the context."""
        if len(nonce) != NONCE or len(ciphertext) < TAG:
            raise DoesNotOpen("it is too short")
        parameters = GCMParams(nonce, context, TAG * 8)
        return _moved(key.decrypt(ciphertext, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))


@dataclass(frozen=True, slots=True)
class KeyWrap:
    """AES key wrap. It has no associated data, so half of the context is enciphered too and compared afterwards; and it
    is deterministic, so a salt goes along.

    What is wrapped is padded to whole blocks here, since makers understand the padding of PKCS#11 differently.
    """

    label: str
    mechanism: Mechanism
    uses: MechanismFlag = MechanismFlag.WRAP | MechanismFlag.UNWRAP

    def encipher(self, key: Any, context: bytes, plaintext: memoryview) -> tuple[bytes, bytes]:
        """An HSM wraps only what lies in it as a key, so the plaintext becomes one for a moment."""
        value = _padded(plaintext, context)
        try:
            passing = key.session.create_object(
                {
                    Attribute.CLASS: ObjectClass.SECRET_KEY,
                    Attribute.KEY_TYPE: KeyType.GENERIC_SECRET,
                    Attribute.VALUE: value,
                    **_PASSING,
                }
            )
        finally:
            overwrite(value)
        try:
            return b"", bytes(key.wrap_key(passing, mechanism=self.mechanism))
        finally:
            passing.destroy()

    def decipher(self, key: Any, context: bytes, nonce: bytes, ciphertext: bytes) -> bytearray:
        """Unwrap into a key of the session, read it, and compare its context."""
        if nonce or len(ciphertext) < SALT + TAG + 2 * BLOCK or len(ciphertext) % BLOCK:
            raise DoesNotOpen("it is of another length than a wrapped key")
        passing = key.unwrap_key(
            ObjectClass.SECRET_KEY,
            KeyType.GENERIC_SECRET,
            ciphertext,
            mechanism=self.mechanism,
            capabilities=MechanismFlag(0),
            template=_PASSING,
        )
        try:
            value = _moved(passing[Attribute.VALUE])
        finally:
            passing.destroy()
        return _unpadded(value, context)


GCM = Gcm()
KEY_WRAPS = (
    KeyWrap("AES_KEY_WRAP_KWP", Mechanism.AES_KEY_WRAP_KWP),
    KeyWrap("AES_KEY_WRAP_PAD", Mechanism.AES_KEY_WRAP_PAD),
    KeyWrap("AES_KEY_WRAP", Mechanism.AES_KEY_WRAP),
)
CHOICES: dict[str, tuple[Cipher, ...]] = {"auto": (GCM, *KEY_WRAPS), "gcm": (GCM,), "kwp": KEY_WRAPS}
"""What the option ``mechanism`` allows for new keys, the best first."""


def prove(cipher: Cipher, key: Any) -> None:
    """Encipher and decipher something; raises ``PKCS11Error`` or :class:`DoesNotOpen` where it does not come back."""
    nonce, ciphertext = cipher.encipher(key, _OURS, memoryview(_CANARY))
    if cipher.decipher(key, _OURS, nonce, ciphertext) != _CANARY:
        raise DoesNotOpen("what was enciphered does not come back")


def prove_bound(cipher: Cipher, key: Any) -> None:
    """As :func:`prove`, and it must not open in another context."""
    prove(cipher, key)
    nonce, ciphertext = cipher.encipher(key, _OURS, memoryview(_CANARY))
    try:
        cipher.decipher(key, _ANOTHERS, nonce, ciphertext)
    except (PKCS11Error, DoesNotOpen):
        return
    raise DoesNotOpen("what was enciphered opens in another context too")


def _encrypted(key: Any, nonce: bytes, context: bytes, plaintext: memoryview) -> bytes:
    passing = bytes(plaintext)  # python-pkcs11 takes nothing else.
    parameters = GCMParams(nonce, context, TAG * 8)
    try:
        return bytes(key.encrypt(passing, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))
    finally:
        overwrite(passing)


def _moved(value: bytes) -> bytearray:
    """``bytes`` that came out of the HSM, in memory that can be wiped."""
    moved = bytearray(value)
    overwrite(value)
    return moved


def _padded(plaintext: memoryview, context: bytes) -> bytes:
    missing = BLOCK - len(plaintext) % BLOCK
    return b"".join((plaintext, bytes([missing]) * missing, os.urandom(SALT), context[:TAG]))


def _unpadded(value: bytearray, context: bytes) -> bytearray:
    end = len(value) - TAG - SALT
    missing = value[end - 1] if end >= BLOCK else 0
    if not 1 <= missing <= BLOCK or not hmac.compare_digest(memoryview(value)[-TAG:], context[:TAG]):
        wipe(value)
        raise DoesNotOpen("it is bound to something else")
    plaintext = value[: end - missing]
    wipe(value)
    return plaintext
