"""The catalog's statements for PostgreSQL: numbered parameters, and a few words that SQLite spells otherwise."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from keyrack.adapters.catalogs import journaling

_AS_IT_IS: Final = {
    # Servers have no right to delete from the journal.
    journaling.CUT: "SELECT cut_journal($1, $2)",
}

_SPELT: Final = (
    # A word of the standard's, and the name of a table.
    (re.compile(r"\bfetch\b"), '"fetch"'),
    (re.compile(r"json_extract\((\w+), '\$\.at'\)"), r"(legible(\1) ->> 'at')::BIGINT"),
    (re.compile(r"json_extract\((\w+), '\$\.(\w+)'\)"), r"(legible(\1) ->> '\2')"),
    (re.compile(r"\binstr\("), "strpos("),
    (re.compile(r"\bLIKE\b"), "ILIKE"),
    # Of two values; of one column it is an aggregate in both.
    (re.compile(r"\bmax\((?=[\w.\"]+,|coalesce\()"), "greatest("),
    # A hint for SQLite's planner.
    (re.compile(r"\+object\.instance\b"), "object.instance"),
    (re.compile(r"\bCROSS JOIN object\b"), "JOIN object ON TRUE"),
)


@lru_cache(4096)
def spelt(statement: str) -> str:
    """The statement for PostgreSQL; ``?`` becomes ``$1``, ``$2`` and so on, but for those within quotes."""
    known = _AS_IT_IS.get(statement)
    if known is not None:
        return known
    for pattern, instead in _SPELT:
        statement = pattern.sub(instead, statement)
    pieces, count = [], 0
    for piece in re.split(r"('(?:[^']|'')*'|\?)", statement):
        if piece == "?":
            count += 1
            pieces.append(f"${count}")
        else:
            pieces.append(piece)
    return "".join(pieces)


def bound(parameters: Sequence[Any]) -> Sequence[Any]:
    """The parameters; PostgreSQL's text has no zero character, for which its picture stands."""
    if any(isinstance(each, str) and "\0" in each for each in parameters):
        return [each.replace("\0", "\u2400") if isinstance(each, str) else each for each in parameters]
    return parameters
