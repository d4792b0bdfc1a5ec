"""People, API keys and log-ins in the database: rows and values, what a unit does with them, and reads."""

import sqlite3
from collections.abc import Callable

from keyrack.adapters.catalogs.reading import Reads
from keyrack.domain.people import Actor
from keyrack.ports.catalog import Unit

Execute = Callable[..., sqlite3.Cursor]


def check_actor(execute: Execute, actor: Actor) -> None:
    """Raise ``RightsChanged`` where the person, the API key or the log-in is not as when the act was decided."""


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.people is not None


def check(execute: Execute, unit: Unit) -> None:
    """Raise ``Conflict``, or a kind of it, where the database as it is now does not allow the unit."""


def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""


class PeopleReads(Reads):
    """``ports.people.PeopleBook`` over SQLite."""
