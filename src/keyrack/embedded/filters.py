"""The grammar of ``filter`` and ``sort`` in a list of keys: ``property=[operator:]value``, and ``-property``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from keyrack.embedded.conditions import Condition, state_at, state_in
from keyrack.embedded.errors import InvalidQueryParam
from keyrack.embedded.keys import KeyState

LONGEST_FILTER = 2000
"""Characters."""
MOST_OF_A_PROPERTY = 3
"""How often a property may be filtered by."""

_DATES: Mapping[str, str] = {
    "creationDate": "created_at",
    "lastUpdateDate": "updated_at",
    "lastRotateDate": "rotated_at",
    "deletionDate": "deleted_at",
    "expirationDate": "expires_at",
}
_PLAIN: Mapping[str, str] = {"id": "id", "extractable": "extractable", "imported": "imported", **_DATES}
_OPERATORS: Mapping[str | None, str] = {None: "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_TERM = re.compile(r' *([A-Za-z]+)=(?:(lte|lt|gte|gt):)?("[^" ]*"|[^" ]+)(?= |$)')
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Filter:
    """One term of a filter."""

    property: str
    condition: Callable[[int], Condition]
    """By the time, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Sort:
    """One property that a list is sorted by."""

    property: str
    descending: bool = False

    def expression(self, now: int) -> str:
        """For ORDER BY."""
        column = state_at(now) if self.property == "state" else _PLAIN[self.property]
        return f"{column} DESC" if self.descending else column


def read_filter(text: str) -> tuple[Filter, ...]:
    """The terms of a filter, all of which hold; raises :class:`InvalidQueryParam`."""
    if len(text) > LONGEST_FILTER:
        raise _wrong("filter", f"at most {LONGEST_FILTER} characters long")
    found: list[Filter] = []
    position = 0
    while text[position:].strip(" "):
        term = _TERM.match(text, position)
        if term is None:
            raise _wrong("filter", 'terms like creationDate=gte:"2022-02-15T00:00:00Z", with a space between them')
        found.append(_term(*term.groups()))
        if sum(each.property == found[-1].property for each in found) > MOST_OF_A_PROPERTY:
            raise _wrong("filter", f"one that has each property at most {MOST_OF_A_PROPERTY} times")
        position = term.end()
    return tuple(found)


def read_sort(text: str) -> tuple[Sort, ...]:
    """The properties to sort by, the first one first; raises :class:`InvalidQueryParam`."""
    found = tuple(Sort(each.removeprefix("-"), each.startswith("-")) for each in text.split(",", len(_PLAIN) + 1))
    names = [each.property for each in found]
    if not set(names) <= {"state", *_PLAIN} or len(set(names)) < len(names):
        raise _wrong("sort", f"a list, with commas, of each at most once: {', '.join(('state', *_PLAIN))}")
    return found


def read_states(text: str, parameter: str) -> frozenset[KeyState]:
    """States as ``0,1,2,3,5``; raises :class:`InvalidQueryParam`, which names the query parameter."""
    known = {f"{state:d}": state for state in KeyState}
    parts = text.split(",", len(known))
    if not set(parts) <= set(known):
        raise _wrong(parameter, f"states from {', '.join(known)}, with commas and no spaces")
    return frozenset(known[part] for part in parts)


def read_bool(text: str, parameter: str) -> bool:
    """``true`` or ``false``, in whatever letters; raises :class:`InvalidQueryParam`."""
    known = {"true": True, "false": False}
    if text.lower() not in known:
        raise _wrong(parameter, "true or false")
    return known[text.lower()]


def _term(name: str, operator: str | None, value: str) -> Filter:
    if name in _DATES:
        condition = _date_condition(_DATES[name], operator, value)
        return Filter(name, lambda now: condition)
    if operator is not None or name not in ("state", "extractable"):
        raise _wrong("filter", f"made of {', '.join(_DATES)}, which are dates, and of state and extractable")
    if name == "extractable":
        extractable = Condition("extractable = ?", (int(read_bool(value, "filter")),))
        return Filter(name, lambda now: extractable)
    states = read_states(value, "filter")
    return Filter(name, lambda now: state_in(states, now))


def _date_condition(column: str, operator: str | None, value: str) -> Condition:
    if value.lower() == "none" and operator is None:
        return Condition(f"{column} IS NULL")
    moment = value.strip('"')
    try:
        if not _RFC3339.fullmatch(moment):
            raise ValueError
        seconds = datetime.fromisoformat(moment.upper()).timestamp()
    except (ValueError, OverflowError):
        raise _wrong("filter", 'one whose dates are none, or like "2022-02-15T00:00:00Z"') from None
    return Condition(f"{column} {_OPERATORS[operator]} ?", (seconds,))


def _wrong(parameter: str, form: str) -> InvalidQueryParam:
    return InvalidQueryParam(f"The query parameter `{parameter}` must be: {form}", target=("query_param", parameter))
