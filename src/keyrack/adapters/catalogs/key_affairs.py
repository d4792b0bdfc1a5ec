"""Last fetches and approvals in the database: rows and values, what a unit does with them, and reads."""

import sqlite3
from collections.abc import Callable

from keyrack.adapters.catalogs.reading import Reads
from keyrack.ports.catalog import Unit

Execute = Callable[..., sqlite3.Cursor]


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.key_affairs is not None


def check(execute: Execute, unit: Unit) -> None:
    """Raise ``Conflict``, or a kind of it, where the database as it is now does not allow the unit."""


def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""


class KeyReads(Reads):
    """``ports.key_affairs.KeyBook`` over SQLite."""
