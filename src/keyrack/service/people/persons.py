"""People: added, granted roles, locked out, let in again, removed. Each act is one unit with its journal entry.

Nobody changes the own roles, so that taking more power needs another person; and the last administrator who can log in
stays. Both are asked here; the second again by the catalog in the transaction.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace

from keyrack.domain.people import LOCAL, Person, is_name, is_name_of_issuer
from keyrack.domain.rights import EVERYWHERE, Grant, Right, Role
from keyrack.ports.catalog import AlreadyThere, Conflict, LastAdministrator, RightsChanged
from keyrack.ports.people import PeopleBook, PeopleChanges
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import ChangedMeanwhile, Forbidden, NameTaken, NotThere, Refused, Unusable


async def people(administration: Administration, book: PeopleBook, *, removed: bool = False) -> Sequence[Person]:
    """Everybody by name; those who were removed only where they are asked for."""
    administration.require(Right.PERSON_READ)
    return [each for each in await book.persons() if removed or each.removed_at is None]


async def person(administration: Administration, book: PeopleBook, name: str) -> Person:
    """By name or identifier; oneself needs no right. Raises :class:`NotThere`."""
    actor = administration.administrator.actor
    found = await book.person_called(name.strip().lower()) or await book.person(name)
    if actor is None or found is None or actor.person != found.identifier:
        administration.require(Right.PERSON_READ)
    if found is None:
        raise NotThere(f"there is no person {name!r}", hint="'keyrack person list' shows all")
    return found


async def myself(administration: Administration, book: PeopleBook) -> Person:
    """Whoever acts; raises :class:`Forbidden` at the machine, where that is nobody in the catalog."""
    actor = administration.administrator.actor
    found = await book.person(actor.person) if actor else None
    if found is None:
        raise Forbidden("this is for a person who is logged in", hint="name the person")
    return found


async def grant_over(administration: Administration, role: Role, instance: str | None) -> Grant:
    """A role over the instance of this name, or everywhere; raises :class:`NotThere`."""
    return Grant(role, (await administration.instance(instance)).identifier if instance else EVERYWHERE)


async def add(
    administration: Administration,
    book: PeopleBook,
    name: str,
    grants: Sequence[Grant] = (),
    *,
    source: str = LOCAL,
    subject: str = "",
    display: str = "",
) -> Person:
    """Enter somebody new; a local person has no way in until a link or a password is made.

    Raises :class:`Unusable` for the name, :class:`NameTaken` also for that of somebody who was removed.
    """
    administration.require(Right.PERSON_CHANGE)
    name = name.strip().lower()
    check_name(name, source)
    if (source == LOCAL) == bool(subject):
        raise Unusable("a local person has no subject, and an issuer's has one", field="subject")
    made = Person(
        identifier=str(uuid.uuid4()),
        name=name,
        source=source,
        subject=subject,
        display=display[:200],
        grants=frozenset(grants),
        created_at=administration.now,
        created_by=administration.administrator.initiator,
    )
    try:
        await _commit(administration, "person.add", made, {"source": source, **_told(made)})
    except AlreadyThere:
        held = await book.person_called(name)
        gone = " (removed: a name is never given again, since the journal knows people by it)"
        if held is None:
            raise NameTaken("this subject of the issuer means somebody already", field="subject") from None
        told = f"there is a person {name!r} already{gone if held.removed_at else ''}; choose another name"
        raise NameTaken(told, field="name") from None
    return made


def check_name(name: str, source: str = LOCAL) -> None:
    """Raise :class:`Unusable` for what cannot be a person's name."""
    if source == LOCAL and not is_name(name):
        raise Unusable(
            f"{name!r} cannot be a person's name; use lower-case letters, digits, '.', '_' and '-', a letter or digit "
            "first and last, at most 63 in all",
            field="name",
        )
    if source != LOCAL and not is_name_of_issuer(name):
        raise Unusable(f"{name!r} cannot be the name of an issuer's person; use for example anna@example", field="name")


async def grant(administration: Administration, book: PeopleBook, who: Person, added: Grant) -> Person:
    """Give somebody a role; log-ins that stand are ended. One that is held already changes nothing."""
    administration.require(Right.PERSON_CHANGE)
    _refuse_oneself(administration, who, "nobody changes the own roles")
    _refuse_removed(who)
    if added in who.grants:
        return who
    return await _granted(administration, "person.grant", who, who.grants | {added}, added)


