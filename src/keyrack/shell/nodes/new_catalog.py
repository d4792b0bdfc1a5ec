"""A PostgreSQL database becomes the catalog of a deployment that is new: only where it is prepared, and nobody's."""

from typing import Final

from keyrack.ports.catalog import Unit
from keyrack.ports.cluster import ClusterChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.shell.catalogs import open_catalog
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config

CHAIN: Final = "administration"


async def take_new(config: Config) -> None:
    """Raises :class:`ConfigError` where the database is not prepared, belongs to a deployment, or holds anything."""
    catalog = await open_catalog(config, CHAIN)
    try:
        await refuse_used(catalog, config.deployment.id)
        await catalog.commit(Unit(entries=(), cluster=ClusterChanges(deployment=config.deployment.id)))
    finally:
        await catalog.close()


async def refuse_used(catalog: WholeCatalog, deployment: str) -> None:
    """Raise :class:`ConfigError` where the database belongs to another deployment, or holds anything of this one."""
    held = await catalog.deployment()
    if held not in {None, deployment}:
        raise _not_new(f"it is that of deployment {held!r}", "")
    if await catalog.persons() or await catalog.journal_end():
        raise _not_new("it holds a deployment already", "; a further node of that one begins with 'keyrack node join'")


def _not_new(what: str, more: str) -> ConfigError:
    return ConfigError(
        [
            Problem(
                where="catalog.url",
                what=what,
                why="a new deployment needs a database of its own",
                instead=f"make one, and 'keyrack database prepare' it{more}",
            )
        ]
    )
