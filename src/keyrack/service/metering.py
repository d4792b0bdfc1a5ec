"""What requests and calls come to, in numbers: counted where they happen, for a fraction of what they take.

A request adds to a few lists and dictionaries and to nothing else; who wants the numbers reads them when asked. No
number is told apart by a key: operations, outcomes, instances and key managers are few.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from keyrack.spec.enumerations import Operation, ResultReason, ResultStatus
from keyrack.wire.messages import ResponseBatchItem

BOUNDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the classes that lengths of time are counted in, in seconds; the last class has none."""
AT_ONCE: Final = 256
"""Requests that are added to the numbers together: for each of them that costs less than adding it by itself."""
MOST_INSTANCES: Final = 200
"""Instances that are told apart in one process; those beyond are counted together as :data:`OTHER`."""
OTHER: Final = "(other)"
NOBODY: Final = ""
"""Instance of a request whose sender has none."""
SUCCESS, REFUSED, UNAVAILABLE = "success", "refused", "unavailable"
"""What a call to a key manager comes to."""

now: Callable[[], float] = time.perf_counter


class Spread:
    """How many lengths of time fell into which class, and their sum in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        """Begin with none."""
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.add_all((seconds,))

    def add_all(self, lengths: Iterable[float]) -> None:
        """Count several, in seconds."""
        lengths = tuple(lengths)
        self.total += sum(lengths)
        for place, number in Counter(map(_PLACE, lengths)).items():
            self.counts[place] += number


_PLACE: Final = partial(bisect_left, BOUNDS)


class Timing:
    """One request message under way: when it began, and what it has waited for since."""

    __slots__ = ("began", "catalog", "instance", "key_manager", "parts")

    def __init__(self, parts: "list[Part] | None" = None) -> None:
        """Begin now; ``parts`` is filled in for a request that is to be told of as a trace."""
        self.began = now()
        self.catalog = 0.0
        """Seconds spent in commits."""
        self.key_manager = 0.0
        """Seconds spent with key managers."""
        self.instance = NOBODY
        self.parts = parts

    def committed(self, since: float) -> None:
        """A commit that began at ``since`` has come to its end."""
        ended = now()
        self.catalog += ended - since
        if self.parts is not None:
            self.parts.append(Part("catalog commit", since, ended))

    def asked(self, since: float) -> None:
        """A wait for a key manager that began at ``since`` has come to its end."""
        ended = now()
        self.key_manager += ended - since
        if self.parts is not None:
            self.parts.append(Part("key manager", since, ended))


@dataclass(frozen=True, slots=True)
class Part:
    """What a request has waited for, between two readings of :data:`now`."""

    what: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One request, as it is told of as a trace."""

    operation: str
    outcome: str
    instance: str
    began: float
    ended: float
    parts: Sequence[Part]


Kind = tuple[str, int, int, int]
"""Instance, operation, Result Status and Result Reason (0: none)."""
Waiting = tuple[Kind, float, float, float]
"""A message of one item that is to be added: its kind, what it took, and how much of that was others' time."""


