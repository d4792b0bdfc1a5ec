"""Patterns that the names in a certificate have to fit: ``*`` stands for any characters, everything else for itself.

There is no regular expression in it: matching takes time in proportion to both lengths, whatever an attacker writes.
"""

import re
from collections.abc import Sequence
from typing import Final

LONGEST_PATTERN: Final = 256
"""Characters of a pattern."""

_PIECE = re.compile(r"\\(?:[0-9A-Fa-f]{2}|.)|.", re.DOTALL)
"""One character of a name as RFC 4514 writes it: what is escaped is one, so no ``*`` ever ends between the two."""


def fits_name(pattern: str, name: str) -> bool:
    """Whether a name as RFC 4514 writes it (``CN=vc1,O=Example``) fits, letter for letter; an empty pattern fits all.

    A comma in the pattern is one between the parts of the name, never one that somebody has put into a part of it.
    """
    return not pattern or _fits(_PIECE.findall(pattern), _PIECE.findall(name))


def fits(pattern: str, text: str) -> bool:
    """Whether a text fits, letter for letter; an empty pattern fits all."""
    return not pattern or _fits(list(pattern), list(text))


def _fits(pattern: Sequence[str], text: Sequence[str]) -> bool:
    """The parts between the stars, in their order: the first at the beginning, the last at the end, each once found
    never looked for again."""
    parts: list[list[str]] = [[]]
    for piece in pattern:
        if piece == "*":
            parts.append([])
        else:
            parts[-1].append(piece)
    first, *others = parts
    if not others:
        return list(text) == first
    *between, last = others
    if len(text) < len(first) + len(last) or text[: len(first)] != first:
        return False
    end = len(text) - len(last)
    if text[end:] != last:
        return False
    at = len(first)
    for part in between:
        at = _find(part, text, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _find(part: Sequence[str], text: Sequence[str], begin: int, end: int) -> int:
    for at in range(begin, end - len(part) + 1):
        if text[at : at + len(part)] == part:
            return at
    return -1
