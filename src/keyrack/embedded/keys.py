"""Root keys as the embedded key manager describes them, and the law of their states (Key Protect's, as a table)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from keyrack.embedded.errors import KeyActionInvalidState, KeyDeleted


class KeyState(IntEnum):
    """State of a key, with Key Protect's numbers; 4 is not used for keys."""

    PRE_ACTIVATION = 0
    ACTIVE = 1
    SUSPENDED = 2
    DEACTIVATED = 3
    DESTROYED = 5


class Action(StrEnum):
    """What can be asked of a root key."""

    WRAP = "wrap"
    UNWRAP = "unwrap"
    REWRAP = "rewrap"
    ROTATE = "rotate"
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"


_LIVING = frozenset({KeyState.PRE_ACTIVATION, KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.DEACTIVATED})
_READING = frozenset({KeyState.ACTIVE, KeyState.DEACTIVATED})

ALLOWED: Mapping[Action, frozenset[KeyState]] = {
    Action.WRAP: frozenset({KeyState.ACTIVE}),
    Action.UNWRAP: _READING,
    Action.REWRAP: _READING,
    Action.ROTATE: _READING,
    Action.DISABLE: frozenset({KeyState.ACTIVE}),
    Action.ENABLE: frozenset({KeyState.SUSPENDED}),
    Action.DELETE: _LIVING,
}
"""The states in which an action is allowed."""

LEADS_TO: Mapping[Action, KeyState] = {
    Action.DISABLE: KeyState.SUSPENDED,
    Action.ENABLE: KeyState.ACTIVE,
    Action.DELETE: KeyState.DESTROYED,
}
"""The state after an action that changes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVersion:
    """One generation of a root key's material; rotation adds one, the older ones go on unwrapping."""

    identifier: str
    created_at: int
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKeyRecord:
    """A root key without its material."""

    identifier: str
    name: str
    state: KeyState
    created_at: int
    versions: tuple[KeyVersion, ...]
    """Oldest first; the last one wraps."""

    @property
    def newest(self) -> KeyVersion:
        """The version that wraps."""
        return self.versions[-1]

    def allow(self, action: Action) -> None:
        """Return when the state allows the action; raise :class:`KeyDeleted` or :class:`KeyActionInvalidState`."""
        if self.state in ALLOWED[action]:
            return
        if self.state is KeyState.DESTROYED:
            raise KeyDeleted(f"the root key {self.identifier} has been deleted and is no longer available")
        raise KeyActionInvalidState(f"the root key {self.identifier} is {self.state.name.lower()}: {action} is refused")

    def after(self, action: Action) -> "RootKeyRecord":
        """The record after an action that changes its state."""
        self.allow(action)
        return replace(self, state=LEADS_TO[action])
