"""Who calls: each request is authenticated from the database, by a bearer token or by cookie and CSRF token."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Annotated, Final

from fastapi import Depends
from starlette.requests import Request

from keyrack.ports.back_office import BackOffice, OnBehalf
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Unauthenticated
from keyrack.shell.rest.floodgate import home
from keyrack.shell.rest.v1.premises import Premises
from keyrack.shell.rest.v1.problems import Problem

COOKIE: Final = "__Host-keyrack"
CSRF_HEADER: Final = "x-csrf-token"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LONGEST_TOKEN: Final = 200


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is known."""

    administration: Administration
    """With the rights of whoever calls; every use case asks it."""
    catalog: WholeCatalog
    """All ports of the catalog."""
    back_office: BackOffice
    """The way to what needs a key manager."""
    now: int
    """Seconds since 1970."""
    address: str
    """Host and port of whoever calls, as the journal has it."""
    correlation: str
    """The identifier of the request."""
    token: str = field(repr=False)
    """What the caller has proved itself with: for ending that log-in. Never log it."""

    @property
    def on_behalf(self) -> OnBehalf:
        """For :meth:`BackOffice.act`."""
        return OnBehalf(token=self.token, address=self.address, correlation=self.correlation)


async def visit_of(request: Request) -> Visit:
    """Authenticate a request; raises :class:`Unauthenticated`, or :class:`Problem` where it may be forged."""
    return await visit_with(request, _token(request))


async def visit_with(request: Request, token: str, *, noted: bool = True) -> Visit:
    """Authenticate a request by this token; one that is not ``noted`` keeps no log-in from ending."""
    premises: Premises = request.app.state.premises
    address = address_of(request)
    stranger = home(address.rpartition(":")[0])
    try:
        who = await premises.recognise(token, address, request.state.correlation, noted=noted)
    except Unauthenticated:
        # Who has a token is let in whatever others of the same address show: nobody guesses 256 bits.
        if wait := premises.strangers.take(stranger):
            raise too_many(wait) from None
        raise
    request.state.initiator = who.initiator
    if wait := premises.callers.take(who.initiator):
        raise too_many(wait)
    return Visit(
        administration=Administration(premises.catalog, {}, who, premises.clock),
        catalog=premises.catalog,
        back_office=premises.back_office,
        now=premises.clock() // 1000,
        address=address,
        correlation=request.state.correlation,
        token=token,
    )


def csrf_of(token: str) -> str:
    """The CSRF token that belongs to a session token; the log-in tells it, unsafe requests by cookie repeat it."""
    digest = hashlib.sha256(b"keyrack csrf " + token.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def address_of(request: Request) -> str:
    """Host and port of the other end of the connection; no header counts."""
    return f"{request.client.host}:{request.client.port}" if request.client else "unknown:0"


def too_many(wait: int) -> Problem:
    """Refused for coming too often."""
    return Problem("too-many-requests", f"come again in {wait} seconds", headers={"retry-after": str(wait)})


def _token(request: Request) -> str:
    told = request.headers.get("authorization")
    if told is not None:
        scheme, _, token = told.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST_TOKEN or not token.isascii():
            raise Unauthenticated("the header Authorization is not 'Bearer' and a token")
        return token
    token = cookie_of_visit(request)
    if not token:
        raise Unauthenticated(
            "the request has no token",
            hint="send 'Authorization: Bearer TOKEN' with an API key of 'keyrack api-key create' or of a log-in",
        )
    if request.method not in SAFE:
        _refuse_forged(request, token)
    return token


def cookie_of_visit(request: Request) -> str:
    """The token of the log-in that a browser has kept; empty where it has none."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(request.headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value[:LONGEST_TOKEN] if COOKIE in jar else ""


def _refuse_forged(request: Request, token: str) -> None:
    """A browser sends the cookie for whichever site asks it to; what that site cannot know, it cannot send."""
    told = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(told.encode(), csrf_of(token).encode()):
        raise Problem(
            "csrf", "the header X-CSRF-Token is not the one of this log-in", hint="the log-in's answer has it"
        )
    refuse_other_sites(request)


def refuse_other_sites(request: Request) -> None:
    """Nothing is done in somebody's name for a page of another site; raises :class:`Problem`."""
    origin = request.headers.get("origin")
    if origin is None:
        return
    scheme, _, place = origin.lower().partition("://")
    if scheme != "https" or place != request.headers.get("host", "").lower():
        raise Problem("csrf", "the request comes from a page of another site")


async def _visit(request: Request) -> Visit:
    visit: Visit = request.state.visit
    return visit


Caller = Annotated[Visit, Depends(_visit)]
"""The argument of every call that wants a token: ``caller: Caller``."""
