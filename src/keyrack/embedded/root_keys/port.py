"""Where the material of root keys lives: a keeper, software or an HSM. The material never crosses this line."""

from dataclasses import dataclass
from typing import Protocol

from keyrack.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class VersionName:
    """Which version of which root key: three UUIDs. A keeper binds the material to all of them."""

    instance: str
    key: str
    version: str

    def __str__(self) -> str:
        return f"{self.instance}/{self.key}/{self.version}"


@dataclass(frozen=True, slots=True)
class Enciphered:
    """What a keeper has enciphered: the nonce of AES-GCM, empty for AES key wrap, and the ciphertext with its tag."""

    iv: bytes
    ciphertext: bytes


class Keeper(Protocol):
    """Keeps the material of root key versions and enciphers with it. Thread-safe; every call may wait.

    What :meth:`generate` and :meth:`take` answer is kept in the key manager's database beside the version and handed
    back with each use: sealed material, or nothing where the material itself lies in an HSM under the version's name.

    Raises ``UnprocessableCiphertext`` for a ciphertext that does not open, ``KeeperUnavailable`` when the keeper does
    not answer now (a lost token, a wrong PIN, a stopped process) and ``KeystoreDamaged`` for sealed material that was
    changed. It recovers without a restart.
    """

    @property
    def name(self) -> str:
        """``"software"`` or ``"pkcs11"``: what the database notes beside each version."""
        ...

    @property
    def prompt(self) -> bool:
        """Whether it enciphers within microseconds, so that an event loop may wait for it."""
        ...

    def generate(self, version: VersionName) -> bytes:
        """Make 32 bytes of new material; what the database is to keep. Durable when it returns."""
        ...

    def take(self, version: VersionName, material: Secret) -> bytes:
        """Keep imported material of 16, 24 or 32 bytes. Repeated for a version that it has already, it is harmless
        where the material is the same and raises ``KeystoreDamaged`` where it is another.
        """
        ...

    def encipher(self, version: VersionName, kept: bytes, plaintext: Secret, bound: bytes) -> Enciphered:
        """Encipher so that it opens only under the same version and the same ``bound``."""
        ...

    def decipher(self, version: VersionName, kept: bytes, enciphered: Enciphered, bound: bytes) -> Secret:
        """The reverse; the caller wipes the plaintext."""
        ...

    def destroy(self, version: VersionName, kept: bytes) -> None:
        """Destroy the material for ever; harmless when repeated."""
        ...

    def probe(self) -> None:
        """Return when it works just now."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...
