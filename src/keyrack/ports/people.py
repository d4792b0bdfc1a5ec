"""The part of the catalog that knows people, their API keys and log-ins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keyrack.domain.people import ApiKey, LoginSession, OneTimeLink, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleChanges:
    """What a unit changes of people."""

    persons: Sequence[Person] = ()
    """People to insert (revision 1), or to change: the revision after the stored one, else ``Conflict``. A name that
    is taken raises ``AlreadyThere``."""
    noted: Sequence[Person] = ()
    """People of whom only ``last_login_at``, ``failures`` and ``locked_until`` are written; the revision stays."""
    api_keys: Sequence[ApiKey] = ()
    """API keys to insert, or to replace where the identifier is there already."""
    sessions: Sequence[LoginSession] = ()
    """Log-ins to insert, or to replace where the digest is there already."""
    ended_sessions: Sequence[bytes] = field(default=(), repr=False)
    """Digests of log-ins that are over."""
    ended_of: Sequence[str] = ()
    """People all of whose log-ins are over."""
    links: Sequence[OneTimeLink] = ()
    """One-time links to insert."""
    used_links: Sequence[OneTimeLink] = ()
    """Links that are used up by this unit; one that was used or is gone already raises ``Conflict``."""


class PeopleBook(Protocol):
    """Reads of people. Times are seconds since 1970."""

    async def persons(self) -> Sequence[Person]:
        """Everybody, by name."""
        ...

    async def person(self, identifier: str) -> Person | None:
        """By identifier."""
        ...

    async def person_called(self, name: str) -> Person | None:
        """By name."""
        ...

    async def person_meant(self, source: str, subject: str) -> Person | None:
        """By the issuer and ``sub`` of a token."""
        ...

    async def api_keys(self, person: str | None = None) -> Sequence[ApiKey]:
        """API keys of one person or of all, oldest first, revoked ones too."""
        ...

    async def api_key(self, identifier: str) -> ApiKey | None:
        """By identifier."""
        ...

    async def login_session(self, digest: bytes) -> LoginSession | None:
        """By the digest of its token."""
        ...

    async def login_sessions(self, person: str) -> Sequence[LoginSession]:
        """Log-ins of a person, oldest first."""
        ...

    async def one_time_link(self, digest: bytes) -> OneTimeLink | None:
        """By the digest of its token."""
        ...
