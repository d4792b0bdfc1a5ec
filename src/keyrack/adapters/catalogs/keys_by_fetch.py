"""The order of last fetches: keys found by walking through the index of fetches, and no further than a page needs.

Those that were never fetched come before all others.
"""

from collections.abc import Sequence
from typing import Any

from keyrack.adapters.catalogs.reading import Execute, Row
from keyrack.ports.key_affairs import KeyFilter
from keyrack.spec.enumerations import State


def is_quick(wanted: KeyFilter) -> bool:
    """Whether walking finds a page soon: what few keys have is rather looked for among all of them."""
    few = bool(wanted.prefix or wanted.withheld or wanted.unlabelled or wanted.recoverable)
    labelled = bool(wanted.named or wanted.component)
    by_fetch = wanted.never_fetched or (wanted.fetched_since, wanted.not_fetched_since) != (None, None)
    return not few and State.ACTIVE in (wanted.states or {State.ACTIVE}) and (by_fetch or not labelled)


async def walked(  # noqa: PLR0917
    read: Execute,
    instance: str,
    conditions: tuple[str, Sequence[Any]],
    last: tuple[Any, int] | None,
    limit: int,
    descending: bool,
    *,
    either: bool | None = None,
) -> Sequence[Row]:
    """So many places behind the last one: each a number, and when it was fetched. ``conditions`` are SQL and its
    parameters. ``either``: only those that were fetched, or only those that never were."""
    way, beyond = ("DESC", "<") if descending else ("ASC", ">")
    text, parameters = conditions
    # With the plus a list of keys is only looked into: whoever walks goes by the order.
    text = text.replace("object.number IN", "+object.number IN")
    never_yet = last is None or not last[0]

    async def fetched(wanted: int) -> Sequence[Row]:
        if either is False or (last is not None and never_yet and descending):
            return ()
        bounds: tuple[int, ...] = () if last is None or never_yet else (last[0], *last)
        # The first of them is the index's, the second decides among those of one moment.
        behind = f"AND fetch.at {beyond}= ? AND (fetch.at, object.number) {beyond} (?, ?)" if bounds else ""
        # Forced to begin with the fetch: its index has the order that is wanted.
        sql = f"""
            SELECT object.number AS place, fetch.at AS sorted FROM fetch CROSS JOIN object
                WHERE object.identifier = fetch.unique_identifier AND fetch.instance = ? {behind} AND {text}
                ORDER BY fetch.at {way}, object.number {way} LIMIT ?"""
        return await read(sql, (instance, *bounds, *parameters, wanted))

    async def never(wanted: int) -> Sequence[Row]:
        if either is True or (not never_yet and not descending):
            return ()
        bounds: tuple[int, ...] = () if last is None or not never_yet else (last[1],)
        behind = f"AND object.number {beyond} ?" if bounds else ""
        sql = f"""
            SELECT object.number AS place, 0 AS sorted
                FROM object LEFT JOIN fetch ON fetch.unique_identifier = object.identifier
                WHERE {text} {behind} AND fetch.at IS NULL ORDER BY object.number {way} LIMIT ?"""
        return await read(sql, (*parameters, *bounds, wanted))

    found: list[Row] = []
    for part in (fetched, never) if descending else (never, fetched):
        if len(found) < limit:
            found += await part(limit - len(found))
    return found
