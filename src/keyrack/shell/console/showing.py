"""How a page is made of its template, and what every page tells a browser that it may do."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from keyrack.domain.rights import Right
from keyrack.shell.console.assets import Asset, assets
from keyrack.shell.console.menu import MENU
from keyrack.shell.console.words import LANGUAGES, Words, mark, words_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from keyrack.shell.console.troubles import Trouble
    from keyrack.shell.console.typed import Typed

SETTLED: Final = 2.0
"""Seconds after the start until templates and languages are read ahead."""
BREATH: Final = 0.05
"""Seconds between two of them, for whoever asks meanwhile."""
TEMPLATES: Final = Path(__file__).parent / "templates"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy: only files of this server run, and nothing that stands in a page."""
THEMES: Final = ("auto", "light", "dark")
THEME_COOKIE: Final = "keyrack-theme"
DONE: Final[Mapping[str, str]] = {
    "logged-out": mark("You are logged out."),
    "saved": mark("Saved."),
}
"""What is told on the page after something was done, by what its address says. A room adds its own with :func:`tells`.
"""
_ADDED: dict[str, str] = {}


def tells(told: Mapping[str, str]) -> None:
    """Add what a room tells after its acts: ``tells({"instance-created": mark("The instance is made.")})``."""
    _ADDED.update(told)


class Asked(Protocol):
    """One request that a page answers; what a template wants to know beyond that, its own room gives it."""

    @property
    def request(self) -> "Request":
        """As Starlette has it."""
        ...

    @property
    def words(self) -> Words:
        """The language that is spoken."""
        ...

    @property
    def typed(self) -> "Typed":
        """What was typed, or stands in the query."""
        ...

    @property
    def trouble(self) -> "Trouble | None":
        """What went wrong with the form that the page is shown again for."""
        ...

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        ...


def render(template: str, call: Asked, status: int, values: Mapping[str, Any]) -> Response:
    """The page; templates see ``call``, ``now``, ``Right``, ``menu``, and what the room gives them."""
    done = call.typed.get("done") if call.request.method == "GET" else ""
    text = (
        _environment()
        .get_template(template)
        .render(
            call=call,
            words=call.words,
            trouble=call.trouble,
            typed=call.typed,
            now=call.now,
            menu=MENU,
            theme=_theme(call),
            done={**DONE, **_ADDED}.get(done, ""),
            **values,
        )
    )
    headers = {
        "content-security-policy": POLICY,
        "content-language": call.words.tag,
        "x-frame-options": "DENY",
        # A form says where it comes from, to this server alone: with no-referrer its Origin would be "null".
        "referrer-policy": "same-origin",
    }
    return HTMLResponse(text, status, headers=headers)


async def warm() -> None:
    """Read what pages are made of while nobody waits for one: the first visitor of each shall not."""
    await asyncio.sleep(SETTLED)
    for name in _environment().list_templates():
        _environment().get_template(name)
        await asyncio.sleep(BREATH)
    for tag in LANGUAGES:
        await asyncio.to_thread(words_of, tag)
        await asyncio.sleep(BREATH)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
        auto_reload=False,
    )
    made.policies["ext.i18n.trimmed"] = True
    # The language is the page's: the functions look into the context, and one environment serves all.
    made.install_gettext_callables(_text, _plural, newstyle=True)  # type: ignore[attr-defined]
    made.filters.update(
        number=_of_words(Words.number),
        percent=_of_words(Words.percent),
        span=_of_words(Words.span),
        told=_told,
        sentence=_sentence,
        seconds=_seconds,
        ago=_ago,
        moment=_moment,
        day=_day,
        fingerprint=fingerprint,
    )
    made.globals.update(
        asset=_asset,
        Right=Right,
        languages=LANGUAGES,
        themes=THEMES,
        mark=mark,
    )
    return made


@pass_context
def _text(context: Context, message: str) -> str:
    words: Words = context["words"]
    return words.text(message)


@pass_context
def _plural(context: Context, one: str, many: str, number: int) -> str:
    words: Words = context["words"]
    return words.plural(one, many, number)


@pass_context
def _told(context: Context, message: str) -> str:
    """What a use case has said, in the page's language as far as it is known there: ``{{ trouble.told|told }}``."""
    words: Words = context["words"]
    said = words.told(message)
    return said[:1].upper() + said[1:]


@pass_context
def _sentence(context: Context, message: str) -> str:
    """The same with its full stop: ``{{ trouble.told|sentence }}``."""
    said, words = _told(context, message), context["words"]
    return said if said.endswith((".", "。", "!", "?", "！", "？", ":")) or not said else said + words.full_stop


@pass_context
def _ago(context: Context, seconds: int | None) -> str | Markup:
    """How long ago, with the whole time where a mouse or a screen reader asks."""
    words: Words = context["words"]
    return _time(seconds, words.ago(seconds, context["now"]), words)


@pass_context
def _moment(context: Context, seconds: int | None) -> str | Markup:
    """The whole time, in UTC; a browser with JavaScript shows it in its own zone."""
    words: Words = context["words"]
    return _time(seconds, f"{words.moment(seconds)} UTC", words, kind="moment")


@pass_context
def _day(context: Context, seconds: int | None) -> str | Markup:
    words: Words = context["words"]
    return _time(seconds, words.day(seconds), words)


def _time(seconds: int | None, shown: str, words: Words, kind: str = "") -> str | Markup:
    if seconds is None:
        return shown if kind != "moment" else "–"
    iso = datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    pattern = '<time datetime="{}" title="{} UTC"{}>{}</time>'
    return Markup(pattern).format(iso, words.moment(seconds), Markup(' data-local=""') if kind else "", shown)


def _seconds(iso: str) -> int:
    """A time as programs are told it, in seconds since 1970: ``{{ key.created_at|seconds|ago }}``."""
    return int(datetime.fromisoformat(iso).timestamp())


def _of_words(how: Any) -> Any:
    @pass_context
    def filtered(context: Context, value: Any) -> str:
        return str(how(context["words"], value))

    return filtered


def _asset(name: str) -> Asset:
    return assets()[name]


def _theme(call: Asked) -> str:
    chosen = call.request.cookies.get(THEME_COOKIE, "")
    return chosen if chosen in THEMES else "auto"


def fingerprint(hexadecimal: str) -> str:
    """As vSphere shows one, to compare: pairs with colons."""
    text = hexadecimal.upper().replace(":", "")
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2))
