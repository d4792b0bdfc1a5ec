"""The cryptography of a wrapped key: what the root key is given to wrap, and what must hold of what it gives back."""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyrack.domain.secret import SYSTEM, Randomness, Secret
from keyrack.service.vault.blob import CHECK, Blob, context_hash
from keyrack.service.vault.generation import generate
from keyrack.spec.types import Vanishing

DIRECT = 64
"""Bytes of the longest material that the root key wraps itself; longer material goes under a data key."""
BOUND = 16
"""Bytes of the context hash that the wrapped plaintext carries."""
_DATA_KEY = 32
_NONCE = 12
_TAG = 16


class NotOpened(Exception):
    """A wrapped key is not what it was when it was made, or not where it was. The text says which check failed."""


class Integrity:
    """Authenticates blobs with a key for each instance, derived from the deployment's integrity root.

    The root is deliberately not under a customer root key: a record can be checked while the root key is disabled.
    """

    def __init__(self, root: Secret, deployment: str) -> None:
        """Derive from ``root``, which becomes this object's."""
        self._root = root
        self._deployment = deployment
        self._keys: dict[str, Secret] = {}

    def mac(self, instance: str, octets: bytes) -> bytes:
        """HMAC-SHA256 under the instance's key."""
        key = self._keys.get(instance)
        if key is None:
            key = self._keys[instance] = self._derive(instance)
        return hmac.digest(key.reveal(), octets, "sha256")

    def check(self, instance: str, blob: Blob) -> None:
        """Raise :class:`NotOpened` unless the blob's MAC is one of this instance."""
        if not hmac.compare_digest(self.mac(instance, blob.authenticated), blob.mac):
            raise NotOpened("its MAC does not fit: it was changed, or is another instance's")

    def wipe(self) -> None:
        """Forget the root and every derived key."""
        for key in (self._root, *self._keys.values()):
            key.wipe()
        self._keys.clear()

    def _derive(self, instance: str) -> Secret:
        derived = bytearray(32)
        info = b"keyrack instance integrity v1\x00" + instance.encode()
        HKDF(algorithm=SHA256(), length=32, salt=self._deployment.encode(), info=info).derive_into(
            self._root.reveal(), derived
        )
        return Secret(derived)


def enclose(material: Secret, header: bytes, randomness: Randomness = SYSTEM) -> tuple[Secret, bytes]:
    """What the root key shall wrap, and the body: the material itself, or a data key and the material under it."""
    bound = context_hash(header)
    if len(material) <= DIRECT:
        return _joined(material.reveal(), bound), b""
    with generate(_DATA_KEY, randomness) as data_key:
        nonce = randomness.octets(_NONCE)
        body = nonce + AESGCM(data_key.reveal()).encrypt(nonce, material.reveal(), bound)
        return _joined(data_key.reveal(), bound), body


def disclose(plaintext: Secret, blob: Blob) -> Secret:
    """The material out of what the root key has unwrapped; raises :class:`NotOpened`. The plaintext stays the caller's.

    The secret's bytes overwrite themselves when the last holder lets go (``spec.types.Vanishing``).
    """
    with memoryview(plaintext.reveal()) as whole:
        inner = len(whole) - BOUND
        if inner < 0 or not hmac.compare_digest(whole[inner:], blob.context_hash[:BOUND]):
            raise NotOpened("what it holds belongs to another object, instance or root key")
        material = Secret(_deciphered(whole[:inner], blob) if blob.header.enciphered else Vanishing(whole[:inner]))
    if not hmac.compare_digest(check_value(material, blob.context_hash), blob.check_value):
        raise NotOpened("its key check value does not fit")
    return material


def wrap_under(wrapping_key: Secret, plaintext: Secret, header: bytes, randomness: Randomness = SYSTEM) -> bytes:
    """What the instance's wrapping key makes of what a root key would have been given: nonce, ciphertext and tag."""
    nonce = randomness.octets(_NONCE)
    return nonce + AESGCM(wrapping_key.reveal()).encrypt(nonce, plaintext.reveal(), context_hash(header))


def unwrap_under(wrapping_key: Secret, blob: Blob) -> Secret:
    """The reverse of :func:`wrap_under`; raises :class:`NotOpened`. The caller wipes the plaintext."""
    nonce, sealed = blob.wrapped[:_NONCE], blob.wrapped[_NONCE:]
    plaintext = bytearray(max(len(sealed) - _TAG, 0))
    try:
        AESGCM(wrapping_key.reveal()).decrypt_into(nonce, sealed, blob.context_hash, plaintext)
    except (InvalidTag, ValueError):
        raise NotOpened("it does not open under the instance's wrapping key") from None
    return Secret(plaintext)


def check_value(material: Secret, bound: bytes) -> bytes:
    """Tells who has the material that it is the right one; salted, so that nobody else sees which keys are equal."""
    return hmac.digest(material.reveal(), b"kcv1" + bound, "sha256")[:CHECK]


def _deciphered(data_key: memoryview, blob: Blob) -> Vanishing:
    nonce, sealed = blob.body[:_NONCE], blob.body[_NONCE:]
    material = Vanishing(max(len(sealed) - _TAG, 0))
    try:
        AESGCM(data_key).decrypt_into(nonce, sealed, blob.context_hash, material)
    except (InvalidTag, ValueError):
        raise NotOpened("its body does not open under its data key") from None
    return material


def _joined(material: bytearray, bound: bytes) -> Secret:
    # Of the right length from the start: a bytearray that grows may leave its former bytes behind.
    joined = bytearray(len(material) + BOUND)
    with memoryview(joined) as whole:
        whole[: len(material)] = material
        whole[len(material) :] = bound[:BOUND]
    return Secret(joined)
