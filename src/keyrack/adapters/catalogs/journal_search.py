"""Searching the journal: backwards from the newest, narrowed by the texts themselves, decided by what they
say.

Canonical texts have their names in one order and escape every quote inside a value, so that most records are passed
over by a look at a few characters. Whatever passes is parsed, and that decides.
"""

from collections.abc import Iterator, Sequence
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from keyrack.adapters.catalogs.reading import Execute, Row, first
from keyrack.domain.journal import Entry, read
from keyrack.ports.journal import Found, JournalQuery, JournalRecord, matches, said

DAY: Final = 86_400_000
"""Milliseconds. Records stand in the order of their commits, which is not quite that of their times: a search goes on
for a day before ``since``, in which clocks may have been set."""
AT_ONCE: Final = 200
MOST_INSTANCES: Final = 20
"""Instances that the texts are narrowed by; of more, each record is parsed."""

# Two questions: asked for both at once, SQLite walks through all of them.
ENDS: Final = """
    SELECT (SELECT coalesce(min(number), 0) FROM journal), (SELECT coalesce(max(number), 0) + 1 FROM journal)"""
AT_OF: Final = "SELECT json_extract(text, '$.at') FROM journal WHERE number >= ? ORDER BY number LIMIT 1"


async def search(
    execute: Execute, query: JournalQuery, before: int | None, limit: int, within: int | None = None
) -> Found:
    """One page, newest first."""
    low, high = await _bounds(execute, query)
    begin = high if before is None else min(before, high)
    end = low if within is None else max(low, begin - within)
    where, parameters = _where(query)
    sql = f"""
        SELECT chain, sequence, text, hash, number FROM journal
        WHERE {where} AND number >= ? AND number < ? ORDER BY number DESC LIMIT {AT_ONCE}"""
    found: list[JournalRecord] = []
    while rows := await execute(sql, (*parameters, end, begin)):
        for record in _wanted(query, rows):
            if len(found) == limit:
                return Found(found, found[-1].number)
            found.append(record)
        begin = rows[-1][-1]
    return Found(found, end if end > low else None)


async def search_on(execute: Execute, query: JournalQuery, after: int, limit: int, within: int | None = None) -> Found:
    """One page, oldest first."""
    low, high = await _bounds(execute, query)
    begin = max(after, low - 1)
    end = high - 1 if within is None else min(high - 1, begin + within)
    where, parameters = _where(query)
    sql = f"""
        SELECT chain, sequence, text, hash, number FROM journal
        WHERE {where} AND number > ? AND number <= ? ORDER BY number LIMIT {AT_ONCE}"""
    found: list[JournalRecord] = []
    while rows := await execute(sql, (*parameters, begin, end)):
        for record in _wanted(query, rows):
            if len(found) == limit:
                return Found(found, found[-1].number)
            found.append(record)
        begin = rows[-1][-1]
    return Found(found, end if end < high - 1 else None)


def _wanted(query: JournalQuery, rows: Sequence[Row]) -> Iterator[JournalRecord]:
    for record in (JournalRecord(*row) for row in rows):
        entry = _entry(record.text)
        # What cannot be read was written by nobody of ours, and is shown to whoever may see all.
        if matches(query, entry, record.text) if entry is not None else query.instances is None:
            yield record


async def _bounds(execute: Execute, query: JournalQuery) -> tuple[int, int]:
    """Numbers from which, and before which, what is wanted may stand."""
    low, high = first(await execute(ENDS))
    if query.since is not None:
        low = await _first(execute, query.since - DAY)
    if query.until is not None:
        high = min(high, await _first(execute, query.until + DAY) + 1)
    return low, high


async def _first(execute: Execute, at: int) -> int:
    """The number of a record before which, by halving, there was none as late as ``at``."""
    low, high = first(await execute(ENDS))
    while low < high:
        middle = (low + high) // 2
        (seen,) = first(await execute(AT_OF, (middle,)))
        if seen < at:
            low = middle + 1
        else:
            high = middle
    return int(low)


def _entry(text: str) -> Entry | None:
    try:
        return read(text)
    except ValueError:
        return None


def _where(query: JournalQuery) -> tuple[str, list[Any]]:
    """Necessary conditions that cost little, and their parameters."""
    made: list[tuple[str, Any]] = []
    if query.actions:
        # Texts begin with their action.
        begins = [f'{{"action":{quoted(action)},' for action in query.actions]
        told = " OR ".join(f"substr(text, 1, {len(begin)}) = ?" for begin in begins)
        made.append((f"({told})", begins))
    if query.instances and len(query.instances) <= MOST_INSTANCES:
        told = " OR ".join(["instr(text, ?) > 0"] * len(query.instances))
        made.append((f"({told})", [f'"instance":{quoted(each)}' for each in query.instances]))
    if query.outcome == "failure":
        made.append(('instr(text, \'"outcome":"success","target":\') = 0', []))
    elif query.outcome not in ("", "success"):
        made.append(("instr(text, ?) > 0", f'"outcome":{quoted(query.outcome)}'))
    if query.targets or query.target:
        made.append(_of_targets(query))
    made += _of_whom(query)
    if query.text:
        escaped = said(query.text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        made.append(("text LIKE ? ESCAPE '\\'", f"%{escaped}%"))
    parameters = [each for _, value in made for each in (value if isinstance(value, list) else [value])]
    return " AND ".join(condition for condition, _ in made) or "1 = 1", parameters


def _of_whom(query: JournalQuery) -> list[tuple[str, Any]]:
    """Of who has done it, from where, and whether that was a client."""
    made: list[tuple[str, Any]] = []
    if query.initiator:
        made.append(("instr(text, ?) > 0", said(query.initiator)))
    if query.initiators:
        told = " OR ".join(["instr(text, ?) > 0"] * len(query.initiators))
        made.append((f"({told})", [f'"initiator":{quoted(each)[:-1]}' for each in query.initiators]))
    if query.address:
        made.append(("instr(text, ?) > 0", f'"address":{quoted(query.address)[:-1]}'))
    if query.data is not None:
        dotted = "instr(text, '.') BETWEEN 1 AND instr(text, '\",\"address\":')"
        made.append((dotted if not query.data else f"NOT ({dotted})", []))
    return made


def _of_targets(query: JournalQuery) -> tuple[str, list[str]]:
    """A text ends with its target: of many, one look into a list for each of their lengths."""
    told, parameters = [], []
    lengths: dict[int, list[str]] = {}
    for each in query.targets:
        lengths.setdefault(len(quoted(each)), []).append(quoted(each))
    for length, some in lengths.items():
        told.append(f"substr(text, length(text) - {length}, {length}) IN ({', '.join('?' * len(some))})")
        parameters += some
    if query.target:
        told.append("instr(text, ?) > 0")
        parameters.append(f'"target":{quoted(query.target)[:-1]}')
    return f"({' OR '.join(told)})", parameters
