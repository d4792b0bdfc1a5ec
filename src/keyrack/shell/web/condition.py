"""What one serving process knows of itself: it listens, the catalog takes a commit, root keys unwrap.

Whoever asks may ask often: it looks at most once in :data:`FRESH` seconds, and one look serves all who wait.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from keyrack.domain.instances import Home
from keyrack.ports.answers import AnswerChanges
from keyrack.ports.back_office import Trial, WorkerHealth
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Unit
from keyrack.ports.key_manager import KeyManager, KeyManagerFailed
from keyrack.service.office.seals import nothing

log = logging.getLogger(__name__)

FRESH: Final = 5.0
"""Seconds for which a look counts."""
PATIENCE: Final = 5.0
"""Seconds that one unwrap may take, and one commit."""
TRIED_AT_ONCE: Final = 3
"""Root keys of one key manager that one look tries until one does: the others have their turn at the next look."""
_LONGEST_TOLD: Final = 300


class WorkerCondition:
    """Looks at one serving process."""

    def __init__(
        self,
        worker: int,
        catalog: Catalog,
        key_managers: Mapping[str, KeyManager],
        listening: Callable[[], bool],
        *,
        doubt: Callable[[], Awaitable[str]] = nothing,
    ) -> None:
        """``worker`` numbers the process; ``listening`` tells whether it takes connections, ``doubt`` why it opens no
        key, if so."""
        self._doubt = doubt
        self._worker = worker
        self._catalog = catalog
        self._key_managers = key_managers
        self._listening = listening
        self._looking = asyncio.Lock()
        self._seen: WorkerHealth | None = None
        self._until = 0.0
        self._trials: dict[Home, Trial] = {}

    async def look(self) -> WorkerHealth:
        """What is so, or was a few seconds ago; that the door is closed is told at once."""
        if not self._listening():
            return WorkerHealth(worker=self._worker, listening=False, committing=False, at=int(time.time()))
        async with self._looking:
            if self._seen is None or time.monotonic() >= self._until:
                self._seen = await self._look()
                self._until = time.monotonic() + FRESH
            return self._seen

    async def _look(self) -> WorkerHealth:
        committing = await self._commits()
        trials = await self._tried() if committing else ()
        return WorkerHealth(
            worker=self._worker,
            listening=self._listening(),
            committing=committing,
            at=int(time.time()),
            trials=trials,
        )

    async def _commits(self) -> bool:
        pulse = AnswerChanges(pulse=(f"kmip-{self._worker}", int(time.time())))
        try:
            async with asyncio.timeout(PATIENCE):
                await self._catalog.commit(Unit(entries=(), answers=pulse, recovers=True))
        except (CatalogUnavailable, TimeoutError) as error:
            log.warning("the catalog takes no commit: %s", error)
            return False
        return True

    async def _tried(self) -> Sequence[Trial]:
        try:
            instances = await self._catalog.instances()
        except CatalogUnavailable:
            return ()
        homes = dict.fromkeys(each.home for each in instances if each.serves and each.sealed_at is None)
        self._trials = {home: trial for home, trial in self._trials.items() if home in homes}
        by_manager: dict[str, list[Home]] = {}
        # Who was tried longest ago comes first.
        for home in sorted(homes, key=lambda each: self._trials[each].at if each in self._trials else 0):
            by_manager.setdefault(home.key_manager, []).append(home)
        await asyncio.gather(*(self._some_of(each) for each in by_manager.values()))
        return tuple(self._trials[home] for home in homes if home in self._trials)

    async def _some_of(self, homes: Sequence[Home]) -> None:
        """One after the other, until one does: one unwrap at a time for each key manager."""
        for home in homes[:TRIED_AT_ONCE]:
            trial = await self._try(home)
            if doubt := await self._doubt():
                trial = replace(trial, told=doubt[:_LONGEST_TOLD])
            self._trials[home] = trial
            if not trial.told:
                return

    async def _try(self, home: Home) -> Trial:
        began, told = time.monotonic(), ""
        manager = _named(self._key_managers, home.key_manager)
        if manager is None:
            told = f"the key manager {home.key_manager!r} is not configured"
        else:
            try:
                async with asyncio.timeout(PATIENCE):
                    await manager.probe(home.root_key)
            except KeyManagerFailed as error:
                told = str(error) or type(error).__name__
            except TimeoutError:
                told = f"no answer within {PATIENCE:.0f} s"
        return Trial(
            key_manager=home.key_manager,
            root_key=home.root_key,
            at=int(time.time()),
            milliseconds=round((time.monotonic() - began) * 1000, 1),
            told=told[:_LONGEST_TOLD],
        )


def _named(key_managers: Mapping[str, KeyManager], name: str) -> KeyManager | None:
    try:
        return key_managers[name]
    except KeyError:
        return None
