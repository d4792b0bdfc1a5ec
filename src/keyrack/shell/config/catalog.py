"""Where the catalog lies: a SQLite file for one machine, a PostgreSQL database for several nodes."""

import re
import socket
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from keyrack.shell.config.key_managers import Table

SQLITE: Final = "sqlite:///"
POSTGRES: Final = ("postgresql://", "postgres://")

_SECRET: Final = {"password", "sslpassword"}
"""Parts of a URL's query that no configuration holds."""


def _catalog_url(url: str) -> str:
    if url.startswith(POSTGRES):
        return _without_secret(url)
    if not url.startswith(SQLITE) or len(url) == len(SQLITE):
        raise _mistake("it names neither a SQLite file nor a PostgreSQL database", secret="@" in url)
    return url


def _mistake(told: str, *, secret: bool = False) -> PydanticCustomError:
    """A ``secret`` URL is not repeated when it is told."""
    return PydanticCustomError("catalog_url", "{told}", {"told": told, "secret": secret})


def _without_secret(url: str) -> str:
    try:
        parts = urlsplit(url)
        # urlsplit reads one port; of several hosts each may have its own.
        login, _, _ = parts.netloc.rpartition("@")
        secret = ":" in login or not _SECRET.isdisjoint(parse_qs(parts.query))
    except ValueError:
        raise _mistake("it is no URL of a PostgreSQL database", secret=True) from None
    if secret:
        raise _mistake("it holds a password, and a configuration is no place for one", secret=True)
    if not parts.path.strip("/"):
        raise _mistake("it names no database")
    return url


CatalogUrl = Annotated[str, AfterValidator(_catalog_url)]


class CatalogTable(Table):
    """The database of instances, certificates, wrapped keys and the journal."""

    url: CatalogUrl = Field(
        default=SQLITE + "catalog.db",
        description='"sqlite:///" and the path of the file: three slashes for a relative path, four for an absolute. '
        'Or, for several nodes, "postgresql://USER@HOST[:PORT][,HOST[:PORT]]/DATABASE?sslmode=verify-full": of several '
        "hosts the one that takes writes is used.",
        examples=["postgresql://keyrack@db1.example.com,db2.example.com/keyrack?sslmode=verify-full"],
    )
    password_file: Path | None = Field(
        default=None,
        description="File with the password of the PostgreSQL role, mode 0600; otherwise PGPASSFILE, or a client "
        "certificate named in the URL (`sslcert`, `sslkey`).",
    )
    standby: Literal["require", "warn"] = Field(
        default="warn",
        description="What happens where PostgreSQL waits for no synchronous standby, so that the loss of its disk "
        "loses what was acknowledged since the last backup: `require` refuses to start.",
    )
    serve_stale_seconds: float = Field(
        default=0,
        ge=0,
        le=3600,
        description="For how long a node that cannot reach PostgreSQL goes on giving out keys that it holds unwrapped; "
        "0 closes its endpoint after a second. For as long, a removed certificate may still be served.",
    )


def own_name() -> str:
    """The name of this machine, as a node may be called."""
    made = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")[:63].strip("-")
    return made or "node-1"
