"""What is to be said about the PostgreSQL database of the catalog: its size, its standbys, its connections."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.health.findings import Finding, Level
from keyrack.shell.config.whole import Config

if TYPE_CHECKING:
    from keyrack.adapters.catalogs.postgres.condition import Condition

LATE: Final = 10.0
"""Seconds that a standby may be behind."""
LONG: Final = 60.0
"""Seconds that a transaction may last."""
FULL: Final = 0.8
"""Part of the connections that may be taken."""
_SEE: Final = "to see it, let an administrator of PostgreSQL say GRANT pg_read_all_stats TO the servers' role"


async def look_at_database(config: Config) -> list[Finding]:
    """Nothing where the catalog is a file."""
    if config.catalog_path is not None:
        return []
    try:
        # Who has no PostgreSQL needs no driver for it.
        from keyrack.adapters.catalogs.postgres.condition import condition_of  # noqa: PLC0415
        from keyrack.shell.catalogs import place_of  # noqa: PLC0415
    except ImportError:
        return []  # The catalog's own finding says it.
    place = place_of(config, f"{config.deployment.node}/doctor")
    try:
        seen = await condition_of(place)
    except CatalogUnavailable:
        return []  # Likewise.
    return list(findings_of(seen, place.shown, required=config.catalog.standby == "require"))


def findings_of(seen: "Condition", where: str, *, required: bool) -> Iterator[Finding]:
    """Of what was seen; the worst is that nothing can be written."""
    sizes = f"{seen.size / 2**20:.1f} MiB, of which the journal has {seen.journal / 2**20:.1f}"
    yield Finding("database", Level.OK, f"PostgreSQL {seen.version} at {where}; {sizes}")
    yield _standbys(seen, required=required)
    if seen.lag is not None and seen.lag > LATE:
        yield Finding(
            "database: lag",
            Level.WARNING,
            f"a standby is {seen.lag:.0f} s behind; a failover to it takes as long, or loses what it lacks",
            "look at its disk, its network and its long queries",
        )
    if seen.connections > seen.most * FULL:
        yield Finding(
            "database: connections",
            Level.WARNING,
            f"{seen.connections} of {seen.most} are taken; a node that cannot connect closes its endpoint",
            "raise max_connections: docs/capacity.md tells what each node needs",
        )
    if seen.oldest is not None and seen.oldest > LONG:
        yield Finding(
            "database: transactions",
            Level.WARNING,
            f"one lasts for {seen.oldest:.0f} s: rows that are gone cannot be cleared away meanwhile",
            "see in pg_stat_activity whose it is",
        )


def _standbys(seen: "Condition", *, required: bool) -> Finding:
    name = "database: standby"
    if not seen.named:
        return Finding(
            name,
            Level.FAILED if required else Level.WARNING,
            f"no commit waits for a standby ({seen.standbys} connected): the loss of one disk loses acknowledged keys",
            "name one in synchronous_standby_names: docs/postgresql.md",
        )
    if seen.standbys == 0 or seen.synchronous == 0:
        return Finding(
            name,
            Level.FAILED,
            f"synchronous_standby_names is {seen.named!r}, and none of them is connected: every commit waits",
            "start the standby, or name another one",
        )
    if seen.synchronous is None:
        return Finding(name, Level.OK, f"{seen.standbys} connected, {seen.named!r} are waited for; {_SEE}")
    behind = "" if seen.lag is None else f", {seen.lag:.1f} s behind"
    return Finding(name, Level.OK, f"{seen.synchronous} of {seen.standbys} connected are waited for{behind}")
