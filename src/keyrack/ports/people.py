"""The part of the catalog that knows people, their API keys and log-ins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keyrack.domain.people import ApiKey, Attempts, LoginSession, OneTimeLink, Person


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleChanges:
    """What a unit changes of people.

    A unit after which nobody who can log in would be an administrator any more, where somebody was before, raises
    ``LastAdministrator``.
    """

    persons: Sequence[Person] = ()
    """People to insert (revision 1), or to change: the revision after the stored one, else ``Conflict``. A name that
    is taken, or an issuer's subject, raises ``AlreadyThere``."""
    noted: Sequence[Person] = ()
    """People of whom only ``last_login_at`` and ``display`` are written; the revision stays."""
    api_keys: Sequence[ApiKey] = ()
    """API keys to insert; one that is there already gets its ``name`` and ``revoked_at`` alone, and a revocation is
    never taken back."""
    used_api_keys: Sequence[ApiKey] = ()
    """API keys of which only ``last_used_at`` is written."""
    sessions: Sequence[LoginSession] = ()
    """Log-ins to insert. What is past its end goes at the same time."""
    seen_sessions: Sequence[LoginSession] = ()
    """Log-ins of which ``seen_at`` and ``stepped_up_at`` are written where they are still there; none is brought
    back."""
    ended_sessions: Sequence[bytes] = field(default=(), repr=False)
    """Digests of log-ins that are over."""
    ended_of: Sequence[str] = ()
    """People all of whose log-ins, but ``sessions``, are over."""
    kept_session: bytes | None = field(default=None, repr=False)
    """Digest of the one log-in that stays where all others of ``ended_of`` end."""
    links: Sequence[OneTimeLink] = ()
    """One-time links to insert; they take the place of others of the same people."""
    used_links: Sequence[OneTimeLink] = ()
    """Links that are used up by this unit; one that was used or is gone already raises ``Conflict``."""
    ended_links_of: Sequence[str] = ()
    """People whose links count no more."""
    attempts: Sequence[Attempts] = ()
    """Counts of attempts: the version after the stored one, else ``Conflict``. One of no failures is forgotten."""


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

    async def attempts(self, of: str) -> Attempts:
        """What is counted under this name; nothing yet is a count of version 0."""
        ...
