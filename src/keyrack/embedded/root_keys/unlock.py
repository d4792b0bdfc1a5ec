"""What opens a keystore: a key file or a passphrase gives its master key; recovered shares give its key itself."""

import contextlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from keyrack.domain.secret import Secret, randomize, wipe
from keyrack.embedded import files
from keyrack.embedded.errors import KeystoreDamaged, KeystoreExists, KeystoreLocked, KeystoreMissing

MASTER_KEY = 32
"""Length of a master key, and so of a key file, in bytes."""
MEMORY = 2**18
"""KiB of memory that a guess of a passphrase takes: 256 MiB, a compromise between the two choices of RFC 9106, 4."""
LEAST_MEMORY, MOST_MEMORY = 2**16, 2**21
"""KiB that a keystore may ask for: from RFC 9106's choice for little memory, 64 MiB, to its first one, 2 GiB."""
PASSES = 3
MOST_PASSES = 16
LANES = 4
SALT = 32


class Unlock(Protocol):
    """A way to the master key. ``parameters`` is what the keystore notes of it: never anything secret in clear."""

    @property
    def kind(self) -> str:
        """What the keystore notes as its kind."""
        ...

    def prepare(self) -> Mapping[str, Any]:
        """Parameters for a new keystore."""
        ...

    def master_key(self, parameters: Mapping[str, Any]) -> Secret:
        """The master key, which the caller wipes; raises the ``KeystoreError`` that says why there is none."""
        ...


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of 32 random bytes that only its owner reads; a service manager's credential is one too.

    Whoever has it and the keystore has everything.
    """

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
    """A passphrase, made into a master key with Argon2id (RFC 9106)."""

    passphrase: Secret
    memory: int = MEMORY
    """KiB that deriving takes, for a new keystore: at least 64 MiB."""
    kind: str = field(default="passphrase", init=False)

    def prepare(self) -> Mapping[str, Any]:
        """A new salt, and the cost."""
        cost = {"memory_kib": self.memory, "passes": PASSES, "lanes": LANES}
        return {"kdf": "argon2id", **cost, "salt": os.urandom(SALT).hex()}

    def master_key(self, parameters: Mapping[str, Any]) -> Secret:
        """Derive the master key: 256 MiB, and about 0.7 s in which other threads go on."""
        if len(self.passphrase) == 0:
            raise KeystoreLocked("the passphrase is empty: give the one that the keystore was sealed with")
        salt, memory, passes = _argon2_parameters(parameters)
        master = bytearray(MASTER_KEY)
        try:
            kdf = Argon2id(salt=salt, length=MASTER_KEY, iterations=passes, lanes=LANES, memory_cost=memory)
            kdf.derive_into(self.passphrase.reveal(), master)  # type: ignore[arg-type] # any buffer will do
        except MemoryError:
            raise KeystoreLocked(
                f"a passphrase takes {memory // 1024} MiB of memory to try, and they are not there: make room for them"
            ) from None
        except UnsupportedAlgorithm:
            raise KeystoreLocked(
                "the OpenSSL under python's cryptography knows no Argon2id: install cryptography from PyPI, or have "
                "OpenSSL 3.2 or newer"
            ) from None
        finally:
            self._overwrite_stack(salt)
        return Secret(master)

    def _overwrite_stack(self, salt: bytes) -> None:
        """Derive something else at the least cost: OpenSSL leaves the block that it hashed first, with the passphrase
        in it, on the stack of the thread, where nothing may come by for as long as the server runs.
        """
        dummy, nothing = bytearray(len(self.passphrase)), bytearray(MASTER_KEY)
        with contextlib.suppress(MemoryError, UnsupportedAlgorithm):
            cheap = Argon2id(salt=salt, length=MASTER_KEY, iterations=1, lanes=LANES, memory_cost=8 * LANES)
            cheap.derive_into(dummy, nothing)  # type: ignore[arg-type] # any buffer will do

    def wipe(self) -> None:
        """Forget the passphrase."""
        self.passphrase.wipe()


@dataclass(frozen=True, slots=True)
class Recovered:
    """The keystore's key itself, as its shares give it: opens a keystore without its unlock, and seals none."""

    key: Secret

    def wipe(self) -> None:
        """Forget the key."""
        self.key.wipe()


def _argon2_parameters(parameters: Mapping[str, Any]) -> tuple[bytes, int, int]:
    """The noted parameters, if they are ones that this code would have chosen: a keystore may come from anywhere.

    Too dear ones would take all memory, too cheap ones would give the passphrase away to whoever guesses.
    """
    try:
        memory, passes, lanes = (parameters[name] for name in ("memory_kib", "passes", "lanes"))
        salt = bytes.fromhex(parameters["salt"])
        sane = (
            parameters["kdf"] == "argon2id"
            and all(type(number) is int for number in (memory, passes, lanes))
            and LEAST_MEMORY <= memory <= MOST_MEMORY
            and PASSES <= passes <= MOST_PASSES
            and lanes == LANES
            and len(salt) == SALT
        )
    except (KeyError, TypeError, ValueError):
        sane = False
    if not sane:
        raise KeystoreDamaged("its Argon2id parameters are not ones that keyrack writes: restore it from a backup")
    return salt, memory, passes
