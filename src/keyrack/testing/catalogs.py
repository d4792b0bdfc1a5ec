"""Which database tests keep their catalogs in: SQLite files, or databases of one PostgreSQL server of this process.

``KEYRACK_TEST_CATALOG=postgres`` puts a fresh PostgreSQL database in the place of each file. The path of the file
stays the database's name here: who opens one path twice has two catalogs over one database.
"""

import asyncio
import atexit
import contextlib
import functools
import itertools
import os
import shutil
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.dialect import spelt
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.whole import DatabaseCatalog
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.testing.postgres import ACCOUNT, SERVER, Cluster, cluster
from keyrack.testing.postgres_catalogs import TEMPLATE, prepare

SWITCH: Final = "KEYRACK_TEST_CATALOG"
IN_MEMORY: Final = Path("/dev/shm")
_ROOM: Final = 2**30
"""Bytes that must be free there, for a server and its databases."""
SETTINGS: Final = {"fsync": "on", "shared_buffers": "32MB", "max_connections": "400", "max_wal_size": "256MB"}
"""Keyrack serves from no database without fsync; in memory, it costs nothing."""
KEPT: Final = 60
"""Databases to which nobody is connected, and which are kept; of more, the oldest go: each takes 9 MB."""

_numbers = itertools.count(1)
_named: dict[Path, str] = {}
_models: set[str] = {TEMPLATE}


def over_postgres() -> bool:
    """Whether PostgreSQL stands in the place of files."""
    return os.environ.get(SWITCH) == "postgres"


@functools.cache
def server() -> Cluster:
    """One PostgreSQL server, from now until this process ends; its database :data:`TEMPLATE` has the schema."""
    ground = IN_MEMORY if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > _ROOM else None
    running = cluster(SETTINGS, ground)
    made = running.__enter__()
    atexit.register(running.__exit__, None, None, None)
    atexit.register(_ended_with_us(made).terminate)
    # There may be a loop in this thread.
    with ThreadPoolExecutor(1) as apart:
        apart.submit(lambda: asyncio.run(prepare(made))).result()
    return made


def _ended_with_us(running: Cluster) -> "subprocess.Popen[bytes]":
    """Ends the server where this process is killed: its end of a pipe is closed then, whatever has killed it."""
    last = f"cat > /dev/null; kill -QUIT {running.pid()}; sleep 1; rm -rf '{running.directory}'"
    return subprocess.Popen(["/bin/sh", "-c", last], stdin=subprocess.PIPE, start_new_session=True)


def url_of(path: Path) -> str:
    """The database that stands in the place of this file, made if need be, as a server connects to it."""
    name = _named.get(path)
    if name is None:
        name = _named[path] = copied(TEMPLATE)
    return server().url(SERVER, name)


def copy_of(model: Path, path: Path) -> str:
    """A copy of one file's database in the place of another file; nobody may be connected to the one."""
    _models.add(_named[model])
    _named[path] = copied(_named[model])
    return url_of(path)


def copied(template: str) -> str:
    """The name of a new database, the copy of ``template``."""
    running = server()
    _drop_oldest(running)
    return running.database(f"tests{next(_numbers)}", template)


async def catalog_at(path: Path, chain: str) -> WholeCatalog:
    """The catalog in this file, or in the database in its place; journaling under ``chain``."""
    if over_postgres():
        place = Place(await asyncio.to_thread(url_of, path), chain)
        return await PostgresCatalog.open(place, chain)
    return SqliteCatalog(path, chain)


async def rows(catalog: WholeCatalog, statement: str) -> list[tuple[Any, ...]]:
    """What a statement of a test's own reads in whichever database the catalog is."""
    assert isinstance(catalog, DatabaseCatalog)
    return [tuple(row) for row in await catalog._read(statement)]


def executed(path: Path, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """What a statement answers, past every catalog, by whoever has the machine: the file's owner, or a superuser."""
    if not over_postgres():
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as database, database:
            return database.execute(statement, parameters).fetchall()

    async def execute() -> list[tuple[Any, ...]]:
        connection = await connect(Place(server().url(ACCOUNT, _named[path]), "tests"))
        try:
            return [tuple(row) for row in await connection.fetch(spelt(statement), *parameters)]
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as apart:
        return apart.submit(lambda: asyncio.run(execute())).result()


def pages(path: Path) -> bytes:
    """Every byte that is kept beside this file, or in the database in its place and in the server's log of writes."""
    if not over_postgres():
        return b"".join(each.read_bytes() for each in path.parent.iterdir() if each.is_file())
    running, name = server(), _named[path]
    # With its own account's sight; files that are read are those of a whole database.
    running.sql("CHECKPOINT")
    number = running.sql(f"SELECT oid FROM pg_database WHERE datname = '{name}'")
    kept = [*(running.data / "base" / number).iterdir(), *(running.data / "pg_wal").glob("0*")]
    return b"".join(each.read_bytes() for each in kept if each.is_file())


def _drop_oldest(running: Cluster) -> None:
    there = [name for name in _named.values() if name not in _models]
    for name in there[: max(0, len(there) - KEPT)]:
        # Who is connected keeps his.
        with contextlib.suppress(subprocess.CalledProcessError):
            running.sql(f'DROP DATABASE IF EXISTS "{name}"')
            for path in [each for each, held in _named.items() if held == name]:
                del _named[path]
