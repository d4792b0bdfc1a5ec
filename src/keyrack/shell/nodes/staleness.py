"""Serving stale, where the configuration says so: its room put together, and what it does not go together with."""

from keyrack.adapters.catalogs.whole import DatabaseCatalog
from keyrack.adapters.journals.spool import SpoolFile
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.batch import Desk
from keyrack.service.stale import Stale
from keyrack.service.vault.envelope import Vault
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.kmip.trusted import Trusted

FILES = "stale-*.jsonl"


def spool_of(config: Config, worker: int) -> SpoolFile:
    """The file of one serving process, beside the exported checkpoints."""
    return SpoolFile(config.path(config.journal.checkpoint_file).parent / f"stale-{worker}.jsonl")


async def stale_of(
    config: Config, catalog: WholeCatalog, desk: Desk, *, vault: Vault, trusted: Trusted, worker: int
) -> Stale | None:
    """``None`` where nothing is served stale. What a process that died has left enters the journal first.

    Raises :class:`ConfigError` and ``CatalogUnavailable``.
    """
    if config.catalog_path is not None:
        return None
    seconds = config.catalog.serve_stale_seconds
    if not seconds and not _left(config, worker):
        return None
    _refuse_required_sinks(config, seconds)
    stale = Stale(desk, vault, trusted, spool_of(config, worker), seconds=seconds)
    if isinstance(catalog, DatabaseCatalog):
        catalog.before = stale.check
    await stale.enter(catalog.commit)
    for left in _left(config, worker):
        await Stale(desk, vault, trusted, left, seconds=0).enter(catalog.commit)
    return stale if seconds else None


def _left(config: Config, worker: int) -> list[SpoolFile]:
    """Files that wait: this process's own, and by the first one those of processes that are no more."""
    directory = config.path(config.journal.checkpoint_file).parent
    numbers = {int(each.stem.rpartition("-")[2]) for each in directory.glob(FILES)}
    mine = {each for each in numbers if each == worker or (worker == 0 and each >= config.kmip.workers)}
    return [spool_of(config, each) for each in sorted(mine)]


def _refuse_required_sinks(config: Config, seconds: float) -> None:
    required = sorted(name for name, each in config.journal.sinks.items() if each.required)
    if seconds and required:
        raise ConfigError(
            [
                Problem(
                    where="catalog.serve_stale_seconds",
                    what=f"it is {seconds:g}, and the sink {required[0]!r} is required",
                    why="what is handed out without the catalog reaches no sink before it is handed out",
                    instead="write serve_stale_seconds = 0, or required = false for the sink",
                )
            ]
        )
