"""Whether the deployment hands out keys just now, asked of its serving processes; one look serves all who ask."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.ports.back_office import BackOffice, BackOfficeUnavailable, Trial, WorkerHealth

FRESH: Final = 1.0
"""Seconds for which an answer counts here; each serving process has a longer one of its own."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """What was found, and why it is not ready; no reason is: it is."""

    workers: Sequence[WorkerHealth]
    reasons: Sequence[str]
    at: int
    """Seconds since 1970."""

    @property
    def ready(self) -> bool:
        """Whether keys are handed out."""
        return not self.reasons


class Looking:
    """Asks, at most once a second however many ask."""

    def __init__(self, back_office: BackOffice, oldest: int) -> None:
        """``oldest``: seconds that an unwrap may lie back."""
        self._back_office = back_office
        self._oldest = oldest
        self._turn = asyncio.Lock()
        self._found: Readiness | None = None
        self._until = 0.0
        self._asking: asyncio.Task[Readiness] | None = None
        self._asked_at = 0.0

    async def look(self) -> Readiness:
        """What is so, or was a moment ago."""
        async with self._turn:
            if self._found is None or time.monotonic() >= self._until:
                self._found = await self._look()
                self._until = time.monotonic() + FRESH
            return self._found

    async def soon(self, patience: float) -> tuple[Readiness | None, float]:
        """What is known after so many seconds at the most, and for how long an answer has been awaited: for a page,
        which waits for nobody. ``None``: nobody has ever answered."""
        if self._asking is None or self._asking.done():
            self._asking, self._asked_at = asyncio.create_task(self.look()), time.monotonic()
        done, _ = await asyncio.wait({self._asking}, timeout=patience)
        if done:
            return self._asking.result(), 0.0
        return self._found, time.monotonic() - self._asked_at

    async def _look(self) -> Readiness:
        at = int(time.time())
        try:
            workers = await self._back_office.health()
        except BackOfficeUnavailable as error:
            return Readiness((), (str(error),), at)
        return Readiness(workers, tuple(reasons(workers, at, self._oldest)), at)


def reasons(workers: Sequence[WorkerHealth], at: int, oldest: int) -> Sequence[str]:
    """Why a deployment with these serving processes is not ready; ``at`` is seconds since 1970."""
    if not workers:
        return ["no serving process is there"]
    able = [each for each in workers if each.listening and each.committing]
    if not able:
        listening = any(each.listening for each in workers)
        return ["the catalog takes no commit" if listening else "no serving process takes KMIP connections"]
    if any(not _stuck(each, at, oldest) for each in able):
        return []
    return sorted({told for each in able for told in _stuck(each, at, oldest)})


def _stuck(worker: WorkerHealth, at: int, oldest: int) -> Sequence[str]:
    """Key managers with which no root key has unwrapped of late: of several, one that does is proof enough that the
    key manager is there, and what one customer has disabled is no reason to turn all others away."""
    by_manager: dict[str, list[Trial]] = {}
    for trial in worker.trials:
        by_manager.setdefault(trial.key_manager, []).append(trial)
    return [
        f"key manager {name!r} has unwrapped nothing of late: {trials[0].told or 'the last time is too long ago'}"
        for name, trials in by_manager.items()
        if not any(not each.told and at - each.at <= oldest for each in trials)
    ]
