"""What commands and the server do with backups, written down in the catalog: made, and how it went."""

import asyncio
import sqlite3
import time
from typing import Final

from keyrack.domain.journal import Entry
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.ports.cluster import BACKUP, ClusterChanges, Report
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.administration import Administrator
from keyrack.shell.backups.making import Made, Order, make
from keyrack.shell.backups.manifest import BadBackup

CREATED: Final = "backup.create"
SERVER: Final = Administrator("keyrack")
"""Who makes a backup by the configuration."""


async def create_in(catalog: WholeCatalog, order: Order, by: Administrator) -> Made:
    """Make a backup, and write down in the catalog and its journal that it was made, or why not.

    Raises what :func:`keyrack.shell.backups.making.make` raises, and ``CatalogUnavailable``.
    """
    try:
        made = await asyncio.to_thread(make, order)
    except (BadBackup, OSError, sqlite3.Error, CatalogUnavailable) as error:
        told = f"it was not made: {error}"
        await remember(catalog, by, CREATED, Report(kind=BACKUP, at=int(time.time()), good=False, told=told[:300]))
        if isinstance(error, sqlite3.Error):
            raise BadBackup(f"the catalog cannot be copied: {error}") from error
        raise
    report = Report(kind=BACKUP, at=made.manifest.at, good=True, told=str(made.path), keys=made.manifest.keys)
    await remember(catalog, by, CREATED, report)
    return made


async def remember(catalog: WholeCatalog, by: Administrator, action: str, report: Report) -> None:
    """In the catalog, in the place of the last one of its kind, and in the journal; in rollback mode as well."""
    entry = Entry(
        at=time.time_ns() // 1_000_000,
        action=action,
        outcome="success" if report.good else "failure",
        initiator=by.initiator,
        address=by.address,
        detail={"keys": report.keys, "told": report.told[:200]},
    )
    await catalog.commit(Unit(entries=(entry,), cluster=ClusterChanges(report=report)))
