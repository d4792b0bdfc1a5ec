"""How far long work is: a bar at a terminal, a line every ten seconds elsewhere; both on standard error."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from keyrack.service.moves.walk import Progress, Report

EVERY = 10.0
"""Seconds between two lines where nobody sits at a terminal."""


@contextmanager
def watched(*stages: str, clock: Callable[[], float] = time.monotonic) -> "Iterator[Sequence[Report]]":
    """Show the progress of each of several stages, one after the other, as long as the block lasts.

    ::

        with watched("Reading", "Writing") as (reading, writing):
    """
    if not sys.stderr.isatty():
        yield [_Lines(stage, clock).report for stage in stages]
        return
    bar = _bar()
    with bar:
        yield [
            _Task(bar, bar.add_task(stage, total=None, visible=False, rate="", failed="")).report for stage in stages
        ]


def _bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[failed]}"),
        console=Console(stderr=True),
        transient=True,
    )


class _Task:
    """One bar, which shows itself once there is something to show."""

    def __init__(self, bar: "Bar", task: "TaskID") -> None:
        self._bar = bar
        self._task = task

    def report(self, progress: "Progress") -> None:
        """Move it."""
        task = self._bar.tasks[self._task]
        speed = task.finished_speed or task.speed
        self._bar.update(
            self._task,
            completed=progress.done,
            total=progress.total or None,
            visible=progress.total > 0,
            rate=f"{speed:.0f} a second" if speed else "",
            failed=f"{progress.failed} failed" if progress.failed else "",
        )


class _Lines:
    """A line now and then."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._began: float | None = None
        self._told = 0.0

    def report(self, progress: "Progress") -> None:
        """Tell, if it is time."""
        now = self._clock()
        if self._began is None:
            self._began = self._told = now
        if now - self._told < EVERY:
            return
        self._told = now
        rate = progress.done / (now - self._began)
        left = f", {max(progress.total - progress.done, 0) / rate:.0f} s left" if rate else ""
        failed = f", {progress.failed} failed" if progress.failed else ""
        screen.note(f"{self._what}: {progress.done} of {progress.total}, {rate:.0f} a second{left}{failed}")