async def revoke(administration: Administration, book: PeopleBook, who: Person, taken: Grant) -> Person:
    """Take a role back; it counts at the next request. Raises :class:`NotThere` for one that is not held so."""
    administration.require(Right.PERSON_CHANGE)
    _refuse_oneself(administration, who, "nobody changes the own roles")
    if taken not in who.grants:
        where = "everywhere" if taken.instance == EVERYWHERE else "for that instance alone"
        raise NotThere(f"{who.name} is not {taken.role} {where}", hint="'keyrack person show' tells what is granted")
    return await _granted(administration, "person.revoke", who, who.grants - {taken}, taken)


async def _granted(
    administration: Administration, action: str, who: Person, grants: frozenset[Grant], about: Grant
) -> Person:
    changed = replace(who, grants=grants, revision=who.revision + 1)
    detail = {"role": str(about.role), "scope": about.instance or "everywhere"}
    await _commit(administration, action, changed, detail, instance=about.instance, ended_of=(who.identifier,))
    return changed


async def disable(administration: Administration, book: PeopleBook, who: Person) -> Person:
    """Lock somebody out: no log-in, no API key, no link counts any more, until :func:`enable`."""
    administration.require(Right.PERSON_CHANGE)
    _refuse_oneself(administration, who, "nobody locks himself out")
    if who.disabled_at is not None:
        return who
    changed = replace(who, disabled_at=administration.now, revision=who.revision + 1)
    ended = (who.identifier,)
    await _commit(administration, "person.disable", changed, {}, ended_of=ended, ended_links_of=ended)
    return changed


async def enable(administration: Administration, book: PeopleBook, who: Person) -> Person:
    """Let somebody in again who was locked out; API keys that were not revoked count again."""
    administration.require(Right.PERSON_CHANGE)
    _refuse_oneself(administration, who, "nobody lets himself in")
    _refuse_removed(who)
    if who.disabled_at is None:
        return who
    changed = replace(who, disabled_at=None, revision=who.revision + 1)
    await _commit(administration, "person.enable", changed, {})
    return changed


async def remove(administration: Administration, book: PeopleBook, who: Person) -> Person:
    """Lock somebody out for good: without roles, password and API keys. The name is never given again."""
    administration.require(Right.PERSON_CHANGE)
    _refuse_oneself(administration, who, "nobody removes himself")
    if who.removed_at is not None:
        return who
    now = administration.now
    changed = replace(
        who, grants=frozenset(), password="", disabled_at=now, removed_at=now, revision=who.revision + 1, display=""
    )
    keys = [each for each in await book.api_keys(who.identifier) if each.revoked_at is None]
    ended = (who.identifier,)
    revoked = tuple(replace(each, revoked_at=now) for each in keys)
    detail = {"api_keys": len(revoked)}
    await _commit(
        administration, "person.remove", changed, detail, ended_of=ended, ended_links_of=ended, api_keys=revoked
    )
    return changed


def _refuse_oneself(administration: Administration, who: Person, told: str) -> None:
    actor = administration.administrator.actor
    if actor is not None and actor.person == who.identifier:
        raise Forbidden(told, hint="ask another administrator, or do it at the machine itself")


def _refuse_removed(who: Person) -> None:
    if who.removed_at is not None:
        raise Refused(f"{who.name} was removed, and that is for good", hint="add the person under another name")


async def _commit(
    administration: Administration,
    action: str,
    changed: Person,
    detail: Mapping[str, str | int],
    *,
    instance: str = "",
    **changes: Sequence[object],
) -> None:
    """One change of one person, with what ends by it."""
    unit = PeopleChanges(persons=(changed,), **changes)  # type: ignore[arg-type]
    try:
        await administration.commit(action, instance, changed.identifier, {"name": changed.name, **detail}, people=unit)
    except LastAdministrator:
        raise Refused(
            f"{changed.name} is the last administrator who can log in",
            hint="make somebody else an administrator first, who has set a password",
        ) from None
    except RightsChanged:
        raise
    except Conflict:
        raise ChangedMeanwhile(
            f"{changed.name} was changed by somebody else just now", hint="look again, then repeat it"
        ) from None


def _told(who: Person) -> Mapping[str, str | int]:
    """The grants of a new person, for the journal."""
    told = ", ".join(f"{each.role} {each.instance or 'everywhere'}" for each in sorted(who.grants))
    return {"grants": told[:500]} if told else {}
