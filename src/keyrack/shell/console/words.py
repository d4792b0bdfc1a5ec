"""In which language somebody is spoken to: chosen by them, else by their browser; with its dates and numbers.

English is the source. The other languages are the files ``locale/<language>.po``; a test refuses one that lacks a text.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

from babel import Locale, dates, numbers
from babel.messages import mofile, pofile
from babel.support import NullTranslations, Translations
from starlette.requests import Request

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "de": "Deutsch", "es": "Español", "zh-Hans": "简体中文"}
"""By the tag that HTML has for it (BCP 47): what each calls itself."""
SOURCE: Final = "en"
COOKIE: Final = "keyrack-language"
FILES: Final = Path(__file__).parent / "locale"
_CHINESE: Final = ("zh", "zh-cn", "zh-sg", "zh-hans")
"""What browsers call Simplified Chinese; the same with anything behind it."""


_HOLE: Final = re.compile(r"\{(\d)\}")


def mark(text: str) -> str:
    """A text that is translated where it is shown, and not where it stands."""
    return text


@dataclass(frozen=True, slots=True)
class Words:
    """One language."""

    tag: str
    locale: Locale
    book: NullTranslations
    shapes: Sequence[tuple[re.Pattern[str], str]] = ()
    """Texts with ``{1}``, ``{2}`` … in the place of what was filled in: how one is known again, and this language's."""

    @property
    def full_stop(self) -> str:
        """What ends a sentence."""
        return "。" if self.locale.language == "zh" else "."

    def text(self, message: str) -> str:
        """A text in this language."""
        return self.book.ugettext(message) if message else ""

    def plural(self, one: str, many: str, number: int) -> str:
        """A text for a number of things, in the form that this language has for that many."""
        return self.book.ungettext(one, many, number)

    def told(self, message: str) -> str:
        """What a use case has told in English, as far as its shape is known; what was filled in stays as it is."""
        if not message or (said := self.book.ugettext(message)) != message:
            return said if message else ""
        for shape, pattern in self.shapes:
            if (found := shape.fullmatch(message)) is not None:
                return self._filled(pattern, found.groups())
        return message

    def _filled(self, pattern: str, values: Sequence[str]) -> str:
        return _HOLE.sub(lambda hole: self.text(values[int(hole[1]) - 1]), pattern)

    def number(self, value: float) -> str:
        """A number with this language's separators."""
        return numbers.format_decimal(value, locale=self.locale)

    def percent(self, share: float) -> str:
        """A share of 1 in percent."""
        return numbers.format_percent(share, locale=self.locale)

    def moment(self, seconds: int | None) -> str:
        """A time, given in seconds since 1970: day and minute, in UTC."""
        if seconds is None:
            return "–"
        return dates.format_datetime(_utc(seconds), "medium", tzinfo=UTC, locale=self.locale)

    def day(self, seconds: int | None) -> str:
        """The day of a time, in UTC."""
        return "–" if seconds is None else dates.format_date(_utc(seconds), "medium", locale=self.locale)

    def span(self, seconds: float) -> str:
        """How long something takes: ``3 days``."""
        return dates.format_timedelta(timedelta(seconds=seconds), threshold=1.2, locale=self.locale)

    def ago(self, seconds: int | None, now: int) -> str:
        """How long ago something was, or how far away it is: ``3 days ago``, ``in 3 days``."""
        if seconds is None:
            return self.text("never")
        # What is just now was a second ago: "in 0 seconds" would have it come.
        apart = timedelta(seconds=seconds - now or -1)
        return dates.format_timedelta(apart, add_direction=True, threshold=1.2, locale=self.locale)


@cache
def words_of(tag: str) -> Words:
    """One of :data:`LANGUAGES`."""
    locale = Locale.parse(tag, sep="-")
    file = FILES / f"{tag}.po"
    if tag == SOURCE or not file.exists():
        return Words(tag, locale, NullTranslations())
    packed = io.BytesIO()
    with file.open("rb") as opened:
        catalog = pofile.read_po(opened, locale=locale)
    mofile.write_mo(packed, catalog)
    packed.seek(0)
    known = {str(each.id): str(each.string) for each in catalog if each.string and _HOLE.search(str(each.id))}
    # The one that has most words of its own says most.
    longest = sorted(known, key=lambda each: -len(_HOLE.sub("", each)))
    return Words(tag, locale, Translations(packed), [(shape_of(each), known[each]) for each in longest])


def shape_of(message: str) -> re.Pattern[str]:
    """How a text is known again whose ``{1}``, ``{2}`` … were filled in; in this order, as they stand in the source."""
    pieces = _HOLE.split(message)
    return re.compile("(.*?)".join(re.escape(piece) for piece in pieces[::2]), re.DOTALL)


def spoken(request: Request) -> Words:
    """The language of whoever asks: the one of the cookie, else the first of their browser's that there is."""
    chosen = request.cookies.get(COOKIE, "")
    return words_of(chosen if chosen in LANGUAGES else _accepted(request.headers.get("accept-language", "")))


def _accepted(header: str) -> str:
    for tag in _in_order(header[:200]):
        if tag in _CHINESE or tag.startswith("zh-hans"):
            return "zh-Hans"
        if (short := tag.partition("-")[0]) in LANGUAGES:
            return short
    return SOURCE


def _in_order(header: str) -> Sequence[str]:
    """The tags of an Accept-Language header, the most wanted first (RFC 9110, section 12.5.4)."""
    wanted = []
    for each in header.lower().split(","):
        tag, _, weight = each.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), tag))
        except ValueError:
            continue
    return [tag for _, tag in sorted(wanted, key=lambda each: each[0])]


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
