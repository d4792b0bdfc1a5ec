"""How the PostgreSQL server fares that holds the catalog, as far as a server's role may see it."""

from dataclasses import dataclass
from typing import Final

import asyncpg

from keyrack.adapters.catalogs.postgres.connecting import ANSWER_WITHIN, Place
from keyrack.adapters.catalogs.postgres.opening import connected
from keyrack.adapters.catalogs.postgres.refusals import LOST
from keyrack.ports.catalog import CatalogUnavailable

_CONDITION: Final = """
    SELECT current_setting('server_version') AS version,
        pg_database_size(current_database()) AS size,
        (SELECT pg_total_relation_size('journal')) AS journal,
        current_setting('synchronous_standby_names') AS named,
        (SELECT count(*) FROM pg_stat_replication) AS standbys,
        (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS synchronous,
        (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NOT NULL) AS seen,
        (SELECT max(extract(epoch FROM replay_lag)) FROM pg_stat_replication) AS lag,
        (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections,
        current_setting('max_connections')::BIGINT AS most,
        extract(epoch FROM (SELECT max(now() - xact_start) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid())) AS oldest"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What was seen at one moment."""

    version: str
    size: int
    """Bytes of the database."""
    journal: int
    """Bytes of the journal, in it."""
    named: str
    """``synchronous_standby_names``."""
    standbys: int
    """That are connected, which everybody may see."""
    synchronous: int | None
    """Of them; ``None``: this role may not see it."""
    lag: float | None
    """Seconds by which the last of them is behind; ``None``: nothing was written lately, or it may not be seen."""
    connections: int
    most: int
    """Connections that the server takes."""
    oldest: float | None
    """Seconds for which the longest transaction lasts that this role may see."""


async def condition_of(place: Place) -> Condition:
    """Raises ``UnfitDatabase`` and ``CatalogUnavailable``."""
    connection = await connected(place)
    try:
        row = await connection.fetchrow(_CONDITION, timeout=ANSWER_WITHIN)
    except (*LOST, asyncpg.PostgresError) as error:
        raise CatalogUnavailable(f"PostgreSQL at {place.shown} cannot be asked: {error}") from error
    finally:
        connection.terminate()
    if row is None:
        raise CatalogUnavailable(f"PostgreSQL at {place.shown} has not answered")
    visible = row["standbys"] == 0 or row["seen"] > 0
    return Condition(
        version=row["version"].split()[0],
        size=row["size"],
        journal=row["journal"],
        named=row["named"],
        standbys=row["standbys"],
        synchronous=row["synchronous"] if visible else None,
        lag=None if row["lag"] is None else float(row["lag"]),
        connections=row["connections"],
        most=row["most"],
        oldest=None if row["oldest"] is None else float(row["oldest"]),
    )
