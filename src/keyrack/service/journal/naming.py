"""What identifiers in the journal are called now: read from the catalog, and kept for a few seconds."""

import time
from collections.abc import Callable, Collection
from typing import Final

from keyrack.domain import cadf
from keyrack.domain.cadf import Names, Place
from keyrack.domain.journal import Entry, read
from keyrack.ports.catalog import Catalog
from keyrack.ports.journal import JournalRecord
from keyrack.ports.sinks import Outgoing

KEPT: Final = 5.0
"""Seconds for which names that were read are good enough."""


async def names_of(catalog: Catalog, deployment: str = "", of: Collection[str] | None = None) -> Names:
    """The names of instances, their key managers, and client certificates; ``of``: of these instances alone."""
    instances = [each for each in await catalog.instances() if of is None or each.identifier in of]
    certificates = [each for each in await catalog.certificates() if of is None or each.instance in of]
    return Names(
        deployment=deployment,
        instances={each.identifier: each.name for each in instances},
        key_managers={each.identifier: each.key_manager for each in instances if each.key_manager},
        certificates={each.fingerprint: each.name for each in certificates if each.name},
    )


class Naming:
    """The names, not read again for each record."""

    def __init__(self, catalog: Catalog, deployment: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Read from ``catalog``."""
        self._catalog = catalog
        self._deployment = deployment
        self._clock = clock
        self._names = Names()
        self._until = 0.0

    async def now(self) -> Names:
        """The names, at most :data:`KEPT` seconds old."""
        if self._clock() >= self._until:
            self._names = await names_of(self._catalog, self._deployment)
            self._until = self._clock() + KEPT
        return self._names


def entry_of(record: JournalRecord) -> Entry:
    """The record's entry; one that cannot be read becomes an entry that says so."""
    try:
        return read(record.text)
    except ValueError as error:
        why = {"cause": str(error)[:200]}
        return Entry(at=0, action="unreadable", outcome="unreadable", initiator="", address="", detail=why)


def place_of(record: JournalRecord) -> Place:
    """Where the record stands."""
    return Place(record.chain, record.sequence, record.hash, record.number)


def outgoing(record: JournalRecord, names: Names) -> Outgoing:
    """The record as sinks take it."""
    entry = entry_of(record)
    return Outgoing(cadf.event(entry, place_of(record), names), record.chain, record.sequence, entry.at)
