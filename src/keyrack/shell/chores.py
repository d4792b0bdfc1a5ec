"""What is due in the embedded key manager without anybody asking: its schedule, and the look whether it is whole."""

import asyncio
import logging
import sqlite3
from typing import Final

from keyrack.adapters.key_managers.registry import KeyManagers
from keyrack.embedded import schedule
from keyrack.embedded.errors import KeystoreError
from keyrack.embedded.house import House

log = logging.getLogger(__name__)

SCHEDULE_EVERY: Final = 60.0
"""Seconds between two looks for root keys that are due for rotation, and deleted keys for their purge."""
VERIFY_EVERY: Final = 3600.0
"""Seconds between two walks through all records of a key manager."""


async def keep_schedule(managers: KeyManagers) -> None:
    """Rotate what is due, and purge what was deleted long ago, for ever. It is harmless when two do it."""
    while True:
        for name, manager in managers.embedded().items():
            await asyncio.to_thread(_kept, name, manager.house)
        await asyncio.sleep(SCHEDULE_EVERY)


async def verify(managers: KeyManagers) -> None:
    """Walk through all records of this machine's key managers now and then, for ever."""
    while True:
        await asyncio.sleep(VERIFY_EVERY)
        for name, manager in managers.embedded().items():
            await asyncio.to_thread(_verified, name, manager.house)


def _kept(name: str, house: House) -> None:
    """Each due thing for itself: an HSM that is away must not keep deleted keys from their purge."""
    for what, due in (("rotated", schedule.rotate_due), ("purged", schedule.purge_due)):
        try:
            if done := due(house):
                log.info("kept the schedule", extra={"key_manager": name, what: len(done)})
        except (KeystoreError, sqlite3.Error, OSError) as error:
            log.warning("the schedule of key manager %s is put off: %s", name, error)


def _verified(name: str, house: House) -> None:
    """Opening has verified it; this finds what was put back since."""
    try:
        house.database.verify()
    except (KeystoreError, sqlite3.Error, OSError) as error:
        log.error("the database of key manager %s is not as it was written: %s", name, error)
