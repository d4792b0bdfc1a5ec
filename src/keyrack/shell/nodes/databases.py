"""A PostgreSQL database made ready by its owner: the schema, the role of the servers, and what that role may do."""

import getpass
import hmac
import os
import secrets
import sys
from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import pbkdf2_hmac, sha256
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import Place, password_in
from keyrack.adapters.catalogs.postgres.migrator import Schema, check_role, grant, migrate, schema_of
from keyrack.adapters.catalogs.postgres.opening import connected
from keyrack.adapters.catalogs.postgres.refusals import LOST
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.ports.catalog import CatalogUnavailable

_NAME: Final = "keyrack database"
_ROUNDS: Final = 4096
"""PostgreSQL's own number; the password of a program is made by chance, and long."""


class NotPrepared(Exception):
    """The owner could not make the database ready; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was done."""

    steps: int
    """Of the schema; 0: it was there as it should be."""
    schema: Schema
    role: str
    made: bool
    """Whether the role was made."""


def owner_of(url: str, password_file: Path | None) -> Place:
    """Where, and as whom; a password that is needed and stands nowhere is asked for at a terminal."""
    if password_file is not None:
        return Place(url, _NAME, password_in(password_file))
    given = os.environ.get("PGPASSFILE") or os.environ.get("PGPASSWORD") or Path("~/.pgpass").expanduser().is_file()
    by_certificate = "sslcert" in parse_qs(urlsplit(url).query)
    if given or by_certificate or not sys.stdin.isatty():
        return Place(url, _NAME)
    who = urlsplit(url).username or getpass.getuser()
    typed = getpass.getpass(f"Password of {who} (empty for none): ")
    return Place(url, _NAME, typed or None)


def password_of_role(file: Path | None) -> str | None:
    """The first line of the file, for a role that is made; ``None``: it gets none."""
    if file is None:
        return None
    try:
        return password_in(file)()
    except OSError as error:
        raise NotPrepared(f"{error}: the first line of the file is to be the role's password") from None


async def prepare(place: Place, role: str, *, create: bool, password: str | None = None) -> Prepared:
    """Make or upgrade the schema, and give the role its rights. Raises :class:`NotPrepared`, ``UnfitDatabase`` and
    ``CatalogUnavailable``."""
    check_role(role)
    connection = await connected(place)
    try:
        await _check_owner(connection, role)
        made = await _make_role(connection, role, create=create, password=password)
        steps = await migrate(connection)
        await grant(connection, role)
        return Prepared(steps, await schema_of(connection), role, made)
    except asyncpg.InsufficientPrivilegeError as error:
        who = await connection.fetchval("SELECT current_user")
        raise NotPrepared(
            f"{error}: {who!r} does not own the database and its tables; connect as who does, or make it the owner "
            "with ALTER DATABASE … OWNER TO"
        ) from error
    except (*LOST, asyncpg.PostgresError) as error:
        if isinstance(error, UnfitDatabase):
            raise
        raise CatalogUnavailable(f"PostgreSQL at {place.shown} refuses: {error or type(error).__name__}") from error
    finally:
        connection.terminate()


async def upgrade(place: Place) -> Prepared:
    """Bring the schema up to date, for the role that has its rights already. Raises as :func:`prepare`."""
    connection = await connected(place)
    try:
        there = (await schema_of(connection)).number
        roles = [row[0] for row in await connection.fetch(_SERVES)] if there else []
    except asyncpg.PostgresError as error:
        raise NotPrepared(f"{error}: connect as the owner of the database") from error
    finally:
        connection.terminate()
    if not roles:
        raise NotPrepared("there is no schema yet, or no role that serves from it: 'keyrack database prepare' makes it")
    # Whoever has rights keeps them, and gets those on what is new.
    done = [await prepare(place, role, create=False) for role in roles]
    return replace(done[0], role=", ".join(roles))


_SERVES: Final = """
    SELECT DISTINCT grantee FROM information_schema.role_table_grants
    WHERE table_schema = current_schema() AND table_name = 'object' AND privilege_type = 'INSERT'
        AND grantee <> current_user
        AND grantee NOT IN (SELECT tableowner FROM pg_tables WHERE tablename = 'object') ORDER BY grantee"""


async def _check_owner(connection: "asyncpg.Connection[asyncpg.Record]", role: str) -> None:
    who = await connection.fetchval("SELECT current_user")
    if who == role:
        raise NotPrepared(
            f"{role!r} is to be the role of the servers, and may not own what it must not change: connect as another, "
            "the owner of the database, or name another with --role"
        )
    if await connection.fetchval("SELECT current_setting('server_encoding')") != "UTF8":
        raise NotPrepared("the database is not encoded in UTF8: make another one, with ENCODING 'UTF8'")


async def _make_role(
    connection: "asyncpg.Connection[asyncpg.Record]", role: str, *, create: bool, password: str | None
) -> bool:
    if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        return False
    if not create:
        raise NotPrepared(
            f"there is no role {role!r}: say --create-role, or have one made with CREATE ROLE {role} LOGIN"
        )
    # What makes the password good, not the password: a server may log the statement.
    secret = "" if password is None else f" PASSWORD '{verifier(password)}'"
    try:
        await connection.execute(f'CREATE ROLE "{role}" LOGIN{secret}')
    except asyncpg.InsufficientPrivilegeError:
        raise NotPrepared(
            f"this login may not make roles: have an administrator of PostgreSQL say CREATE ROLE {role} LOGIN, or "
            "connect as one"
        ) from None
    return True


def verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL keeps of a password for SCRAM-SHA-256 (RFC 5803)."""
    salt = secrets.token_bytes(16) if salt is None else salt
    salted = pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    told = (b64encode(each).decode() for each in (salt, sha256(client).digest(), server))
    return "SCRAM-SHA-256${rounds}:{}${}:{}".format(*told, rounds=_ROUNDS)
