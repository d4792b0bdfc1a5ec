"""What SQLite's errors mean to those who read and commit: translated once, here."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from keyrack.adapters.catalogs.reading import Execute, Row
from keyrack.adapters.catalogs.sqlite.moved import SAYS
from keyrack.ports.catalog import AlreadyThere, CatalogUnavailable, Conflict

# A unit that breaks one of these breaks a promise that only the database can keep between processes.
BROKEN: Final[Mapping[str, type[Exception]]] = {
    "SQLITE_CONSTRAINT_UNIQUE": AlreadyThere,
    "SQLITE_CONSTRAINT_PRIMARYKEY": AlreadyThere,
    "SQLITE_CONSTRAINT_FOREIGNKEY": Conflict,
}


def refusal(error: Exception) -> Exception:
    """What a unit's own exception means to the one who committed it."""
    if isinstance(error, sqlite3.IntegrityError):
        if str(error).startswith(SAYS):
            return CatalogUnavailable(f"{error}, and takes no change here")
        kind = BROKEN.get(error.sqlite_errorname, Conflict)
        return kind("the database refuses the unit: something unique is taken, or what it refers to is not there")
    return error


@contextmanager
def translated() -> Iterator[None]:
    """Around statements that read; raises :class:`CatalogUnavailable`."""
    try:
        yield
    except sqlite3.Error as error:
        raise unreadable(error) from error


def unreadable(error: sqlite3.Error) -> CatalogUnavailable:
    """What an error of SQLite's means to a reader."""
    return CatalogUnavailable(f"the catalog cannot be read: {error}")


def executing(execute: Callable[..., sqlite3.Cursor]) -> Execute:
    """A cursor's ``execute`` for those who would wait; errors stay SQLite's."""

    async def executed(statement: str, parameters: Sequence[Any] = (), /) -> list[Row]:
        return execute(statement, parameters).fetchall()

    return executed


def reading(execute: Callable[..., sqlite3.Cursor]) -> Execute:
    """The same for those who read; raises :class:`CatalogUnavailable`."""

    async def read(statement: str, parameters: Sequence[Any] = (), /) -> list[Row]:
        try:
            return execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise unreadable(error) from error

    return read
