"""Real catalogs of many keys: some made by a pretended vCenter through a real server, the others copies of their rows.

What a copy differs in is what must differ: its identifier and number, and the attributes that tell machines apart.
"""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from bench.capacity_model import Shape, Talk

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.instances import Principal
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.testing.postgres import Cluster, cluster
from keyrack.testing.postgres_catalogs import prepare
from keyrack.testing.process import Deployment, serve
from keyrack.testing.vcenter import VCenter

MACHINES, HOSTS = 6, 2
CHAIN = "copies"
COLUMNS = (
    "instance, object_type, state, version, key_format_type, key_compression_type, subtype, wrapped, sealed, "
    "standard_key, created_by, changed_by, destroyed_by, activation_date, deactivation_date, withheld_at, glance"
)
DATABASES = ("sqlite", "postgres")
A_SECOND = 10
"""Keys that were made in one second."""
MULTIPLIER = 2_654_435_761
"""Odd, so that the first eight digits of an identifier are each number once, in no order."""


def identifier(number: int) -> str:
    """Of a copy."""
    return f"{number * MULTIPLIER % 2**32:08x}-0000-4000-8000-{number:012x}"


@dataclass(frozen=True, slots=True)
class Specimen:
    """A deployment in which a pretended vCenter has made keys, and what it took."""

    deployment: Deployment
    talk: Talk
    shape: Shape
    principal: Principal
    identifier: str
    sealed: bytes
    """Its wrapped key."""
    machine: Mapping[str, str]
    """``x-Identifier`` and ``x-Name`` of the key that is copied."""


def specimen(work: Path) -> Specimen:
    """Play, count and look at what was written."""
    served = serve(work / "specimen")
    deployment = served.deployment
    assert deployment is not None
    try:
        report = VCenter(served.address, served.context()).play(MACHINES, HOSTS)
    finally:
        deployment.stop()
    assert report.ok, report.steps
    # A million keys are all that an instance may have unless it is told otherwise, and one more is to be made.
    deployment.run("instance", "quota", "tests", "--keys", "100000000")
    with sqlite3.connect(deployment.directory / "catalog.db") as database:
        # A machine's key that was made beside no host's.
        row = database.execute(
            "SELECT o.number, o.identifier, o.instance, o.sealed FROM object o JOIN attribute a ON a.object = o.number"
            " AND a.name = 'x-Name' AND a.value = 'vm-03'"
        ).fetchone()
        shape = _shape(database, *row[:3])
        actions = Counter(
            json.loads(text)["action"] for (text,) in database.execute("SELECT text FROM journal ORDER BY number")
        )
        machine = dict(
            database.execute(
                "SELECT name, value FROM attribute WHERE object = ? AND name IN ('x-Identifier', 'x-Name')", row[:1]
            )
        )
    principal = Principal(fingerprint=served.client.fingerprint, instance=row[2])
    return Specimen(deployment, _talk(report.steps, actions), shape, principal, row[1], row[3], machine)


def _talk(steps: Any, actions: Counter[str]) -> Talk:
    keys = MACHINES + HOSTS
    encrypting = [step for step in steps if step.what.startswith("encrypt")]
    booting = [step for step in steps if step.what.startswith("reboot")]
    # Each fetch at a boot is one of each; the rest of these actions belongs to keys that were made.
    making = sum(actions[name] for name in ("Create", "Activate", "Add Attribute", "Get", "Get Attributes")) - 2 * keys
    return Talk(
        made_connections=sum(step.connections for step in encrypting) / keys,
        made_records=making / keys + sum(step.connections for step in encrypting) / keys,
        fetched_connections=(sum(step.connections for step in booting) - HOSTS) / keys,
        fetched_records=sum(step.requests for step in booting) / keys,
        polled_connections=steps[-1].connections,
        polled_records=steps[-1].requests,
    )


def _shape(database: sqlite3.Connection, number: int, key: str, instance: str) -> Shape:
    cursor = database.execute("SELECT * FROM object WHERE number = ?", (number,))
    named = dict(zip([column[0] for column in cursor.description], cursor.fetchone(), strict=True))
    sizes = {name: len(str(value)) if isinstance(value, str) else len(value) if isinstance(value, bytes) else 3
             for name, value in named.items() if value is not None}  # fmt: skip
    attributes = [
        len(name) + len(value)
        for name, value in database.execute("SELECT name, value FROM attribute WHERE object = ?", (number,))
    ]
    (record,) = database.execute(
        "SELECT avg(length(text) + length(hash) + length(chain) + 3) FROM journal WHERE text LIKE ?", (f"%{key}%",)
    ).fetchone()
    return Shape(
        key=sum(sizes.values()) + len(named) + 4,
        identifier=sizes["identifier"],
        instance=len(instance),
        attributes=attributes,
        record=record,
        chain=len(CHAIN),
        compressible=sizes["attributes"] + sizes["sealed"],
    )


