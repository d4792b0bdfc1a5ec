"""What serving processes have counted, as it goes on: the points of a plot, in rings that never grow.

A sample is the text that they tell; the difference of two samples is a :class:`Point`. Old points are added up into
longer ones, so that a day takes no more room than an hour.
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from keyrack.service.metering import BOUNDS

Key = tuple[str, str, str]
"""Process, metric, and the one label that is told apart: operation, part, class of length, or reason."""
Counts = Mapping[Key, float]
Name = TypeVar("Name", str, float)

STEP: Final = 10
"""Seconds between two samples."""
REQUESTS: Final = "keyrack_requests_total"
HANDSHAKES: Final = "keyrack_handshakes_total"
SECONDS: Final = "keyrack_request_part_seconds_sum"
MESSAGES: Final = "keyrack_request_part_seconds_count"
LENGTHS: Final = "keyrack_request_seconds_bucket"
PARTS: Final = ("keyrack", "catalog", "key_manager")
_TOLD_APART: Final = {
    REQUESTS: "operation",
    HANDSHAKES: "reason",
    SECONDS: "part",
    MESSAGES: "part",
    LENGTHS: "le",
}
_LINE: Final = re.compile(rf"^({'|'.join(_TOLD_APART)})\{{(.*)\}} (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_EDGES: Final = (*BOUNDS, float("inf"))


def counts_of(text: str) -> Counts:
    """What a text in the form of Prometheus says of requests and handshakes, over all instances and outcomes."""
    found: dict[Key, float] = {}
    for metric, labels, value in _LINE.findall(text):
        named = dict(_LABEL.findall(labels))
        if metric == HANDSHAKES and named.get("outcome") != "refused":
            continue
        key = (named.get("process", ""), metric, named.get(_TOLD_APART[metric], ""))
        found[key] = found.get(key, 0.0) + float(value)
    return found


STANDINGS: Final = (
    "process_start_time_seconds",
    "process_resident_memory_bytes",
    "keyrack_connections",
    "keyrack_cache_entries",
)
"""What a process tells of itself that is no count of what happened."""
_STANDING: Final = re.compile(rf'^({"|".join(STANDINGS)})\{{process="([^"]*)"\}} (\S+)$', re.MULTILINE)


def standings_of(text: str) -> Mapping[str, Mapping[str, float]]:
    """By process: :data:`STANDINGS`, those that it tells."""
    found: dict[str, dict[str, float]] = {}
    for metric, process, value in _STANDING.findall(text):
        found.setdefault(process, {})[metric] = float(value)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What happened in a stretch of time."""

    at: int
    """When it ended, in seconds since 1970."""
    seconds: float
    """How long it was."""
    requests: Mapping[str, float] = field(default_factory=dict)
    """How many, by operation."""
    refused: Mapping[str, float] = field(default_factory=dict)
    """Handshakes, by why."""
    waited: Mapping[str, float] = field(default_factory=dict)
    """Seconds of all messages together, by :data:`PARTS`."""
    messages: float = 0.0
    lengths: Mapping[float, float] = field(default_factory=dict)
    """Messages that took so many seconds or less."""
    keys: int | None = None
    """How many there are that are not destroyed; ``None`` where nobody has counted."""

    def __add__(self, later: "Point") -> "Point":
        """Both as one."""
        return Point(
            at=later.at,
            seconds=self.seconds + later.seconds,
            requests=_sum(self.requests, later.requests),
            refused=_sum(self.refused, later.refused),
            waited=_sum(self.waited, later.waited),
            messages=self.messages + later.messages,
            lengths=_sum(self.lengths, later.lengths),
            keys=self.keys if later.keys is None else later.keys,
        )

    def a_minute(self, number: float) -> float:
        """So many in this stretch, as so many a minute."""
        return round(60 * number / self.seconds, 2) if self.seconds else 0.0

    def mean(self, part: str) -> float | None:
        """Milliseconds that a message took of a part, on average; ``None`` where there was none."""
        return round(1000 * self.waited.get(part, 0.0) / self.messages, 3) if self.messages else None

    def slowest(self, share: float) -> float | None:
        """Milliseconds that no more than a ``share`` of the messages took longer than: within the class of lengths in
        which it lies, as if they were spread evenly; ``None`` where there was no message."""
        total = self.lengths.get(_EDGES[-1], 0.0)
        if not total:
            return None
        wanted, low, below = total * (1 - share), 0.0, 0.0
        for edge in _EDGES:
            number = self.lengths.get(edge, below)
            if number >= wanted and number > below:
                high = edge if edge != _EDGES[-1] else low
                return round(1000 * (low + (high - low) * (wanted - below) / (number - below)), 3)
            low, below = edge, number
        return None


