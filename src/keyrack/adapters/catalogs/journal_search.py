"""Searching the journal: backwards from the newest, narrowed by the texts themselves, decided by what they
say.

Canonical texts have their names in one order and escape every quote inside a value, so that most records are passed
over by a look at a few characters. Whatever passes is parsed, and that decides.
"""

from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final

from keyrack.adapters.catalogs.reading import Execute, first
from keyrack.domain.journal import Entry, read
from keyrack.ports.journal import Found, JournalQuery, JournalRecord, matches, said

DAY: Final = 86_400_000
"""Milliseconds. Records stand in the order of their commits, which is not quite that of their times: a search goes on
for a day before ``since``, in which clocks may have been set."""
AT_ONCE: Final = 200

AT_OF: Final = "SELECT json_extract(text, '$.at') FROM journal WHERE number >= ? ORDER BY number LIMIT 1"
_BEHIND_ALL: Final = 2**63 - 1


async def search(execute: Execute, query: JournalQuery, before: int | None, limit: int) -> Found:
    """One page, newest first."""
    where, parameters = _where(query)
    if query.since is not None:
        where, parameters = f"{where} AND number >= ?", [*parameters, await _first(execute, query.since - DAY)]
    if query.until is not None:
        where, parameters = f"{where} AND number <= ?", [*parameters, await _first(execute, query.until + DAY)]
    sql = f"""
        SELECT chain, sequence, text, hash, number FROM journal
        WHERE {where} AND number < ? ORDER BY number DESC LIMIT {AT_ONCE}"""
    found: list[JournalRecord] = []
    before = _BEHIND_ALL if before is None else before
    while rows := await execute(sql, (*parameters, before)):
        for record in (JournalRecord(*row) for row in rows):
            entry = _entry(record.text)
            # What cannot be read was written by nobody of ours, and is shown to whoever may see all.
            if not (matches(query, entry, record.text) if entry is not None else query.instances is None):
                continue
            if len(found) == limit:
                return Found(found, found[-1].number)
            found.append(record)
        before = rows[-1][-1]
    return Found(found, None)


async def _first(execute: Execute, at: int) -> int:
    """The number of a record before which, by halving, there was none as late as ``at``."""
    low, high = first(await execute("SELECT coalesce(min(number), 0), coalesce(max(number), 0) + 1 FROM journal"))
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
    if query.instances is not None and len(query.instances) == 1:
        made.append(("instr(text, ?) > 0", f'"instance":{quoted(*query.instances)}'))
    if query.outcome == "failure":
        made.append(('instr(text, \'"outcome":"success","target":\') = 0', []))
    elif query.outcome not in ("", "success"):
        made.append(("instr(text, ?) > 0", f'"outcome":{quoted(query.outcome)}'))
    if query.target:
        made.append(("instr(text, ?) > 0", f'"target":{quoted(query.target)[:-1]}'))
    if query.initiator:
        made.append(("instr(text, ?) > 0", said(query.initiator)))
    if query.text:
        escaped = said(query.text).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        made.append(("text LIKE ? ESCAPE '\\'", f"%{escaped}%"))
    parameters = [each for _, value in made for each in (value if isinstance(value, list) else [value])]
    return " AND ".join(condition for condition, _ in made) or "1 = 1", parameters
