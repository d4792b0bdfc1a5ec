"""``/sessions``: log-ins, proved again and ended; and the page behind a one-time link.

A program gets a token. A browser gets a cookie that no script reads and no other site sends, and beside it the CSRF
token that unsafe requests repeat.
"""

from typing import Annotated, Final

from fastapi import Path, Request, Response
from pydantic import Field, StringConstraints

from keyrack.domain.people import LoginSession, Person
from keyrack.service.people import letting_in, logins, persons
from keyrack.service.people.logins import LoggedIn, Visitor
from keyrack.shell.rest.v1.callers import COOKIE, Caller, address_of, csrf_of, refuse_other_sites
from keyrack.shell.rest.v1.models import Body, Flag, Instant, Resource, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.people import Password, PersonName, PersonShown, shown
from keyrack.shell.rest.v1.premises import Keeper, Premises
from keyrack.shell.rest.v1.routing import OnceShown, noun, open_noun

router = noun("sessions")
opened = open_noun("sessions")

SessionName = Annotated[
    str, Path(alias="session", pattern="^[0-9a-f]{4,64}$", description="Identifier of a log-in, or its beginning.")
]
ENDED: Final = f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"


class LogIn(Body):
    """Who logs in."""

    name: Annotated[str, StringConstraints(max_length=400)]
    password: Annotated[str, StringConstraints(max_length=1024)]
    cookie: Flag = Field(default=False, description="For a browser: the token comes as a cookie, and not in the body.")


class SessionBegun(Resource):
    """A log-in that has begun."""

    token: Annotated[str | None, Field(description="For `Authorization: Bearer`; null where it came as a cookie.")]
    csrf_token: Annotated[str, Field(description="For X-CSRF-Token, beside the cookie of this log-in.")]
    expires_at: Annotated[Instant, Field(description="When it is over in any case.")]
    idle_seconds: Annotated[int, Field(description="After so many seconds without a request it is over, too.")]
    person: PersonShown


class SessionShown(Resource):
    """A log-in; nobody logs in with what is shown of it."""

    identifier: str
    address: str
    created_at: Instant
    last_seen_at: Instant
    expires_at: Instant
    current: Annotated[bool, Field(description="Whether it is the one that asks.")]


class CurrentSession(SessionShown):
    """The log-in that asks."""

    csrf_token: str


class Proof(Body):
    """That somebody is still there."""

    password: Annotated[str, StringConstraints(max_length=1024)]


class LinkUsed(Body):
    """A password that is set with a one-time link."""

    token: Annotated[str, StringConstraints(max_length=200)]
    password: Password


class PasswordSet(Resource):
    """Whose password was set."""

    name: str


class SessionsEnded(Resource):
    """How many there were."""

    ended: int


@opened.post("/sessions", status_code=201, response_class=OnceShown)
async def log_in(request: Request, body: LogIn, response: Response, keeper: Keeper) -> SessionBegun:
    """Log in by name and password."""
    if body.cookie:
        refuse_other_sites(request)
    begun = await logins.log_in(
        keeper.catalog, keeper.passwords, body.name, body.password, visitor=visitor_of(request), ends=keeper.ends
    )
    if body.cookie:
        response.headers["set-cookie"] = cookie_of(begun)
    return SessionBegun(
        token=None if body.cookie else begun.token,
        csrf_token=csrf_of(begun.token),
        expires_at=since(begun.session.expires_at),
        idle_seconds=keeper.ends.idle,
        person=shown(begun.person),
    )


@opened.post("/set-password")
async def set_password(request: Request, body: LinkUsed, keeper: Keeper) -> PasswordSet:
    """Set a password with a one-time link; log-ins of before end."""
    who = await letting_in.redeem(
        keeper.catalog, keeper.passwords, body.token, body.password, visitor=visitor_of(request)
    )
    return PasswordSet(name=who.name)


@router.get("/sessions/current")
async def show_current_session(caller: Caller) -> CurrentSession:
    """Show the log-in that asks, with its CSRF token."""
    _, session = await logins.own(caller.administration, caller.catalog)
    return CurrentSession(**_shown(session, caller).model_dump(), csrf_token=csrf_of(caller.token))


@router.delete("/sessions/current", status_code=204)
async def log_out(caller: Caller, response: Response) -> None:
    """Log out: end the log-in that asks."""
    await logins.log_out(caller.administration, caller.catalog)
    response.headers["set-cookie"] = ENDED


@router.post("/sessions/current/prove", status_code=204)
async def prove_session(caller: Caller, body: Proof, keeper: Keeper) -> None:
    """Prove that it is still you, for five minutes: acts that can stop machines want that."""
    await logins.prove_again(caller.administration, caller.catalog, keeper.passwords, body.password)


@router.get("/people/{person}/sessions")
async def list_sessions(caller: Caller, person: PersonName, page: Paging, keeper: Keeper) -> Listing[SessionShown]:
    """List the log-ins of a person that stand."""
    who = await _person(caller, person)
    found = await logins.log_ins(caller.administration, caller.catalog, who, ends=keeper.ends)
    return page.of(found, lambda each: each.digest.hex(), lambda each: _shown(each, caller))


@router.delete("/people/{person}/sessions/{session}", status_code=204)
async def end_session(caller: Caller, person: PersonName, session: SessionName) -> None:
    """End a log-in of a person; it counts at the next request."""
    await logins.end_log_in(caller.administration, caller.catalog, await _person(caller, person), session)


@router.post("/people/{person}/sessions/end")
async def end_sessions(caller: Caller, person: PersonName) -> SessionsEnded:
    """End all log-ins of a person."""
    who = await _person(caller, person)
    return SessionsEnded(ended=await logins.end_log_in(caller.administration, caller.catalog, who, None))


async def _person(caller: Caller, person: str) -> Person:
    return await persons.person(caller.administration, caller.catalog, person)


def _shown(session: LoginSession, caller: Caller) -> SessionShown:
    actor = caller.administration.administrator.actor
    return SessionShown(
        identifier=logins.shown(session),
        address=session.address,
        created_at=since(session.created_at),
        last_seen_at=since(session.seen_at),
        expires_at=since(session.expires_at),
        current=actor is not None and actor.session == session.digest,
    )


def visitor_of(request: Request) -> Visitor:
    """Whoever stands at the door."""
    premises: Premises = request.app.state.premises
    return Visitor(at=premises.clock(), address=address_of(request), correlation=request.state.correlation)


def cookie_of(begun: LoggedIn) -> str:
    """The cookie of a log-in: for this host alone, over TLS alone, not for scripts, not for requests of other sites."""
    return f"{COOKIE}={begun.token}; Path=/; Secure; HttpOnly; SameSite=Strict"
