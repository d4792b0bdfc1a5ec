"""``keyrack recover prove``: a deployment and all its backups, each key of each opened."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keyrack.ports.catalog import Catalog, CatalogUnavailable
from keyrack.ports.key_manager import KeyManager
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.copies.proving import BackupProved, Proved, Proving
from keyrack.service.moves.walk import Report as Watching
from keyrack.service.moves.walk import silently
from keyrack.service.office.administration import Administrator
from keyrack.service.vault.envelope import Vault
from keyrack.shell.backups import archive
from keyrack.shell.backups.acts import SERVER, remember
from keyrack.shell.backups.manifest import BadBackup
from keyrack.shell.backups.verifying import catalog_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Who is told of the progress."""

    living: Watching = silently
    backups: Watching = silently


async def prove(
    catalog: WholeCatalog,
    vault: Vault,
    key_managers: Mapping[str, KeyManager],
    vault_for: Callable[[Catalog], Vault],
    backups: Sequence[Path],
    *,
    by: Administrator = SERVER,
    rate: float | None = None,
    watched: Watched | None = None,
) -> Proved:
    """Prove everything, and write down in the catalog what it came to. Raises ``CatalogUnavailable``."""
    watched = watched or Watched()
    proving = Proving(catalog, vault, key_managers)
    await proving.living(report=watched.living, rate=rate)
    for path in backups:
        told = BackupProved(name=path.name, at=0)
        try:
            with archive.opened(path) as backup:
                told.at = backup.manifest.at
                if flaws := backup.flaws():
                    raise BadBackup(flaws[0])
                async with catalog_of(backup) as copy:
                    await proving.backup(told, copy, vault_for, report=watched.backups, rate=rate)
        except (BadBackup, CatalogUnavailable, OSError) as error:
            told.flaws = [str(error)]
            proving.found.backups.append(told)
    await remember(catalog, by, "backup.prove", proving.found.report(int(time.time())))
    return proving.found
