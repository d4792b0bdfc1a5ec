"""The second step tried out: a SQLite file where it is to lie, or PostgreSQL as a server meets it when it starts."""

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.adapters.catalogs.sqlite.opening import refuse_network
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.office.refusals import Refused
from keyrack.shell import planning
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.console.first_start.desk import Desk
from keyrack.shell.console.first_start.plans import SQLITE
from keyrack.shell.console.first_start.tried import Tried, failed, refused, well
from keyrack.shell.console.first_start.trying_name import nearest
from keyrack.shell.console.words import mark
from keyrack.shell.nodes.new_catalog import refuse_used

FILE, DATABASE, PASSWORD = mark("SQLite file"), mark("PostgreSQL"), mark("Password")
AS_IT_SHOULD_BE: Final = mark("as it should be")
PATIENCE: Final = 20.0
"""Seconds in which a database has to answer all that is asked."""


async def try_database(desk: Desk) -> Sequence[Tried]:
    """Whether it can be the catalog; nothing of the trial stays."""
    if desk.draft["catalog"] == SQLITE:
        return [await asyncio.to_thread(_sqlite, desk.draft.directory)]
    try:
        planning.check_postgres(desk.draft["catalog_url"])
    except Refused as error:
        return [refused(DATABASE, error)]
    try:
        async with asyncio.timeout(PATIENCE):
            return await _postgres(desk)
    except TimeoutError:
        told = mark("the database does not answer within %(seconds)s seconds")
        return [failed(DATABASE, told, "catalog_url", values={"seconds": round(PATIENCE)})]


def _sqlite(directory: Path) -> Tried:
    """Make a catalog where this one will lie, and take it away again."""
    began = time.perf_counter()
    try:
        refuse_network(directory / "catalog.db")
        with tempfile.TemporaryDirectory(prefix=".keyrack-trial-", dir=nearest(directory)) as place:
            SqliteCatalog.create(Path(place) / "catalog.db")
    except (UnfitDatabase, OSError, sqlite3.Error) as error:
        return failed(FILE, str(error), "catalog")
    told = mark("one was made at %(path)s, written to the disk and removed in %(milliseconds)s ms")
    return well(FILE, told, path=directory, milliseconds=round(1000 * (time.perf_counter() - began)))


async def _postgres(desk: Desk) -> Sequence[Tried]:
    try:
        from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog  # noqa: PLC0415 - it may not be there
        from keyrack.adapters.catalogs.postgres.connecting import Place  # noqa: PLC0415
        from keyrack.adapters.catalogs.postgres.opening import CHECKS, check  # noqa: PLC0415
    except ImportError:
        return [failed(DATABASE, mark("the driver for PostgreSQL is not installed: pip install 'keyrack[postgres]'"))]
    password = desk.draft.secrets.get("catalog_password")
    place = Place(desk.draft["catalog_url"], "keyrack setup", password.reveal().decode() if password else None)
    began = time.perf_counter()
    try:
        await check(place)
        catalog = await PostgresCatalog.open(place, "setup")
        try:
            await refuse_used(catalog, desk.draft["deployment"])
        finally:
            await catalog.close()
    except (UnfitDatabase, CatalogUnavailable, ConfigError) as error:
        return [failed(DATABASE, str(error), "catalog_password" if _is_about_password(error) else "catalog_url")]
    told = mark("%(place)s has answered everything in %(milliseconds)s ms, and is nobody's yet")
    took = round(1000 * (time.perf_counter() - began))
    fit = [well(each, AS_IT_SHOULD_BE) for each in CHECKS]
    return [*fit, well(DATABASE, told, place=place.shown, milliseconds=took)]


def _is_about_password(error: Exception) -> bool:
    with suppress(ImportError):
        from asyncpg import InvalidPasswordError  # noqa: PLC0415 - it may not be there

        return isinstance(error.__cause__, InvalidPasswordError)
    return False
