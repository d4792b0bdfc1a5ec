"""Last fetches, endings and approvals in the database: rows and values, what a unit does with them, and reads."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from keyrack.adapters.catalogs.key_listing import ListingReads, fetch_of
from keyrack.adapters.catalogs.queries import SETTLED
from keyrack.adapters.catalogs.reading import Execute, first
from keyrack.domain.approvals import Approval
from keyrack.ports.catalog import Conflict, Unit
from keyrack.ports.key_affairs import Fetch, FetchesRead, KeyAffairs

STRETCH: Final = 5_000
"""Journal records that are read before the loop breathes: some milliseconds."""
_AT_ONCE: Final = 500
"""Identifiers in one statement."""

FETCH_COLUMNS: Final = "unique_identifier, at, initiator, address, count"
CURSOR: Final = "SELECT number FROM fetch_cursor"
MOVE_CURSOR: Final = "UPDATE fetch_cursor SET number = ?"
# Canonical texts begin with their action: most of a journal is told apart without parsing it.
STRETCH_OF_JOURNAL: Final = """
    SELECT json_extract(text, '$.instance'), json_extract(text, '$.target'), json_extract(text, '$.at'),
        json_extract(text, '$.initiator'), json_extract(text, '$.address')
    FROM journal WHERE number > ? AND number <= ? AND substr(text, 1, 16) = '{"action":"Get",'
        AND json_extract(text, '$.outcome') = 'success' ORDER BY number"""
# Of an object that is gone nothing is kept. Clocks of processes differ: the latest counts, not the last one written.
KEEP_FETCH: Final = """
    INSERT INTO fetch (unique_identifier, instance, at, initiator, address, count)
        SELECT CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT)
        WHERE EXISTS (SELECT 1 FROM object WHERE identifier = ? AND instance = ?)
    ON CONFLICT (unique_identifier) DO UPDATE SET
        initiator = CASE WHEN excluded.at >= fetch.at THEN excluded.initiator ELSE fetch.initiator END,
        address = CASE WHEN excluded.at >= fetch.at THEN excluded.address ELSE fetch.address END,
        at = max(fetch.at, excluded.at), count = fetch.count + excluded.count"""
FETCHES: Final = f"SELECT {FETCH_COLUMNS} FROM fetch WHERE instance = ?"

FIRST_ENDING: Final = "SELECT coalesce(max(number), 0) FROM ending"
ENDINGS: Final = "SELECT number, unique_identifier FROM ending WHERE number > ? ORDER BY number LIMIT 10000"
# The last one stays: it holds the place that others are behind of.
FORGET_ENDINGS: Final = "DELETE FROM ending WHERE at < ? AND number < (SELECT max(number) FROM ending)"

_APPROVAL: Final = (
    "identifier, act, instance, target, arguments, why, asked_by, asked_person, asked_at, expires_at, agreed_by,"
    " agreed_at, withdrawn_by, withdrawn_at"
)
IS_OVER: Final = "SELECT agreed_at IS NOT NULL OR withdrawn_at IS NOT NULL FROM approval WHERE identifier = ?"
PUT_APPROVAL: Final = f"""
    INSERT INTO approval ({_APPROVAL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (identifier) DO UPDATE SET agreed_by = excluded.agreed_by, agreed_at = excluded.agreed_at,
        withdrawn_by = excluded.withdrawn_by, withdrawn_at = excluded.withdrawn_at"""
APPROVALS: Final = f"SELECT {_APPROVAL} FROM approval ORDER BY asked_at DESC, rowid DESC"
APPROVALS_OF: Final = f"SELECT {_APPROVAL} FROM approval WHERE instance = ? ORDER BY asked_at DESC, rowid DESC"
ONE_APPROVAL: Final = f"SELECT {_APPROVAL} FROM approval WHERE identifier = ?"


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.key_affairs is not None


async def check(execute: Execute, unit: Unit) -> None:
    """Raise ``Conflict``, or a kind of it, where the database as it is now does not allow the unit."""
    affairs = unit.key_affairs or KeyAffairs()
    for approval in affairs.approvals:
        over = first(await execute(IS_OVER, (approval.identifier,)))
        if over is not None and over[0]:
            raise Conflict("an approval does not wait any more")
    if affairs.read is not None and first(await execute(CURSOR))[0] != affairs.read.behind:
        raise Conflict("this stretch of the journal was read already")


async def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""
    affairs = unit.key_affairs or KeyAffairs()
    for approval in affairs.approvals:
        await execute(PUT_APPROVAL, approval_columns(approval))
    if affairs.read is not None:
        for instance, fetches in affairs.read.fetches.items():
            for each in fetches:
                told = (each.unique_identifier, instance, each.at, each.initiator, each.address, each.count)
                await execute(KEEP_FETCH, (*told, each.unique_identifier, instance))
        await execute(MOVE_CURSOR, (affairs.read.up_to,))
    if affairs.endings_before is not None:
        await execute(FORGET_ENDINGS, (affairs.endings_before,))


class KeyReads(ListingReads):
    """``ports.key_affairs.KeyBook`` over SQLite."""

    async def commit(self, unit: Unit) -> None:
        """The catalog's own."""
        raise NotImplementedError

    async def catch_up(self) -> int:
        """In stretches, each a unit of its own; whoever else reads the same stretch at the same time does no harm."""
        count = 0
        while True:
            (behind,), (head,) = first(await self._read(CURSOR)), first(await self._read(SETTLED))
            if behind >= head:
                return count
            up_to = min(behind + STRETCH, head)
            rows = await self._read(STRETCH_OF_JOURNAL, (behind, up_to))
            read = FetchesRead(behind=behind, up_to=up_to, fetches=_gathered(rows))
            try:
                # It follows from the journal alone, and listings want it of a catalog that is rolled back, too.
                await self.commit(Unit(entries=(), key_affairs=KeyAffairs(read=read), recovers=True))
            except Conflict:
                continue
            count += up_to - behind
            await asyncio.sleep(0)

    async def fetches(self, instance: str, identifiers: Sequence[str] | None = None) -> Mapping[str, Fetch]:
        """After :meth:`catch_up`."""
        await self.catch_up()
        if identifiers is None:
            rows = await self._read(FETCHES, (instance,))
        else:
            rows = []
            for begin in range(0, len(identifiers), _AT_ONCE):
                some = identifiers[begin : begin + _AT_ONCE]
                wanted = f"{FETCHES} AND unique_identifier IN ({', '.join('?' * len(some))})"
                rows += await self._read(wanted, (instance, *some))
        return {fetch.unique_identifier: fetch for fetch in map(fetch_of, rows)}

    async def endings(self, after: int | None) -> tuple[int, Sequence[str]]:
        """From a table that the database's own triggers keep."""
        if after is None:
            return int(first(await self._read(FIRST_ENDING))[0]), ()
        rows = await self._read(ENDINGS, (after,))
        return (rows[-1][0], [row[1] for row in rows]) if rows else (after, ())

    async def approvals(self, instance: str | None = None) -> Sequence[Approval]:
        """The newest first."""
        asked = (APPROVALS, ()) if instance is None else (APPROVALS_OF, (instance,))
        return [approval_of(row) for row in await self._read(*asked)]

    async def approval(self, identifier: str) -> Approval | None:
        """By identifier."""
        row = first(await self._read(ONE_APPROVAL, (identifier,)))
        return approval_of(row) if row else None


def _gathered(rows: Sequence[tuple[Any, ...]]) -> Mapping[str, Sequence[Fetch]]:
    """One fetch for each object, the latest, with how many there are in these rows."""
    found: dict[tuple[str, str], Fetch] = {}
    for instance, target, *told in rows:
        fetch = fetch_of((target, *told, 1))
        before = found.get((instance, target))
        if before is not None:
            fetch = replace(fetch if fetch.at >= before.at else before, count=before.count + 1)
        found[instance, target] = fetch
    gathered: dict[str, list[Fetch]] = {}
    for (instance, _), fetch in found.items():
        gathered.setdefault(instance, []).append(fetch)
    return gathered


def approval_columns(approval: Approval) -> tuple[Any, ...]:
    """In the order of the statements."""
    return (
        approval.identifier,
        approval.act,
        approval.instance,
        approval.target,
        json.dumps(dict(approval.arguments), sort_keys=True),
        approval.why,
        approval.asked_by,
        approval.asked_person,
        approval.asked_at,
        approval.expires_at,
        approval.agreed_by,
        approval.agreed_at,
        approval.withdrawn_by,
        approval.withdrawn_at,
    )


def approval_of(row: tuple[Any, ...]) -> Approval:
    """The approval of a row."""
    identifier, act, instance, target, arguments, why, asked_by, asked_person, *times = row
    asked_at, expires_at, agreed_by, agreed_at, withdrawn_by, withdrawn_at = times
    return Approval(
        identifier=identifier,
        act=act,
        instance=instance,
        target=target,
        arguments=json.loads(arguments),
        why=why,
        asked_by=asked_by,
        asked_person=asked_person,
        asked_at=asked_at,
        expires_at=expires_at,
        agreed_by=agreed_by,
        agreed_at=agreed_at,
        withdrawn_by=withdrawn_by,
        withdrawn_at=withdrawn_at,
    )
