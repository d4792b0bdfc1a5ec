"""Who shares a catalog: the deployment that it belongs to, its nodes, and how its copies have fared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

BACKUP: Final = "backup"
PROOF: Final = "proof"
"""Kinds of :class:`Report`: the last backup that was made, and the last proof that every key and backup opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One endpoint: a machine, or a container, that serves from the catalog with its own name."""

    name: str
    token: str
    """Random, made at each start: two that run under one name are told apart by it."""
    version: str
    """Of Keyrack."""
    schema: int
    """The newest schema that it knows."""
    address: str
    """Host and port where its clients reach it; empty where it serves none."""
    started_at: int
    """Seconds since 1970."""
    seen_at: int
    """When it last wrote here, in seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """The catalog was restored from a copy: nothing of it changes until what came after the copy is accounted for."""

    at: int
    """When it was restored, in seconds since 1970."""
    why: str
    """Which copy, and what is still to be done, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How the last piece of work of one kind has ended."""

    kind: str
    """:data:`BACKUP` or :data:`PROOF`."""
    at: int
    """When it ended, in seconds since 1970."""
    good: bool
    told: str
    """What a person is to know of it: where it lies, how many keys opened, what failed."""
    keys: int = 0
    """How many keys it held, or proved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyManagerChange:
    """One change of an embedded key manager's database, for the other nodes to make as well."""

    key_manager: str
    revision: int
    """That it makes; each is one more than the last."""
    at: int
    """Seconds since 1970."""
    text: str
    """What :mod:`keyrack.embedded.store` reads; sealed and under MACs of the keystore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChanges:
    """What a unit changes of it."""

    deployment: str | None = None
    """The deployment that the catalog belongs to from now on; one that it belongs to already stays, else
    ``AlreadyThere``."""
    rollback: Rollback | None = None
    """Begin rollback mode: ``ports.catalog.RollbackMode`` from then on."""
    rollback_over: bool = False
    """End it."""
    pulse: Node | None = None
    """A node lives; where another token has written under its name since ``alone_since``, ``AlreadyThere``."""
    alone_since: int = 0
    """Seconds since 1970."""
    left: str | None = None
    """Token of a node that has stopped."""
    report: Report | None = None
    """In the place of the last one of its kind."""
    key_manager_changes: Sequence[KeyManagerChange] = ()
    """Behind the last revision of their key manager, else ``AlreadyThere`` or ``Conflict``."""
    key_manager_changes_forgotten: Mapping[str, int] = field(default_factory=dict)
    """Of a key manager: those up to and with a revision go, before others are added."""


class ClusterBook(Protocol):
    """Reads."""

    async def deployment(self) -> str | None:
        """The deployment that the catalog belongs to; ``None`` while it is new."""
        ...

    async def rollback(self) -> Rollback | None:
        """Whether, and why, nothing may change."""
        ...

    async def nodes(self) -> Sequence[Node]:
        """Every node that has not said good-bye, by name."""
        ...

    async def reports(self) -> Mapping[str, Report]:
        """The last one of each kind."""
        ...

    async def key_manager_changes(self, key_manager: str, after: int, limit: int = 100) -> Sequence[KeyManagerChange]:
        """Those behind revision ``after``, in order."""
        ...
