"""``/log-in``, ``/log-out``: where a log-in begins and ends, and what somebody prefers."""

from typing import Final

from starlette.responses import Response

from keyrack.service.people import logins
from keyrack.shell.console.calls import LOG_IN, Call, Room, local
from keyrack.shell.console.showing import THEME_COOKIE, THEMES
from keyrack.shell.console.words import COOKIE as LANGUAGE_COOKIE
from keyrack.shell.console.words import LANGUAGES
from keyrack.shell.rest.v1.sessions import ENDED, cookie_of, visitor_of

room = Room()
PREFERRED_FOR: Final = 365 * 24 * 3600
"""Seconds for which a browser keeps language and appearance."""


@room.shows(LOG_IN, opened=True)
async def show_log_in(call: Call) -> Response:
    """Name and password."""
    return call.show("log_in/log_in.html")


@room.does(LOG_IN, again=show_log_in, opened=True)
async def log_in(call: Call) -> Response:
    """Begin a log-in, and go on to the page that was asked for."""
    premises = call.premises
    begun = await logins.log_in(
        premises.catalog,
        premises.passwords,
        call.typed.get("name"),
        call.typed.raw("password"),
        visitor=visitor_of(call.request),
        ends=premises.ends,
    )
    answer = call.go(local(call.typed.get("next", "/")))
    answer.headers["set-cookie"] = cookie_of(begun)
    return answer


@room.does("/log-out", again=show_log_in)
async def log_out(call: Call) -> Response:
    """End the log-in."""
    await logins.log_out(call.administration, call.catalog)
    answer = call.go(LOG_IN, done="logged-out")
    answer.headers["set-cookie"] = ENDED
    return answer


@room.does("/preferences", again=show_log_in, opened=True)
async def prefer(call: Call) -> Response:
    """Choose a language, or light or dark; a browser remembers it."""
    answer = call.go(local(call.typed.get("next", "/")))
    wanted = ((LANGUAGE_COOKIE, "language", LANGUAGES), (THEME_COOKIE, "theme", THEMES))
    for cookie, name, known in wanted:
        if (chosen := call.typed.get(name)) in known:
            answer.set_cookie(
                cookie, chosen, max_age=PREFERRED_FOR, path="/", secure=True, httponly=True, samesite="lax"
            )
    return answer
