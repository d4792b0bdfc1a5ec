"""How reads of the catalog fail: what SQLite says becomes the port's exception, once, here."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keyrack.ports.catalog import CatalogUnavailable

Read = Callable[..., sqlite3.Cursor]


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


class Reads:
    """What the parts of the catalog that read have in common."""

    _read: Callable[..., Any]
    """Executes a statement on the reading connection."""
