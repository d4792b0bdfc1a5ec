"""A keeper like an HSM, in memory: material goes in and never comes out. It can be away, or end the process."""

import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.errors import KeeperUnavailable, KeystoreDamaged, UnprocessableCiphertext
from keyrack.embedded.root_keys.port import Enciphered, VersionName

NONCE = 12


class Killed(BaseException):
    """The process ends here: nothing catches it."""


class PretendedHsm:
    """Implements ``root_keys.port.Keeper``; ``associated`` is how the keepers bind their ciphertexts."""

    name = "pkcs11"
    prompt = False

    def __init__(self, associated: Callable[[VersionName, bytes], bytes]) -> None:
        self.inside: dict[VersionName, bytes] = {}
        """What lies in it."""
        self.away = False
        """Whether it does not answer."""
        self.before: dict[str, Callable[[], object]] = {}
        """What is done before a method is: :meth:`kill_at` raises there."""
        self._associated = associated

    def kill_at(self, method: str, nth: int = 1) -> None:
        """End the process before the ``nth`` call of a method."""
        calls = 0

        def count() -> None:
            nonlocal calls
            calls += 1
            if calls == nth:
                raise Killed(method)

        self.before[method] = count

    def generate(self, version: VersionName) -> bytes:
        """32 random bytes."""
        self._asked("generate")
        material = bytearray(32)
        randomize(material)
        self.inside.setdefault(version, bytes(material))
        return b""

    def take(self, version: VersionName, material: Secret) -> bytes:
        """Harmless when repeated with the same material."""
        self._asked("take")
        if self.inside.setdefault(version, bytes(material.reveal())) != material.reveal():
            raise KeystoreDamaged(f"there is other material for {version}")
        return b""

    def encipher(self, version: VersionName, kept: bytes, plaintext: Secret, bound: bytes) -> Enciphered:
        """AES-GCM."""
        self._asked("encipher")
        iv = os.urandom(NONCE)
        associated = self._associated(version, bound)
        return Enciphered(iv, self._cipher(version).encrypt(iv, plaintext.reveal(), associated))

    def decipher(self, version: VersionName, kept: bytes, enciphered: Enciphered, bound: bytes) -> Secret:
        """The reverse."""
        self._asked("decipher")
        associated = self._associated(version, bound)
        try:
            return Secret(bytearray(self._cipher(version).decrypt(enciphered.iv, enciphered.ciphertext, associated)))
        except (InvalidTag, ValueError):
            raise UnprocessableCiphertext("it does not open") from None

    def destroy(self, version: VersionName, kept: bytes) -> None:
        """Harmless when repeated."""
        self._asked("destroy")
        self.inside.pop(version, None)

    def probe(self) -> None:
        """Whether it is there."""
        self._asked("probe")

    def close(self) -> None:
        """What lies in it stays."""

    def _asked(self, method: str) -> None:
        if self.away:
            raise KeeperUnavailable("the HSM does not answer: plug it in")
        self.before.get(method, lambda: None)()

    def _cipher(self, version: VersionName) -> AESGCM:
        material = self.inside.get(version)
        if material is None:
            raise KeystoreDamaged(f"the HSM has no material for {version}")
        return AESGCM(material)
