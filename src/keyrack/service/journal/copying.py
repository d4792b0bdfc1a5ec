"""Checkpoints copied beside the catalog by a node that signs none: each node can tell an older catalog for itself."""

import asyncio
import logging
from typing import Final, Protocol

from keyrack.domain.checkpoints import SignedCheckpoint
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.cluster import ClusterBook
from keyrack.service.journal.book import Book
from keyrack.service.journal.notary import Exported, RolledBack, missing_since
from keyrack.service.journal.signatures import is_signed

log = logging.getLogger(__name__)

LOOK: Final = 1.0
"""Seconds between two looks."""
_PAGE: Final = 500
_ACCEPTED_AT_MOST: Final = 1000
"""How many of the last checkpoints are searched for the one that has given up what this node has exported."""


class CopiedCatalog(Book, ClusterBook, Protocol):
    """What it needs of the catalog."""


class Copying:
    """One node's part. The node that signs exports its own; what two processes write twice stands there once."""

    def __init__(self, catalog: CopiedCatalog, exported: Exported) -> None:
        """From where ``exported`` ends."""
        self._catalog = catalog
        self._exported = exported
        self._told = ""

    async def watch(self) -> None:
        """Copy for ever; what keeps it from that is told once."""
        while True:
            try:
                await self.round()
                self._told = ""
            except (RolledBack, CatalogUnavailable, OSError) as error:
                if str(error) != self._told:
                    self._told = str(error)
                    log.error("checkpoints are not copied beside the catalog: %s", error)
            await asyncio.sleep(LOOK)

    async def round(self) -> int:
        """Export what is new, and answer how much that was. Raises :class:`RolledBack`, ``CatalogUnavailable`` and
        ``OSError``.

        Nothing is new in rollback mode: what was exported is what the catalog is held against.
        """
        if await self._catalog.rollback() is not None:
            return 0
        last = await self._catalog.last_checkpoint()
        newest = await asyncio.to_thread(self._exported.last)
        if last is None or (newest is not None and newest.hash == last.hash):
            return 0
        number, count = await self._beginning(last, newest), 0
        while number < last.number and (page := await self._catalog.checkpoints(number, _PAGE)):
            for signed in page:
                await asyncio.to_thread(self._exported.append, signed)
            number, count = page[-1].number, count + len(page)
        return count

    async def _beginning(self, last: SignedCheckpoint, newest: SignedCheckpoint | None) -> int:
        """The number behind which everything is to be exported."""
        if newest is None:
            return 0
        missing = await missing_since(self._catalog, newest)
        if not missing:
            return newest.number
        accepted = await self._given_up(last, newest)
        if accepted is None:
            raise RolledBack(f"the catalog is older than what was exported: {missing}")
        return accepted.number - 1

    async def _given_up(self, last: SignedCheckpoint, newest: SignedCheckpoint) -> SignedCheckpoint | None:
        """The checkpoint with which an administrator, on another node, has accepted an older catalog."""
        known = {newest.statement.key, newest.statement.successor}
        found = None
        for signed in await self._catalog.checkpoints(max(0, last.number - _ACCEPTED_AT_MOST), _ACCEPTED_AT_MOST):
            told = signed.statement
            given_up = told.abandons is not None and told.abandons.number >= newest.number
            if given_up and told.key in known and is_signed(signed, told.key):
                found = signed
        return found
