"""Makes the tables of one database those of another, and shows that they are: compared row by row, counted, digested.

The same walk copies, goes on where it was broken off, takes over what was changed meanwhile, and verifies: rows are
read from both sides in the order of their keys, what differs is written, and what was written is read again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from keyrack.adapters.catalogs.moving.rows import (
    APPEND_ONLY,
    BY_OBJECT,
    REFERRED,
    Different,
    Digest,
    Key,
    Row,
    Table,
    text_of,
)
from keyrack.adapters.catalogs.moving.source import AT_ONCE, Source
from keyrack.adapters.catalogs.moving.target import Target, row_named

_AGAIN: Final = 4
"""How often a table is walked where a unique value has gone from one row to another."""


@dataclass(slots=True)
class Known:
    """What is known of a table: everything up to a key was read from both sides, and was the same."""

    through: Key | None = None
    here: Digest = field(default_factory=Digest)
    there: Digest = field(default_factory=Digest)
    mark: tuple[int, ...] = ()
    """What of the source says that nothing up to there has changed since."""

    def copy(self) -> "Known":
        """As it is now."""
        return Known(self.through, self.here.copy(), self.there.copy(), self.mark)


@dataclass(slots=True)
class Walked:
    """What a pass over all tables has done."""

    written: int = 0
    known: Mapping[str, Known] = field(default_factory=dict)


class Copying:
    """One command's work."""

    def __init__(self, source: Source, target: Target, told: Callable[[int, int], None]) -> None:
        """``told`` hears after each piece how many rows are done, of how many."""
        self._source = source
        self._target = target
        self._told = told
        self._known: dict[str, Known] = {}
        self._done = self._total = self._written = 0
        self._extra = False

    def take_over(self, other: "Copying") -> None:
        """What another one has seen to be the same need not be read again, unless it can have changed since."""
        self._known = {name: each.copy() for name, each in other._known.items()}

    async def walk(self) -> Walked:
        """All tables, as the source has them at one moment. Raises :class:`Different`, and what either side raises."""
        tables = await self._target.tables()
        self._done = self._written = 0
        with self._source.moment():
            for table in tables:
                self._source.check(table)
            self._total = sum(self._source.count(table) for table in tables)
            for table in tables:
                await self._table(table, keeps=table.name in REFERRED)
                if table.name == "journal" and self._extra:
                    await self._cut(table)
                if table.counted:
                    await self._target.count_from(table, self._source.highest(table))
            for table in tables:
                if table.name in REFERRED:
                    await self._table(table, keeps=False)
            self._settled(tables)
            for table in tables:
                await self._counted(table)
        return Walked(self._written, dict(self._known))

    def _settled(self, tables: list[Table]) -> None:
        """Every table's digest is of both sides the same; that is what a walk that ends without an error means."""
        for table in tables:
            known = self._known[table.name]
            if known.here.hex != known.there.hex:
                raise Different(f"the table {table.name} comes to something else in the two databases")

    async def _counted(self, table: Table) -> None:
        there = await self._target.count(table)
        if there != self._known[table.name].here.rows:
            raise Different(
                f"the table {table.name} has {there} rows in PostgreSQL, and should have "
                f"{self._known[table.name].here.rows}: somebody else writes there"
            )

    async def _cut(self, journal: Table) -> None:
        """Records that were cut from the source since they were copied."""
        self._extra = False
        await self._target.cut()
        self._known.pop(journal.name, None)
        await self._table(journal, keeps=False)
        if self._extra:
            raise Different("the journal in PostgreSQL has records that the source has not, and no cut allows that")

    async def _table(self, table: Table, *, keeps: bool) -> None:
        for _ in range(_AGAIN):
            if not await (self._whole(table) if table.ordered else self._pieces(table, keeps=keeps)):
                return
            self._known.pop(table.name, None)
        raise Different(f"the table {table.name} cannot be made the same: something unique is taken in PostgreSQL")

    async def _whole(self, table: Table) -> bool:
        """A small table whose order counts."""
        here = self._source.in_order(table)
        if here != await self._target.in_order(table):
            await self._target.replace(table, here)
            self._written += len(here)
        known = Known()
        known.here.add(here)
        known.there.add(await self._target.in_order(table))
        self._known[table.name] = known
        self._tell(len(here))
        return False

    async def _pieces(self, table: Table, *, keeps: bool) -> bool:
        """Piece by piece; whether it has to be done again."""
        mark = self._mark(table)
        known = self._begun(table, mark)
        self._tell(known.here.rows)
        clashed = False
        while True:
            here = self._source.rows(table, known.through)
            through = table.key_of(here[-1]) if len(here) == AT_ONCE else None
            there = await self._target.rows(table, known.through, through)
            if here != there:
                try:
                    await self._mend(table, here, there, keeps=keeps)
                except asyncpg.UniqueViolationError:
                    clashed = True
                there = await self._target.rows(table, known.through, through)
                self._compare(table, here, there, clashed=clashed, keeps=keeps)
            text = text_of(here)
            known.here.feed(len(here), text)
            # What is the same is written as the same.
            known.there.feed(len(there), text if here == there else text_of(there))
            if here:
                known.through = table.key_of(here[-1])
            self._tell(len(here))
            if through is None:
                break
        known.mark = mark
        self._known[table.name] = known
        return clashed

    def _begun(self, table: Table, mark: tuple[int, ...]) -> Known:
        """Where to go on: what was seen to be the same is not read again, unless it can have changed since."""
        known = self._known.get(table.name)
        if known is None or not mark or known.mark[:1] != mark[:1]:
            return Known()
        # An attribute's key says nothing of its age: one of a new object may stand anywhere.
        return known.copy() if table.name != "attribute" or known.mark == mark else Known()

    def _mark(self, table: Table) -> tuple[int, ...]:
        if table.name in BY_OBJECT:
            return self._source.changes(), self._source.highest(_OBJECT)
        if table.name == "journal":
            return (self._source.count(_CUTS),)
        return ()

    async def _mend(self, table: Table, here: list[Row], there: list[Row], *, keeps: bool) -> None:
        wanted = {table.key_of(row): row for row in here}
        found = {table.key_of(row): row for row in there}
        new = [row for key, row in wanted.items() if found.get(key) != row]
        gone = [key for key, row in found.items() if wanted.get(key) != row]
        if table.name in APPEND_ONLY:
            for key in gone:
                if key in wanted:
                    raise Different(
                        f"in PostgreSQL, {row_named(table, wanted[key])} is another than in SQLite, and may never be "
                        "changed: make the database anew, and move into that"
                    )
            self._extra = self._extra or bool(gone)
            gone = []
        elif table.name in REFERRED:
            lost = [key for key in gone if key not in wanted]
            if lost and not keeps:
                await self._target.remove(table, lost)
        await self._target.write(table, gone, new)
        self._written += len(new)

    def _compare(self, table: Table, here: list[Row], there: list[Row], *, clashed: bool, keeps: bool) -> None:
        """What was written is there, and as it was written."""
        if clashed or here == there or keeps or (table.name == "journal" and self._extra):
            return
        for row in here:
            if row not in there:
                raise Different(f"{row_named(table, row)} does not stand in PostgreSQL as it was written")
        raise Different(f"the table {table.name} has rows in PostgreSQL that cannot be removed")

    def _tell(self, rows: int) -> None:
        self._done += rows
        self._told(min(self._done, self._total), self._total)


_OBJECT: Final = Table("object", (), (), "number")
_CUTS: Final = Table("journal_cut", (), ())
