"""What PostgreSQL's errors mean to those who read and commit: translated once, here."""

import asyncio
from collections.abc import Mapping
from typing import Final

import asyncpg

from keyrack.ports.catalog import AlreadyThere, CatalogUnavailable, Conflict

LOST: Final[tuple[type[Exception], ...]] = (
    OSError,
    asyncio.TimeoutError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    # After a failover: whoever was the primary is it no more.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.AdminShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.CrashShutdownError,
)
"""The connection is gone, or to the wrong server: another one is made."""

_BROKEN: Final[Mapping[type[Exception], type[Exception]]] = {
    asyncpg.UniqueViolationError: AlreadyThere,
    asyncpg.ForeignKeyViolationError: Conflict,
    asyncpg.IntegrityConstraintViolationError: Conflict,
    asyncpg.RaiseError: Conflict,
}


def refusal(error: Exception) -> Exception | None:
    """What a unit's own error means to the one who committed it; ``None`` where it is no error of that unit."""
    for kind, meaning in _BROKEN.items():
        if isinstance(error, kind):
            return meaning(
                "the database refuses the unit: something unique is taken, or what it refers to is not there"
            )
    return None


def unavailable(error: Exception, what: str) -> CatalogUnavailable:
    """``what`` cannot be done: ``"read"`` or ``"commit"``."""
    told = str(error) or type(error).__name__
    return CatalogUnavailable(f"the catalog cannot {what}: {told}")
