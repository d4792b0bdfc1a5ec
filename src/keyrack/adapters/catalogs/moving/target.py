"""The PostgreSQL side of a move, with the rights of a server's role and no more.

While a move goes on, the row of ``deployment`` holds its claim instead of a deployment's name: no server starts there.
"""

from collections.abc import Sequence
from typing import Any, Final

from keyrack.adapters.catalogs.moving.rows import REFERRED, Different, Key, Row, Table, ordered
from keyrack.adapters.catalogs.postgres.opening import MOVING

Connection = Any

_LOCK: Final = "SELECT pg_try_advisory_lock(1263684430, 2)"
_HOLDER: Final = "SELECT identifier FROM deployment"
_CLAIM: Final = "INSERT INTO deployment (only_row, identifier) VALUES (1, $1) ON CONFLICT (only_row) DO NOTHING"
_RENAME: Final = "UPDATE deployment SET identifier = $1 WHERE identifier = $2"
_USED: Final = """
    SELECT EXISTS (SELECT 1 FROM journal) OR EXISTS (SELECT 1 FROM instance) OR EXISTS (SELECT 1 FROM person)
        OR EXISTS (SELECT 1 FROM object)"""
_COLUMNS: Final = """
    SELECT relname, attname, attidentity FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
    ORDER BY relname, attnum"""
_KEYS: Final = """
    SELECT relname, attname FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
    JOIN LATERAL unnest(indkey) WITH ORDINALITY AS part (number, place) ON TRUE
    JOIN pg_attribute ON attrelid = indrelid AND attnum = part.number
    WHERE relnamespace = current_schema()::regnamespace AND indisprimary ORDER BY relname, part.place"""
_STEP: Final = 1_000_000
"""Numbers that a sequence is taken forward at a time."""


