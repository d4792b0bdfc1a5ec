"""The way to what needs a key manager, for a process that holds none: asked in a process that serves KMIP.

Where there is no process between (the command line, a test) the same is answered directly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


class BackOfficeUnavailable(Exception):
    """No serving process answers, or not in time; what was asked for was done, or it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBehalf:
    """Who asks, by what was shown: the serving process looks at it again, and takes nobody's word for it."""

    token: str = field(repr=False)
    """The API key, or the token of the log-in."""
    address: str
    correlation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyManagerTold:
    """A key manager, as it is configured and as it does."""

    name: str
    type: str
    """``embedded``, ``key_protect`` or ``hpcs``."""
    healthy: bool
    told: str = ""
    """What is not well; empty where all is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKeyVersion:
    """One generation of a root key's material."""

    number: int
    """From 1, the oldest; the last one wraps."""
    identifier: str
    created_at: int
    kept_by: str
    """``software`` or ``pkcs11``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKeyDetails:
    """What only a key manager tells that is administered here. Times are seconds since 1970."""

    key_manager_instance: str
    """The key manager's own instance that the root key is of."""
    description: str = ""
    aliases: Sequence[str] = ()
    key_ring: str = ""
    imported: bool = False
    created_by: str = ""
    versions: Sequence[RootKeyVersion] = ()
    """Oldest first."""
    rotated_at: int | None = None
    state_changed_at: int
    expires_at: int | None = None
    rotate_every_months: int | None = None
    rotation_due: int | None = None
    """When its policy rotates it."""
    rotate_from: int | None = None
    """From when it may be rotated again; ``None``: at once, as far as time goes."""
    return_from: int | None = None
    """From when a disabled one may be enabled, or a deleted one restored."""
    dual_authorisation: bool = False
    """Whether it takes two people to delete it."""
    set_for_deletion_by: str = ""
    """Who has agreed to its deletion as the first of two; empty where nobody has, or it was too long ago."""
    set_for_deletion_until: int | None = None
    deleted_at: int | None = None
    deleted_by: str = ""
    restore_until: int | None = None
    purged_on: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RootKeyTold:
    """A customer root key, as its key manager tells of it now."""

    identifier: str
    name: str
    state: int
    """Key Protect's key state: 0 pre-activation, 1 active, 2 suspended, 3 deactivated, 5 destroyed."""
    version: str
    """Identifier of the version that wraps now."""
    created_at: int
    """Seconds since 1970."""
    details: RootKeyDetails | None = None
    """``None`` where its key manager is administered elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The last real unwrap with one root key by one serving process."""

    key_manager: str
    root_key: str
    at: int
    """When, in seconds since 1970."""
    milliseconds: float
    told: str = ""
    """What went wrong; empty where what was wrapped came out as it went in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHealth:
    """One serving process."""

    worker: int
    listening: bool
    """Whether it takes KMIP connections."""
    committing: bool
    """Whether the catalog takes a commit."""
    at: int
    """When it was looked, in seconds since 1970."""
    trials: Sequence[Trial] = ()
    """One for each root key in use that was tried, the last ones."""


class BackOffice(Protocol):
    """What a serving process does for the administration API.

    Every method raises :class:`BackOfficeUnavailable`; what ``service.office.refusals`` has goes through as it is.
    """

    async def key_managers(self) -> Sequence[KeyManagerTold]:
        """The configured key managers, in the order of the configuration."""
        ...

    async def root_keys(self, key_manager: str) -> Sequence[RootKeyTold]:
        """The root keys of a key manager, as it lists them now; raises ``NotThere`` and ``KeyManagerFailed``."""
        ...

    async def act(self, who: OnBehalf, act: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do an act of the table ``shell.web.acts.ACTS`` in the name of a person; its answer, as JSON has it."""
        ...

    async def health(self) -> Sequence[WorkerHealth]:
        """Every serving process that answers, each with a real unwrap not older than a few seconds."""
        ...

    async def metrics(self) -> str:
        """The metrics of all serving processes, in the text form of Prometheus."""
        ...
