"""Who calls: what a request shows becomes an administrator with the rights that the catalog knows now.

Nothing is kept between requests: a role that was taken back, a key that was revoked, a log-in that was ended count at
the next request, on every process.
"""

import hmac
from dataclasses import dataclass, replace
from typing import Final

from keyrack.domain.people import Actor, ApiKey, LoginSession, Person
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.ports.people import PeopleChanges
from keyrack.service.office.administration import Administrator
from keyrack.service.office.refusals import Unauthenticated
from keyrack.service.people import tokens
from keyrack.service.people.register import Register

NOTED_EVERY: Final = 60
"""Seconds between two notes that a log-in or an API key is in use; a commit for each request would be too many."""


@dataclass(frozen=True, slots=True)
class Ends:
    """When a log-in is over, in seconds."""

    idle: int = 15 * 60
    """After the last request."""
    longest: int = 12 * 3600
    """After the log-in, in any case."""


USUAL: Final = Ends()


async def caller_of_token(
    book: Register,
    token: str,
    *,
    now: int,
    address: str,
    ends: Ends = USUAL,
    correlation: str = "",
    noted: bool = True,
) -> Administrator:
    """The person who shows a log-in's token or an API key; ``now`` in seconds since 1970.

    What is not ``noted`` is not taken for a sign that somebody is there: a page that looks for news by itself.

    Raises :class:`Unauthenticated` for whatever does not count, or not any more, without telling which.
    """
    if tokens.is_session(token):
        session = await _standing_session(book, token, now, ends)
        who = await _of_session(book, session, address=address, correlation=correlation)
        if noted and now - session.seen_at >= min(NOTED_EVERY, ends.idle // 4):
            await _note(book, PeopleChanges(seen_sessions=(replace(session, seen_at=now),)))
        return who
    identifier = tokens.api_key_identifier(token)
    if identifier is not None:
        return await _of_api_key(book, token, identifier, now=now, address=address, correlation=correlation)
    raise _nobody()


async def _standing_session(book: Register, token: str, now: int, ends: Ends) -> LoginSession:
    session = await book.login_session(tokens.digest(token))
    if session is None or not stands(session, now, ends):
        raise _nobody()
    return session


async def _of_session(book: Register, session: LoginSession, *, address: str, correlation: str) -> Administrator:
    person = await _standing(book, session.person)
    return Administrator(
        initiator=person.initiator,
        address=address,
        correlation=correlation,
        grants=person.rights,
        actor=Actor(person.identifier, person.revision, session=session.digest),
        proved_at=session.stepped_up_at or 0,
    )


async def _of_api_key(
    book: Register, token: str, identifier: str, *, now: int, address: str, correlation: str
) -> Administrator:
    key = await book.api_key(identifier)
    if key is None or not hmac.compare_digest(key.digest, tokens.digest(token)) or not key_stands(key, now):
        raise _nobody()
    person = await _standing(book, key.person)
    if key.last_used_at is None or now - key.last_used_at >= NOTED_EVERY:
        await _note(book, PeopleChanges(used_api_keys=(replace(key, last_used_at=now),)))
    return Administrator(
        initiator=person.initiator,
        address=address,
        correlation=correlation,
        grants=person.rights.narrowed(key.roles) if key.roles else person.rights,
        actor=Actor(person.identifier, person.revision, api_key=key.identifier),
    )


def stands(session: LoginSession, now: int, ends: Ends = USUAL) -> bool:
    """Whether a log-in is neither over nor forgotten."""
    return now < session.expires_at and now - session.created_at < ends.longest and now - session.seen_at < ends.idle


def key_stands(key: ApiKey, now: int) -> bool:
    """Whether an API key is neither revoked nor over."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


async def _standing(book: Register, identifier: str) -> Person:
    person = await book.person(identifier)
    if person is None or person.disabled_at is not None:
        raise _nobody()
    return person


async def _note(book: Register, changes: PeopleChanges) -> None:
    """What is not noted now is noted at the next request: reading goes on while nothing can be written."""
    try:
        await book.commit(Unit(entries=(), people=changes))
    except CatalogUnavailable:
        return


def _nobody() -> Unauthenticated:
    return Unauthenticated("this token, or API key, does not count, or not any more", hint="log in again")
