"""Remembered answers in the database: rows and values, what a unit does with them, and reads."""

from collections.abc import Sequence
from typing import Any, Final

from keyrack.adapters.catalogs.reading import Execute, Reads, first
from keyrack.ports.answers import AnswerChanges, KeptAnswer
from keyrack.ports.catalog import AlreadyThere, TooMany, Unit

_THERE: Final = "SELECT 1 FROM answers WHERE caller = ? AND key = ?"
_COUNT: Final = "SELECT count(*) FROM answers WHERE caller = ?"
_ONE: Final = (
    "SELECT caller, key, fingerprint, begun_at, status, headers, body FROM answers WHERE caller = ? AND key = ?"
)
_BEGIN: Final = "INSERT INTO answers (caller, key, fingerprint, begun_at, headers) VALUES (?, ?, ?, ?, '')"
_SETTLE: Final = "UPDATE answers SET status = ?, headers = ?, body = ? WHERE caller = ? AND key = ? AND fingerprint = ?"
_RELEASE: Final = "DELETE FROM answers WHERE caller = ? AND key = ? AND fingerprint = ? AND status IS NULL"
_FORGET: Final = "DELETE FROM answers WHERE begun_at < ?"
_PULSE: Final = "INSERT INTO pulses (process, at) VALUES (?, ?) ON CONFLICT (process) DO UPDATE SET at = excluded.at"


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.answers is not None


async def check(execute: Execute, unit: Unit) -> None:
    """Raise ``AlreadyThere`` or ``TooMany`` where the database as it is now does not allow the unit."""
    changes = unit.answers or AnswerChanges()
    if changes.forgotten_before is not None:
        # First, so that what is over is in nobody's way; the transaction takes it back where the unit is refused.
        await execute(_FORGET, (changes.forgotten_before,))
    for each in changes.begun:
        if first(await execute(_THERE, (each.caller, each.key))):
            raise AlreadyThere("a request under this key is remembered")
        if changes.most is not None and first(await execute(_COUNT, (each.caller,)))[0] >= changes.most:
            raise TooMany(f"the caller has {changes.most} remembered requests")


async def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""
    changes = unit.answers or AnswerChanges()
    for each in changes.begun:
        await execute(_BEGIN, (each.caller, each.key, each.fingerprint, each.begun_at))
    for each in changes.settled:
        await execute(_SETTLE, (each.status, each.headers, each.body, each.caller, each.key, each.fingerprint))
    for each in changes.released:
        await execute(_RELEASE, (each.caller, each.key, each.fingerprint))
    if changes.pulse is not None:
        await execute(_PULSE, changes.pulse)


class AnswerReads(Reads):
    """``ports.answers.AnswerBook`` over SQLite."""

    async def kept_answer(self, caller: str, key: str) -> KeptAnswer | None:
        """By its key."""
        row = first(await self._read(_ONE, (caller, key)))
        return _kept(row) if row else None


def _kept(row: Sequence[Any]) -> KeptAnswer:
    caller, key, fingerprint, begun_at, status, headers, body = row
    return KeptAnswer(
        caller=caller, key=key, fingerprint=fingerprint, begun_at=begun_at, status=status, headers=headers, body=body
    )
