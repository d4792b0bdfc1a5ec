"""What a key manager has taken out of use is let go of at once, where the key manager tells of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, KeyManagerUnavailable, TellsWithdrawals
from keyrack.service.vault.envelope import Vault
from keyrack.service.vault.standard_keys import unique_identifier_of

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.25
"""Seconds between two questions: a key that was deleted or disabled is withheld well within a second."""
Wait = Callable[[float], Awaitable[object]]
"""Returns after so many seconds, or sooner where there may be news."""


class Withdrawals:
    """Drops the plaintext of what was withdrawn; the next Get asks the key manager itself, and is refused.

    It shortens the bound of the lease. Where it fails the lease still holds.
    """

    def __init__(self, vault: Vault, key_managers: Mapping[str, KeyManager]) -> None:
        self._vault = vault
        self._telling = {name: each for name, each in key_managers.items() if isinstance(each, TellsWithdrawals)}
        self._cursors: dict[str, int | None] = dict.fromkeys(self._telling)

    async def look(self) -> None:
        """Ask every key manager that tells; raises nothing that a key manager raises."""
        for name, manager in self._telling.items():
            try:
                told = await manager.withdrawn(self._cursors[name])
            except (KeyManagerRefused, KeyManagerUnavailable) as error:
                log.warning("key manager %s does not tell what was withdrawn: %s", name, error)
                continue
            for root_key in told.root_keys:
                self._vault.purge(root_key=root_key)
            for standard_key in told.standard_keys:
                if (unique_identifier := unique_identifier_of(standard_key)) is not None:
                    self._vault.forget(unique_identifier)
            self._cursors[name] = told.cursor

    async def watch(self, wait: Wait = asyncio.sleep) -> None:
        """Ask for ever, after each ``wait``."""
        while True:
            await self.look()
            await wait(LOOK_EVERY)
