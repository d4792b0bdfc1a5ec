"""What opens a keystore: a key file or a passphrase. Either gives the master key, which is never written down."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keyrack.domain.secret import Secret, randomize, wipe
from keyrack.embedded import files
from keyrack.embedded.errors import KeystoreDamaged, KeystoreExists, KeystoreLocked, KeystoreMissing

MASTER_KEY = 32
"""Length of a master key, and so of a key file, in bytes."""
LEAST_WORK = 2**17
"""Least cost parameter N of scrypt: 128 MiB of memory for each guess."""
MOST_WORK = 2**20
SALT = 32


class Unlock(Protocol):
    """A way to the master key. ``parameters`` is what the keystore notes of it: never anything secret."""

    @property
    def kind(self) -> str:
        """What the keystore notes as its kind."""
        ...

    def prepare(self) -> Mapping[str, Any]:
        """Parameters for a new keystore."""
        ...

    def master_key(self, parameters: Mapping[str, Any]) -> Secret:
        """The master key, which the caller wipes."""
        ...


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of 32 random bytes that only its owner reads. Whoever has it and the keystore has the root keys."""

    path: Path
    kind: str = field(default="key_file", init=False)

    def create(self) -> None:
        """Make the file with new random bytes; one that is there is never overwritten."""
        content = bytearray(MASTER_KEY)
        randomize(content)
        try:
            files.create(self.path, content)
        except FileExistsError:
            raise KeystoreExists(f"the key file {self.path} is there already: name another, or remove it") from None
        finally:
            wipe(content)

    def prepare(self) -> Mapping[str, Any]:
        """Nothing needs to be noted of a key file."""
        return {}

    def master_key(self, parameters: Mapping[str, Any]) -> Secret:
        """Read the file, straight into memory that can be wiped."""
        content = bytearray(MASTER_KEY + 1)
        try:
            with open(self.path, "rb", buffering=0) as file:
                self._check_mode(os.fstat(file.fileno()).st_mode)
                length = file.readinto(content) or 0
        except FileNotFoundError:
            raise KeystoreMissing(f"there is no key file {self.path}: put it back, or correct the path") from None
        if length != MASTER_KEY:
            wipe(content)
            raise KeystoreLocked(f"the key file {self.path} does not hold exactly {MASTER_KEY} bytes")
        master = Secret(bytearray(memoryview(content)[:MASTER_KEY]))
        wipe(content)
        return master

    def _check_mode(self, mode: int) -> None:
        # A service manager's credentials are 0440 in a directory that only the service enters; nothing wider is needed.
        if stat.S_IMODE(mode) & 0o037:
            raise KeystoreLocked(f"the key file {self.path} is open to other users: chmod 600 {self.path}")


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A passphrase, made into a master key with scrypt."""

    passphrase: Secret
    work: int = LEAST_WORK
    """Cost parameter N of a new keystore: a power of two, at least 2^17."""
    kind: str = field(default="passphrase", init=False)

    def prepare(self) -> Mapping[str, Any]:
        """A new salt, and the cost."""
        return {"kdf": "scrypt", "n": self.work, "r": 8, "p": 1, "salt": os.urandom(SALT).hex()}

    def master_key(self, parameters: Mapping[str, Any]) -> Secret:
        """Derive the master key: about 0.4 s and 128 MiB."""
        if len(self.passphrase) == 0:
            raise KeystoreLocked("the passphrase is empty: give the one that the keystore was made with")
        salt, work, block, parallel = _scrypt_parameters(parameters)
        master = bytearray(MASTER_KEY)
        Scrypt(salt=salt, length=MASTER_KEY, n=work, r=block, p=parallel).derive_into(self.passphrase.reveal(), master)
        return Secret(master)


def _scrypt_parameters(parameters: Mapping[str, Any]) -> tuple[bytes, int, int, int]:
    """The noted parameters, if they are ones that this code would have chosen: a keystore may come from anywhere."""
    try:
        work, block, parallel = (parameters[name] for name in ("n", "r", "p"))
        salt = bytes.fromhex(parameters["salt"])
        sane = (
            parameters["kdf"] == "scrypt"
            and all(type(number) is int for number in (work, block, parallel))
            and LEAST_WORK <= work <= MOST_WORK
            and work.bit_count() == 1
            and (block, parallel) == (8, 1)
            and len(salt) == SALT
        )
    except (KeyError, TypeError, ValueError):
        sane = False
    if not sane:
        raise KeystoreDamaged("its scrypt parameters are not ones that keyrack writes: restore it from a backup")
    return salt, work, block, parallel
