"""The part of the catalog that knows who fetched which key last, what waits for a second person, and lists keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from keyrack.domain.approvals import Approval
from keyrack.domain.objects import ManagedObject
from keyrack.spec.enumerations import ObjectType, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """The last time that an object's material was handed out, as the journal tells."""

    unique_identifier: str
    at: int
    """Milliseconds since 1970."""
    initiator: str
    address: str
    count: int
    """How often in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchesRead:
    """What a stretch of the journal tells of fetches; a stretch counts once, whoever has read it."""

    behind: int
    """Number of the last record before the stretch; where another one stands in the catalog: ``Conflict``."""
    up_to: int
    """Number of its last record."""
    fetches: Mapping[str, Sequence[Fetch]] = field(default_factory=dict)
    """By instance; ``count`` is how often within the stretch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAffairs:
    """What a unit changes of approvals and of what is known of fetches."""

    approvals: Sequence[Approval] = ()
    """Approvals to insert, or to replace where the identifier is there already and still waits; else ``Conflict``."""
    read: FetchesRead | None = None
    endings_before: int | None = None
    """Endings from before this time, in seconds since 1970, that every process has long heard of."""


class KeyOrder(StrEnum):
    """What a listing of keys is sorted by; equal ones in the order of creation."""

    CREATED = "created"
    FETCHED = "last-fetch"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    """Which keys of an instance; what is not said does not narrow. Times are seconds since 1970."""

    states: frozenset[State] = frozenset()
    """States that the dates make now; empty: all."""
    object_type: ObjectType | None = None
    prefix: str = ""
    """What the Unique Identifier begins with."""
    named: str = ""
    """Part of what vCenter called it or its machine (``x-Name``, ``x-Identifier``), or of a Name; in any case."""
    component: str = ""
    """Part of ``x-Component``, as ``ESXi Server``; in any case."""
    created_since: int | None = None
    created_before: int | None = None
    fetched_since: int | None = None
    not_fetched_since: int | None = None
    """Fetched before this time, or never."""
    never_fetched: bool = False
    withheld: bool = False
    """Only those whose standard key is gone."""
    unlabelled: bool = False
    """Only those that no vCenter has labelled: it adds ``x-Product`` right after it has made a key."""
    recoverable: bool = False
    """Only destroyed ones that still have their material."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """A key as a listing tells of it; its state is the one that was last written down."""

    managed: ManagedObject
    fetch: Fetch | None = None
    created_by: str = ""
    """As the journal names an initiator; empty where nobody knows any more."""
    changed_by: str = ""
    destroyed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """One page of a listing."""

    rows: Sequence[KeyRow]
    next: str | None = None
    """What ``cursor`` of the next page is; ``None`` on the last one."""
    back: str | None = None
    """What ``cursor`` is in the opposite direction, for the page that ends before this one; ``None`` where a page has
    no rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How much an instance has."""

    keys: int = 0
    """Objects that are not destroyed."""
    certificates: int = 0
    """Client certificates in force."""
    authorities: int = 0
    """Trusted authorities."""
    fetched_at: int | None = None
    """When one of its keys was last handed out, in milliseconds since 1970, as far as the journal was read."""


class WrongCursor(ValueError):
    """The cursor is not one that this listing, in this order, has given."""


class KeyBook(Protocol):
    """Reads of keys for administrators: listings, fetches, approvals, endings."""

    async def key_page(  # noqa: PLR0913
        self,
        instance: str,
        wanted: KeyFilter,
        now: int,
        *,
        order: KeyOrder = KeyOrder.CREATED,
        descending: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> KeyPage:
        """One page of the instance's keys that the filter lets through. A cursor stays good while keys come and go: no
        key is shown twice, and none that stays in its place is passed over. Raises :class:`WrongCursor`."""
        ...

    async def count_keys(self, instance: str, wanted: KeyFilter, now: int) -> int:
        """How many keys all its pages have."""
        ...

    async def count_by_state(self, instance: str, now: int) -> Mapping[State, int]:
        """How many keys of the instance are in each state that their dates make now."""
        ...

    async def key_rows(self, instance: str, identifiers: Sequence[str]) -> Sequence[KeyRow]:
        """These keys of the instance, those of them that are there, in the order of creation."""
        ...

    async def keys_by_state(self) -> Mapping[tuple[str, int], int]:
        """How many objects there are, by instance and the state that was last written down; it looks at every one."""
        ...

    async def holdings(self) -> Mapping[str, Holding]:
        """How much each instance has, by its identifier: what is counted as it comes and goes, and looks at no key."""
        ...

    async def destroyed(self, after: str = "", limit: int = 100) -> Sequence[ManagedObject]:
        """Destroyed objects of all instances that still have their material or a copy, in the order of identifiers."""
        ...

    async def admitted_by(self, instance: str, fingerprint: str) -> str:
        """Who let the client certificate in, even if it was removed since; empty where nobody knows."""
        ...

    async def catch_up(self) -> int:
        """Bring what is known of fetches up to date with the journal; how many records were read."""
        ...

    async def fetches(self, instance: str, identifiers: Sequence[str] | None = None) -> Mapping[str, Fetch]:
        """The last fetch of each object of the instance that was ever fetched, or of these; brought up to date with
        the journal first."""
        ...

    async def endings(self, after: int | None) -> tuple[int, Sequence[str]]:
        """Unique Identifiers of what was destroyed, recovered, purged or withheld behind this number, and the number
        to ask with next; with ``None`` that number alone."""
        ...

    async def approvals(self, instance: str | None = None) -> Sequence[Approval]:
        """Approvals, of one instance or of all, the newest first."""
        ...

    async def approval(self, identifier: str) -> Approval | None:
        """By identifier."""
        ...
