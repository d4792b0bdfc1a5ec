"""Which catalog a configuration means, opened: a SQLite file, or a PostgreSQL database that several nodes share."""

from pathlib import Path
from typing import TYPE_CHECKING

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.nodes.identity import refuse_foreign

if TYPE_CHECKING:
    from keyrack.adapters.catalogs.postgres.connecting import Place


async def open_catalog(config: Config, chain: str) -> WholeCatalog:
    """The catalog of the configuration; one that is not there is an error, only ``keyrack init`` makes one.

    ``chain`` is the name under which this process writes in the journal; where several nodes share the catalog, the
    node's name stands before it. Raises :class:`ConfigError` and ``CatalogUnavailable``.
    """
    catalog = await _postgres(config, chain) if config.catalog_path is None else _sqlite(config.catalog_path, chain)
    try:
        await refuse_foreign(config, catalog)
    except BaseException:
        await catalog.close()
        raise
    if any(sink.required for sink in config.journal.sinks.values()):
        # Who has no such sink does not wait for it to be loaded.
        from keyrack.shell.journal_room import gate_of  # noqa: PLC0415

        catalog.gate = gate_of(config, catalog)
    return catalog


async def file_catalog(path: Path, chain: str) -> WholeCatalog:
    """The catalog in this file, made where it is not there."""
    return SqliteCatalog(path, chain)


def _sqlite(path: Path, chain: str) -> WholeCatalog:
    if not path.is_file():
        raise ConfigError(
            [
                Problem(
                    where="catalog.url",
                    what=f"{path} is not there",
                    why="a deployment keeps its catalog",
                    instead="restore it from a backup, or what the key managers keep of it with 'keyrack rebuild "
                    "--from-key-manager'; correct the path; or make a new deployment with 'keyrack init'",
                )
            ]
        )
    return SqliteCatalog(path, chain)


async def _postgres(config: Config, chain: str) -> WholeCatalog:
    # Who has no PostgreSQL needs no driver for it.
    try:
        from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog  # noqa: PLC0415
        from keyrack.adapters.catalogs.postgres.opening import check  # noqa: PLC0415
    except ImportError:
        raise ConfigError(
            [
                Problem(
                    where="catalog.url",
                    what="the driver for PostgreSQL is not installed",
                    why="it is an extra, for those who have several nodes",
                    instead="install it: pip install 'keyrack[postgres]'",
                )
            ]
        ) from None
    name = f"{config.deployment.node}/{chain}"
    place = place_of(config, name)
    try:
        await check(place, config.catalog.standby)
        catalog = await PostgresCatalog.open(place, name)
    except UnfitDatabase as error:
        raise ConfigError(
            [Problem(where="catalog.url", what="it cannot be the catalog", why=str(error), instead="")]
        ) from None
    return catalog


def place_of(config: Config, name: str) -> "Place":
    """The configured PostgreSQL database; ``name`` is what it shows of the process that connects."""
    from keyrack.adapters.catalogs.postgres.connecting import Place, password_in  # noqa: PLC0415

    file = config.catalog.password_file
    return Place(config.catalog.url, f"keyrack {name}", None if file is None else password_in(config.path(file)))
