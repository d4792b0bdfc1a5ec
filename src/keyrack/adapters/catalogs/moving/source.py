"""The SQLite side of a move: rows in the order of their keys, as they stand at one moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from keyrack.adapters.catalogs.moving.rows import Different, Key, Row, Table, canonical
from keyrack.adapters.catalogs.sqlite.moved import Moved, moved
from keyrack.adapters.catalogs.sqlite.opening import connect

AT_ONCE: Final = 2_000
"""Rows that are compared at a time."""


class Source:
    """One connection that only reads, beside whoever serves."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises ``sqlite3.Error``."""
        self._connection = connect(path, wait=2.0)
        self._connection.execute("PRAGMA query_only = ON")

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Everything that is read within the block is of one moment."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def moved(self) -> Moved | None:
        """Whether nothing changes here any more."""
        return moved(self._connection)

    def check(self, table: Table) -> None:
        """Raise :class:`Different` where the table has not the columns that it has in the other database."""
        here = {row[1] for row in self._connection.execute(f'PRAGMA table_info("{table.name}")')}
        if here != set(table.columns):
            raise Different(
                f"the table {table.name} has other columns in the two databases: start this version of Keyrack once "
                "on the SQLite catalog, and say 'keyrack database upgrade' for the other"
            )

    def count(self, table: Table) -> int:
        """How many rows there are."""
        return int(self._connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0])

    def rows(self, table: Table, after: Key | None) -> list[Row]:
        """The next rows behind a key, :data:`AT_ONCE` at most."""
        where = "" if after is None else f"WHERE ({table.keyed()}) > ({', '.join('?' * len(after))})"
        statement = f'SELECT {table.listed()} FROM "{table.name}" {where} ORDER BY {table.keyed()} LIMIT {AT_ONCE}'
        return [canonical(row) for row in self._connection.execute(statement, after or ())]

    def in_order(self, table: Table) -> list[Row]:
        """All of them, as they came."""
        return [
            canonical(row)
            for row in self._connection.execute(f'SELECT {table.listed()} FROM "{table.name}" ORDER BY rowid')
        ]

    def highest(self, table: Table) -> int:
        """The last number that the table has given out."""
        (top,) = self._connection.execute(f'SELECT coalesce(max("{table.counted}"), 0) FROM "{table.name}"').fetchone()
        given = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
        return max(int(top), int(given[0]) if given else 0)

    def changes(self) -> int:
        """The count of changes of objects."""
        return int(self._connection.execute("SELECT changes FROM generation").fetchone()[0])

    def last_record(self) -> tuple[str, int, bytes] | None:
        """Chain, number in it and hash of the last record of the journal."""
        row = self._connection.execute("SELECT chain, sequence, hash FROM journal ORDER BY number DESC LIMIT 1")
        found = row.fetchone()
        return None if found is None else (found[0], found[1], found[2])
