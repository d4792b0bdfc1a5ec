"""What one client, one address and all of them together may take before and after they have proved who they are."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from keyrack.wire.connection import DEFAULT_MAX_MESSAGE, HEADER_LENGTH, LARGEST_MAX_MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a listener. Times in seconds, sizes in bytes. An idle connection is kept for ever on purpose."""

    handshake: float = 10.0
    """From accept to the end of the TLS handshake."""
    message: float = 10.0
    """From the first byte of a message to its last, and for the client to take an answer."""
    linger: float = 2.0
    """How long a refused client may take to read the alert before its connection is torn down."""
    patience: float = 2.0
    """A client that has kept the server waiting this long in its handshake makes room when its limit is reached."""
    max_message: int = DEFAULT_MAX_MESSAGE
    """Longest request message, header included; at most 1 MiB."""
    handshaking_per_address: int = 64
    """Connections of one address that have not finished their handshake."""
    handshaking: int = 512
    """The same, of all addresses."""
    connections_per_address: int = 2048
    """Connections of one address: many hosts may stand behind one translated address."""
    connections: int = 4096
    """All connections of this process."""
    backlog: int = 1024
    """Connections that the kernel keeps while they wait to be accepted."""

    def __post_init__(self) -> None:
        """Refuse a limit that would shut everybody out."""
        for name in ("handshake", "message", "linger", "patience"):
            if not getattr(self, name) > 0:
                raise ValueError(f"limit {name} must be more than 0 seconds")
        for name in ("handshaking_per_address", "handshaking", "connections_per_address", "connections", "backlog"):
            if getattr(self, name) < 1:
                raise ValueError(f"limit {name} must be at least 1")
        if not HEADER_LENGTH <= self.max_message <= LARGEST_MAX_MESSAGE:
            raise ValueError(f"limit max_message must be {HEADER_LENGTH} to {LARGEST_MAX_MESSAGE} bytes")


class Full(StrEnum):
    """Which limit a new connection would pass."""

    HANDSHAKING_PER_ADDRESS = "handshaking_per_address"
    HANDSHAKING = "handshaking"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    CONNECTIONS = "connections"


Guest = TypeVar("Guest")


class Admission(Generic[Guest]):
    """Counts connections, by address and in all, before and after their handshake."""

    def __init__(self, limits: Limits, time: Callable[[], float]) -> None:
        """``time`` is a monotonic clock in seconds."""
        self._limits = limits
        self._time = time
        self._shaking: dict[Guest, tuple[str, float]] = {}
        """Guests in their handshake, oldest first, with address and time of arrival."""
        self._shaking_of: Counter[str] = Counter()
        self._all: dict[Guest, str] = {}
        self._all_of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._all)

    def all(self) -> tuple[Guest, ...]:
        """All guests, oldest first."""
        return tuple(self._all)

    @property
    def handshaking(self) -> int:
        """How many have not finished their handshake."""
        return len(self._shaking)

    def full(self, address: str) -> Full | None:
        """The limit that one more connection of ``address`` would pass, or ``None``."""
        limits = self._limits
        if len(self._all) >= limits.connections:
            return Full.CONNECTIONS
        if self._all_of[address] >= limits.connections_per_address:
            return Full.CONNECTIONS_PER_ADDRESS
        if self._shaking_of[address] >= limits.handshaking_per_address:
            return Full.HANDSHAKING_PER_ADDRESS
        if len(self._shaking) >= limits.handshaking:
            return Full.HANDSHAKING
        return None

    def stalled(self, address: str | None) -> Guest | None:
        """The oldest guest (of ``address``, or of all) that has kept us waiting in its handshake for too long."""
        latest = self._time() - self._limits.patience
        for guest, (home, arrived) in self._shaking.items():
            if arrived > latest:
                return None
            if address in (None, home):
                return guest
        return None

    def enter(self, guest: Guest, address: str) -> None:
        """Count a new connection, in its handshake."""
        self._shaking[guest] = (address, self._time())
        self._shaking_of[address] += 1
        self._all[guest] = address
        self._all_of[address] += 1

    def established(self, guest: Guest) -> None:
        """Its handshake is done."""
        address, _ = self._shaking.pop(guest)
        _decrease(self._shaking_of, address)

    def leave(self, guest: Guest) -> None:
        """The connection is gone, in whatever state it was."""
        if guest in self._shaking:
            self.established(guest)
        _decrease(self._all_of, self._all.pop(guest))


def _decrease(counts: Counter[str], address: str) -> None:
    """Count one less, and keep nothing of an address that has none left."""
    counts[address] -= 1
    if not counts[address]:
        del counts[address]
