"""What one process of a deployment does by the configuration: backups, and once a day the proof that all keys open."""

import asyncio
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.cluster import BACKUP, PROOF
from keyrack.shell.backups import archive
from keyrack.shell.backups.acts import SERVER, create_in
from keyrack.shell.backups.making import Order
from keyrack.shell.backups.manifest import BadBackup
from keyrack.shell.backups.proof import prove
from keyrack.shell.duties import Duty
from keyrack.shell.vaulting import vault_of

if TYPE_CHECKING:
    from keyrack.shell.assemble import House

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 30.0
"""Seconds between two looks whether one is due."""
AGAIN_AFTER: Final = 900
"""Seconds until a backup that failed is tried again."""
DAY: Final = 86_400
RATE: Final = 100.0
"""Keys that a proof opens in a second: clients are served meanwhile."""


def backup_duties(house: "House", file: Path | None) -> list[Duty]:
    """None where the configuration wants none; ``file`` is the configuration's, which belongs into a backup."""
    table, duties = house.config.backup, list[Duty]()
    if table.every_hours and file is not None and house.config.catalog_path is not None:
        duties.append(Backups(house, file).watch)
    if table.prove_daily:
        duties.append(Proofs(house).watch)
    return duties


class _Repeated:
    """Something that is due so many seconds after it was done last, by whomever."""

    kind = ""
    every = 0.0

    def __init__(self, house: "House") -> None:
        self._house = house

    async def watch(self) -> None:
        """For ever."""
        while True:
            try:
                if await self._is_due():
                    await self.do()
            except CatalogUnavailable as error:
                log.warning("%s is put off: %s", type(self).__name__.lower(), error)
            await asyncio.sleep(LOOK_EVERY)

    async def _is_due(self) -> bool:
        catalog = self._house.catalog
        # Of a catalog that is rolled back no copy takes the place of one that may still be needed.
        if await catalog.rollback() is not None:
            return False
        last = (await catalog.reports()).get(self.kind)
        if last is None:
            return True
        age = time.time() - last.at
        return age >= self.every or age < 0 or (not last.good and age >= min(AGAIN_AFTER, self.every))

    async def do(self) -> None:
        """Do it once."""
        raise NotImplementedError


class Backups(_Repeated):
    """A backup each so many hours."""

    kind = BACKUP

    def __init__(self, house: "House", file: Path) -> None:
        """``file`` is the configuration's."""
        super().__init__(house)
        self.every = house.config.backup.every_hours * 3600
        self._file = file

    async def do(self) -> None:
        """Make one, and tell."""
        config = self._house.config
        order = Order(config=config, file=self._file, keep=config.backup.keep)
        try:
            made = await create_in(self._house.catalog, order, SERVER)
        except (BadBackup, OSError) as error:
            log.error("no backup was made: %s", error)
        else:
            log.info("a backup was made", extra={"file": str(made.path), "keys": made.manifest.keys})


class Proofs(_Repeated):
    """A proof each day."""

    kind = PROOF
    every = DAY

    async def do(self) -> None:
        """Prove everything, and tell."""
        house = self._house
        config = house.config
        backups = archive.those_of(config.path(config.backup.directory)) if config.catalog_path is not None else []
        proved = await prove(
            house.catalog,
            house.vault,
            house.key_managers,
            lambda catalog: vault_of(config, house.key_managers, catalog),
            backups,
            rate=RATE,
        )
        level = logging.INFO if proved.well else logging.ERROR
        log.log(level, "every key was to be opened", extra={"told": proved.report(0).told})
