"""The deployment's key that signs checkpoints: Ed25519 in a file of its own, mode 0600."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from keyrack.adapters.journals.durable import sync_directory


class UnusableSigningKey(Exception):
    """The file holds no key that signs checkpoints, or cannot be read; the text says what to do."""


class SigningKey:
    """``ports.journal.Signer`` over a private key in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        """Sign with ``key``."""
        self._key = key
        self.public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()

    def __repr__(self) -> str:
        return f"SigningKey({self.public[:16]}…)"

    def sign(self, text: str) -> bytes:
        """64 bytes."""
        return self._key.sign(text.encode())

    @property
    def public_pem(self) -> bytes:
        """The public part as other programs read it."""
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @classmethod
    def new(cls) -> "SigningKey":
        """A key that nobody has yet."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """The key of a file; raises :class:`UnusableSigningKey`, ``FileNotFoundError`` where there is none."""
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, TypeError) as error:
            raise UnusableSigningKey(
                f"the key that signs the journal's checkpoints, {path}, cannot be used: {error}; put it back from a "
                "backup, or make another with 'keyrack audit key --lost'"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise UnusableSigningKey(f"{path} holds a key of another kind; checkpoints are signed with Ed25519")
        return cls(key)

    def save(self, path: Path) -> None:
        """Keep the key, whole or not at all, and nobody else's before: raises ``FileExistsError``."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._written(path)
        try:
            os.link(new, path)
        finally:
            new.unlink()
        sync_directory(path.parent)

    def replace(self, path: Path) -> None:
        """Keep the key in the place of another."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._written(path).replace(path)
        sync_directory(path.parent)

    def _written(self, path: Path) -> Path:
        new = path.with_name(f"{path.name}.{self.public[:16]}.new")
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        return new


def load_or_make(path: Path) -> SigningKey:
    """The key of this file; where there is none, it is made. Two processes that do it at once get the same."""
    try:
        return SigningKey.load(path)
    except FileNotFoundError:
        made = SigningKey.new()
    try:
        made.save(path)
    except FileExistsError:
        return SigningKey.load(path)
    return made