def between(before: Counts, after: Counts, *, at: int, seconds: float, keys: int | None = None) -> Point:
    """The point between two samples. A process that has begun anew counts from nothing."""
    told: dict[str, dict[str, float]] = {metric: {} for metric in _TOLD_APART}
    for key, number in after.items():
        _, metric, label = key
        known = before.get(key, 0.0)
        grown = number - known if number >= known else number
        if grown:
            told[metric][label] = told[metric].get(label, 0.0) + grown
    return Point(
        at=at,
        seconds=seconds,
        requests=told[REQUESTS],
        refused=told[HANDSHAKES],
        waited=told[SECONDS],
        messages=told[MESSAGES].get(PARTS[0], 0.0),
        lengths={float(edge): number for edge, number in told[LENGTHS].items()},
        keys=keys,
    )


@dataclass(frozen=True, slots=True)
class Span:
    """How far back a ring goes, and how fine it is."""

    step: int
    """Seconds of a point."""
    points: int


SPANS: Final[Mapping[str, Span]] = {"hour": Span(STEP, 360), "day": Span(300, 288)}
"""An hour in points of ten seconds, and a day in points of five minutes."""


class Rings:
    """The last points, in each of :data:`SPANS`."""

    def __init__(self) -> None:
        """Begin with none."""
        self._points: dict[str, deque[Point]] = {name: deque(maxlen=span.points + 1) for name, span in SPANS.items()}

    def add(self, point: Point) -> None:
        """One more: in each ring a point of its own, or a part of the last one."""
        for name, span in SPANS.items():
            ring = self._points[name]
            if ring and span.step > STEP and ring[-1].at // span.step == point.at // span.step:
                ring[-1] += point
            else:
                ring.append(point)

    def last(self, span: str) -> Sequence[Point]:
        """The points of one ring, oldest first."""
        return list(self._points[span])

    def minutes(self, most: int) -> Sequence[Point]:
        """The last minutes, the newest first, each as one point."""
        found: list[Point] = []
        for point in self._points["hour"]:
            if found and found[-1].at // 60 == point.at // 60:
                found[-1] += point
            else:
                found.append(point)
        return found[: -most - 1 : -1]


def names(points: Sequence[Mapping[str, float]], most: int) -> Sequence[str]:
    """The names that have the greatest numbers in these points, the greatest first; no more than ``most``."""
    sums: dict[str, float] = {}
    for each in points:
        for name, number in each.items():
            sums[name] = sums.get(name, 0.0) + number
    return sorted(sums, key=lambda name: (-sums[name], name))[:most]


def rows(points: Sequence[Point], names_shown: Sequence[str]) -> Iterator[tuple[Point, Sequence[float]]]:
    """Each point with its requests of these operations a minute, and those of all others together at the end."""
    for point in points:
        told = [point.a_minute(point.requests.get(name, 0.0)) for name in names_shown]
        others = sum(number for name, number in point.requests.items() if name not in names_shown)
        yield point, [*told, point.a_minute(others)]


def _sum(one: Mapping[Name, float], other: Mapping[Name, float]) -> Mapping[Name, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
