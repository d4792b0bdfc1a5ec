"""A link that logs in without a password: made at the machine itself, for a few minutes, counts once."""

from dataclasses import replace
from typing import Final

from keyrack.domain.people import LOCAL, OneTimeLink, Person
from keyrack.domain.rights import Right
from keyrack.ports.people import PeopleBook, PeopleChanges
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import ChangedMeanwhile, Forbidden, NotRecognised, Refused
from keyrack.service.people import logins, tokens
from keyrack.service.people.door import USUAL, Ends
from keyrack.service.people.logins import LoggedIn, Visitor
from keyrack.service.people.register import Register

LASTS: Final = 15 * 60
"""Seconds."""


async def offer(administration: Administration, book: PeopleBook, who: Person) -> str:
    """A link's token, with which somebody logs in, once; told this one time. An older link of the same person counts
    no more.

    Raises :class:`Forbidden` over the network: whoever has the deployment's files may become anybody, and nobody else.
    """
    administration.require(Right.PERSON_CHANGE)
    if administration.administrator.actor is not None:
        raise Forbidden("a link that logs in is made at the machine itself")
    if who.source != LOCAL or who.disabled_at is not None:
        raise Refused(f"{who.name} cannot log in here")
    token = tokens.new_log_in_link()
    link = OneTimeLink(digest=tokens.digest(token), person=who.identifier, expires_at=administration.now + LASTS)
    detail: dict[str, str | int] = {"name": who.name, "minutes": LASTS // 60}
    await administration.commit("person.link", "", who.identifier, detail, people=PeopleChanges(links=(link,)))
    return token


async def use(book: Register, token: str, *, visitor: Visitor, ends: Ends = USUAL) -> LoggedIn:
    """Begin the log-in of whoever has the link; it is used up in the same unit. Having it is the proof.

    Raises :class:`NotRecognised` for one that does not count, or not any more.
    """
    link = await book.one_time_link(tokens.digest(token)) if tokens.is_log_in_link(token) else None
    if link is None or link.used_at is not None or link.expires_at <= visitor.now:
        raise _no_link()
    who = await book.person(link.person)
    if who is None or who.disabled_at is not None or who.source != LOCAL:
        raise _no_link()
    used = PeopleChanges(used_links=(replace(link, used_at=visitor.now),))
    try:
        return await logins.begin(book, who, "link", visitor=visitor, ends=ends, changes=used, proved_at=visitor.now)
    except ChangedMeanwhile:
        # Somebody else was quicker with the same link.
        raise _no_link() from None


def _no_link() -> NotRecognised:
    return NotRecognised(
        "this link does not count, or not any more: it counts once, for a quarter of an hour",
        hint="log in by name and password",
    )
