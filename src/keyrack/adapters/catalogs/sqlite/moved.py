"""A SQLite catalog that has moved elsewhere: it can be read, and takes no change from anybody, whatever program asks.

The promise is kept by triggers in the file itself, so that a server that has it open, of any version, commits nothing
more from the moment on at which they are there.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SAYS: Final = "the catalog has moved to "
"""With which each refusal begins."""
_THERE: Final = "SELECT 1 FROM sqlite_master WHERE type = 'view' AND name = 'moved'"
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
_TRIGGERS: Final = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'moved\\_%' ESCAPE '\\'"
_ACTS: Final = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class Moved:
    """Where to, and by which move."""

    place: str
    token: str


def moved(connection: sqlite3.Connection) -> Moved | None:
    """Whether the catalog has moved, or is in the last step of it."""
    if connection.execute(_THERE).fetchone() is None:
        return None
    return Moved(*connection.execute("SELECT place, token FROM moved").fetchone())


def freeze(connection: sqlite3.Connection, to: Moved) -> None:
    """Let the file take no change from now on; raises ``sqlite3.Error``. One that is so already stays as it is."""
    connection.execute("BEGIN IMMEDIATE")
    if moved(connection) is None:
        for statement in _statements(connection, to):
            connection.execute(statement)
    connection.execute("COMMIT")


def thaw(connection: sqlite3.Connection) -> None:
    """Let it take changes again, because nothing has come of the move; raises ``sqlite3.Error``."""
    connection.execute("BEGIN IMMEDIATE")
    for (name,) in connection.execute(_TRIGGERS).fetchall():
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("DROP VIEW IF EXISTS moved")
    connection.execute("COMMIT")


def _statements(connection: sqlite3.Connection, to: Moved) -> Iterator[str]:
    place, token = _quoted(to.place), _quoted(to.token)
    yield f"CREATE VIEW moved (place, token) AS SELECT {place}, {token}"
    why = _quoted(f"{SAYS}{to.place}")
    for (table,) in connection.execute(_TABLES).fetchall():
        for act in _ACTS:
            yield (
                f'CREATE TRIGGER "moved_{act.lower()}_{table}" BEFORE {act} ON "{table}" '
                f"BEGIN SELECT RAISE(ABORT, {why}); END"
            )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
