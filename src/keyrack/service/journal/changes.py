"""What was changed, kept beside the catalog within a second: with it an older catalog is brought up to date.

A checkpoint tells that something is missing, and this tells what: which keys were made and destroyed since, and which
certificates removed. Each line is a record of the journal, whole; what only reads is left out.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Catalog, CatalogUnavailable
from keyrack.ports.cluster import ClusterBook
from keyrack.ports.journal import JournalBook, JournalRecord
from keyrack.service.journal.naming import entry_of

log = logging.getLogger(__name__)

BATCH: Final = 1000
LOOK: Final = 1.0
"""Seconds between two looks: so much may be changed and not told, where the catalog is lost in just that moment."""
READS: Final = frozenset(
    {
        "Get", "Get Attributes", "Get Attribute List", "Locate", "Query", "Discover Versions", "Check", "Obtain Lease",
        "Validate", "Encrypt", "Decrypt", "Sign", "Signature Verify", "MAC", "MAC Verify", "Hash", "RNG Retrieve",
        "RNG Seed", "Poll", "Cancel", "Notify", "standard-key.intent", "instance.validate", "instance.throttle",
        "session.begin", "session.end", "session.prove", "session.refused", "stranger.see", "stranger.forget",
        "certificate.expire", "authority.expire", "server-certificate.expire", "journal.export", "journal.verify",
        "backup.create", "backup.prove", "key.rewrap",
    }
)  # fmt: skip
"""Acts of which nothing is lost that anybody would miss. Whatever is not known here counts as a change."""
_COMMON: Final = ('{"action":"Get"', '{"action":"Get Attributes"', '{"action":"Locate"')
"""How texts begin that come by the thousand: these need not be read to be passed over."""


class ChangesCatalog(Catalog, JournalBook, ClusterBook, Protocol):
    """What is needed of the catalog."""


class Kept(Protocol):
    """Where changes are kept."""

    def append(self, records: Sequence[JournalRecord]) -> None:
        """Durable when it returns; raises ``OSError``."""
        ...

    def last(self) -> int:
        """The number of the last record; 0 where there is none. Raises ``OSError``."""
        ...


def is_change(entry: Entry) -> bool:
    """Whether something is as it was not before."""
    return entry.outcome == "success" and entry.action not in READS


def changes_of(records: Sequence[JournalRecord]) -> Sequence[JournalRecord]:
    """Those that tell of a change."""
    return [each for each in records if not each.text.startswith(_COMMON) and is_change(entry_of(each))]


class Following:
    """One process of a deployment does it; what two write twice is read once."""

    def __init__(self, catalog: ChangesCatalog, kept: Kept) -> None:
        """From where the file ends."""
        self._catalog = catalog
        self._kept = kept
        self._after: int | None = None
        self._told = ""

    async def watch(self) -> None:
        """For ever, and once more when it is ended; while the catalog is rolled back nothing is added, because what is
        there is what it lacks."""
        try:
            await self._watch()
        except asyncio.CancelledError:
            with suppress(CatalogUnavailable, OSError):
                while await self.round():
                    pass
            raise

    async def _watch(self) -> None:
        while True:
            moved = False
            try:
                moved = await self.round()
                self._told = ""
            except (CatalogUnavailable, OSError) as error:
                if str(error) != self._told:
                    self._told = str(error)
                    log.error("what is changed is not kept beside the catalog: %s", error)
            if not moved:
                await asyncio.sleep(LOOK)

    async def round(self) -> bool:
        """Keep one batch; whether there may be more. Raises ``CatalogUnavailable`` and ``OSError``."""
        if await self._catalog.rollback() is not None:
            self._after = None
            return False
        if self._after is None:
            self._after = await asyncio.to_thread(self._kept.last)
        records = await self._catalog.journal(self._after, BATCH)
        if not records:
            return False
        if changes := changes_of(records):
            await asyncio.to_thread(self._kept.append, changes)
        self._after = records[-1].number
        return len(records) == BATCH
