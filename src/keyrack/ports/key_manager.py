"""The key manager: holds customer root keys that never leave it, wraps and unwraps with them, keeps standard keys.

Two kinds of failure, and no third. A *refusal* is authoritative: the key manager has spoken, what is cached under the
root key is purged. *Unavailable* is transient: nobody has spoken, a bounded grace may bridge it.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from keyrack.domain.secret import Secret


class Reason(StrEnum):
    """Why a key manager said no, or said nothing: what decides which act of the customer mends it."""

    IDENTITY = "identity"
    """It does not know who asks: the API key, the trusted profile or the token is not, or no longer, valid."""
    PERMISSION = "permission"
    """It knows who asks, and does not allow it: a role is missing, or another instance or region is meant."""
    NETWORK = "network"
    """A network policy or a context-based restriction keeps this address out."""
    POLICY = "policy"
    """A policy of the key manager instance forbids keys of this kind."""
    ABSENT = "absent"
    """There is no such key: it never was, or was purged."""
    DELETED = "deleted"
    """The key was deleted, and may be restored."""
    STATE = "state"
    """The key's state does not allow it: it is disabled, or has expired."""
    CIPHERTEXT = "ciphertext"
    """The ciphertext is not this root key's, or not under these strings."""
    REQUEST = "request"
    """It does not accept what was asked."""
    UNREACHABLE = "unreachable"
    """Nobody answers there: no address, no connection, no answer in time."""
    TRUST = "trust"
    """Somebody answers whose TLS certificate is not trusted."""
    OVERLOADED = "overloaded"
    """It asks for patience, or too many calls are under way already."""
    FAILING = "failing"
    """It answers that it fails."""
    READ_ONLY = "read-only"
    """It unwraps and reads, and takes nothing new, as in a regional disaster."""
    OTHER = "other"


class KeyManagerFailed(Exception):
    """What the two kinds have in common. The text says what happened, for people; it never holds a value."""

    def __init__(self, told: str = "", reason: Reason = Reason.OTHER, *, code: str = "") -> None:
        """``code`` is what the key manager itself calls it, for example ``"409 KEY_ACTION_INVALID_STATE_ERR"``."""
        super().__init__(told)
        self.reason = reason
        self.code = code


class KeyManagerRefused(KeyManagerFailed):
    """The key manager says no: the root key is disabled, deleted, unknown, or the ciphertext is not its own."""


class KeyManagerUnavailable(KeyManagerFailed):
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
        """All standard keys whose name begins with ``prefix``, without payload (``b""``).

        One that is made or deleted while the listing goes on may be missing: ask for it before it counts as gone.
        """
        ...

    async def find_standard_keys(self, name: str) -> Sequence[StandardKey]:
        """The standard keys of exactly this name, which is not unique, without payload."""
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


@runtime_checkable
class TellsBinding(Protocol):
    """An optional power: key managers of which it must be found out whether they bind a ciphertext to its strings.

    Those without this power do bind.
    """

    async def binds(self, root_key: str) -> bool:
        """Whether ``aad`` counts. Where it does not, none is sent, so that a later change strands no ciphertext."""
        ...


@runtime_checkable
class ImportsRootKeys(Protocol):
    """An optional power: key managers that take a root key's material from outside."""

    async def import_root_key(self, name: str, material: Secret) -> RootKey:
        """A new root key of 16, 24 or 32 bytes given; they travel encrypted. The caller wipes the material."""
        ...


class Verdict(StrEnum):
    """What a check has come to."""

    WELL = "well"
    REMARK = "remark"
    """It works, and there is something to know or to change."""
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing of a key manager that was tried out."""

    what: str
    """Such as ``"identity"`` or ``"wrap and unwrap"``."""
    verdict: Verdict
    told: str
    """What was found; where it is not well, what to change and where."""


@runtime_checkable
class ChecksItself(Protocol):
    """An optional power: key managers that can be tried out, step by step, by a customer."""

    def check(self, root_key: str | None, *, write: bool) -> AsyncIterator[Checked]:
        """Try everything that Keyrack will need, with one root key or with the first active one.

        With ``write`` a standard key is made, read, compared and deleted. It raises nothing that the key manager says.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How calls to a key manager fared in this process."""

    calls: int = 0
    retries: int = 0
    failures: int = 0
    """Calls that ended unavailable."""
    refusals: int = 0
    not_asked: int = 0
    """Calls that were not made: the circuit was open, or too many were under way."""
    circuit: str = "closed"
    """``"closed"``, ``"open"`` or ``"half-open"``."""
    read_only: bool = False
    """It unwraps, and the last attempts to keep something new failed."""
    last_failure: str = ""
    latency: float = 0.0
    """Seconds of the last call that was answered."""


@runtime_checkable
class TellsCondition(Protocol):
    """An optional power: key managers behind a network, which count how their calls fare."""

    def condition(self) -> Condition:
        """The counts since the start of the process."""
        ...
