"""The steps of the schema taken one by one, beside nodes that serve: none is blocked for longer than a moment.

A step that changes a table waits for everybody who uses it, and everybody who comes waits behind it. So it waits for
less than anybody would notice, gives up, and tries again a little later; and so long as others are connected, it may
not take long itself.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import asyncpg

from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase

if TYPE_CHECKING:
    from keyrack.adapters.catalogs.postgres.migrator import Migration

log = logging.getLogger(__name__)

LOCK: Final = "SELECT pg_advisory_xact_lock(1263684430, 1)"
"""Who migrates; two are one after the other."""
WAITS: Final = 0.2
"""Seconds that a step waits for a table, and others behind it."""
LASTS: Final = 0.8
"""Seconds that one statement of a step may take while others are connected."""
PATIENCE: Final = 120.0
"""Seconds in which a step is tried again and again."""
_LIMITS: Final = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)"
_OTHERS: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename IS NOT NULL"""


async def taken(
    connection: "asyncpg.Connection[asyncpg.Record]", steps: Sequence["Migration"], patience: float = PATIENCE
) -> int:
    """Take each that is not taken yet, in a transaction of its own; how many that were. Raises ``UnfitDatabase`` for
    one that finds no moment in ``patience`` seconds; those before it are kept."""
    count = 0
    for each in steps:
        count += await _patiently(connection, each, patience)
    return count


async def _patiently(connection: "asyncpg.Connection[asyncpg.Record]", step: "Migration", patience: float) -> bool:
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        try:
            return await _once(connection, step)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.QueryCanceledError) as error:
            if loop.time() > until:
                raise UnfitDatabase(
                    f"step {step.number} of the schema has found no moment in {patience:.0f} s at which it does not "
                    f"hold up the nodes ({error}): see which backup or report reads for so long, or stop all nodes, "
                    "and do it again"
                ) from error
            log.info("step %d of the schema is tried again: %s", step.number, error)
        # Whoever waited behind it goes first.
        await asyncio.sleep(random.uniform(2 * WAITS, 5 * WAITS))


async def _once(connection: "asyncpg.Connection[asyncpg.Record]", step: "Migration") -> bool:
    async with connection.transaction():
        await connection.execute(LOCK)
        number = await connection.fetchval("SELECT number FROM keyrack_schema")
        if number >= step.number:
            return False
        lasts = f"{LASTS * 1000:.0f}" if await connection.fetchval(_OTHERS) else "0"
        await connection.execute(_LIMITS, f"{WAITS * 1000:.0f}", lasts)
        await connection.execute(step.text)
        await connection.execute(
            "UPDATE keyrack_schema SET number = $1, least = greatest(least, $2)", step.number, step.least
        )
        # The commit itself waits for the standby as long as it takes.
        await connection.execute(_LIMITS, f"{WAITS * 1000:.0f}", "0")
    return True
