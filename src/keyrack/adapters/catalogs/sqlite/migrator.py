"""The schema's migrations: numbered SQL files, each applied whole or not at all, the number kept in the database.

A database that is newer than this program is refused, never guessed at.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from keyrack.ports.catalog import CatalogUnavailable

APPLICATION_ID: Final = 0x4B52434B
"""``KRCK``: marks a SQLite file as a catalog of Keyrack."""

_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


class UnfitDatabase(CatalogUnavailable):
    """This file, or the file system under it, cannot be the catalog; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    text: str

    def statements(self) -> Iterator[str]:
        """The statements one by one; a trigger is one statement, with the semicolons inside it."""
        gathered = ""
        for line in self.text.splitlines(keepends=True):
            gathered += line
            if sqlite3.complete_statement(gathered):
                yield gathered
                gathered = ""


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration that this program has, in order."""
    found = []
    for each in files("keyrack.adapters.catalogs.sqlite").joinpath("migrations").iterdir():
        named = _FILE_NAME.fullmatch(each.name)
        if named:
            found.append(Migration(int(named[1]), each.name, each.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [each.number for each in found] != list(range(1, len(found) + 1)):
        raise UnfitDatabase("the migrations of this installation are not complete; install Keyrack again")
    return tuple(found)


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the schema to this program's; the number of steps that were taken.

    Raises :class:`UnfitDatabase` if the file is another program's, or of a newer Keyrack.
    """
    known = migrations()
    if _schema(connection) == len(known):
        return 0
    # A table that others refer to is replaced by dropping it, for which references must not count meanwhile; within a
    # transaction the setting means nothing.
    (references,) = connection.execute("PRAGMA foreign_keys").fetchone()
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        return _applied(connection, known)
    finally:
        connection.execute(f"PRAGMA foreign_keys = {references}")


def _applied(connection: sqlite3.Connection, known: Sequence[Migration]) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again: another process may have migrated while this one waited for the lock.
        begun = _schema(connection)
        for migration in known[begun:]:
            for statement in migration.statements():
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {migration.number}")
        if connection.execute("PRAGMA foreign_key_check").fetchone():
            raise UnfitDatabase("rows of the catalog refer to others that are not there: restore a backup made before")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(known) - begun


def _schema(connection: sqlite3.Connection) -> int:
    """The number of the schema that is there: 0 for an empty file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION_ID and (application or number or tables):
        raise UnfitDatabase("the file is a database of another program; name another path for the catalog")
    if number > len(migrations()):
        raise UnfitDatabase(
            f"the catalog has schema {number}, this Keyrack knows {len(migrations())}; "
            "a newer Keyrack has used it: install that version, or restore a backup made before"
        )
    return int(number)
