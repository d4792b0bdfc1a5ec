"""Conditions over the columns of ``keys``: constant text, with what is asked for as parameters.

The state is the effective one, in which an expiration that has come counts, as in :meth:`Key.state_at`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from keyrack.embedded.keys import KeyState

Value = str | int | float


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in SQL, and the values of its question marks."""

    text: str
    parameters: tuple[Value, ...] = ()


def every(conditions: Iterable[Condition]) -> Condition:
    """All of them hold."""
    parts = tuple(conditions)
    return Condition(
        " AND ".join(f"({each.text})" for each in parts), tuple(value for each in parts for value in each.parameters)
    )


def state_at(now: int) -> str:
    """The state at a time, as an expression."""
    return (
        f"CASE WHEN state = {KeyState.ACTIVE:d} AND expires_at <= {now:d} THEN {KeyState.DEACTIVATED:d} ELSE state END"
    )


def state_in(states: Iterable[KeyState], now: int) -> Condition:
    """The state is one of these."""
    return Condition(f"{state_at(now)} IN ({', '.join(f'{state:d}' for state in sorted(states))})")


def not_deleted() -> Condition:
    """What lists show unless they are asked for more."""
    return Condition(f"state != {KeyState.DESTROYED:d}")


def matches(query: str, instance: str, scopes: Iterable[str], *, exact: bool) -> Condition:
    """Name or alias contain the text, or are it, whether in capital or in small letters."""
    told = query.casefold()
    test = "folded({}) = ?" if exact else "instr(folded({}), ?) > 0"
    in_aliases = f"id IN (SELECT key FROM aliases WHERE instance = ? AND {test.format('alias')})"
    known = {
        "name": Condition(test.format("name"), (told,)),
        "alias": Condition(in_aliases, (instance, told)),
        "id": Condition("id = ?", (told,)),
    }
    parts = [known[scope] for scope in scopes]
    return Condition(
        " OR ".join(f"({each.text})" for each in parts), tuple(value for each in parts for value in each.parameters)
    )
