"""Keys as the embedded key manager keeps them, and the law of their states (Key Protect's, as a table)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from keyrack.embedded.errors import KeyActionInvalidState, KeyDeleted, KeyRootRequired
from keyrack.embedded.instances import DEFAULT_RING
from keyrack.embedded.root_keys.port import VersionName


class KeyState(IntEnum):
    """State of a key, with Key Protect's numbers; 4 is not used for keys."""

    PRE_ACTIVATION = 0
    ACTIVE = 1
    SUSPENDED = 2
    DEACTIVATED = 3
    DESTROYED = 5


class Action(StrEnum):
    """What can be asked of a key."""

    WRAP = "wrap"
    UNWRAP = "unwrap"
    REWRAP = "rewrap"
    ROTATE = "rotate"
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"
    RESTORE = "restore"
    PURGE = "purge"


_LIVING = frozenset({KeyState.PRE_ACTIVATION, KeyState.ACTIVE, KeyState.SUSPENDED, KeyState.DEACTIVATED})
_READING = frozenset({KeyState.ACTIVE, KeyState.DEACTIVATED})
_DELETED = frozenset({KeyState.DESTROYED})

ALLOWED: Mapping[Action, frozenset[KeyState]] = {
    Action.WRAP: frozenset({KeyState.ACTIVE}),
    Action.UNWRAP: _READING,
    Action.REWRAP: _READING,
    Action.ROTATE: _READING,
    Action.DISABLE: frozenset({KeyState.ACTIVE}),
    Action.ENABLE: frozenset({KeyState.SUSPENDED}),
    Action.DELETE: _LIVING,
    Action.RESTORE: _DELETED,
    Action.PURGE: _DELETED,
}
"""The states in which an action is allowed."""

LEADS_TO: Mapping[Action, KeyState] = {
    Action.DISABLE: KeyState.SUSPENDED,
    Action.ENABLE: KeyState.ACTIVE,
    Action.DELETE: KeyState.DESTROYED,
    Action.RESTORE: KeyState.ACTIVE,
}
"""The state after an action that changes it."""

_TOLD: Mapping[KeyState, str] = {
    KeyState.PRE_ACTIVATION: "not active yet",
    KeyState.ACTIVE: "active",
    KeyState.SUSPENDED: "disabled",
    KeyState.DEACTIVATED: "expired",
}

ROOT_ALONE = frozenset({Action.WRAP, Action.UNWRAP, Action.REWRAP, Action.ROTATE, Action.DISABLE, Action.ENABLE})
"""What only root keys do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyVersion:
    """One generation of a root key's material; rotation adds one, the older ones go on unwrapping."""

    identifier: str
    created_at: int
    keeper: str
    """Which keeper has the material: ``"software"`` or ``"pkcs11"``."""
    kept: bytes
    """What the keeper has given to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """Another name of a key, unique in its instance."""

    name: str
    created_at: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """Rotate every so many months."""

    enabled: bool
    months: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRecord:
    """Who set a policy of a key, and when."""

    identifier: str
    created_at: int
    created_by: str
    updated_at: int
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionAuthorisation:
    """The first of the two who delete a key under dual authorisation."""

    by: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A resource that the key protects, as a service has told."""

    resource: str
    description: str = ""
    prevent_key_deletion: bool = False
    created_at: int
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A root key or a standard key, whole: one row of the database. Times are seconds since 1970, UTC."""

    identifier: str
    instance: str
    ring: str = DEFAULT_RING
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    extractable: bool
    """Whether it is a standard key, whose payload is handed out."""
    imported: bool = False
    state: KeyState = KeyState.ACTIVE
    """As it was last set; :meth:`state_at` counts the expiration too."""
    created_at: int
    created_by: str
    updated_at: int
    state_changed_at: int
    """When it was last disabled, enabled, deleted or restored: the least waits count from here."""
    expires_at: int | None = None
    rotated_at: int | None = None
    synced_at: int | None = None
    """When its resources were last told of it again."""
    deleted_at: int | None = None
    deleted_by: str | None = None
    versions: tuple[KeyVersion, ...] = ()
    """Of a root key, oldest first; the last one wraps."""
    payload: bytes = b""
    """Of a standard key, sealed."""
    aliases: tuple[Alias, ...] = ()
    dual_auth_delete: bool = False
    dual_auth_record: PolicyRecord | None = None
    rotation: RotationPolicy | None = None
    rotation_record: PolicyRecord | None = None
    set_for_deletion: DeletionAuthorisation | None = None
    registrations: tuple[Registration, ...] = ()

    @property
    def newest(self) -> KeyVersion:
        """The version that wraps."""
        return self.versions[-1]

    def version_name(self, version: KeyVersion) -> VersionName:
        """What a keeper knows the version by."""
        return VersionName(self.instance, self.identifier, version.identifier)

    def state_at(self, now: int) -> KeyState:
        """The state, with an expiration that has come counted."""
        if self.state is KeyState.ACTIVE and self.expires_at is not None and self.expires_at <= now:
            return KeyState.DEACTIVATED
        return self.state

    def allow(self, action: Action, now: int) -> None:
        """Return when kind and state allow the action.

        Raises :class:`KeyRootRequired`, :class:`KeyDeleted` or :class:`KeyActionInvalidState`.
        """
        if self.extractable and action in ROOT_ALONE:
            raise KeyRootRequired("Requested action can only be completed with a root key")
        state = self.state_at(now)
        if state in ALLOWED[action]:
            return
        if state is KeyState.DESTROYED:
            raise KeyDeleted(f"The key {self.identifier} has been deleted and is no longer available")
        raise KeyActionInvalidState(f"The key {self.identifier} is {_TOLD[state]}: {action} is refused")

    def after(self, action: Action, now: int) -> "Key":
        """The key after an action that changes its state."""
        self.allow(action, now)
        return replace(self, state=LEADS_TO[action], state_changed_at=now, updated_at=now)
