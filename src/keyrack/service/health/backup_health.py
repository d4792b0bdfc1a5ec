"""Whether the deployment could be had back: its last backup, the last proof that all opens, and rollback mode."""

from collections.abc import Iterator, Mapping

from keyrack.domain.moments import rfc3339
from keyrack.ports.cluster import BACKUP, PROOF, Report, Rollback
from keyrack.service.health.findings import Finding, Level, ago


def rollback(found: Rollback | None) -> Iterator[Finding]:
    """That nothing may change, why, and what ends it."""
    if found is not None:
        told = f"rollback mode since {rfc3339(found.at)}, nothing can be changed: {found.why}"
        act = "'keyrack backup agree' accounts for what came after the copy, and ends it"
        yield Finding("catalog: rolled back", Level.FAILED, told, act)


def backups(
    reports: Mapping[str, Report], at: int, *, oldest: float = 0, oldest_proof: float = 0, has_own: bool = True
) -> Iterator[Finding]:
    """Of the last backup and the last proof; ``at`` is seconds since 1970. ``oldest``, ``oldest_proof``: seconds from
    which on one is overdue; 0: never. ``has_own``: whether Keyrack makes the backups, and not the database."""
    if has_own:
        words = ("backup", "made", "none yet; 'keyrack backup create' makes one")
        yield _told(
            words, reports.get(BACKUP), at, oldest, "see the server's log; 'keyrack backup create' makes one now"
        )
    words = ("recovery", "proved", "never tried yet; 'keyrack recover prove' opens every copy of every key")
    act = "'keyrack recover prove' tries each copy and tells which does not open"
    yield _told(words, reports.get(PROOF), at, oldest_proof, act)


def _told(words: tuple[str, str, str], last: Report | None, at: int, oldest: float, act: str) -> Finding:
    """``words``: what it is, what was done, and what is told where it never was; ``act``: what to do where it should
    have been."""
    what, done, never = words
    if last is None:
        return Finding(what, Level.WARNING, never) if oldest else Finding(what, Level.OK, never)
    age = ago(at - last.at)
    if not last.good:
        return Finding(what, Level.FAILED, f"{age} ago it failed: {last.told}", act)
    told = f"{done} {age} ago: {last.told}"
    told += f" ({last.keys:,} keys)" if what == "backup" else ""
    if oldest and at - last.at > oldest:
        return Finding(what, Level.WARNING, f"{told}; that is longer ago than {ago(oldest)}", act)
    return Finding(what, Level.OK, told)