@dataclass(slots=True)
class Ground:
    """A catalog that is filled further and further."""

    kind: str
    specimen: Specimen
    deployment: Deployment
    url: str
    """Of PostgreSQL, or a path."""
    keys: int = 0
    records: int = 0
    cluster: Cluster | None = None

    async def catalog(self) -> WholeCatalog:
        """Opened as a serving process opens it."""
        if self.cluster is not None:
            return await PostgresCatalog.open(Place(self.url, "bench"), "node-1/bench")
        return SqliteCatalog(Path(self.url), "bench")

    def fill(self, keys: int, records: int) -> None:
        """Up to so many copies of the key, and of records that tell of it."""
        if self.cluster is not None:
            asyncio.run(_fill_postgres(self, keys, records))
        else:
            _fill_sqlite(self, keys, records)
        self.keys, self.records = keys, records

    def size(self) -> dict[str, int]:
        """Bytes of each table with its indexes, and of the whole under ``""``."""
        if self.cluster is None:
            with sqlite3.connect(self.url) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                pages = database.execute(
                    "SELECT tbl_name, sum(pgsize) FROM dbstat JOIN sqlite_master USING (name) GROUP BY tbl_name"
                )
                return {**dict(pages), "": Path(self.url).stat().st_size}
        told = self.cluster.sql(
            "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace",
            "SELECT '', pg_database_size('keyrack')",
            database="keyrack",
        )
        return {name: int(size) for name, _, size in (line.partition("|") for line in told.splitlines())}


def _fill_sqlite(ground: Ground, keys: int, records: int) -> None:
    made = f"printf('%08x-0000-4000-8000-%012x', n * {MULTIPLIER} % 4294967296, n)"
    name = "'vm-' || printf('%07d', n)"
    numbers = "WITH RECURSIVE c(n) AS (SELECT :low UNION ALL SELECT n + 1 FROM c WHERE n + 1 < :high)"
    held = ground.specimen
    words: dict[str, Any] = {"from": held.identifier, "low": ground.keys, "high": keys, "chain": CHAIN}
    with sqlite3.connect(ground.url) as database:
        source, last = database.execute(
            "SELECT (SELECT number FROM object WHERE identifier = :from), (SELECT max(number) FROM object)", words
        ).fetchone()
        words |= {"source": source, "last": last - ground.keys + 1}
        database.execute("CREATE TEMPORARY TABLE sample AS SELECT * FROM attribute WHERE object = :source", words)
        database.execute(
            "CREATE TEMPORARY TABLE told AS SELECT text, hash FROM journal"
            " WHERE chain <> :chain AND instr(text, :from) ORDER BY number",
            words,
        )
        (words["told"],) = database.execute("SELECT count(*) FROM told").fetchone()
        copies = _objects(held, made, name, number=":last + n", source=":source", numbers="c")
        database.execute(f"{numbers} {copies}", words)
        database.execute(
            f"{numbers} INSERT INTO attribute SELECT instance, name, {_value(made, name)}, :last + n"
            " FROM c CROSS JOIN sample",
            words,
        )
        whose = made.replace("n *", "(n % :keys) *").replace(", n)", ", n % :keys)")
        database.execute(
            f"{numbers} INSERT INTO journal (chain, sequence, text, hash)"
            f" SELECT :chain, n + 1, replace(text, :from, {whose}), hash"
            " FROM c CROSS JOIN told ON told.rowid = n % :told + 1",
            words | {"low": ground.records, "high": records, "keys": keys},
        )


def _objects(held: Specimen, made: str, name: str, *, number: str, source: str, numbers: str) -> str:
    """The statement that copies the row of ``object``, once for each n of ``numbers``."""
    machine = held.machine
    quoted = f"'\"{machine['x-Name']}\"', '\"' || {name} || '\"'"
    other = f"replace(replace({{}}, '{machine['x-Identifier']}', {made}), {quoted})"
    return (
        f"INSERT INTO object (number, identifier, initial_date, {COLUMNS}, attributes, indexed)"
        f" SELECT {number}, {made}, initial_date + n / {A_SECOND}, {COLUMNS},"
        f" {other.format('attributes')}, {other.format('indexed')}"
        f" FROM {numbers} CROSS JOIN object WHERE object.number = {source} ORDER BY n"
    )


