"""What a step of the wizard has tried out, and what came of it: shown as a list, and beside the fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keyrack.ports.key_manager import Checked, Verdict
from keyrack.service.office.refusals import Refused
from keyrack.shell.console.troubles import Trouble
from keyrack.shell.console.words import Words, mark

NOTHING: Final[Mapping[str, object]] = {}
NOT_YET: Final = mark("not everything does yet; what is in the way stands beside its field, and nothing was made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One thing that was tried out."""

    what: str
    verdict: Verdict
    told: str
    """In English; where it has ``values``, with their names in it: ``%(port)s``."""
    hint: str = ""
    """What to do about it, where ``told`` does not say it."""
    values: Mapping[str, object] = field(default_factory=dict)
    field: str = ""
    """Of the form, that it is about; empty where it is about none."""
    quoted: bool = False
    """Whether it is told in the words of a key manager, which may begin with a name."""

    def said(self, words: Words) -> str:
        """In the reader's language."""
        return ". ".join(self._spoken(words, each) for each in (self.told, self.hint) if each)

    def _spoken(self, words: Words, text: str) -> str:
        said = words.text(text) if self.values else words.told(text)
        # What begins with a name begins as the name does.
        begun = said if self.quoted or said.startswith("%(") else said[:1].upper() + said[1:]
        # What others have told is whole, and a percent sign in it is one.
        return begun % self.values if self.values else begun


def well(what: str, told: str, **values: object) -> Tried:
    """It does."""
    return Tried(what=what, verdict=Verdict.WELL, told=told, values=values)


def remark(what: str, told: str, **values: object) -> Tried:
    """It does, and there is something to know."""
    return Tried(what=what, verdict=Verdict.REMARK, told=told, values=values)


def failed(what: str, told: str, at: str = "", *, hint: str = "", values: Mapping[str, object] = NOTHING) -> Tried:
    """It does not; ``at`` is the field."""
    return Tried(what=what, verdict=Verdict.FAILED, told=told, hint=hint, values=values, field=at)


def refused(what: str, error: Refused, at: str = "") -> Tried:
    """A rule does not let it be; ``at`` is the field, where the rule does not name it."""
    return failed(what, error.told, at or error.field, hint=error.hint)


def checked(found: Checked, at: str = "") -> Tried:
    """A step of a key manager's own check."""
    wrong = found.verdict is Verdict.FAILED
    return Tried(what=found.what, verdict=found.verdict, told=found.told, field=at if wrong else "", quoted=True)


def trouble_in(tried: Sequence[Tried], words: Words) -> Trouble | None:
    """What to tell of those that failed, each beside its field; ``None`` where none did."""
    wrong = [each for each in tried if each.verdict is Verdict.FAILED]
    if not wrong:
        return None
    fields: dict[str, str] = {}
    for each in wrong:
        fields.setdefault(each.field, each.said(words).rstrip("."))
    fields.pop("", None)
    return Trouble(code="unusable", told=NOT_YET, fields=fields)
