"""Requests a second: a bucket for each instance in each process; and refusals told in sums, so that none flood."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from keyrack.domain.errors import KmipError, Throttled
from keyrack.domain.instances import Instance
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Catalog, CatalogUnavailable, Unit
from keyrack.service.identity import Peer
from keyrack.service.sessions import Session

log = logging.getLogger(__name__)

BURST: Final = 2.0
"""Seconds' worth of requests that may come at once after a pause."""
SUM_UP: Final = 10.0
"""Seconds after which refusals that were not written down one by one are written down as a number."""


class Bucket:
    """Fills at a rate, is emptied by what is asked for, and may fall into debt by the last that it lets through: else a
    message of many items could be too long for ever.
    """

    __slots__ = ("_at", "_level")

    def __init__(self, level: float, at: float) -> None:
        """``level`` at the time ``at``, in seconds of a clock that is never set."""
        self._level = level
        self._at = at

    def take(self, count: float, rate: float, most: float, now: float) -> bool:
        """Whether one was left, and then ``count`` are taken; it fills by ``rate`` a second, to ``most``."""
        level = min(most, self._level + (now - self._at) * rate)
        self._at = now
        if level < 1:
            self._level = level
            return False
        self._level = level - count
        return True

    def give_back(self, count: float) -> None:
        """What was taken, and not used."""
        self._level += count


class Throttle:
    """Holds the instances of one process to their quotas of requests."""

    def __init__(self, ticks: Callable[[], float] = time.monotonic) -> None:
        """``ticks`` are seconds of a clock that is never set."""
        self._ticks = ticks
        self._buckets: dict[str, Bucket] = {}

    def check(self, instance: Instance, count: int) -> None:
        """Take ``count`` requests from what the instance has left; raises :class:`Throttled` where nothing is."""
        rate, now = instance.quotas.requests, self._ticks()
        bucket = self._buckets.get(instance.identifier)
        if bucket is None:
            bucket = self._buckets[instance.identifier] = Bucket(BURST * rate, now)
        if not bucket.take(count, rate, BURST * rate, now):
            refusal = Throttled(
                f"instance {instance.name!r} asks more than the {rate} requests a second that its quota lets it ask of "
                "one server process; ask again in a moment, or have an administrator raise it with 'keyrack instance "
                f"quota {instance.name} --requests NUMBER'"
            )
            refusal.cause = f"more than {rate} requests a second"
            raise refusal


class Refusals:
    """Writes down what is refused before a request is looked at: the first at once, what follows closely as a sum."""

    def __init__(self, catalog: Catalog, clock: Callable[[], float], *, sum_up: float = SUM_UP) -> None:
        """``clock`` is seconds since 1970."""
        self._catalog = catalog
        self._clock = clock
        self._sum_up = sum_up
        self._more: dict[tuple[str, str], int] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def note(self, action: str, session: Session, peer: Peer, refusal: KmipError) -> None:
        """Remember one refusal; it stands in the journal when this returns, or within :data:`SUM_UP` seconds."""
        key = (action, session.principal.instance)
        if key in self._more:
            self._more[key] += 1
            return
        self._more[key] = 0
        await self._write(action, session, peer, refusal, 1)
        task = asyncio.create_task(self._summed(key, session, peer, refusal))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _summed(self, key: tuple[str, str], session: Session, peer: Peer, refusal: KmipError) -> None:
        try:
            while True:
                await asyncio.sleep(self._sum_up)
                count, self._more[key] = self._more[key], 0
                if not count:
                    return
                await self._write(key[0], session, peer, refusal, count)
        finally:
            self._more.pop(key, None)

    async def _write(self, action: str, session: Session, peer: Peer, refusal: KmipError, count: int) -> None:
        entry = Entry(
            at=int(self._clock() * 1000),
            action=action,
            outcome=refusal.reason.title,
            initiator=session.initiator,
            address=peer.address,
            instance=session.principal.instance,
            target=session.principal.instance,
            detail={"cause": refusal.cause, "count": count},
        )
        try:
            await self._catalog.commit(Unit(entries=(entry,)))
        except CatalogUnavailable:
            log.warning("the catalog cannot record %d refusals of %s", count, peer.address)
