"""Whether the catalog was put back to an older one, seen before anybody is served, and what is done about it."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from keyrack.adapters.journals.changes_file import ChangesFile
from keyrack.adapters.journals.signing import SigningKey
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.journal.notary import Notary
from keyrack.service.recovery.later import Later, kept_of, later
from keyrack.service.recovery.rollback import COMMAND, Evidence, accounted, begin, older, settle
from keyrack.shell.config.journal import JsonLinesSink
from keyrack.shell.config.whole import Config
from keyrack.shell.journal_room import clock, exported_of, notary_of, notary_with

log = logging.getLogger(__name__)

KEEPER: Final = "keyrack"
"""Who does it by itself, as the journal names it."""
LOOK_EVERY: Final = 20.0
"""Seconds between two looks while serving: after a fail-over to a standby that was behind, a database is older too."""


def changes_of(config: Config) -> ChangesFile:
    """What was changed, beside the exported checkpoints."""
    return ChangesFile(config.path(config.journal.changes_file), config.deployment.id)


def evidence_of(config: Config, more: Sequence[Path] = ()) -> Evidence:
    """Everything that was kept beside the catalog: checkpoints, changes, and sinks that are files. ``more``: others.

    Raises ``OSError``.
    """
    changes = changes_of(config)
    sinks = [config.path(each.file) for each in config.journal.sinks.values() if isinstance(each, JsonLinesSink)]

    def lines() -> Iterator[str]:
        # What says which records were given up stands in the file of changes, and so that one comes last.
        for path in (*sinks, *more):
            if path in more or path.is_file():
                with path.open(encoding="utf-8", errors="replace") as file:
                    yield from file
        yield from changes.lines()

    return Evidence(
        deployment=config.deployment.id,
        exported=exported_of(config).last(),
        changes=changes.last_record(),
        lines=lines,
    )


async def notary_for(config: Config, catalog: WholeCatalog) -> tuple[Notary, SigningKey | None]:
    """The notary of the deployment, and the key that was made for it just now and is kept nowhere yet, if one was.

    A backup does not have the old one, and on a new machine it may be lost. Raises :class:`ConfigError`.
    """
    path = config.path(config.journal.signing_key)
    if path.exists() or await catalog.last_checkpoint() is None:
        return await notary_of(config, catalog), None
    made = SigningKey.new()
    return notary_with(config, catalog, made), made


def go_on(config: Config, through: int, by: str) -> None:
    """Write beside the changes that those behind this record are given up: what comes now takes their numbers."""
    changes = changes_of(config)
    if changes.last() > through:
        changes.give_up(through, by, clock())


async def history_of(config: Config, catalog: WholeCatalog) -> Later | None:
    """What was kept of the history of a catalog that is being rebuilt, so that its keys get the states that they had;
    ``None`` where nothing was, or it is another one. Raises ``CatalogUnavailable`` and ``OSError``."""
    if await catalog.last_checkpoint() is not None or await catalog.rollback() is not None:
        return None
    evidence = evidence_of(config)
    return later(kept_of(evidence.lines()), 0) if await older(catalog, evidence) else None


async def begin_anew(config: Config, catalog: WholeCatalog, found: Later, entry: Entry) -> bool:
    """Go on with a rebuilt catalog in the place of the lost one, with ``entry`` in its journal, where every key that
    was destroyed is known to be; ``False`` where some are not, and a server would begin rollback mode."""
    evidence = evidence_of(config)
    if not await accounted(catalog, found, evidence):
        return False
    notary = await notary_of(config, catalog)
    await notary.make(entries=(entry,), accepted_by=entry.initiator)
    go_on(config, 0, entry.initiator)
    return True


async def look(config: Config, catalog: WholeCatalog) -> str:
    """Begin rollback mode where the catalog is older than what was kept; do again what is known; and answer why no key
    is to be handed out meanwhile. Empty where all is well, or nothing speaks against the keys that are there.

    Raises ``CatalogUnavailable``.
    """
    try:
        evidence = await asyncio.to_thread(evidence_of, config)
        if missing := await older(catalog, evidence):
            why = f"the catalog is older than what was kept of its journal: {missing}"
            if await begin(catalog, why, by=KEEPER, clock=clock):
                log.error("%s; it is read-only until an administrator has said '%s'", why, COMMAND)
        rollback = await catalog.rollback()
        if rollback is None:
            return ""
        settled = await settle(catalog, rollback, evidence, by=KEEPER, clock=clock)
    except OSError as error:
        log.error("what was kept of the journal beside the catalog cannot be read: %s", error)
        return ""
    for what, number in settled.applied.told.items():
        log.warning("done again in the older catalog", extra={"what": what, "number": number})
    if settled.doubt:
        log.error("%s", settled.doubt)
    return settled.doubt


class Doubt:
    """Why this process hands out no key while the catalog is rolled back; looked at again now and then."""

    def __init__(self, config: Config, catalog: WholeCatalog) -> None:
        """Nothing is known until :meth:`look`."""
        self._config = config
        self._catalog = catalog
        self._told = ""
        self._since: int | None = None

    async def look(self) -> None:
        """Once for each time that rollback mode begins, and as often as need be to see that it has to. Raises
        ``CatalogUnavailable``."""
        rollback = await self._catalog.rollback()
        if rollback is not None and rollback.at == self._since:
            return
        self._told = await look(self._config, self._catalog)
        rollback = await self._catalog.rollback()
        self._since = rollback.at if rollback is not None else None

    async def now(self) -> str:
        """Why nothing is handed out now; empty where the catalog is not, or no more, rolled back."""
        return self._told if self._told and await self._catalog.rollback() is not None else ""

    async def watch(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except CatalogUnavailable as error:
                log.debug("whether the catalog is older than it was is looked at later: %s", error)
