"""What somebody has typed into a form: read within bounds, and only where a page of this server has sent it."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from keyrack.shell.console.places import local
from keyrack.shell.console.showing import THEME_COOKIE, THEMES
from keyrack.shell.console.words import COOKIE as LANGUAGE_COOKIE
from keyrack.shell.console.words import LANGUAGES
from keyrack.shell.rest.v1.callers import refuse_other_sites
from keyrack.shell.rest.v1.problems import Problem

LONGEST_FORM: Final = 262_144
"""Bytes of a form."""
MOST_FIELDS: Final = 1_200
"""Fields of a form: one for each key that can be acted on at once, and some."""
PREFERRED_FOR: Final = 365 * 24 * 3600
"""Seconds for which a browser keeps language and appearance."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed into a form, or stands in the query of an address."""

    pairs: Sequence[tuple[str, str]] = ()

    def get(self, name: str, default: str = "") -> str:
        """The first value of this name, without blanks around it."""
        return next((value.strip() for each, value in self.pairs if each == name), default)

    def raw(self, name: str) -> str:
        """The same as it was typed: for passwords."""
        return next((value for each, value in self.pairs if each == name), "")

    def all(self, name: str) -> Sequence[str]:
        """Every value of this name that is not empty."""
        return [value.strip() for each, value in self.pairs if each == name and value.strip()]

    def __contains__(self, name: object) -> bool:
        return any(each == name for each, _ in self.pairs)


async def form_of(request: Request) -> Typed:
    """What was typed into the form that was sent; raises :class:`Problem`."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise Problem("unsupported-media-type", "this is no form")
    octets = bytearray()
    async for chunk in request.stream():
        octets += chunk
        if len(octets) > LONGEST_FORM:
            raise Problem("too-large", "what was typed is too long")
    try:
        return Typed(parse_qsl(octets.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"))
    except ValueError:
        raise Problem("bad-request", "the form cannot be read") from None


def refuse_forged(request: Request, typed: Typed, csrf: str | None) -> None:
    """Raise :class:`Problem` for what another site has made the browser send.

    ``csrf`` is what every form repeats; ``None`` before there is a log-in that it could belong to.
    """
    refuse_other_sites(request)
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Problem("csrf", "the request comes from a page of another site")
    if csrf is not None and not hmac.compare_digest(typed.raw("csrf").encode(), csrf.encode()):
        raise Problem("csrf", "the form is not of this log-in", hint="send it again from here")


def preferred(typed: Typed) -> Response:
    """Back to the page that it came from, with the language or the appearance that was chosen."""
    answer = RedirectResponse(local(typed.get("next", "/")), 303)
    wanted = ((LANGUAGE_COOKIE, "language", LANGUAGES), (THEME_COOKIE, "theme", THEMES))
    for cookie, name, known in wanted:
        if (chosen := typed.get(name)) in known:
            answer.set_cookie(
                cookie, chosen, max_age=PREFERRED_FOR, path="/", secure=True, httponly=True, samesite="lax"
            )
    return answer
