"""What is moved from one database into the other: tables, their keys, and the canonical form of a row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from keyrack.adapters.catalogs.postgres.dialect import bound

Row = tuple[Any, ...]
Key = tuple[Any, ...]

LEFT: Final = frozenset({"deployment", "node", "pulses", "keyrack_schema"})
"""Tables that say whose database it is and who serves from it at this moment: each database has its own."""
APPEND_ONLY: Final = ("journal_checkpoint", "journal_cut", "journal")
REFERRED: Final = ("instance", "person")
"""Rows of these are referred to: they come first, and what is gone of them goes last."""
LAST: Final = ("seen_certificate", "fetch", "living", "ending", "fetch_cursor", "generation")
"""What triggers write when other tables change: it is put right behind them."""
BY_OBJECT: Final = ("object", "attribute")
"""Tables whose changes ``generation.changes`` counts."""


class Different(Exception):
    """A row is not what it has to be, and cannot be made so; the text says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table, as both databases have it."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Columns of the primary key, in its order."""
    counted: str | None = None
    """The column that a sequence numbers."""
    ordered: bool = False
    """Whether the order counts in which rows came, which is in no column."""

    @property
    def places(self) -> tuple[int, ...]:
        """Where in a row the key's columns are."""
        return tuple(self.columns.index(each) for each in self.key)

    def key_of(self, row: Row) -> Key:
        """Of a row."""
        return tuple(row[place] for place in self.places)

    def listed(self) -> str:
        """The columns, for a statement."""
        return ", ".join(f'"{each}"' for each in self.columns)

    def keyed(self) -> str:
        """The key, for a statement."""
        return ", ".join(f'"{each}"' for each in self.key)


class Digest:
    """How many rows, and what they come to: SHA-256 over their canonical form, in the order of the key."""

    def __init__(self) -> None:
        """Of nothing."""
        self.rows = 0
        self._hash = sha256()

    def add(self, rows: Sequence[Row]) -> None:
        """Rows that come next."""
        self.feed(len(rows), text_of(rows))

    def feed(self, rows: int, text: bytes) -> None:
        """The same, where somebody has made their text already."""
        self.rows += rows
        self._hash.update(text)

    def copy(self) -> "Digest":
        """As it is now."""
        other = Digest()
        other.rows = self.rows
        other._hash = self._hash.copy()
        return other

    @property
    def hex(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()


def text_of(rows: Sequence[Row]) -> bytes:
    """The canonical form of rows: whole numbers, texts, octets and nothing are written as Python writes them."""
    return "".join(map(repr, rows)).encode("utf-8", "surrogatepass")


def canonical(row: Row) -> Row:
    """A row as both databases can hold it: PostgreSQL's text has no zero character."""
    for each in row:
        if type(each) is str and "\0" in each:
            return tuple(bound(row))
    return row


def ordered(tables: Iterable[Table]) -> list[Table]:
    """The order in which tables are copied."""
    first = (*REFERRED, *APPEND_ONLY)

    def place(table: Table) -> tuple[int, str]:
        if table.name in first:
            return first.index(table.name), ""
        if table.name in LAST:
            return 1000 + LAST.index(table.name), ""
        return 500, table.name

    return sorted((each for each in tables if each.name not in LEFT), key=place)
