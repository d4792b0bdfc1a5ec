"""What each serving process does for its door beside letting clients in: it follows what administrators change."""

import asyncio
import logging
from pathlib import Path
from typing import Final

from keyrack.domain.instances import SeenCertificate
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Unit
from keyrack.shell.kmip.server import KmipServer
from keyrack.shell.kmip.taken import Taken
from keyrack.shell.kmip.tls import TlsError
from keyrack.shell.kmip.trusted import Trusted
from keyrack.shell.watched_files import watch_files

log = logging.getLogger(__name__)

SEEN_EVERY: Final = 1.0
"""Seconds between two batches of certificates that knocked."""
SEEN_AT_MOST: Final = 512
"""Certificates that are kept while the catalog cannot be written; older ones are let go."""


class Doorkeeping:
    """The duties of one process; each runs for ever, on the event loop."""

    def __init__(self, catalog: Catalog, server: KmipServer, trusted: Trusted, taken: Taken) -> None:
        """For this door; what it has taken of changes is told through ``taken``."""
        self._catalog = catalog
        self._server = server
        self._trusted = trusted
        self._taken = taken
        self._unwritten: tuple[SeenCertificate, ...] = ()

    def open(self) -> None:
        """Be heard of as a process that serves; raises ``OSError``."""
        self._taken.open()
        self._taken.tell(generation=self._trusted.generation, certificate=self._server.certificate)

    def close(self) -> None:
        """Serve no more."""
        self._taken.close()

    def changed(self, gone: frozenset[str]) -> None:
        """Trust was changed: let those go that are trusted no more, then say that this is done."""
        self._server.drop(gone)
        self._server.drop_misfits()
        self._taken.tell(generation=self._trusted.generation)

    async def note_seen(self) -> None:
        """Write down who knocked, about each second."""
        while True:
            await asyncio.sleep(SEEN_EVERY)
            await self.write_seen()

    async def write_seen(self) -> None:
        """One batch; what the catalog does not take now comes with the next."""
        waiting = (*self._unwritten, *self._server.seen())[-SEEN_AT_MOST:]
        self._unwritten = ()
        if waiting:
            try:
                await self._catalog.commit(Unit(entries=(), admissions=AdmissionChanges(seen=waiting)))
            except CatalogUnavailable as error:
                self._unwritten = waiting
                log.debug("certificates that knocked are written down later: %s", error)

    async def watch_files(self, *files: Path) -> None:
        """Show new connections the server's certificate that its files hold now, whoever has replaced them."""

        def read_again() -> None:
            self._server.reload()
            self._taken.tell(certificate=self._server.certificate)

        await watch_files(files, read_again, TlsError)
