"""Deadlines of many connections on one timer of the event loop."""

import asyncio
from typing import Protocol

SLACK = 0.05
"""Seconds by which a deadline may ring late, so that many ring together."""


class Timed(Protocol):
    """Something that must have come on before its deadline."""

    def expired(self) -> None:
        """The deadline is over; it is not armed any more."""
        ...


class Deadlines:
    """At most one deadline for each guest; arming and disarming take constant time.

    Few different durations are in use, and deadlines of one duration ring in the order in which they were armed: a
    lane, an ordered dictionary, for each duration takes the place of a heap.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run on ``loop``, from its thread only."""
        self._loop = loop
        self._lanes: dict[float, dict[Timed, float]] = {}
        self._lane_of: dict[Timed, dict[Timed, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, timed: Timed) -> bool:
        return timed in self._lane_of

    def arm(self, timed: Timed, seconds: float) -> None:
        """Let ``timed`` expire in ``seconds``, in place of the deadline that it may have."""
        self.disarm(timed)
        lane = self._lanes.setdefault(seconds, {})
        lane[timed] = when = self._loop.time() + seconds
        self._lane_of[timed] = lane
        if self._timer is None or when + SLACK < self._timer.when():
            self._set(when)

    def disarm(self, timed: Timed) -> None:
        """Forget its deadline; harmless when there is none."""
        lane = self._lane_of.pop(timed, None)
        if lane is not None:
            del lane[timed]

    def close(self) -> None:
        """Forget all."""
        self._lanes.clear()
        self._lane_of.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when + SLACK, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = self._loop.time()
        for lane in tuple(self._lanes.values()):
            for timed in _due(lane, now):
                self.disarm(timed)
                timed.expired()
        first = [next(iter(lane.values())) for lane in self._lanes.values() if lane]
        if first and self._timer is None:
            self._set(min(first))


def _due(lane: dict[Timed, float], now: float) -> list[Timed]:
    """Those of a lane whose deadline is over; the first that is not ends the search."""
    due = []
    for timed, when in lane.items():
        if when > now:
            break
        due.append(timed)
    return due
