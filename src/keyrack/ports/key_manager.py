"""The key manager: holds customer root keys that never leave it, wraps and unwraps with them, keeps standard keys.

Two kinds of failure, and no third. A *refusal* is authoritative: the key manager has spoken, what is cached under the
root key is purged. *Unavailable* is transient: nobody has spoken, a bounded grace may bridge it.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keyrack.domain.secret import Secret


class KeyManagerRefused(Exception):
    """The key manager says no: the root key is disabled, deleted, unknown, or the ciphertext is not its own."""


class KeyManagerUnavailable(Exception):
    """The key manager did not answer, or could not: a time-out, a lost connection, an overload."""


@dataclass(frozen=True, slots=True)
class RootKey:
    """A customer root key, described; its material never leaves the key manager."""

    identifier: str
    name: str
    state: int
    """Key Protect's key state: 0 pre-activation, 1 active, 2 suspended, 3 deactivated, 5 destroyed."""
    version: str
    """Identifier of the version that wraps now."""
    created_at: int


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What a root key has wrapped: opaque bytes to store verbatim, and the version that did it."""

    ciphertext: bytes
    version: str


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What a root key has unwrapped; after a rotation, also the ciphertext under the newest version."""

    plaintext: Secret
    version: str
    rewrapped: Wrapped | None = None


@dataclass(frozen=True, slots=True)
class StandardKey:
    """A standard key: named bytes that the key manager keeps and the customer sees."""

    identifier: str
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What a key manager has taken out of use since somebody last asked."""

    cursor: int
    """What to ask with the next time."""
    root_keys: Sequence[str] = ()
    """Identifiers of root keys that were disabled or deleted."""
    standard_keys: Sequence[str] = ()
    """Names of standard keys that were deleted."""


class KeyManager(Protocol):
    """What Keyrack asks of every key manager. ``aad`` is a sequence of at most 126 strings of at most 255 characters.

    Every method raises :class:`KeyManagerRefused` or :class:`KeyManagerUnavailable`.
    """

    async def describe_root_key(self, root_key: str) -> RootKey:
        """The root key as it is now, in whatever state."""
        ...

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        """Wrap ``plaintext``, bound to ``aad``; only an active root key wraps."""
        ...

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        """Open what :meth:`wrap` gave, under the same ``aad``; the caller wipes the plaintext."""
        ...

    async def rewrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        """The same plaintext under the newest version, without handing it out."""
        ...

    async def put_standard_key(self, name: str, payload: bytes) -> str:
        """Keep ``payload`` (at most 7,500 bytes) under ``name`` and answer its identifier. Durable when it returns."""
        ...

    async def get_standard_key(self, identifier: str) -> StandardKey:
        """The standard key with its payload; one that was deleted is refused."""
        ...

    def list_standard_keys(self, prefix: str) -> AsyncIterator[StandardKey]:
        """All standard keys whose name begins with ``prefix``, without payload (``b""``)."""
        ...

    async def delete_standard_key(self, identifier: str) -> None:
        """Delete one; that it is gone already is not an error."""
        ...

    async def probe(self, root_key: str) -> None:
        """Return when the root key wraps and unwraps just now; this is what renews a lease."""
        ...


@runtime_checkable
class RootKeyAdministration(Protocol):
    """An optional power: key managers whose root keys Keyrack may make and change for an administrator."""

    async def list_root_keys(self) -> Sequence[RootKey]:
        """Every root key, in whatever state, oldest first."""
        ...

    async def create_root_key(self, name: str) -> RootKey:
        """A new active root key; durable when this returns."""
        ...

    async def rotate_root_key(self, root_key: str) -> RootKey:
        """Give the root key another version, which wraps from now on; the older ones go on unwrapping."""
        ...

    async def disable_root_key(self, root_key: str) -> None:
        """Suspend the root key: it refuses everything until it is enabled."""
        ...

    async def enable_root_key(self, root_key: str) -> None:
        """Make a suspended root key active again."""
        ...

    async def delete_root_key(self, root_key: str) -> None:
        """Delete the root key: what it has wrapped cannot be opened any more."""
        ...


@runtime_checkable
class TellsWithdrawals(Protocol):
    """An optional power: key managers that tell at once what was taken out of use, without being asked key by key."""

    async def withdrawn(self, since: int | None) -> Withdrawn:
        """What was withdrawn since a cursor; with ``None`` just the cursor of now."""
        ...
