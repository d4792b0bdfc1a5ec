"""Log-ins: by name and password, or by what an issuer's token says; proved again, listed, ended.

Whether there is such a person, whether it is locked out, has no password, or another one: the answer is the same, after
the same work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keyrack.domain.journal import Entry
from keyrack.domain.people import LOCAL, Actor, LoginSession, Person
from keyrack.domain.rights import Right
from keyrack.ports.catalog import Conflict, RightsChanged, Unit
from keyrack.ports.people import PeopleBook, PeopleChanges
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import (
    ChangedMeanwhile,
    Forbidden,
    NotRecognised,
    NotThere,
    TooManyAttempts,
    Unauthenticated,
)
from keyrack.service.people import tokens
from keyrack.service.people.door import USUAL, Ends, stands
from keyrack.service.people.passwords import OF_ONE_NAME, OF_ONE_PLACE, Passwords, normal
from keyrack.service.people.register import Register
from keyrack.service.people.throttle import Counted, counted, place_of

UNKNOWN: Final = "unknown"
"""The initiator of what somebody has tried who could not say who it is."""
MOST_LOG_INS: Final = 100
"""Log-ins of one person at one time."""
SHOWN: Final = 16
"""Hexadecimal digits of a digest by which people tell log-ins apart."""


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A log-in that has begun; the token is told this one time."""

    token: str = field(repr=False)
    session: LoginSession
    person: Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Whoever stands at the door."""

    at: int
    """Milliseconds since 1970."""
    address: str
    """Host and port."""
    correlation: str = ""

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return self.at // 1000

    def entry(self, action: str, outcome: str, initiator: str, person: Person | None, **detail: str | int) -> Entry:
        """What the journal says of it."""
        if self.correlation:
            detail["correlation"] = self.correlation
        target = person.identifier if person else ""
        return Entry(
            at=self.at,
            action=action,
            outcome=outcome,
            initiator=initiator,
            address=self.address,
            target=target,
            detail=detail,
        )


async def log_in(
    book: Register, passwords: Passwords, name: str, password: str, *, visitor: Visitor, ends: Ends = USUAL
) -> LoggedIn:
    """Begin a log-in by name and password.

    Raises :class:`NotRecognised`, or ``TooManyAttempts`` with the seconds to wait, and then nothing was looked at.
    """
    name = name.strip().lower()
    attempt = await counted(book, name, visitor.address, visitor.now)
    person = await book.person_called(name)
    await compare(book, passwords, person, password, visitor, attempt)
    assert person is not None
    changed = await _at_todays_cost(passwords, person, password)
    forgiven = PeopleChanges(persons=(changed,) if changed else ())
    return await begin(
        book, person, "password", visitor=visitor, ends=ends, changes=forgiven, attempt=attempt, proved_at=visitor.now
    )


async def compare(  # noqa: PLR0917 - all that a comparison takes
    book: Register, passwords: Passwords, person: Person | None, password: str, visitor: Visitor, attempt: Counted
) -> None:
    """Return where it is this person's password; else journal it, and raise :class:`NotRecognised`.

    Where too many wait it is not looked at, ``attempt`` is taken back, and ``TooManyAttempts`` raised.
    """
    known = person is not None and person.source == LOCAL and person.can_log_in
    shares = {attempt.names[0]: OF_ONE_NAME, place_of(visitor.address): OF_ONE_PLACE}
    with normal(password) as typed:
        try:
            matches = await passwords.match(typed, person.password if person and known else "", shares)
        except TooManyAttempts:
            await attempt.take_back(book)
            raise
    if matches:
        return
    named = {"name": person.name} if person else {}
    refused = visitor.entry("session.refused", "Authentication Not Successful", UNKNOWN, person, **named)
    await book.commit(Unit(entries=(refused,)))
    raise NotRecognised("name and password do not belong together", hint="check both; an administrator can reset them")


async def _at_todays_cost(passwords: Passwords, person: Person, password: str) -> Person | None:
    """The person with a hash at the cost of today, where the one that is kept was made at a lower one."""
    if passwords.cost.covers(person.password):
        return None
    with normal(password) as typed:
        return replace(person, password=await passwords.encoded(typed), revision=person.revision + 1)


async def begin(
    book: Register,
    person: Person,
    way: str,
    *,
    visitor: Visitor,
    ends: Ends = USUAL,
    changes: PeopleChanges | None = None,
    attempt: Counted | None = None,
    proved_at: int | None = None,
) -> LoggedIn:
    """Begin the log-in of somebody who has proved who it is, together with ``changes``, in one unit.

    ``proved_at``: when that was, in seconds since 1970; ``None`` where nobody knows.
    """
    token = tokens.new_session()
    session = LoginSession(
        digest=tokens.digest(token),
        person=person.identifier,
        created_at=visitor.now,
        seen_at=visitor.now,
        expires_at=visitor.now + ends.longest,
        stepped_up_at=proved_at,
        address=visitor.address,
    )
    # Whoever logs in for ever fills nothing: the oldest make room.
    held = await book.login_sessions(person.identifier)
    ended = tuple(each.digest for each in held[: max(0, len(held) - MOST_LOG_INS + 1)])
    unit = Unit(
        entries=(visitor.entry("session.begin", "success", person.initiator, person, way=way, session=shown(session)),),
        actor=Actor(person.identifier, person.revision),
        people=replace(
            changes or PeopleChanges(),
            sessions=(session,),
            ended_sessions=ended,
            noted=(replace(person, last_login_at=visitor.now),),
        ),
    )
    await forgiving(book, unit, attempt)
    return LoggedIn(token, session, person)


async def forgiving(book: Register, unit: Unit, attempt: Counted | None) -> None:
    """Commit, and forgive the attempt that has led to it; counts that others move meanwhile are read anew."""
    assert unit.people is not None
    for _ in range(20):
        forgiven = await attempt.forgiven(book) if attempt else ()
        try:
            await book.commit(replace(unit, people=replace(unit.people, attempts=forgiven)))
        except RightsChanged:
            raise NotRecognised("this person was changed just now", hint="log in again") from None
        except Conflict:
            continue
        return
    raise ChangedMeanwhile("too much changes at this moment", hint="log in again")


async def prove_again(
    administration: Administration, book: Register, passwords: Passwords, password: str, *, correlation: str = ""
) -> None:
    """Prove, within a log-in, to be still there: what stops machines wants that.

    Raises :class:`NotRecognised`, ``TooManyAttempts``, and :class:`Forbidden` where nobody is logged in by password.
    """
    person, session = await own(administration, book)
    if person.source != LOCAL:
        raise Forbidden("who you are is proved elsewhere", hint="log in there again")
    who = administration.administrator
    visitor = Visitor(at=administration.now * 1000, address=who.address, correlation=correlation or who.correlation)
    attempt = await counted(book, person.name, visitor.address, visitor.now)
    await compare(book, passwords, person, password, visitor, attempt)
    proved = replace(session, seen_at=visitor.now, stepped_up_at=visitor.now)
    entry = visitor.entry("session.prove", "success", person.initiator, person, session=shown(session))
    unit = Unit(entries=(entry,), actor=who.actor, people=PeopleChanges(seen_sessions=(proved,)))
    await forgiving(book, unit, attempt)


async def log_out(administration: Administration, book: PeopleBook) -> None:
    """End the log-in that this request came with."""
    person, session = await own(administration, book)
    await administration.commit(
        "session.end",
        "",
        person.identifier,
        {"session": shown(session)},
        people=PeopleChanges(ended_sessions=(session.digest,)),
    )


async def own(administration: Administration, book: PeopleBook) -> tuple[Person, LoginSession]:
    """Whoever acts, and the log-in with which; raises :class:`Forbidden` where it is none."""
    actor = administration.administrator.actor
    if actor is None or actor.session is None:
        raise Forbidden("this is for somebody who is logged in", hint="log in by name and password first")
    person, session = await book.person(actor.person), await book.login_session(actor.session)
    if person is None or session is None:
        raise Unauthenticated("this log-in was ended just now", hint="log in again")
    return person, session


async def log_ins(
    administration: Administration, book: PeopleBook, person: Person, *, ends: Ends = USUAL
) -> Sequence[LoginSession]:
    """The log-ins of a person that stand, oldest first; one's own need no right."""
    _require_unlessown(administration, person, Right.PERSON_READ)
    now = administration.now
    return [each for each in await book.login_sessions(person.identifier) if stands(each, now, ends)]


async def end_log_in(administration: Administration, book: PeopleBook, person: Person, begin: str | None) -> int:
    """End the log-in of a person whose digest begins so, or all of them; how many there were.

    One's own need no right. Raises :class:`NotThere`.
    """
    _require_unlessown(administration, person, Right.PERSON_CHANGE)
    held = await book.login_sessions(person.identifier)
    found = [each for each in held if begin is None or each.digest.hex().startswith(begin.lower())]
    if begin is not None and (len(begin) < 4 or len(found) != 1):
        raise NotThere(f"{person.name} has no log-in {begin!r}", hint="'keyrack session list' shows them")
    for each in found:
        await administration.commit(
            "session.end",
            "",
            person.identifier,
            {"session": shown(each), "name": person.name},
            people=PeopleChanges(ended_sessions=(each.digest,)),
        )
    return len(found)


def _require_unlessown(administration: Administration, person: Person, right: Right) -> None:
    actor = administration.administrator.actor
    if actor is None or actor.person != person.identifier:
        administration.require(right)


def shown(session: LoginSession) -> str:
    """By what people and the journal tell log-ins apart; nobody logs in with it."""
    return session.digest.hex()[:SHOWN]
