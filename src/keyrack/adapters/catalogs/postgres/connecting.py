"""Connections to PostgreSQL: where, with which settings, and whether its own settings keep what we promise."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

CONNECT_WITHIN: Final = 2.0
"""Seconds for one connection to be made; of several hosts each gets as much."""
NEXT_AFTER: Final = 0.3
"""Seconds after which the next host is tried beside one that has not answered: it may be gone without a word."""
ANSWER_WITHIN: Final = 2.0
"""Seconds for the answer to a statement of a request."""

SETTINGS: Final = {
    # Read back at start: a commit that returns is on disk, and where standbys are named, on theirs.
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    "lock_timeout": "1500",
    # Who stops in the middle of a transaction, as a machine that hangs or is cut off does, gives its locks up before
    # those who wait for them have to give up: a client would find no endpoint that takes its change.
    "idle_in_transaction_session_timeout": "1000",
    "timezone": "UTC",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "3",
    # Of whom nothing is heard any more while something is on its way to him, likewise.
    "tcp_user_timeout": "8000",
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
    """Reads the first line of a file, each time that a connection is made: a new password needs no restart.

    Raises ``OSError`` for a file without one, as it is for a moment while somebody writes it: nobody can connect then.
    """

    def read() -> str:
        try:
            return path.read_text(encoding="utf-8").splitlines()[0]
        except (IndexError, ValueError):
            raise OSError(f"{path} has no line of text") from None

    return read


async def connect(place: Place, **more: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """A connection to the host that takes writes; raises what asyncpg raises, of the host that has told most."""
    return await _first(each_host(place.url), {**_arguments(place), **more})


def each_host(url: str) -> Sequence[str]:
    """The URLs of the single hosts that a URL names; itself where it names one, or none."""
    place = urlsplit(url).netloc
    login, at, hosts = place.rpartition("@")
    return [url.replace(f"//{place}", f"//{login}{at}{host}", 1) for host in hosts.split(",")]


async def _first(urls: Sequence[str], arguments: Mapping[str, Any]) -> "asyncpg.Connection[asyncpg.Record]":
    """The first connection that comes about. The driver has one patience for all hosts: a dead first one used it up."""
    waiting, tasks = list(urls), set[asyncio.Task[Any]]()
    failed: list[Exception] = []
    try:
        while True:
            if waiting:
                tasks.add(asyncio.create_task(asyncpg.connect(waiting.pop(0), **arguments)))
            done, tasks = await asyncio.wait(
                tasks, timeout=NEXT_AFTER if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            made = [each for each in done if each.exception() is None]
            if made:
                tasks |= set(made[1:])
                connection: asyncpg.Connection[asyncpg.Record] = made[0].result()
                return connection
            failed += [error for each in done if isinstance(error := each.exception(), Exception)]
            if not tasks and not waiting:
                raise max(failed, key=_worth)
    finally:
        for each in tasks:
            each.add_done_callback(_unwanted)
            each.cancel()


def _worth(error: Exception) -> int:
    """How much it tells of what is wrong: a server that lets nobody in tells more than one that is only a standby."""
    kinds = (asyncpg.TargetServerAttributeNotMatched, asyncpg.CannotConnectNowError)
    return 2 if isinstance(error, asyncpg.PostgresError) and not isinstance(error, kinds) else isinstance(error, kinds)


def _unwanted(task: "asyncio.Task[Any]") -> None:
    """Another host was first."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


async def pool(place: Place, most: int) -> "asyncpg.Pool[asyncpg.Record]":
    """A pool of at most so many connections, the first made at once, which makes new ones where old ones are lost."""

    async def connected(*_: Any, **given: Any) -> "asyncpg.Connection[asyncpg.Record]":
        return await _first(each_host(place.url), {**_arguments(place), **given})

    made = await asyncpg.create_pool(
        # None is kept for its own sake: to keep one, asyncpg logs a trace for each attempt while the server is gone.
        min_size=0,
        max_size=most,
        max_inactive_connection_lifetime=300,
        command_timeout=ANSWER_WITHIN,
        connect=connected,
        # Who reads leaves nothing behind in a session, and to clean it would take as long as another read.
        reset=_as_it_is,
    )
    try:
        async with made.acquire():
            return made
    except BaseException:
        made.terminate()
        raise


async def _as_it_is(connection: object) -> None:
    """A connection that is given back; a transaction that is still open is ended by asyncpg before."""


def _arguments(place: Place) -> dict[str, Any]:
    return {
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
