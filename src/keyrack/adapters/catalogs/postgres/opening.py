"""Whether a database is fit to be the catalog: version, schema, settings and the role's rights, each told by name."""

import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import SETTINGS, Place, connect
from keyrack.adapters.catalogs.postgres.migrator import APPEND_ONLY, SCHEMA, migrations, schema_of
from keyrack.adapters.catalogs.postgres.refusals import LOST
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.ports.catalog import CatalogUnavailable

OLDEST: Final = 140_000
"""PostgreSQL 14, as ``server_version_num`` has it."""
DURABLE: Final = ("on", "remote_apply")
"""Values of ``synchronous_commit`` under which a commit that returns is on disk, of the standby too if there is one."""

MOVING: Final = "moving "
"""What stands before a deployment's name while its catalog is copied in, and nobody may serve from it."""
PROVEN: Final = ("verify-full", "verify-ca")
"""Values of ``sslmode`` under which PostgreSQL has to prove itself."""

Standby = Literal["require", "warn"]
Connection = Any


@dataclass(frozen=True, slots=True)
class Asked:
    """What a check asks, and with which wishes."""

    connection: Connection
    place: Place
    standby: Standby
    moves: bool = False
    """Whether it is a catalog on its way in that asks."""


Check = Callable[[Asked], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked at, and what is wrong with it; ``""`` where nothing is."""

    what: str
    trouble: str = ""


async def check(place: Place, standby: Standby = "warn", *, moves: bool = False) -> None:
    """Return where everything is as it must be; raises :class:`UnfitDatabase`, whose text names the setting and what
    mends it, and ``CatalogUnavailable`` where nobody answers. ``moves``: a catalog is about to be copied in."""
    async with _asked(place, standby, moves=moves) as asked:
        for each in CHECKS.values():
            await each(asked)


async def look(place: Place, standby: Standby = "warn") -> list[Looked]:
    """Every check by itself, whatever the ones before it have found; raises as :func:`check` where nobody answers."""
    found = []
    async with _asked(place, standby, moves=False) as asked:
        for what, each in CHECKS.items():
            try:
                await each(asked)
            except UnfitDatabase as error:
                found.append(Looked(what, str(error)))
            else:
                found.append(Looked(what))
    return found


@asynccontextmanager
async def _asked(place: Place, standby: Standby, *, moves: bool) -> AsyncIterator[Asked]:
    connection = await connected(place)
    try:
        yield Asked(connection, place, standby, moves)
    except asyncpg.InsufficientPrivilegeError as error:
        role = urlsplit(place.url).username or "keyrack"
        raise UnfitDatabase(f"{error}: {_mending(role)}") from error
    except (*LOST, asyncpg.PostgresError) as error:
        raise CatalogUnavailable(f"PostgreSQL at {place.shown} cannot be asked: {error}") from error
    finally:
        connection.terminate()


async def connected(place: Place) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection; raises :class:`UnfitDatabase` and ``CatalogUnavailable``, which say what to correct."""
    if callable(place.password):
        try:
            place.password()
        except OSError as error:
            raise UnfitDatabase(f"the file with the database's password cannot be used: {error}; correct it") from None
    try:
        return await connect(place)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise UnfitDatabase(
            f"PostgreSQL at {place.shown} does not let this role in: {error}; correct the user in catalog.url, "
            "catalog.password_file, or pg_hba.conf there"
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise UnfitDatabase(
            f"{error}: make it with 'CREATE DATABASE' as docs/postgresql.md tells, or correct catalog.url"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise UnfitDatabase(f"{error}: say 'keyrack database prepare' as the owner, or correct catalog.url") from error
    except (*LOST, asyncpg.PostgresError, ValueError) as error:
        raise CatalogUnavailable(_unreachable(place, error)) from error


def _unreachable(place: Place, error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (
            f"PostgreSQL at {place.shown} does not prove itself: {error}; correct sslrootcert and the host names in "
            "catalog.url"
        )
    told = str(error) or type(error).__name__
    return f"PostgreSQL at {place.shown} cannot be reached: {told}; see whether it runs, and correct catalog.url"


async def _version(asked: Asked) -> None:
    connection = asked.connection
    number = int(await connection.fetchval("SHOW server_version_num"))
    if number < OLDEST:
        raise UnfitDatabase(f"PostgreSQL is version {number // 10_000}; Keyrack needs 14 or newer")
    if await connection.fetchval("SHOW server_encoding") != "UTF8":
        raise UnfitDatabase("the database is not encoded in UTF8: make another one, with ENCODING 'UTF8'")


async def _schema(asked: Asked) -> None:
    connection = asked.connection
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


async def _settings(asked: Asked) -> None:
    connection = asked.connection
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
    if asked.standby == "require" and not await connection.fetchval("SHOW synchronous_standby_names"):
        raise UnfitDatabase(
            "synchronous_standby_names is empty, and catalog.standby is 'require': the loss of one disk loses keys; "
            'name a standby in postgresql.conf, or write standby = "warn"'
        )


async def _transport(asked: Asked) -> None:
    connection = asked.connection
    over_network = await connection.fetchval(
        "SELECT inet_server_addr() IS NOT NULL AND NOT inet_server_addr() << '127.0.0.0/8'"
        " AND inet_server_addr() <> '::1'"
    )
    # Whoever stands between would say that it is loopback: what this end of the connection knows counts besides.
    if not over_network and not _leaves_machine(connection):
        return
    if not await connection.fetchval(
        "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
    ):
        raise UnfitDatabase(
            "the connection to PostgreSQL is not encrypted: write sslmode=verify-full and sslrootcert=FILE into "
            "catalog.url, and switch ssl on in postgresql.conf"
        )
    mode = parse_qs(urlsplit(asked.place.url).query).get("sslmode", [os.environ.get("PGSSLMODE", "prefer")])[-1]
    if mode not in PROVEN:
        raise UnfitDatabase(
            f"PostgreSQL need not prove itself under sslmode={mode}, and anybody between could answer in its place: "
            "write sslmode=verify-full and sslrootcert=FILE into catalog.url"
        )


def _leaves_machine(connection: Connection) -> bool:
    peer = connection._transport.get_extra_info("peername")
    return isinstance(peer, tuple) and not ip_address(peer[0].partition("%")[0]).is_loopback


async def _role(asked: Asked) -> None:
    connection = asked.connection
    role = await connection.fetchval("SELECT current_user")
    mend = _mending(role)
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        raise UnfitDatabase(f"the role {role!r} is a superuser and could change the journal: {mend}")
    # Who may become the owner by SET ROLE is the owner, if he wants to be.
    for table in (*APPEND_ONLY, SCHEMA):
        owner = await connection.fetchval(
            "SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = $1::text::regclass", table
        )
        if owner:
            raise UnfitDatabase(f"the role {role!r} owns the table {table} and could change it: {mend}")
        for right in ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
            if await connection.fetchval("SELECT has_table_privilege(current_user, $1, $2)", table, right):
                raise UnfitDatabase(f"the role {role!r} has the right {right} on {table}: {mend}")


async def _rights(asked: Asked) -> None:
    connection = asked.connection
    role = await connection.fetchval("SELECT current_user")
    lacking = await connection.fetchrow(_LACKING, list(APPEND_ONLY), SCHEMA)
    if lacking is not None:
        raise UnfitDatabase(f"the role {role!r} lacks the right {lacking[1]} on {lacking[0]}: {_mending(role)}")


def _mending(role: str) -> str:
    return f"connect as a role of its own: 'keyrack database prepare --role {role}' as the owner gives it what it needs"


_LACKING: Final = """
    SELECT relname, needed FROM pg_class
    CROSS JOIN LATERAL unnest(CASE
        WHEN relkind = 'S' THEN '{USAGE,SELECT}'
        WHEN relkind = 'v' OR relname = $2 THEN '{SELECT}'
        WHEN relname = ANY($1::text[]) THEN '{SELECT,INSERT}'
        ELSE '{SELECT,INSERT,UPDATE,DELETE}' END::text[]) AS needed
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'v', 'S')
        AND NOT CASE WHEN relkind = 'S' THEN has_sequence_privilege(pg_class.oid, needed)
            ELSE has_table_privilege(pg_class.oid, needed) END
    UNION ALL SELECT 'cut_journal', 'EXECUTE'
        WHERE NOT has_function_privilege(to_regprocedure('cut_journal(text,bigint)'), 'EXECUTE')
    LIMIT 1"""
"""The first thing that a server needs and may not do."""


async def _belongs(asked: Asked) -> None:
    if asked.moves:
        return
    holder = await asked.connection.fetchval("SELECT identifier FROM deployment")
    if holder is not None and holder.startswith(MOVING):
        raise UnfitDatabase(
            "a catalog is being moved into this database, and is not there as a whole: say 'keyrack migrate-catalog' "
            "once more where it comes from, which goes on; or prepare another database"
        )


CHECKS: Final[Mapping[str, Check]] = {
    "version and encoding": _version,
    "connection": _transport,
    "schema": _schema,
    "settings": _settings,
    "role": _role,
    "rights": _rights,
    "whose it is": _belongs,
}
"""In their order: each may take for granted what the ones before it have found."""
