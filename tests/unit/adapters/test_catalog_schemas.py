"""Both databases of the catalog have one schema, understand every statement, and are brought forward together."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, Final

import asyncpg
import pytest

import keyrack.adapters.catalogs
from keyrack.adapters.catalogs import key_listing, keys_by_fetch, keys_by_name, queries
from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.dialect import spelt
from keyrack.adapters.catalogs.postgres.migrator import migrations
from keyrack.adapters.catalogs.reading import Row
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.testing.postgres import binaries
from keyrack.testing.postgres_catalogs import Fresh

TYPES: Final = {"INTEGER": "bigint", "TEXT": "text", "BLOB": "bytea"}
OF_POSTGRES_ALONE: Final = {"keyrack_schema"}
ROWIDS: Final = {("intent", "rowid"), ("approval", "rowid")}
"""Columns of which SQLite has one without being asked."""

needs_postgres = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")
Column = tuple[str, bool, str | None]
"""Type, whether it may be empty, default."""


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    SqliteCatalog.create(tmp_path / "catalog.db")
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        yield connection


@pytest.fixture
async def large(postgres: Fresh) -> "asyncpg.Connection[asyncpg.Record]":
    return await connect(Place(postgres.url, "tests"))


def _lite_tables(lite: sqlite3.Connection) -> list[str]:
    rows = lite.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    return sorted(name for (name,) in rows)


def _lite_columns(lite: sqlite3.Connection) -> Mapping[tuple[str, str], Column]:
    return {
        (table, name): (TYPES[kind], not (required or key), default)
        for table in _lite_tables(lite)
        for _, name, kind, required, default, key, *_ in lite.execute(f"PRAGMA table_info({table})")
    }


async def _large_columns(large: "asyncpg.Connection[asyncpg.Record]") -> Mapping[tuple[str, str], Column]:
    rows = await large.fetch(
        """
        SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
        JOIN information_schema.tables USING (table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"""
    )
    return {
        (table, name): (kind, nullable == "YES", default and re.sub(r"::\w+$", "", default))
        for table, name, kind, nullable, default in rows
        if table not in OF_POSTGRES_ALONE and (table, name) not in ROWIDS
    }


@needs_postgres
async def test_tables_and_columns_are_the_same(
    lite: sqlite3.Connection, large: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Names, types, whether they may be empty, defaults."""
    ours, theirs = _lite_columns(lite), await _large_columns(large)
    assert len(ours) > 150
    assert ours == theirs


@needs_postgres
async def test_text_is_compared_byte_by_byte(large: "asyncpg.Connection[asyncpg.Record]") -> None:
    """As SQLite does it, whatever the database's own order of words: pages and cursors hang on it."""
    rows = await large.fetch(
        """
        SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables
            USING (table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND data_type = 'text'
            AND collation_name IS DISTINCT FROM 'C'"""
    )
    assert [tuple(row) for row in rows] == []


def _lite_keys(lite: sqlite3.Connection) -> set[tuple[Any, ...]]:
    found: set[tuple[Any, ...]] = set()
    for table in _lite_tables(lite):
        key = [(place, name) for _, name, *_, place in lite.execute(f"PRAGMA table_info({table})") if place]
        found.add((table, "primary", tuple(name for _, name in sorted(key))))
        for _, index, unique, origin, partial in lite.execute(f"PRAGMA index_list({table})"):
            if origin == "pk":
                continue
            columns = tuple(name for _, _, name in lite.execute(f"PRAGMA index_info({index})"))
            name = index if origin == "c" else ""
            found.add((table, "unique" if unique else "index", columns, bool(partial), name))
        references: dict[int, list[Any]] = {}
        for number, _, target, here, there, _, gone, _ in lite.execute(f"PRAGMA foreign_key_list({table})"):
            references.setdefault(number, [target, gone]).append((here, there))
        found |= {(table, "references", *each) for each in references.values()}
    return found


async def _large_keys(large: "asyncpg.Connection[asyncpg.Record]") -> set[tuple[Any, ...]]:
    found: set[tuple[Any, ...]] = set()
    for table, index, unique, primary, partial, columns, constrained in await large.fetch(
        """
        SELECT pg_class.relname, index.relname, indisunique, indisprimary, indpred IS NOT NULL,
            ARRAY(SELECT attname FROM unnest(indkey) WITH ORDINALITY AS key (number, place)
                JOIN pg_attribute ON attrelid = pg_class.oid AND attnum = key.number ORDER BY place),
            EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
        FROM pg_index JOIN pg_class ON pg_class.oid = indrelid JOIN pg_class AS index ON index.oid = indexrelid
        WHERE pg_class.relnamespace = 'public'::regnamespace"""
    ):
        if primary:
            found.add((table, "primary", tuple(columns)))
        else:
            name = "" if constrained else index
            found.add((table, "unique" if unique else "index", tuple(columns), partial, name))
    for table, target, here, there, gone in await large.fetch(
        """
        SELECT conrelid::regclass::text, confrelid::regclass::text,
            (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]),
            (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1]),
            CASE confdeltype WHEN 'c' THEN 'CASCADE' ELSE 'NO ACTION' END
        FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace"""
    ):
        found.add((table, "references", target, gone, (here, there)))
    return found


@needs_postgres
async def test_keys_indexes_and_references_are_the_same(
    lite: sqlite3.Connection, large: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    ours, theirs = _lite_keys(lite), await _large_keys(large)
    assert len(ours) > 50
    assert sorted(map(str, ours - theirs)) == sorted(map(str, theirs - ours)) == []


def _rooms() -> Iterator[ModuleType]:
    for each in iter_modules(keyrack.adapters.catalogs.__path__):
        if not each.ispkg:
            yield import_module(f"keyrack.adapters.catalogs.{each.name}")


def _statements() -> Mapping[str, str]:
    """Every statement of the rooms by where it stands, and each kind of those that are put together."""
    found: dict[str, str] = {}
    for room in _rooms():
        for name, value in vars(room).items():
            for number, text in enumerate(value if isinstance(value, tuple) else (value,)):
                if isinstance(text, str) and re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", text):
                    found[f"{room.__name__}.{name}.{number}"] = text
    for name, text in found.items():
        if text is key_listing.ROWS:
            found[name] = f"{text}(?, ?)"
        elif text is key_listing._LABELS:
            found[name] = text.format("'x-Name'")
    for columns in ([], ["object_type"], ["state", "identifier"]):
        for pairs in range(3):
            found[f"search {columns} {pairs}"] = queries.search(columns, pairs)
    return {**found, "listing": queries.listing(2), "count": queries.count_listing(2)}


async def _walks() -> Mapping[str, str]:
    """Statements that walk through keys in the order of names or last fetches, from the beginning and from amidst."""
    gathered: list[str] = []

    async def read(statement: str, parameters: Sequence[Any] = (), /) -> Sequence[Row]:
        gathered.append(statement)
        return ()

    conditions = ("object.instance = ?", ["one"])
    for descending in (False, True):
        walk = keys_by_name.Walk(read, "one", conditions, fetches="", descending=descending)
        for name in (None, ("", 7), ("db01", 7)):
            await walk.places(name, 10)
        for at in (None, (0, 7), (9, 7)):
            await keys_by_fetch.walked(read, "one", conditions, at, 10, descending)
    return {f"walk {number}": text for number, text in enumerate(gathered)}


@needs_postgres
async def test_postgres_understands_every_statement(large: "asyncpg.Connection[asyncpg.Record]") -> None:
    """With its parameters, in the words that the dialect makes of SQLite's, and with the rights of a server."""
    statements, refused = {**_statements(), **await _walks()}, {}
    for name, text in statements.items():
        try:
            await large.prepare(spelt(text))
        except asyncpg.PostgresError as error:
            refused[name] = str(error)
    assert len(statements) > 100
    assert refused == {}


def test_a_migration_comes_to_both_under_one_number() -> None:
    """PostgreSQL's first is all of SQLite's first ten."""
    directory = Path(keyrack.adapters.catalogs.__path__[0]) / "sqlite" / "migrations"
    ours = sorted(int(each.name[:4]) for each in directory.glob("*.sql"))
    theirs = [each.number for each in migrations()]
    assert theirs[0] == 10
    assert [number for number in ours if number >= 10] == theirs
