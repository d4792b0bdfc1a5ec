"""Which client certificates are in force, kept in memory for handshakes and kept fresh from the catalog."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from keyrack.ports.catalog import Catalog, CatalogUnavailable

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the catalog's generation: a change made by any process counts well within a second."""

Changed = Callable[[frozenset[str]], Awaitable[None]]
"""Told after each change, with the fingerprints that are in force no more."""


class Trusted:
    """Implements ``shell.tls.Trust``. It only opens the door: each request is authorised by the catalog as well."""

    def __init__(self, catalog: Catalog) -> None:
        """Know nobody until :meth:`refresh`."""
        self._catalog = catalog
        self._generation = -1
        self._known: frozenset[str] = frozenset()

    def known(self, fingerprint: str) -> bool:
        """Whether this certificate is in force, as far as the last look has shown."""
        return fingerprint in self._known

    def __len__(self) -> int:
        return len(self._known)

    async def refresh(self) -> frozenset[str] | None:
        """Look; what is in force no more, or ``None`` where nothing has changed."""
        generation = await self._catalog.generation()
        if generation == self._generation:
            return None
        installed = {
            instance.identifier
            for instance in await self._catalog.instances()
            if instance.serves
        }
        held = await self._catalog.certificates()
        before, self._known = self._known, frozenset(each.fingerprint for each in held if each.instance in installed)
        self._generation = generation
        return before - self._known

    async def watch(self, changed: Changed) -> None:
        """Look for ever. While the catalog cannot be read, what was last seen stays, and each request is refused."""
        answering = True
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                gone = await self.refresh()
                if not answering:
                    log.warning("the catalog can be read again")
                answering = True
            except CatalogUnavailable as error:
                if answering:
                    log.error("the catalog cannot be read: %s", error)
                answering = False
                continue
            if gone is not None:
                log.info("certificates changed", extra={"in_force": len(self._known), "removed": len(gone)})
                await changed(gone)
