"""API keys, with which programs act for a person: shown once, ended by date, never with more rights than the person."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from keyrack.domain.people import ApiKey, Person
from keyrack.domain.rights import PROOF_LASTS, Right, Role
from keyrack.ports.people import PeopleBook, PeopleChanges
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import (
    ChangedMeanwhile,
    Forbidden,
    LimitReached,
    NameTaken,
    NotThere,
    ProofNeeded,
    Refused,
    Unusable,
)
from keyrack.service.people import tokens
from keyrack.service.people.door import key_stands

DAY: Final = 86_400
USUAL_DAYS: Final = 365
MOST_DAYS: Final = 730
MOST_KEYS: Final = 50
"""API keys of one person that count at one time."""


async def create(
    administration: Administration,
    book: PeopleBook,
    who: Person,
    name: str,
    *,
    roles: frozenset[Role] = frozenset(),
    days: int = USUAL_DAYS,
) -> tuple[ApiKey, str]:
    """Make an API key of somebody's, and its text, which is told this one time.

    People make their own, logged in, proved a moment ago, so that a stolen API key makes no other; at the machine
    anybody's can be made. ``roles``: only these of the person's. ``days``: until it ends, 1 to 730.
    """
    _require_own(administration, who)
    _check(who, name, roles, days)
    _check_place(await book.api_keys(who.identifier), who, name, administration.now)
    identifier = uuid.uuid4().hex
    token = tokens.new_api_key(identifier)
    made = ApiKey(
        identifier=identifier,
        person=who.identifier,
        name=name,
        digest=tokens.digest(token),
        roles=roles,
        created_at=administration.now,
        expires_at=administration.now + days * DAY,
    )
    detail: dict[str, str | int] = {
        "name": name,
        "person": who.name,
        "days": days,
        "roles": ", ".join(sorted(roles)) or "all",
    }
    await administration.commit("api-key.create", "", identifier, detail, people=PeopleChanges(api_keys=(made,)))
    return made, token


def _require_own(administration: Administration, who: Person) -> None:
    admin = administration.administrator
    if admin.actor is None:
        administration.require(Right.PERSON_CHANGE)
        return
    if admin.actor.person != who.identifier:
        raise Forbidden("everybody makes the own API keys alone", hint=f"let {who.name} log in and make it")
    if admin.actor.session is None:
        raise Forbidden("an API key makes no other", hint="log in by name and password first")
    if admin.proved_at is None or administration.now - admin.proved_at > PROOF_LASTS:
        raise ProofNeeded("to make an API key, prove again that it is you", hint="send your password, then repeat this")


def _check(who: Person, name: str, roles: frozenset[Role], days: int) -> None:
    """Raise a kind of :class:`Refused` for what cannot be an API key of this person."""
    if who.disabled_at is not None:
        raise Refused(f"{who.name} is locked out, and has no use of an API key")
    if not name or len(name) > 63 or not name.isprintable() or name != name.strip():
        raise Unusable(f"{name!r} cannot be an API key's name; use 1 to 63 characters", field="name")
    if not 1 <= days <= MOST_DAYS:
        raise Unusable(f"an API key ends after 1 to {MOST_DAYS} days", field="days")
    missing = roles - {grant.role for grant in who.grants}
    if missing:
        told = " or ".join(sorted(missing))
        raise Unusable(
            f"{who.name} does not have the role {told} as such, and an API key has no role that its person has not; "
            f"{_instead(who)}, or grant it first: keyrack person grant {who.name} {min(missing)}",
            field="roles",
        )


def _instead(who: Person) -> str:
    held = ", ".join(sorted({grant.role for grant in who.grants}))
    return f"use {held}" if held else f"{who.name} has no role yet"


def _check_place(held: Sequence[ApiKey], who: Person, name: str, now: int) -> None:
    """Raise :class:`NameTaken` or :class:`LimitReached` where there is no place for another."""
    standing = [each for each in held if key_stands(each, now)]
    if any(each.name == name for each in standing):
        raise NameTaken(f"{who.name} has an API key {name!r} already", field="name")
    if len(standing) >= MOST_KEYS:
        raise LimitReached(f"{who.name} has {MOST_KEYS} API keys, and more nobody needs", hint="revoke one first")


async def api_keys(administration: Administration, book: PeopleBook, who: Person | None = None) -> Sequence[ApiKey]:
    """API keys of one person, or of all, oldest first; one's own need no right."""
    if not _is_own(administration, who):
        administration.require(Right.PERSON_READ)
    return await book.api_keys(who.identifier if who else None)


async def api_key(administration: Administration, book: PeopleBook, named: str, who: Person | None = None) -> ApiKey:
    """By identifier, by its beginning, or by name where one person has it; foreign and absent ones look alike.

    Raises :class:`NotThere`.
    """
    actor = administration.administrator.actor
    sees_all = administration.administrator.grants.allow(Right.PERSON_READ)
    own = None if sees_all or actor is None else actor.person
    held = [each for each in await book.api_keys(who.identifier if who else None) if own in {None, each.person}]
    standing = [each for each in held if each.revoked_at is None]
    for found in (
        [each for each in held if each.identifier == named],
        [each for each in standing if each.name == named],
        [each for each in standing if len(named) >= 4 and each.identifier.startswith(named)],
    ):
        if len(found) > 1:
            raise Refused(f"{len(found)} API keys are meant by {named!r}; name one by its identifier")
        if found:
            return found[0]
    raise NotThere(f"there is no API key {named!r}", hint="'keyrack api-key list' shows them")


async def revoke(administration: Administration, book: PeopleBook, key: ApiKey) -> ApiKey:
    """End an API key, at once and for good; one's own needs no right."""
    actor = administration.administrator.actor
    if actor is None or actor.person != key.person:
        administration.require(Right.PERSON_CHANGE)
    if key.revoked_at is not None:
        return key
    revoked = replace(key, revoked_at=administration.now)
    owner = await book.person(key.person)
    if owner is None:
        raise ChangedMeanwhile("the API key's person is not there")
    detail = {"name": key.name, "person": owner.name}
    await administration.commit("api-key.revoke", "", key.identifier, detail, people=PeopleChanges(api_keys=(revoked,)))
    return revoked


def _is_own(administration: Administration, who: Person | None) -> bool:
    actor = administration.administrator.actor
    return actor is not None and who is not None and actor.person == who.identifier
