"""People, API keys and log-ins in the database: rows and values, what a unit does with them, and reads."""

import json
from collections.abc import Sequence
from typing import Any

from keyrack.adapters.catalogs import people_queries as queries
from keyrack.adapters.catalogs.reading import Execute, Reads, first
from keyrack.domain.people import PERSON_PATIENCE, Actor, ApiKey, Attempts, LoginSession, OneTimeLink, Person
from keyrack.domain.rights import Grant, Role
from keyrack.ports.catalog import AlreadyThere, Conflict, LastAdministrator, RightsChanged, Unit
from keyrack.ports.people import PeopleChanges


async def check_actor(execute: Execute, actor: Actor) -> None:
    """Raise ``RightsChanged`` where the person, the API key or the log-in is not as when the act was decided."""
    held = first(await execute(queries.REVISION, (actor.person,)))
    if held is None or tuple(held) != (actor.revision, None):
        raise RightsChanged("the person's rights were changed meanwhile")
    key, session = (actor.api_key, actor.person), (actor.session, actor.person)
    if actor.api_key is not None and not await execute(queries.API_KEY_STANDS, key):
        raise RightsChanged("the API key was revoked meanwhile")
    if actor.session is not None and not await execute(queries.SESSION_STANDS, session):
        raise RightsChanged("the log-in was ended meanwhile")


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.people is not None


async def check(execute: Execute, unit: Unit) -> None:
    """Raise ``Conflict``, or a kind of it, where the database as it is now does not allow the unit."""
    changes = unit.people
    assert changes is not None
    for person in changes.persons:
        await _check_person(execute, person)
    if changes.persons:
        await _check_last_administrator(execute, changes.persons)
    for link in changes.used_links:
        if first(await execute(queries.LINK_STANDS, (link.digest, link.person))) is None:
            raise Conflict("the link was used already")
    for attempts in changes.attempts:
        row = first(await execute(queries.ONE_ATTEMPT, (attempts.of,)))
        if (attempts_of(row).version if row else 0) != attempts.version - 1:
            raise Conflict("another attempt was counted meanwhile")


async def _check_person(execute: Execute, person: Person) -> None:
    row = first(await execute(queries.ONE_PERSON, (person.identifier,)))
    held = person_of(row) if row else None
    if (held.revision if held else 0) != person.revision - 1:
        raise Conflict("the person was changed meanwhile")
    if held is not None:
        if held.removed_at is not None:
            raise Conflict("whoever was removed stays so")
        if (held.name, held.source, held.subject) != (person.name, person.source, person.subject):
            raise Conflict("nobody gets another name, or comes from elsewhere")
        return
    if first(await execute(queries.PERSON_CALLED, (person.name,))) is not None:
        raise AlreadyThere("somebody has this name")
    if first(await execute(queries.PERSON_MEANT, (person.source, person.subject))) is not None:
        raise AlreadyThere("the issuer's subject means somebody already")


async def _check_last_administrator(execute: Execute, persons: Sequence[Person]) -> None:
    held = {person.identifier: person.administers for person in map(person_of, await execute(queries.PERSONS))}
    after = held | {person.identifier: person.administers for person in persons}
    if any(held.values()) and not any(after.values()):
        raise LastAdministrator("nobody who can log in would be an administrator")


async def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""
    changes = unit.people
    assert changes is not None
    for person in changes.persons:
        if person.revision == 1:
            await execute(queries.ADD_PERSON, person_columns(person))
        else:
            await execute(queries.CHANGE_PERSON, _changed_columns(person))
    for person in changes.noted:
        await execute(queries.NOTE_PERSON, (person.last_login_at, person.display, person.identifier))
    for key in changes.api_keys:
        await execute(queries.PUT_API_KEY, api_key_columns(key))
    for key in changes.used_api_keys:
        await execute(queries.USE_API_KEY, (key.last_used_at, key.identifier))
    await _write_sessions(execute, changes)
    await _write_links(execute, changes)
    for attempts in changes.attempts:
        await execute(queries.FORGET_ATTEMPTS_BEFORE, (attempts.last_at - PERSON_PATIENCE.forgotten,))
        if attempts.failures:
            columns = (attempts.of, attempts.failures, attempts.last_at, attempts.free_at, attempts.version)
            await execute(queries.PUT_ATTEMPT, columns)
        else:
            await execute(queries.FORGET_ATTEMPT, (attempts.of,))


async def _write_sessions(execute: Execute, changes: PeopleChanges) -> None:
    for person in changes.ended_of:
        await execute(queries.END_SESSIONS_OF, (person, changes.kept_session or b""))
    for digest in changes.ended_sessions:
        await execute(queries.END_SESSION, (digest,))
    for session in changes.seen_sessions:
        await execute(queries.SEE_SESSION, (session.seen_at, session.stepped_up_at, session.digest))
    for session in changes.sessions:
        await execute(queries.END_SESSIONS_BEFORE, (session.created_at,))
        await execute(queries.ADD_SESSION, session_columns(session))


async def _write_links(execute: Execute, changes: PeopleChanges) -> None:
    for link in changes.used_links:
        await execute(queries.USE_LINK, (link.used_at, link.digest))
    for person in changes.ended_links_of:
        await execute(queries.END_LINKS_OF, (person,))
    for link in changes.links:
        await execute(queries.END_LINKS_OF, (link.person,))
        await execute(queries.ADD_LINK, (link.digest, link.person, link.expires_at, link.used_at))


