"""How far long work is: a bar at a terminal, a line every ten seconds elsewhere; both on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from keyrack.service.walk import Progress, Report

EVERY = 10.0
"""Seconds between two lines where nobody sits at a terminal."""


@contextmanager
def watched(what: str, clock: Callable[[], float] = time.monotonic) -> "Iterator[Report]":
    """Show the progress of ``what``, such as ``"Verifying"``, as long as the block lasts."""
    if not sys.stderr.isatty():
        yield _Lines(what, clock).report
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[failed]}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(what, total=None, rate="", failed="")

    def report(progress: "Progress") -> None:
        speed = bar.tasks[task].finished_speed or bar.tasks[task].speed
        bar.update(
            task,
            completed=progress.done,
            total=progress.total or None,
            rate=f"{speed:.0f} a second" if speed else "",
            failed=f"{progress.failed} failed" if progress.failed else "",
        )

    with bar:
        yield report


class _Lines:
    """A line now and then."""

    def __init__(self, what: str, clock: Callable[[], float]) -> None:
        self._what = what
        self._clock = clock
        self._began = self._told = clock()

    def report(self, progress: "Progress") -> None:
        """Tell, if it is time."""
        now = self._clock()
        if now - self._told < EVERY:
            return
        self._told = now
        rate = progress.done / (now - self._began)
        left = f", {(progress.total - progress.done) / rate:.0f} s left" if rate and progress.total else ""
        failed = f", {progress.failed} failed" if progress.failed else ""
        screen.note(f"{self._what}: {progress.done} of {progress.total}, {rate:.0f} a second{left}{failed}")