class Target:
    """One connection that writes."""

    def __init__(self, connection: Connection) -> None:
        """Own ``connection``."""
        self._connection = connection

    async def alone(self) -> bool:
        """Whether no other command moves anything here now; holds as long as the connection."""
        return bool(await self._connection.fetchval(_LOCK))

    async def holder(self) -> str | None:
        """Whose the database is: a deployment's name, a move's claim, or nobody's."""
        found = await self._connection.fetchval(_HOLDER)
        return None if found is None else str(found)

    async def used(self) -> bool:
        """Whether it holds anything already."""
        return bool(await self._connection.fetchval(_USED))

    async def claim(self, claim: str) -> None:
        """Let nobody serve from it until :meth:`finish`."""
        await self._connection.execute(_CLAIM, claim)

    async def rename(self, before: str, after: str) -> bool:
        """Give it to ``after``, where it was ``before``'s; in one statement, durable when it returns."""
        return bool((await self._connection.execute(_RENAME, after, before)).endswith(" 1"))

    async def has_record(self, chain: str, sequence: int, digest: bytes) -> bool:
        """Whether the journal holds this record."""
        statement = "SELECT 1 FROM journal WHERE chain = $1 AND sequence = $2 AND hash = $3"
        return await self._connection.fetchval(statement, chain, sequence, digest) is not None

    async def tables(self) -> list[Table]:
        """Every table that is moved, in the order in which it is."""
        columns: dict[str, list[str]] = {}
        counted: dict[str, str] = {}
        unseen: set[str] = set()
        for name, column, identity in await self._connection.fetch(_COLUMNS):
            if identity == b"a":
                unseen.add(name)
                continue
            columns.setdefault(name, []).append(column)
            if identity == b"d":
                counted[name] = column
        keys: dict[str, list[str]] = {}
        for name, column in await self._connection.fetch(_KEYS):
            keys.setdefault(name, []).append(column)
        return ordered(
            Table(name, tuple(there), tuple(keys.get(name, ())), counted.get(name), name in unseen)
            for name, there in columns.items()
        )

    async def count(self, table: Table) -> int:
        """How many rows there are."""
        return int(await self._connection.fetchval(f'SELECT count(*) FROM "{table.name}"'))

    async def rows(self, table: Table, after: Key | None, through: Key | None) -> list[Row]:
        """Rows behind one key up to another, in order."""
        conditions: list[str] = []
        parameters: list[Any] = []
        for sign, key in ((">", after), ("<=", through)):
            if key is not None:
                marks = ", ".join(f"${len(parameters) + place}" for place in range(1, len(key) + 1))
                conditions.append(f"({table.keyed()}) {sign} ({marks})")
                parameters += key
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = f'SELECT {table.listed()} FROM "{table.name}" {where} ORDER BY {table.keyed()}'
        return [tuple(row) for row in await self._connection.fetch(statement, *parameters)]

    async def in_order(self, table: Table) -> list[Row]:
        """All of them, as they came."""
        statement = f'SELECT {table.listed()} FROM "{table.name}" ORDER BY rowid'
        return [tuple(row) for row in await self._connection.fetch(statement)]

    async def write(self, table: Table, gone: Sequence[Key], new: Sequence[Row]) -> None:
        """Remove rows, then add others, in one transaction; a row that is referred to is changed instead."""
        async with self._connection.transaction():
            if table.name in REFERRED:
                await self._changed(table, new)
            elif gone:
                await self.remove(table, gone)
            if new and table.name not in REFERRED:
                await self._connection.copy_records_to_table(table.name, records=list(new), columns=table.columns)

    async def remove(self, table: Table, gone: Sequence[Key]) -> None:
        """Rows with these keys."""
        marks = " AND ".join(f'"{column}" = ${place}' for place, column in enumerate(table.key, 1))
        await self._connection.executemany(f'DELETE FROM "{table.name}" WHERE {marks}', list(gone))

    async def _changed(self, table: Table, rows: Sequence[Row]) -> None:
        marks = ", ".join(f"${place}" for place in range(1, len(table.columns) + 1))
        rest = ", ".join(f'"{each}" = excluded."{each}"' for each in table.columns if each not in table.key)
        # Two may have exchanged their names: each lets go of its own first.
        await self._connection.executemany(
            f'UPDATE "{table.name}" SET name = identifier WHERE identifier = $1', [table.key_of(row) for row in rows]
        )
        await self._connection.executemany(
            f'INSERT INTO "{table.name}" ({table.listed()}) VALUES ({marks}) '
            f"ON CONFLICT ({table.keyed()}) DO UPDATE SET {rest}",
            list(rows),
        )

    async def replace(self, table: Table, rows: Sequence[Row]) -> None:
        """All rows by others, in one transaction."""
        async with self._connection.transaction():
            await self._connection.execute(f'DELETE FROM "{table.name}"')
            await self._connection.copy_records_to_table(table.name, records=list(rows), columns=table.columns)

    async def cut(self) -> None:
        """Remove the records of the journal that a cut allows to be gone."""
        await self._connection.execute("SELECT cut_journal(chain, max(through)) FROM journal_cut GROUP BY chain")

    async def count_from(self, table: Table, number: int) -> None:
        """Let the sequence go on behind ``number``: step by step, because a server may not set it."""
        sequence = await self._connection.fetchval(
            "SELECT pg_get_serial_sequence($1, $2)", f'"{table.name}"', table.counted
        )
        while True:
            given = await self._connection.fetchval(f"SELECT last_value - (NOT is_called)::INTEGER FROM {sequence}")
            if given >= number:
                return
            await self._connection.fetchval(
                "SELECT max(nextval($1::regclass)) FROM generate_series(1, $2::BIGINT)",
                sequence,
                min(number - given, _STEP),
            )


def claim_of(deployment: str, token: str) -> str:
    """What stands in the place of a deployment's name while it is moved in."""
    return f"{MOVING}{deployment} {token}"


def token_in(claim: str, deployment: str) -> str:
    """The move's token; raises :class:`Different` where the claim is another deployment's."""
    begin = f"{MOVING}{deployment} "
    if not claim.startswith(begin):
        raise Different(
            f"the database is {claim!r}, which is not this deployment {deployment!r}: prepare another database"
        )
    return claim.removeprefix(begin)


def row_named(table: Table, row: Sequence[Any]) -> str:
    """A row, for a person: its table and key, and nothing that is in it besides."""
    return f"{table.name} {', '.join(str(each) for each in table.key_of(tuple(row)))}"
