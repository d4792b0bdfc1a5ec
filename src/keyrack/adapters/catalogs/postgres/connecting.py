"""Connections to PostgreSQL: where, with which settings, and whether its own settings keep what we promise."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

CONNECT_WITHIN: Final = 2.0
"""Seconds for one connection to be made; of several hosts each gets as much."""
ANSWER_WITHIN: Final = 2.0
"""Seconds for the answer to a statement of a request."""

SETTINGS: Final = {
    # Read back at start: a commit that returns is on disk, and where standbys are named, on theirs.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "1500",
    # Who stops in the middle of a transaction, as a machine that hangs does, gives its locks up.
    "idle_in_transaction_session_timeout": "3000",
    "timezone": "UTC",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    "jit": "off",
}


@dataclass(frozen=True, slots=True)
class Place:
    """One database, and as whom to go there."""

    url: str
    """Without a password."""
    name: str
    """Of this process, as ``pg_stat_activity`` shows it."""
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    """Or what reads it anew for each connection; ``None``: PGPASSFILE, or a certificate in the URL."""
    schema: str = "public"

    @property
    def shown(self) -> str:
        """Host and database, for a person."""
        return re.sub(r"^\w+://(?:[^@/]*@)?([^?]*).*$", r"\1", self.url)


def password_in(path: Path) -> Callable[[], str]:
    """Reads the first line of a file, each time that a connection is made: a new password needs no restart."""
    return lambda: path.read_text(encoding="utf-8").splitlines()[0]


async def connect(place: Place, **more: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection to the host that takes writes; raises what asyncpg raises."""
    return await asyncpg.connect(**_arguments(place), **more)


async def pool(place: Place, most: int) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool of at most so many connections, which makes new ones where old ones are lost."""
    return await asyncpg.create_pool(
        min_size=1,
        max_size=most,
        max_inactive_connection_lifetime=300,
        command_timeout=ANSWER_WITHIN,
        **_arguments(place),
    )


def _arguments(place: Place) -> dict[str, Any]:
    return {
        "dsn": place.url,
        "password": place.password,
        "timeout": CONNECT_WITHIN,
        "target_session_attrs": "primary",
        "server_settings": {
            **SETTINGS,
            "application_name": place.name[:63],
            "search_path": place.schema,
        },
        "statement_cache_size": 512,
    }
