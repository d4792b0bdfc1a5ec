"""How the commands about the two copies of keys tell what they have found."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from keyrack.service.copies.strangers import Stranger

MOST_LINES = 20
"""Lines of one kind that a person is shown; JSON has them all."""

Thing = TypeVar("Thing")


def listed(things: Sequence[Thing], line: Callable[[Thing], str]) -> None:
    """One line for each of a kind, as far as a person reads them."""
    for thing in things[:MOST_LINES]:
        screen.say(f"    {screen.printable(line(thing))}")
    if len(things) > MOST_LINES:
        screen.say(f"    … and {len(things) - MOST_LINES:,} more: --json tells all")


def grouped(things: Iterable[Thing], kind: Callable[[Thing], str]) -> Mapping[str, list[Thing]]:
    """Things by their kind, in the order in which the kinds first come."""
    found: dict[str, list[Thing]] = {}
    for thing in things:
        found.setdefault(kind(thing), []).append(thing)
    return found


def failures(told: Sequence[tuple[str, str]]) -> None:
    """What could not be done, by why: a cause is often that of many."""
    for why, those in grouped(told, lambda each: each[1]).items():
        screen.say(f"{screen.mark('failed')} {screen.count(len(those), 'key')}: {screen.printable(why)}")
        listed(those, lambda each: each[0])


def strangers(found: "Sequence[Stranger]") -> None:
    """Standard keys that nobody has, by what they are."""
    from keyrack.service.copies.strangers import ADVICE, HARMLESS

    for kind, those in grouped(found, lambda each: each.kind).items():
        word = those[0].kind
        level = "ok" if word in HARMLESS else "failed"
        screen.say(f"{screen.mark(level)} {screen.count(len(those), 'standard key')} that nobody has: {kind}")
        whose = grouped(those, _whose)
        if word not in HARMLESS or len(whose) > 1:
            listed(those, lambda each: f"{each.label.key_manager}  {each.label.identifier}  {_whose(each)}".rstrip())
        elif (owner := next(iter(whose))) != "":
            screen.say(f"    {screen.printable(owner)}")
        screen.say(f"  → {ADVICE[word]}")


def _whose(found: "Stranger") -> str:
    return f"of instance {found.instance} of deployment {found.deployment}" if found.deployment else ""


def strangers_json(found: "Sequence[Stranger]") -> list[dict[str, Any]]:
    """All of them."""
    from keyrack.service.copies.strangers import ADVICE, HARMLESS

    return [
        {
            "key_manager": each.label.key_manager,
            "standard_key": each.label.identifier,
            "name": each.label.name,
            "kind": str(each.kind),
            "deployment": each.deployment or None,
            "instance": each.instance or None,
            "harmless": each.kind in HARMLESS,
            "advice": ADVICE[each.kind],
        }
        for each in found
    ]


def failures_json(told: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """All of them."""
    return [{"unique_identifier": uid, "why": why} for uid, why in told]
