"""The part of the catalog that knows who fetched which key last, and what waits for a second person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keyrack.domain.approvals import Approval


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
class KeyAffairs:
    """What a unit changes of approvals."""

    approvals: Sequence[Approval] = ()
    """Approvals to insert, or to replace where the identifier is there already and still waits; else ``Conflict``."""


class KeyBook(Protocol):
    """Reads of fetches and approvals."""

    async def fetches(self, instance: str, identifiers: Sequence[str] | None = None) -> Mapping[str, Fetch]:
        """The last fetch of each object of the instance that was ever fetched, or of these; brought up to date with
        the journal first."""
        ...

    async def approvals(self, instance: str | None = None) -> Sequence[Approval]:
        """Approvals, of one instance or of all, the newest first."""
        ...

    async def approval(self, identifier: str) -> Approval | None:
        """By identifier."""
        ...
