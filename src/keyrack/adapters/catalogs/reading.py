"""How the parts of the catalog reach the database, whichever it is: a statement and its parameters in, its rows out."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

Row = tuple[Any, ...]
"""The columns of one row, as the statement names them."""
Answer = TypeVar("Answer")


class Execute(Protocol):
    """Executes one statement; ``?`` marks a parameter. A statement that answers nothing has no rows.

    Over SQLite it never waits, so that :func:`keyrack.adapters.catalogs.sqlite.at_once.at_once` drives it within one
    turn of the loop; over PostgreSQL it waits for the server.
    """

    def __call__(self, statement: str, parameters: Sequence[Any] = (), /) -> Awaitable[Sequence[Row]]:
        """All rows."""
        ...


def first(rows: Sequence[Row]) -> Any:
    """The first row, or ``None``."""
    return rows[0] if rows else None


class Reads:
    """What the parts of the catalog that read have in common."""

    _read: Execute
    """Reads what is committed; raises ``CatalogUnavailable``."""

    @property
    def _fresh(self) -> Execute:
        """The same, where it is quickest just after this process's own commits."""
        return self._read

    async def _apart(self, read: Callable[[Execute], Coroutine[Any, Any, Answer]]) -> Answer:
        """Read in one snapshot, on a connection that nobody else uses, so that nobody waits for it."""
        raise NotImplementedError
