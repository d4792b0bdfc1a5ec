"""One run of one thing, what it cost, and the ratios between things of the same round."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run has cost. ``waits`` are seconds of single acts, sorted; empty where acts are too short for that."""

    operations: int
    elapsed: float
    cpu: float
    waits: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Thing:
    """Something to measure: a floor, a peer, or Keyrack. ``run`` takes the seconds that a run lasts."""

    name: str
    run: Callable[[float], Spent]
    processes: Callable[[], Iterable[int]] = field(default=tuple)
    """The processes besides this one that it uses, to tell what others used meanwhile."""


@dataclass(frozen=True, slots=True)
class Case:
    """Things that are measured one after the other in each round, and which of them are held against which."""

    name: str
    things: Sequence[Thing]
    against: Mapping[str, Sequence[str]]
    """For a thing's name the names of those that its cost is divided by."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run, and where it belongs. Microseconds for each operation."""

    round: int
    case: str
    thing: str
    cpu: float
    elapsed: float
    p99: float | None
    disturbed: float
    """Cores that others used meanwhile."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """The cost of one thing over another's, each round with itself: the median, the lowest and the highest."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{digits(self.median)} ({digits(self.low)}–{digits(self.high)})"


def cpu_of(process: int) -> float:
    """Seconds of CPU that a process has used, its ended threads too; of this one for 0. Linux: from its clock."""
    return time.process_time() if process == 0 else time.clock_gettime(~process << 3 | 2)


def cpu_of_all(processes: Iterable[int]) -> float:
    """The same for several."""
    return sum(map(cpu_of, processes))


def busy() -> float:
    """Seconds of CPU that the whole machine has used."""
    user, nice, system, _, _, irq, soft = map(int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8])
    return (user + nice + system + irq + soft) / _TICKS


def children() -> set[int]:
    """The processes that this one has started and that live. Linux."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(word) for path in tasks for word in path.read_text().split()}


def again(act: Callable[[], object], seconds: float, *, each: int = 1) -> Spent:
    """Call ``act`` for a while; one call is ``each`` operations."""
    waits: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    end, now = began + seconds, began
    while now < end:
        act()
        done = time.perf_counter()
        waits.append(done - now)
        now = done
    cpu = time.process_time() - cpu
    return Spent(len(waits) * each, now - began, cpu, sorted(waits) if each == 1 else ())


def together(
    runner: asyncio.Runner,
    act: Callable[[], Awaitable[object]],
    seconds: float,
    callers: int,
    others: Callable[[], Iterable[int]] = tuple,
) -> Spent:
    """Await ``act`` in so many tasks for a while; ``others`` are processes whose CPU counts too."""
    waits: list[float] = []

    async def caller(end: float) -> None:
        now = time.perf_counter()
        while now < end:
            await act()
            done = time.perf_counter()
            waits.append(done - now)
            now = done

    async def all_of_them() -> tuple[float, float]:
        watched = (0, *others())
        began, cpu = time.perf_counter(), cpu_of_all(watched)
        await asyncio.gather(*(caller(began + seconds) for _ in range(callers)))
        return time.perf_counter() - began, cpu_of_all(watched) - cpu

    elapsed, cpu = runner.run(all_of_them())
    return Spent(len(waits), elapsed, cpu, sorted(waits))


def measured(number: int, case: Case, thing: Thing, seconds: float) -> Run:
    """Run a thing once."""
    watched = (0, *thing.processes())
    before = busy() - cpu_of_all(watched)
    began = time.perf_counter()
    spent = thing.run(seconds)
    whole = time.perf_counter() - began
    others = max(busy() - cpu_of_all(watched) - before, 0.0)
    scale = 1e6 / spent.operations
    p99 = spent.waits[len(spent.waits) * 99 // 100] * 1e6 if spent.waits else None
    return Run(number, case.name, thing.name, spent.cpu * scale, spent.elapsed * scale, p99, others / whole)


def ratio(runs: Iterable[Run], thing: str, other: str, what: Callable[[Run], float]) -> Ratio:
    """The ratio of two things of one case."""
    told = {(run.round, run.thing): what(run) for run in runs}
    found = sorted(told[number, thing] / told[number, other] for number in {number for number, _ in told})
    return Ratio(statistics.median(found), found[0], found[-1])


def digits(number: float | None) -> str:
    """A number with about three digits."""
    if number is None:
        return "–"
    places = next((places for least, places in ((99.5, 0), (9.95, 1), (0.995, 2)) if number >= least), 3)
    return f"{number:,.{places}f}"


def ratios_table(cases: Sequence[Case], runs: Sequence[Run]) -> list[str]:
    """Every comparison, as lines of Markdown."""
    lines = ["| case | what | held against | CPU × (low–high) | time × (low–high) |", "|---|---|---|---:|---:|"]
    for case in cases:
        own = [run for run in runs if run.case == case.name]
        for thing, others in case.against.items():
            for other in others:
                cpu = ratio(own, thing, other, lambda run: run.cpu)
                elapsed = ratio(own, thing, other, lambda run: run.elapsed)
                lines.append(f"| {case.name} | {thing} | {other} | {cpu} | {elapsed} |")
    return lines


def costs_table(cases: Sequence[Case], runs: Sequence[Run]) -> list[str]:
    """What everything cost: medians with the lowest and the highest, in microseconds, as lines of Markdown."""
    lines = [
        "| case | what | CPU µs/op (low–high) | µs/op (low–high) | op/s | p99 µs |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case in cases:
        for thing in case.things:
            own = [run for run in runs if (run.case, run.thing) == (case.name, thing.name)]
            cpu, elapsed = spread(run.cpu for run in own), spread(run.elapsed for run in own)
            waits = [run.p99 for run in own if run.p99 is not None]
            p99 = statistics.median(waits) if waits else None
            rate = digits(1e6 / elapsed.median)
            lines.append(f"| {case.name} | {thing.name} | {cpu} | {elapsed} | {rate} | {digits(p99)} |")
    return lines


def spread(numbers: Iterable[float]) -> Ratio:
    """Median, lowest and highest."""
    found = sorted(numbers)
    return Ratio(statistics.median(found), found[0], found[-1])
