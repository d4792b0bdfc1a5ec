"""Whether a database is fit to be the catalog: version, schema, settings and the role's rights, each told by name."""

import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import SETTINGS, Place, connect
from keyrack.adapters.catalogs.postgres.migrator import APPEND_ONLY, migrations, schema_of
from keyrack.adapters.catalogs.postgres.refusals import LOST
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.ports.catalog import CatalogUnavailable

OLDEST: Final = 140_000
"""PostgreSQL 14, as ``server_version_num`` has it."""
DURABLE: Final = ("on", "remote_apply")
"""Values of ``synchronous_commit`` under which a commit that returns is on disk, of the standby too if there is one."""

Standby = Literal["require", "warn"]
Connection = Any
Check = Callable[[Connection, Standby], Awaitable[None]]


async def check(place: Place, standby: Standby = "warn") -> None:
    """Return where everything is as it must be; raises :class:`UnfitDatabase`, whose text names the setting and what
    mends it, and ``CatalogUnavailable`` where nobody answers."""
    try:
        connection = await connect(place)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise UnfitDatabase(
            f"PostgreSQL at {place.shown} does not let this role in: {error}; correct the user in catalog.url, "
            "catalog.password_file, or pg_hba.conf there"
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise UnfitDatabase(f"{error}: make it with 'keyrack database prepare', or correct catalog.url") from error
    except (*LOST, asyncpg.PostgresError, ValueError) as error:
        raise CatalogUnavailable(_unreachable(place, error)) from error
    try:
        for each in _CHECKS:
            await each(connection, standby)
    except (*LOST, asyncpg.PostgresError) as error:
        raise CatalogUnavailable(f"PostgreSQL at {place.shown} cannot be asked: {error}") from error
    finally:
        connection.terminate()


def _unreachable(place: Place, error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (
            f"PostgreSQL at {place.shown} does not prove itself: {error}; correct sslrootcert and the host names in "
            "catalog.url"
        )
    told = str(error) or type(error).__name__
    return f"PostgreSQL at {place.shown} cannot be reached: {told}; see whether it runs, and correct catalog.url"


async def _version(connection: Connection, standby: Standby) -> None:
    number = int(await connection.fetchval("SHOW server_version_num"))
    if number < OLDEST:
        raise UnfitDatabase(f"PostgreSQL is version {number // 10_000}; Keyrack needs 14 or newer")
    if await connection.fetchval("SHOW server_encoding") != "UTF8":
        raise UnfitDatabase("the database is not encoded in UTF8: make another one, with ENCODING 'UTF8'")


async def _schema(connection: Connection, standby: Standby) -> None:
    held, known = await schema_of(connection), migrations()[-1].number
    if held.number == 0:
        raise UnfitDatabase("the database has no schema yet: make it with 'keyrack database prepare'")
    if held.least > known:
        raise UnfitDatabase(
            f"the catalog has schema {held.number}, which needs a Keyrack that knows {held.least}, and this one knows "
            f"{known}: update this node"
        )
    if held.number < known:
        raise UnfitDatabase(
            f"the catalog has schema {held.number}, and this Keyrack needs {known}: upgrade it with 'keyrack database "
            "upgrade'; nodes of the version before go on serving meanwhile"
        )


async def _settings(connection: Connection, standby: Standby) -> None:
    for name in ("fsync", "full_page_writes"):
        if await connection.fetchval(f"SHOW {name}") != "on":
            raise UnfitDatabase(
                f"PostgreSQL runs with {name} = off, so that a power cut loses or spoils keys: set {name} = on in "
                "postgresql.conf and reload it"
            )
    durable = await connection.fetchval("SHOW synchronous_commit")
    if durable not in DURABLE:
        raise UnfitDatabase(
            f"synchronous_commit = {durable} is forced on Keyrack's connections, and what was answered can be "
            "lost: take the setting from the role, the database or the connection pooler"
        )
    isolation = await connection.fetchval("SHOW transaction_isolation")
    if isolation != SETTINGS["default_transaction_isolation"]:
        raise UnfitDatabase(
            f"transactions begin as {isolation!r}: take default_transaction_isolation from the role, the database or "
            "the connection pooler"
        )
    if standby == "require" and not await connection.fetchval("SHOW synchronous_standby_names"):
        raise UnfitDatabase(
            "synchronous_standby_names is empty, and catalog.standby is 'require': the loss of one disk loses keys; "
            'name a standby in postgresql.conf, or write standby = "warn"'
        )


async def _transport(connection: Connection, standby: Standby) -> None:
    over_network = await connection.fetchval(
        "SELECT inet_server_addr() IS NOT NULL AND NOT inet_server_addr() << '127.0.0.0/8'"
    )
    encrypted = await connection.fetchval(
        "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
    )
    if over_network and not encrypted:
        raise UnfitDatabase(
            "the connection to PostgreSQL is not encrypted: write sslmode=verify-full and sslrootcert=FILE into "
            "catalog.url, and switch ssl on in postgresql.conf"
        )


async def _rights(connection: Connection, standby: Standby) -> None:
    role = await connection.fetchval("SELECT current_user")
    mend = f"connect as a role of its own: 'keyrack database prepare --role {role}' as the owner gives it what it needs"
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        raise UnfitDatabase(f"the role {role!r} is a superuser and could change the journal: {mend}")
    for table in APPEND_ONLY:
        owner = await connection.fetchval(
            "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = $1::regclass", table
        )
        if owner:
            raise UnfitDatabase(f"the role {role!r} owns the table {table} and could change it: {mend}")
        for right in ("UPDATE", "DELETE", "TRUNCATE"):
            if await connection.fetchval("SELECT has_table_privilege(current_user, $1, $2)", table, right):
                raise UnfitDatabase(f"the role {role!r} has the right {right} on {table}: {mend}")
    for table in ("object", "instance", "certificate", "journal"):
        for right in ("SELECT", "INSERT"):
            if not await connection.fetchval("SELECT has_table_privilege(current_user, $1, $2)", table, right):
                raise UnfitDatabase(f"the role {role!r} lacks the right {right} on {table}: {mend}")


_CHECKS: Final[tuple[Check, ...]] = (_version, _transport, _schema, _settings, _rights)
