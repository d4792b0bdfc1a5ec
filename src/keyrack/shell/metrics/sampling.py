"""Takes the samples, as long as the web process lives: one question to the serving processes each ten seconds.

It asks for what they have counted already, and so costs no key manager a call. What it knows is this node's.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keyrack.domain.journal import Entry, read
from keyrack.ports.back_office import BackOffice, BackOfficeUnavailable
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.journal import JournalQuery
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.shell.metrics.series import STEP, Counts, Rings, between, counts_of, standings_of

log = logging.getLogger(__name__)

KEYS_EVERY: Final = 60
"""Seconds between two counts of the keys, which the database's own triggers keep, while nobody looks."""
CHANGES: Final = (
    "Revoke",
    "Destroy",
    "key.activate",
    "key.reactivate",
    "key.deactivate",
    "key.compromise",
    "key.destroy",
    "key.recover",
    "key.purge",
)
"""Actions of the journal that change a key's state. That a new key is activated is no news: each is."""
MOST_CHANGES: Final = 200
LOOKED_BACK: Final = 20_000
"""Records behind which nothing is looked for when the process begins."""


@dataclass(slots=True, kw_only=True)
class Sampler:
    """Samples, and what was found of keys that changed state."""

    catalog: WholeCatalog
    back_office: BackOffice
    clock: Callable[[], float] = time.time
    rings: Rings = field(default_factory=Rings)
    changes: deque[Entry] = field(default_factory=lambda: deque(maxlen=MOST_CHANGES))
    """The last ones, the newest first."""
    standings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What each process has told of itself last."""
    _known: Counts = field(default_factory=dict)
    _sampled_at: float = 0.0
    _keys: int | None = None
    _keys_until: float = 0.0
    _read_up_to: int | None = None
    _watched_until: float = 0.0

    def watched(self) -> None:
        """Somebody looks: keys are then counted, and the last fetches brought up to date, with each sample."""
        self._watched_until = self.clock() + KEYS_EVERY

    async def watch(self) -> None:
        """For ever."""
        while True:
            await self.sample()
            await asyncio.sleep(STEP - self.clock() % STEP)

    async def sample(self) -> None:
        """Take one. Where nobody answers there is none, and the next one covers the gap."""
        try:
            await self._count_keys()
            await self._follow_changes()
        except CatalogUnavailable as error:
            log.debug("keys are not counted: %s", error)
        try:
            text = await self.back_office.metrics()
        except BackOfficeUnavailable:
            return
        now, counts, self.standings = self.clock(), counts_of(text), standings_of(text)
        if not counts:
            return
        if self._known:
            seconds = now - self._sampled_at
            self.rings.add(between(self._known, counts, at=int(now), seconds=seconds, keys=self._keys))
        # A process that did not answer this time has not begun anew: what it had counted is kept.
        self._known, self._sampled_at = {**self._known, **counts}, now

    async def _count_keys(self) -> None:
        if self._keys is not None and self.clock() < self._keys_until and self.clock() >= self._watched_until:
            return
        await self.catalog.catch_up()
        self._keys_until = self.clock() + KEYS_EVERY
        self._keys = sum([await self.catalog.living(each.identifier) for each in await self.catalog.instances()])

    async def _follow_changes(self) -> None:
        """Read on in the journal, within the database: of what is written only these records come here."""
        end = await self.catalog.journal_end()
        behind = max(0, end - LOOKED_BACK) if self._read_up_to is None else self._read_up_to
        if end <= behind:
            return
        query = JournalQuery(actions=CHANGES)
        found = await self.catalog.find(query, before=end + 1, limit=MOST_CHANGES, within=end - behind)
        self.changes.extendleft(_told([record.text for record in reversed(found.records)]))
        self._read_up_to = end

    def changed(self, sees: Callable[[str], bool], most: int) -> Sequence[Entry]:
        """The last changes in instances that ``sees`` says yes to."""
        return [each for each in self.changes if sees(each.instance)][:most]


def _told(texts: Sequence[str]) -> Iterator[Entry]:
    """What was done; neither what was refused, nor what cannot be read."""
    for text in texts:
        with contextlib.suppress(ValueError):
            if (entry := read(text)).outcome == "success":
                yield entry