@dataclass(slots=True)
class Meter:
    """The numbers of one process since its start."""

    drawn: Callable[[], bool] | None = None
    """Whether the request that begins now is to be told of as a trace."""
    trace: Callable[[Trace], None] | None = None
    requests: dict[Kind, int] = field(default_factory=dict)
    """Batch items by their kind; see :func:`operation_named` and :func:`outcome_named`."""
    seconds: dict[int, Spread] = field(default_factory=dict)
    """What whole messages took, by the operation of their one item; of several items: :data:`BATCH`."""
    parts: tuple[Spread, Spread, Spread] = field(default_factory=lambda: (Spread(), Spread(), Spread()))
    """What each message took of Keyrack's own time, of key managers' and of commits'."""
    calls: dict[tuple[str, str, str], Spread] = field(default_factory=dict)
    """Calls to key managers, by configured name, verb and what they came to."""
    unwrapped_at: dict[str, float] = field(default_factory=dict)
    """When a key manager last unwrapped something, in seconds since 1970."""
    instances: set[str] = field(default_factory=set)
    waiting: list[Waiting] = field(default_factory=list)

    def begin(self) -> Timing:
        """A request message has come in."""
        return Timing() if self.drawn is None or not self.drawn() else Timing([])

    def answered(self, timing: Timing, items: Sequence[ResponseBatchItem]) -> None:
        """It has been answered with these items. Most are only noted here, and added many at a time."""
        took = now() - timing.began
        if len(items) == 1:
            item = items[0]
            kind = (timing.instance, item.operation or 0, item.result_status, item.result_reason or 0)
            self.waiting.append((kind, took, timing.key_manager, timing.catalog))
            if len(self.waiting) >= AT_ONCE:
                self.settle()
        else:
            self._several(timing, items, took)
        if timing.parts is not None and self.trace is not None:
            self._tell(self.trace, timing, items, timing.began + took)

    def settle(self) -> None:
        """Add what waits; whoever reads the numbers does this first."""
        waiting, self.waiting = self.waiting, []
        by_operation: dict[int, list[float]] = {}
        for kind, number in Counter(each[0] for each in waiting).items():
            self._count(kind, number)
        for kind, took, _, _ in waiting:
            by_operation.setdefault(kind[1], []).append(took)
        for operation, lengths in by_operation.items():
            self._spread(operation).add_all(lengths)
        own, key_manager, catalog = self.parts
        own.add_all(took - others - commits for _, took, others, commits in waiting)
        key_manager.add_all(others for _, _, others, _ in waiting if others)
        catalog.add_all(commits for _, _, _, commits in waiting if commits)

    def _several(self, timing: Timing, items: Sequence[ResponseBatchItem], took: float) -> None:
        for item in items:
            reason = item.result_reason or 0
            self._count((timing.instance, item.operation or 0, item.result_status, reason), 1)
        self._spread(BATCH).add(took)
        waits = (took - timing.key_manager - timing.catalog, timing.key_manager, timing.catalog)
        for spread, seconds in zip(self.parts, waits, strict=True):
            if seconds:
                spread.add(seconds)

    def _count(self, kind: Kind, number: int) -> None:
        instance, operation, status, reason = kind
        if instance not in self.instances:
            instance = self._entered(instance)
        kind = (instance, operation if operation in _OPERATIONS else 0, status, reason)
        self.requests[kind] = self.requests.get(kind, 0) + number

    def _spread(self, operation: int) -> Spread:
        known = operation if operation == BATCH or operation in _OPERATIONS else 0
        return self.seconds.setdefault(known, Spread())

    def called(self, key_manager: str, verb: str, outcome: str, seconds: float) -> None:
        """A call to a key manager of this configured name has come to its end."""
        kind = (key_manager, verb, outcome)
        spread = self.calls.get(kind)
        if spread is None:
            spread = self.calls[kind] = Spread()
        spread.add(seconds)
        if outcome == SUCCESS and verb in UNWRAPS:
            self.unwrapped_at[key_manager] = time.time()

    def _entered(self, instance: str) -> str:
        if len(self.instances) >= MOST_INSTANCES and instance != NOBODY:
            return OTHER
        self.instances.add(instance)
        return instance

    def _tell(
        self, trace: Callable[[Trace], None], timing: Timing, items: Sequence[ResponseBatchItem], ended: float
    ) -> None:
        first = next((each for each in items if each.result_status != ResultStatus.SUCCESS), items[0])
        operation = (items[0].operation or 0) if len(items) == 1 else BATCH
        trace(
            Trace(
                operation=operation_named(operation),
                outcome=outcome_named(first.result_status, first.result_reason or 0),
                instance=timing.instance,
                began=timing.began,
                ended=ended,
                parts=timing.parts or (),
            )
        )


BATCH: Final = -1
"""In the place of an operation: a message of several items."""
UNWRAPS: Final = frozenset({"unwrap", "probe"})
"""Verbs of a key manager that prove that a root key unwraps."""
_OPERATIONS: Final = {int(each): each.title for each in Operation}
_REASONS: Final = {int(each): each.title for each in ResultReason}


def operation_named(operation: int) -> str:
    """The title of an operation as a label; whatever else a client has sent is ``unknown``."""
    return "Batch" if operation == BATCH else _OPERATIONS.get(operation, "unknown")


def outcome_named(status: int, reason: int) -> str:
    """``success``, ``undone``, or the title of the Result Reason."""
    if status == ResultStatus.SUCCESS:
        return SUCCESS
    if status == ResultStatus.OPERATION_UNDONE:
        return "undone"
    return _REASONS.get(reason, "unknown")
