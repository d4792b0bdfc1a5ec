"""What a list of keys is asked for, read from the query parameters of a request (Key Protect's ``GET /keys``)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from keyrack.embedded.conditions import Condition, matches, not_deleted, state_in
from keyrack.embedded.errors import InvalidQueryParam
from keyrack.embedded.filters import Filter, Sort, read_bool, read_filter, read_sort, read_states
from keyrack.embedded.keys import KeyState

LIMIT = 200
MOST = 5000
LONGEST_SEARCH = 300
"""Characters, with the options."""
SCOPES = ("name", "alias")

_NUMBER = re.compile(r"[0-9]{1,15}")
_OPTION = re.compile(r"(not|exact|escape|alias|name):")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Searched:
    """A search as it was understood; the answer repeats it."""

    query: str
    scopes: tuple[str, ...] = SCOPES
    """Of ``name`` and ``alias``; a match in one of them is enough."""
    inverted: bool = False
    exact: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the options before the text: ``not:``, ``exact:``, ``alias:``, ``name:``, and ``escape:``, the last one.

        Raises :class:`InvalidQueryParam`.
        """
        options, rest = set(), text[: LONGEST_SEARCH + 1]
        while "escape" not in options and (option := _OPTION.match(rest)):
            options.add(option[1])
            rest = rest[option.end() :]
        if not rest or len(text) > LONGEST_SEARCH or not _is_text(text):
            raise _wrong("search", f"options and what to search for, together at most {LONGEST_SEARCH} characters")
        scopes = tuple(scope for scope in SCOPES if scope in options)
        return cls(rest, scopes or SCOPES, inverted="not" in options, exact="exact" in options)

    @property
    def lookup(self) -> str | None:
        """The identifier or alias that is looked up besides: what matches it comes first."""
        if self.inverted:
            return None
        if _UUID.fullmatch(self.query):
            return self.query.lower()
        return self.query if "alias" in self.scopes else None

    def condition(self, instance: str) -> Condition:
        """For keys of the instance."""
        scopes = (*self.scopes, "id") if _UUID.fullmatch(self.query) else self.scopes
        found = matches(self.query, instance, scopes, exact=self.exact)
        return Condition(f"NOT ({found.text})", found.parameters) if self.inverted else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a list is asked for. ``None`` leaves a question open; without ``states``, deleted keys are left out."""

    limit: int = LIMIT
    offset: int = 0
    states: frozenset[KeyState] | None = None
    extractable: bool | None = None
    search: Searched | None = None
    sort: tuple[Sort, ...] = ()
    """By identifier where nothing is asked for."""
    filter: tuple[Filter, ...] = ()

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Self:
        """Read query parameters; an empty one counts as none, as IBM's SDK sends them.

        Raises :class:`InvalidQueryParam` where one is of another form, and where ``state`` or ``extractable`` is given
        both by itself and within ``filter``.
        """
        told = {name: text for name, text in parameters.items() if text}
        given = cls(
            limit=read_limit(told),
            offset=read_offset(told),
            states=read_states(told["state"], "state") if "state" in told else None,
            extractable=read_bool(told["extractable"], "extractable") if "extractable" in told else None,
            search=Searched.parse(told["search"]) if "search" in told else None,
            sort=read_sort(told["sort"]) if "sort" in told else (),
            filter=read_filter(told["filter"]) if "filter" in told else (),
        )
        for term in given.filter:
            if term.property in told:
                raise _wrong(term.property, "given by itself or within `filter`, and not in both places")
        return given

    def conditions(self, now: int) -> list[Condition]:
        """All but the search."""
        found = [term.condition(now) for term in self.filter]
        if self.states is not None:
            found.append(state_in(self.states, now))
        elif all(term.property != "state" for term in self.filter):
            found.append(not_deleted())
        if self.extractable is not None:
            found.append(Condition("extractable = ?", (int(self.extractable),)))
        return found

    def order(self, now: int) -> str:
        """For ORDER BY: no order changes between pages. Keys that are alike come as they were made, oldest first."""
        return ", ".join((*(each.expression(now) for each in self.sort), "rowid")) if self.sort else "id"


def read_limit(parameters: Mapping[str, str], default: int = LIMIT, most: int = MOST) -> int:
    """``limit``, from 1 to ``most``; raises :class:`InvalidQueryParam`."""
    return _number(parameters, "limit", default, 1, most)


def read_offset(parameters: Mapping[str, str]) -> int:
    """``offset``, from 0; raises :class:`InvalidQueryParam`."""
    return _number(parameters, "offset", 0, 0, 10**15)


def _number(parameters: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = parameters.get(name) or str(default)
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise _wrong(name, f"an integer from {least} to {most}")
    return int(text)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= each <= "\udfff" for each in text)


def _wrong(parameter: str, form: str) -> InvalidQueryParam:
    return InvalidQueryParam(f"The query parameter `{parameter}` must be: {form}", target=("query_param", parameter))
