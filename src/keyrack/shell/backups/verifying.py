"""Whether a backup is as it was written, and what it holds would do: parts, database, journal, and that keys open."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from keyrack.adapters.catalogs.sqlite import copying
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.domain.checkpoints import SignedCheckpoint, of_line
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.journal.verification import Evidence, proved
from keyrack.service.moves.walk import Report, silently
from keyrack.shell.backups import archive
from keyrack.shell.backups.archive import Reading
from keyrack.shell.backups.making import _counter
from keyrack.shell.backups.manifest import CATALOG, CHECKPOINTS, BadBackup, Manifest


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at a backup has come to."""

    manifest: Manifest
    size: int
    """Of the file, in bytes."""
    flaws: Sequence[str] = ()
    records: int = 0
    """Records of the journal that were walked."""
    checkpoints: int = 0


async def verify(path: Path, *, reading: Report = silently) -> Found:
    """Digests, the database's own check, the journal's chains; raises :class:`BadBackup` for what is none."""
    with archive.opened(path) as backup:
        told = backup.manifest
        size = path.stat().st_size
        flaws = backup.flaws(_counter(reading, sum(each.size for each in told.parts)))
        if flaws:
            return Found(told, size, flaws)
        try:
            async with catalog_of(backup) as catalog:
                return await _walked(backup, catalog, size)
        except (BadBackup, CatalogUnavailable) as error:
            return Found(told, size, [str(error)])


@asynccontextmanager
async def catalog_of(backup: Reading) -> AsyncIterator[SqliteCatalog]:
    """The catalog of a backup, opened where it hurts nobody and of this program's schema; gone afterwards.

    Raises :class:`BadBackup` where SQLite finds the file spoilt, and ``CatalogUnavailable``.
    """
    room = Path(tempfile.mkdtemp(prefix="keyrack-backup-"))
    try:
        path = room / "catalog.db"
        backup.extract(CATALOG, path)
        if flaws := copying.flaws_of(path):
            raise BadBackup(f"the catalog in it is spoilt: {flaws[0]}")
        catalog = SqliteCatalog(path, "backup")
        try:
            yield catalog
        finally:
            await catalog.close()
    finally:
        shutil.rmtree(room, ignore_errors=True)


async def _walked(backup: Reading, catalog: SqliteCatalog, size: int) -> Found:
    told = backup.manifest
    exported = checkpoints_of(backup)
    verdict = await proved(catalog, Evidence(exported=(lambda: exported) if exported else None, heads=told.heads))
    flaws = [f"journal {each.chain} {each.sequence}: {each.what}" for each in verdict.flaws]
    last = await catalog.last_checkpoint()
    seen = await catalog.survey(told.journal_end)
    are = (seen.through, seen.keys, seen.destroyed, last.number if last is not None else 0)
    said = (told.journal_end, told.keys, told.destroyed, told.checkpoint)
    if are != said:
        flaws.append(
            f"its manifest tells of {told.keys} keys ({told.destroyed} destroyed), {told.journal_end} records and "
            f"checkpoint {told.checkpoint}, and it has {are[1]} ({are[2]}), {are[0]} and {are[3]}"
        )
    elif {(each.chain, each.sequence, each.hash) for each in seen.heads} != {
        (each.chain, each.sequence, each.hash) for each in told.heads
    }:
        flaws.append("its journal does not end as its manifest says")
    elif last is not None and last.hash.hex() != told.checkpoint_hash:
        flaws.append(f"its checkpoint {last.number} is another one than its manifest says")
    return Found(told, size, flaws, verdict.records, verdict.checkpoints)


def checkpoints_of(backup: Reading) -> list[SignedCheckpoint]:
    """The checkpoints that were exported by then; lines that are none are passed over."""
    found = []
    for line in backup.content(CHECKPOINTS).decode(errors="replace").splitlines():
        try:
            found.append(of_line(line))
        except ValueError:
            continue
    return found
