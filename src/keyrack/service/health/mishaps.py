"""The last failures that the journal tells of, with their causes: what key managers said when something went wrong."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from keyrack.ports.catalog import Catalog
from keyrack.service.health.findings import Finding, Level, ago

LAST: Final = 2000
"""Records that are read, however long the journal is."""
MOST: Final = 10
"""Kinds of failures that are told, the latest first."""
RECENT: Final = 3600
"""Seconds for which a failure calls for attention."""
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """Failures of one kind: of one action, in one instance, for one reason."""

    action: str
    outcome: str
    instance: str
    """Its identifier; empty where none was meant."""
    cause: str
    """Of the last one: why, what the key manager calls it, what it said."""
    times: int
    at: int
    """When the last one was, in seconds since 1970."""


async def mishaps(catalog: Catalog) -> Sequence[Mishap]:
    """The failures with a cause among the last :data:`LAST` records, the latest first."""
    found: dict[tuple[str, str, str, str], Mishap] = {}
    async for entry in _last(catalog):
        cause = str(entry["detail"].get("cause", ""))
        if entry["outcome"] == "success" or not cause:
            continue
        kind = (entry["action"], entry["outcome"], entry["instance"], cause.partition(":")[0])
        before = found.pop(kind, None)
        found[kind] = Mishap(
            action=entry["action"],
            outcome=entry["outcome"],
            instance=entry["instance"],
            cause=cause,
            times=1 + (before.times if before else 0),
            at=entry["at"] // 1000,
        )
    return sorted(found.values(), key=lambda each: each.at, reverse=True)[:MOST]


async def _last(catalog: Catalog) -> AsyncIterator[Mapping[str, Any]]:
    """The last records. Their numbers have no gaps, so the heads of all chains together tell where the end is."""
    end = sum((await catalog.journal_heads()).values())
    after = max(0, end - LAST)
    while page := await catalog.journal(after, _PAGE):
        for record in page:
            yield json.loads(record.text)
        after = page[-1].number
        if after >= end:
            return


def told(mishap: Mishap, names: Mapping[str, str], at: int) -> Finding:
    """A mishap as a finding; ``names`` of instances by identifier, ``at`` is seconds since 1970."""
    whose = f" in {names.get(mishap.instance, mishap.instance)}" if mishap.instance else ""
    times = f"{mishap.times} times, the last one" if mishap.times > 1 else "once,"
    age = at - mishap.at
    return Finding(
        f"journal: {mishap.action}",
        Level.WARNING if age < RECENT else Level.OK,
        f"{mishap.outcome}{whose}, {times} {ago(age)} ago: {mishap.cause}",
        cause=mishap.cause.partition(":")[0],
    )