class PeopleReads(Reads):
    """``ports.people.PeopleBook`` over SQLite."""

    async def persons(self) -> Sequence[Person]:
        """Everybody, by name."""
        return [person_of(row) for row in await self._read(queries.PERSONS)]

    async def person(self, identifier: str) -> Person | None:
        """By identifier."""
        return await self._person(queries.ONE_PERSON, identifier)

    async def person_called(self, name: str) -> Person | None:
        """By name."""
        return await self._person(queries.PERSON_CALLED, name)

    async def person_meant(self, source: str, subject: str) -> Person | None:
        """By the issuer and ``sub`` of a token."""
        return await self._person(queries.PERSON_MEANT, source, subject)

    async def _person(self, statement: str, *values: str) -> Person | None:
        row = first(await self._read(statement, values))
        return person_of(row) if row else None

    async def api_keys(self, person: str | None = None) -> Sequence[ApiKey]:
        """Oldest first, revoked ones too."""
        if person is None:
            rows = await self._read(queries.API_KEYS)
        else:
            rows = await self._read(queries.API_KEYS_OF, (person,))
        return [api_key_of(row) for row in rows]

    async def api_key(self, identifier: str) -> ApiKey | None:
        """By identifier."""
        row = first(await self._read(queries.ONE_API_KEY, (identifier,)))
        return api_key_of(row) if row else None

    async def login_session(self, digest: bytes) -> LoginSession | None:
        """By the digest of its token."""
        row = first(await self._read(queries.ONE_SESSION, (digest,)))
        return session_of(row) if row else None

    async def login_sessions(self, person: str) -> Sequence[LoginSession]:
        """Oldest first."""
        return [session_of(row) for row in await self._read(queries.SESSIONS_OF, (person,))]

    async def one_time_link(self, digest: bytes) -> OneTimeLink | None:
        """By the digest of its token."""
        row = first(await self._read(queries.ONE_LINK, (digest,)))
        if row is None:
            return None
        digest, person, expires_at, used_at = row
        return OneTimeLink(digest=digest, person=person, expires_at=expires_at, used_at=used_at)

    async def attempts(self, of: str) -> Attempts:
        """What is counted under this name."""
        row = first(await self._read(queries.ONE_ATTEMPT, (of,)))
        return attempts_of(row) if row else Attempts(of=of)


def person_columns(person: Person) -> tuple[Any, ...]:
    """In the order of ``people_queries.PERSON``."""
    return (
        person.identifier,
        person.name,
        person.source,
        person.subject,
        person.password,
        person.display,
        _grants_text(person),
        person.created_at,
        person.created_by,
        person.disabled_at,
        person.removed_at,
        person.last_login_at,
        person.revision,
    )


def _changed_columns(person: Person) -> tuple[Any, ...]:
    """In the order of ``people_queries.CHANGE_PERSON``."""
    changed = (person.password, person.display, _grants_text(person))
    times = (person.disabled_at, person.removed_at, person.last_login_at)
    return (*changed, *times, person.revision, person.identifier, person.name, person.source, person.subject)


def _grants_text(person: Person) -> str:
    return json.dumps(sorted([str(grant.role), grant.instance] for grant in person.grants))


def person_of(row: tuple[Any, ...]) -> Person:
    """The person of a row of ``people_queries.PERSON``."""
    identifier, name, source, subject, password, display, grants, created_at, created_by, *standing = row
    disabled_at, removed_at, last_login_at, revision = standing
    return Person(
        identifier=identifier,
        name=name,
        source=source,
        subject=subject,
        password=password,
        display=display,
        grants=frozenset(Grant(Role(role), instance) for role, instance in json.loads(grants)),
        created_at=created_at,
        created_by=created_by,
        disabled_at=disabled_at,
        removed_at=removed_at,
        last_login_at=last_login_at,
        revision=revision,
    )


def api_key_columns(key: ApiKey) -> tuple[Any, ...]:
    """In the order of ``people_queries.API_KEY``."""
    roles = json.dumps(sorted(key.roles))
    times = (key.created_at, key.expires_at, key.last_used_at, key.revoked_at)
    return (key.identifier, key.person, key.name, key.digest, roles, *times)


def api_key_of(row: tuple[Any, ...]) -> ApiKey:
    """The API key of a row of ``people_queries.API_KEY``."""
    identifier, person, name, digest, roles, created_at, expires_at, last_used_at, revoked_at = row
    return ApiKey(
        identifier=identifier,
        person=person,
        name=name,
        digest=digest,
        roles=frozenset(map(Role, json.loads(roles))),
        created_at=created_at,
        expires_at=expires_at,
        last_used_at=last_used_at,
        revoked_at=revoked_at,
    )


def session_columns(session: LoginSession) -> tuple[Any, ...]:
    """In the order of ``people_queries.SESSION``."""
    times = (session.created_at, session.seen_at, session.expires_at, session.stepped_up_at)
    return (session.digest, session.person, *times, session.address)


def session_of(row: tuple[Any, ...]) -> LoginSession:
    """The log-in of a row of ``people_queries.SESSION``."""
    digest, person, created_at, seen_at, expires_at, stepped_up_at, address = row
    return LoginSession(
        digest=digest,
        person=person,
        created_at=created_at,
        seen_at=seen_at,
        expires_at=expires_at,
        stepped_up_at=stepped_up_at,
        address=address,
    )


def attempts_of(row: tuple[Any, ...]) -> Attempts:
    """The count of a row of ``people_queries.ATTEMPT``."""
    of, failures, last_at, free_at, version = row
    return Attempts(of=of, failures=failures, last_at=last_at, free_at=free_at, version=version)
