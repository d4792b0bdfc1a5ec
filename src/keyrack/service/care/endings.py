"""Endings: what was destroyed, recovered, purged or withheld, in whatever process, leaves the memory of this one.

None of it is served in any case, since each request asks the catalog for the state of its key. What is here takes the
plaintext out of every process's memory, and has a recovered key's standard key asked for before it is served again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.key_affairs import KeyBook
from keyrack.service.vault.envelope import Vault

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.25
"""Seconds between two looks: an ending empties every process well within a second."""
Wait = Callable[[float], Awaitable[object]]
"""Returns after so many seconds, or sooner where there may be news."""


class Endings:
    """One process's part."""

    def __init__(self, book: KeyBook, vault: Vault) -> None:
        """Begin with what ends after the first :meth:`look`: before it, nothing is in memory."""
        self._book = book
        self._vault = vault
        self._after: int | None = None

    async def look(self) -> None:
        """Let go of what has ended since the last look; raises ``CatalogUnavailable``."""
        after, ended = await self._book.endings(self._after)
        for unique_identifier in ended:
            self._vault.forget(unique_identifier)
        self._after = after

    async def watch(self, wait: Wait = asyncio.sleep) -> None:
        """Look for ever, after each ``wait``. While the catalog cannot be read nobody is served anyway."""
        while True:
            try:
                await self.look()
            except CatalogUnavailable as error:
                log.debug("endings are not looked at: %s", error)
            await wait(LOOK_EVERY)
