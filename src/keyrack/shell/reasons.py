"""Reasons that come from outside, counted: only so many are told apart, however many there are."""

from collections import Counter
from typing import Final

MOST: Final = 40
"""Reasons that are told apart."""
LONGEST: Final = 60
"""Characters of a reason."""
OTHER: Final = "(other)"


def count_reason(counts: Counter[str], begin: str, reason: str) -> None:
    """Count one under ``begin`` and the reason: its part before a colon or a bracket, which names nobody."""
    named = f"{begin}{_short(reason)}"
    if named not in counts and sum(name.startswith(begin) for name in counts) >= MOST:
        named = f"{begin}{OTHER}"
    counts[named] += 1


def _short(reason: str) -> str:
    told = reason.split(":", maxsplit=1)[0].split("(", maxsplit=1)[0].split("'", maxsplit=1)[0].strip()[:LONGEST]
    return told if told.isprintable() and told else OTHER
