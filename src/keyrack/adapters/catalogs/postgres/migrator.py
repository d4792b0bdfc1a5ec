"""The schema's migrations over PostgreSQL: made and brought up to date by the role that owns it, never by a server.

Each file is applied whole or not at all, under a lock. ``keyrack_schema`` keeps two numbers: of the schema that is
there, and of the oldest Keyrack that still understands it. So nodes of two versions serve side by side while an upgrade
only expands.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import asyncpg

from keyrack.adapters.catalogs.postgres.steps import LOCK, taken
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase

_FILE_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")
_LEAST: Final = re.compile(r"^-- least reader: (\d+)$", re.MULTILINE)

APPEND_ONLY: Final = ("journal", "journal_checkpoint", "journal_cut")
"""Tables in which servers may neither change nor remove a row."""
SCHEMA: Final = "keyrack_schema"
"""The table with the numbers, which only its owner writes."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    text: str

    @property
    def least(self) -> int:
        """The oldest schema whose Keyrack understands what this step leaves: itself, unless the file says otherwise."""
        told = _LEAST.search(self.text)
        return int(told[1]) if told else self.number


@cache
def migrations() -> tuple[Migration, ...]:
    """Every migration that this program has, in order."""
    found = []
    for each in files("keyrack.adapters.catalogs.postgres").joinpath("migrations").iterdir():
        named = _FILE_NAME.fullmatch(each.name)
        if named:
            found.append(Migration(int(named[1]), each.read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda migration: migration.number))


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database says of its schema."""

    number: int
    """0 where there is none."""
    least: int


async def schema_of(connection: "asyncpg.Connection[asyncpg.Record]") -> Schema:
    """Raises :class:`UnfitDatabase` where the tables are another program's."""
    if await connection.fetchval("SELECT to_regclass('keyrack_schema')") is None:
        if await connection.fetchval("SELECT to_regclass('journal')") is not None:
            raise UnfitDatabase("the database has tables of another program; name a database of Keyrack's own")
        return Schema(0, 0)
    row = await connection.fetchrow("SELECT number, least FROM keyrack_schema")
    return Schema(row["number"], row["least"]) if row else Schema(0, 0)


async def migrate(connection: "asyncpg.Connection[asyncpg.Record]", known: Sequence[Migration] | None = None) -> int:
    """Bring the schema to this program's, as its owner; the number of steps that were taken.

    ``known`` are its steps. A new database gets all of them or none; one that is there gets them one by one, and nodes
    serve meanwhile. Raises :class:`UnfitDatabase`.
    """
    known = migrations() if known is None else known
    async with connection.transaction():
        await connection.execute(LOCK)
        held = await schema_of(connection)
        if held.number > known[-1].number:
            raise UnfitDatabase(
                f"the database has schema {held.number}, this Keyrack knows {known[-1].number}: use the newer one"
            )
        if held.number == 0:
            for each in known:
                await connection.execute(each.text)
            await connection.execute("CREATE TABLE keyrack_schema (number BIGINT NOT NULL, least BIGINT NOT NULL)")
            least = max(each.least for each in known)
            await connection.execute("INSERT INTO keyrack_schema VALUES ($1, $2)", known[-1].number, least)
            return len(known)
    return await taken(connection, [each for each in known if each.number > held.number])


def check_role(role: str) -> None:
    """Raise :class:`UnfitDatabase` for what is no name of a role of ours."""
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,62}", role):
        raise UnfitDatabase(f"{role!r} is no name of a role; take small letters, digits, _ and -")


async def grant(connection: "asyncpg.Connection[asyncpg.Record]", role: str) -> None:
    """Give a role what a server needs, and no more; as the owner. Raises :class:`UnfitDatabase` for a bad name."""
    check_role(role)
    whose = f'"{role}"'
    async with connection.transaction():
        await connection.execute(
            f"""
            REVOKE CREATE ON SCHEMA public FROM PUBLIC, {whose};
            REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {whose};
            REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {whose};
            REVOKE ALL ON FUNCTION cut_journal FROM PUBLIC, {whose};
            GRANT USAGE ON SCHEMA public TO {whose};
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {whose};
            REVOKE UPDATE, DELETE ON {", ".join(APPEND_ONLY)} FROM {whose};
            REVOKE INSERT, UPDATE, DELETE ON {SCHEMA}, settled FROM {whose};
            GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {whose};
            GRANT EXECUTE ON FUNCTION cut_journal TO {whose};
            """
        )
