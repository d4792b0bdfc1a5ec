"""Whether the journal is signed, handed on, and as new as what was exported of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.ports.journal import JournalBook
from keyrack.service.health.findings import Finding, Level, ago
from keyrack.service.journal.forwarding import Lag

LATE: Final = 5
"""How many times the time between two checkpoints may pass before one counts as overdue."""
LEAST: Final = 300
"""Seconds below which none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """How far the journal is signed."""

    end: int
    """Number of its last record."""
    at: int | None
    """When the last checkpoint was signed, in milliseconds since 1970; ``None``: never."""
    through: int
    """Number of the last record that it covers."""


async def signed(catalog: JournalBook) -> Signed:
    """As the catalog has it now."""
    last = await catalog.last_checkpoint()
    return Signed(
        end=await catalog.journal_end(),
        at=last.at if last is not None else None,
        through=last.statement.through if last is not None else 0,
    )


def chains(heads: Mapping[str, int]) -> Finding:
    """Where the chains end."""
    told = ", ".join(f"{chain} at {sequence}" for chain, sequence in sorted(heads.items()))
    return Finding("journal", Level.OK, told or "empty")


def rolled_back(missing: str) -> Iterator[Finding]:
    """``missing`` is what the catalog lacks of the checkpoint that was exported last, as ``missing_since`` tells."""
    if missing:
        told = f"the catalog is older than what was exported of its journal: {missing}"
        act = "find out who put it back; 'keyrack serve' keeps it unchanged, and 'keyrack backup agree' goes on with it"
        yield Finding("journal: rolled back", Level.FAILED, told, act)


def checkpoint(found: Signed, seconds: float, at: int) -> Finding:
    """Whether the last checkpoint is as young as configured; ``at`` is seconds since 1970."""
    what, behind = "journal: checkpoint", found.end - found.through
    act = "a running server signs it: see whether 'keyrack serve' runs; 'keyrack audit checkpoint' signs one now"
    if found.at is None:
        if behind <= 0:
            return Finding(what, Level.OK, "none yet, and nothing to sign")
        return Finding(what, Level.WARNING, "none was signed yet: what is recorded could be cut off unnoticed", act)
    age = at - found.at // 1000
    told = f"signed {ago(age)} ago"
    if behind > 0 and age > max(LATE * seconds, LEAST):
        records = "1 record" if behind == 1 else f"{behind} records"
        return Finding(what, Level.WARNING, f"{told}, and {records} since then could be cut off unnoticed", act)
    return Finding(what, Level.OK, told)


def sinks(lags: Sequence[Lag], alarms: Mapping[str, float], at: int) -> Iterator[Finding]:
    """Of each configured sink; ``alarms`` are the seconds by which it may be behind."""
    for each in lags:
        what = f"sink {each.name}"
        if not each.trouble and each.seconds <= alarms.get(each.name, 60):
            told = "has every record" if not each.behind else f"{each.behind} records behind"
            yield Finding(what, Level.OK, told)
            continue
        told = f"{each.behind} records behind, the oldest of {ago(each.seconds)} ago"
        if each.trouble:
            since = f" for {ago(at - each.since // 1000)}" if each.since else ""
            told += f"; in its way{since}: {each.trouble}"
        if each.required:
            told += "; it is required, so nothing is acknowledged and no key handed out"
        act = "mend what is in its way; nothing is lost meanwhile. 'keyrack audit sinks' shows how far each has got"
        if not each.trouble:
            act = "see whether 'keyrack serve' runs: it hands the journal on"
        yield Finding(what, Level.FAILED if each.required else Level.WARNING, told, act)
