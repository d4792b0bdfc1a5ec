"""Ways to a password: a link that counts once within a day, a change of one's own, or a command at the machine."""

from dataclasses import replace
from typing import Final

from keyrack.domain.people import LOCAL, OneTimeLink, Person
from keyrack.domain.rights import Right
from keyrack.ports.catalog import Conflict, Unit
from keyrack.ports.people import PeopleBook, PeopleChanges
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import ChangedMeanwhile, Forbidden, NotRecognised, Refused, Unauthenticated
from keyrack.service.people import tokens
from keyrack.service.people.logins import Visitor, compare, forgiving
from keyrack.service.people.passwords import Passwords, check, normal
from keyrack.service.people.register import Register
from keyrack.service.people.throttle import counted, of_name

LINK_LASTS: Final = 86_400
"""Seconds."""


async def invite(administration: Administration, book: PeopleBook, who: Person) -> str:
    """A link's token, with which somebody sets a password, once; told this one time.

    An older link counts no more. A password that is set already counts until the link is used.
    """
    administration.require(Right.PERSON_CHANGE)
    _refuse_without_password(who)
    token = tokens.new_link()
    link = OneTimeLink(digest=tokens.digest(token), person=who.identifier, expires_at=administration.now + LINK_LASTS)
    await administration.commit(
        "person.invite",
        "",
        who.identifier,
        {"name": who.name, "hours": LINK_LASTS // 3600},
        people=PeopleChanges(links=(link,)),
    )
    return token


async def redeem(book: Register, passwords: Passwords, token: str, password: str, *, visitor: Visitor) -> Person:
    """Set the password of whoever has the link; all log-ins of before end, and the link is used up, in one unit.

    Raises :class:`NotRecognised` for a link that does not count, and ``Unusable`` for the password: then it still does.
    """
    link = await book.one_time_link(tokens.digest(token)) if tokens.is_link(token) else None
    if link is None or link.used_at is not None or link.expires_at <= visitor.now:
        raise _no_link()
    who = await book.person(link.person)
    if who is None or who.disabled_at is not None or who.source != LOCAL:
        raise _no_link()
    changed = await _with_password(passwords, who, password)
    unit = Unit(
        entries=(visitor.entry("person.password", "success", who.initiator, who, way="link", name=who.name),),
        people=PeopleChanges(
            persons=(changed,), used_links=(replace(link, used_at=visitor.now),), ended_of=(who.identifier,)
        ),
    )
    try:
        await book.commit(unit)
    except Conflict:
        raise _no_link() from None
    return changed


def _no_link() -> NotRecognised:
    return NotRecognised(
        "this link does not count, or not any more: it counts once, for a day",
        hint="ask an administrator for another, made by 'keyrack person invite'",
    )


async def change_password(
    administration: Administration, book: Register, passwords: Passwords, old: str, new: str
) -> Person:
    """Change the own password, proved by the old one; all other log-ins end, the one that asks stays.

    Raises :class:`NotRecognised`, ``TooManyAttempts``, ``Unusable``.
    """
    actor = administration.administrator.actor
    if actor is None or actor.session is None:
        raise Forbidden("this is for somebody who is logged in", hint="log in by name and password first")
    who = await book.person(actor.person)
    if who is None:
        raise Unauthenticated("this log-in was ended just now", hint="log in again")
    _refuse_without_password(who)
    check(new, (who.name, who.display))
    admin = administration.administrator
    visitor = Visitor(at=administration.now * 1000, address=admin.address, correlation=admin.correlation)
    attempt = await counted(book, who.name, visitor.address, visitor.now)
    await compare(book, passwords, who, old, visitor, attempt)
    changed = await _with_password(passwords, who, new)
    entry = visitor.entry("person.password", "success", who.initiator, who, way="own", name=who.name)
    people = PeopleChanges(
        persons=(changed,),
        ended_of=(who.identifier,),
        kept_session=actor.session,
        ended_links_of=(who.identifier,),
    )
    await forgiving(book, Unit(entries=(entry,), actor=actor, people=people), attempt)
    return changed


async def set_password(
    administration: Administration, book: Register, passwords: Passwords, who: Person, new: str
) -> Person:
    """Set somebody's password at the machine itself, where nobody has to know the old one; wrong attempts are
    forgotten, all log-ins end.

    Raises :class:`Forbidden` over the network: there nobody learns another's password; a link does it.
    """
    administration.require(Right.PERSON_CHANGE)
    if administration.administrator.actor is not None:
        raise Forbidden("nobody sets another's password", hint="make a link with which that person sets one")
    _refuse_without_password(who)
    changed = await _with_password(passwords, who, new)
    ended = (who.identifier,)
    attempt = await book.attempts(of_name(who.name))
    forgotten = (attempt.forgiven(attempt.failures),) if attempt.version else ()
    try:
        await administration.commit(
            "person.password",
            "",
            who.identifier,
            {"name": who.name, "way": "machine"},
            people=PeopleChanges(persons=(changed,), ended_of=ended, ended_links_of=ended, attempts=forgotten),
        )
    except Conflict:
        raise ChangedMeanwhile(f"{who.name} was changed by somebody else just now", hint="repeat it") from None
    return changed


async def _with_password(passwords: Passwords, who: Person, new: str) -> Person:
    check(new, (who.name, who.display))
    with normal(new) as typed:
        return replace(who, password=await passwords.encoded(typed), revision=who.revision + 1)


def _refuse_without_password(who: Person) -> None:
    if who.source != LOCAL:
        raise Refused(f"{who.name} logs in with tokens of {who.source}, and has no password here")
    if who.disabled_at is not None:
        raise Refused(f"{who.name} is locked out", hint="let the person in again first, with 'keyrack person enable'")