def _value(made: str, name: str) -> str:
    return f"CASE name WHEN 'x-Identifier' THEN {made} WHEN 'x-Name' THEN {name} ELSE value END"


async def _fill_postgres(ground: Ground, keys: int, records: int) -> None:
    assert ground.cluster is not None
    made = f"lpad(to_hex(n * {MULTIPLIER} % 4294967296), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0')"
    name = "'vm-' || lpad(n::text, 7, '0')"
    held = ground.specimen
    connection = await asyncpg.connect(ground.cluster.url("keyrack_owner"))
    try:
        source, last = await connection.fetchrow(
            "SELECT (SELECT number FROM object WHERE identifier = $1), (SELECT max(number) FROM object)",
            held.identifier,
        )
        last += 1 - ground.keys
        numbers = f"generate_series({ground.keys}::bigint, {keys - 1}) AS n"
        async with connection.transaction():
            # One row would be written a million times in one transaction.
            await connection.execute("ALTER TABLE object DISABLE TRIGGER object_lives")
            copies = _objects(held, made, name, number=f"{last} + n", source=str(source), numbers=numbers)
            await connection.execute(copies)
            await connection.execute("ALTER TABLE object ENABLE TRIGGER object_lives")
            await connection.execute("UPDATE living SET objects = (SELECT count(*) FROM object)")
        await connection.execute(
            f"INSERT INTO attribute SELECT instance, name, {_value(made, name)}, {last} + n FROM {numbers}"
            f" CROSS JOIN (SELECT * FROM attribute WHERE object = {source}) AS sample ORDER BY n"
        )
        await connection.execute(f"SELECT setval('object_number_seq', {last + keys})")
        await connection.execute(
            "CREATE TEMPORARY TABLE told AS SELECT row_number() OVER (ORDER BY number) - 1 AS place, text, hash"
            f" FROM journal WHERE chain <> '{CHAIN}' AND strpos(text, '{held.identifier}') > 0"
        )
        told = await connection.fetchval("SELECT count(*) FROM told")
        whose = made.replace("n *", f"(n % {keys}) *").replace("to_hex(n)", f"to_hex(n % {keys})")
        await connection.execute(
            f"INSERT INTO journal (chain, sequence, text, hash)"
            f" SELECT '{CHAIN}', n + 1, replace(text, '{held.identifier}', {whose}), hash"
            f" FROM generate_series({ground.records}::bigint, {records - 1}) AS n JOIN told ON place = n % {told}"
            " ORDER BY n"
        )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


@contextmanager
def grounds(kind: str, held: Specimen, work: Path) -> Iterator[Ground]:
    """A copy of the specimen's deployment, on a SQLite file or a PostgreSQL of its own."""
    if kind == "sqlite":
        copy = held.deployment.copied(work / kind, held.deployment.environment)
        yield Ground(kind, held, copy, str(copy.directory / "catalog.db"))
        return
    # As a server runs it: a commit that is measured is on disk.
    with cluster(SETTINGS) as made:
        asyncio.run(prepare(made))
        asyncio.run(_carry(held.deployment.directory / "catalog.db", made))
        environment = {**held.deployment.environment, "KEYRACK_CATALOG__URL": made.url()}
        yield Ground(kind, held, held.deployment.copied(work / kind, environment), made.url(), cluster=made)


SETTINGS = {"shared_buffers": "1GB", "max_connections": "100", "max_wal_size": "16GB", "checkpoint_timeout": "1h"}
CARRIED = ("instance", "certificate", "admission", "object", "attribute", "validation", "journal", "journal_checkpoint")


async def _carry(path: Path, made: Cluster) -> None:
    """The rows that a pretended vCenter has left, from the file into PostgreSQL."""
    connection = await asyncpg.connect(made.url("keyrack_owner"))
    try:
        with sqlite3.connect(path) as database:
            for table in CARRIED:
                cursor = database.execute(f'SELECT * FROM "{table}"')
                columns = [column[0] for column in cursor.description]
                await connection.copy_records_to_table(table, records=cursor.fetchall(), columns=columns)
        for table in ("object", "journal"):
            await connection.execute(f"SELECT setval('{table}_number_seq', (SELECT max(number) FROM {table}))")
    finally:
        await connection.close()
