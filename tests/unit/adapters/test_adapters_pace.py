"""Who waits for the disk, and when the log is emptied."""

import sqlite3
from functools import partial
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite import pace
from keyrack.adapters.catalogs.sqlite.checkpoint import EVERY, Checkpointer
from keyrack.adapters.catalogs.sqlite.opening import connect, prepare
from keyrack.adapters.catalogs.sqlite.pace import QUICK, SLOW, Pace


class Clock:
    """A performance counter that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        """The time it is."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The counter that the pace reads."""
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def commits(watched: Pace, clock: Clock, seconds: float, count: int) -> list[bool]:
    """Let commits take so long; whether the loop may wait after each."""
    answers = []
    for _ in range(count):
        watched.begin()
        clock.now += seconds
        watched.end()
        answers.append(watched.quick)
    return answers


def test_the_loop_does_not_wait_for_an_unknown_disk(clock: Clock) -> None:
    """The first commits go to the thread; a quick disk proves itself before the loop waits for it."""
    watched = Pace()
    answers = commits(watched, clock, QUICK / 10, 100)

    assert (answers[0], answers[-1]) == (False, True)


def test_a_disk_that_stops_once_is_not_waited_for_again(clock: Clock) -> None:
    """One commit of two seconds is enough for the thread to take over."""
    watched = Pace()
    commits(watched, clock, QUICK / 10, 100)

    assert commits(watched, clock, 2.0, 1) == [False]


def test_between_quick_and_slow_nothing_changes(clock: Clock) -> None:
    """A disk at the border does not make the server change its way with every commit."""
    between = (QUICK + SLOW) / 2
    hesitant, settled = Pace(), Pace()
    commits(settled, clock, QUICK / 10, 100)

    assert {False} == set(commits(hesitant, clock, between, 200))
    assert {True} == set(commits(settled, clock, between, 200))


def test_the_log_is_emptied_now_and_then(tmp_path: Path) -> None:
    """After enough records the log begins anew, so it does not grow for ever."""
    path = tmp_path / "catalog.db"
    prepare(path)
    connection = connect(path)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    log = path.with_name(f"{path.name}-wal")
    checkpointer = Checkpointer(partial(connect, path, wait=1.0))
    lengths = []
    for round_ in range(6):
        for n in range(50):
            record = ("test", 50 * round_ + n, "x" * 2000, bytes(32))
            connection.execute("INSERT INTO journal (chain, sequence, text, hash) VALUES (?, ?, ?, ?)", record)
        lengths.append(log.stat().st_size)
        checkpointer.wrote(EVERY)
        checkpointer.close()
    connection.close()

    assert lengths[-1] < 2 * lengths[0]


def test_a_checkpoint_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """It is told in the log, and tried again later."""

    def fail() -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    checkpointer = Checkpointer(fail)
    checkpointer.wrote(EVERY)
    checkpointer.close()

    assert "could not be emptied: disk I/O error" in caplog.text


@pytest.mark.parametrize(("seconds", "tries"), [(0.0, 2), (60.0, 1)])
def test_a_checkpoint_that_failed_is_tried_again_by_the_clock(
    monkeypatch: pytest.MonkeyPatch, seconds: float, tries: int
) -> None:
    """Not only after as many records again: on a full disk the log would grow into all room that there is."""
    tried: list[int] = []

    def fail() -> sqlite3.Connection:
        tried.append(len(tried))
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("keyrack.adapters.catalogs.sqlite.checkpoint.RETRY", seconds)
    checkpointer = Checkpointer(fail)
    for records in (EVERY, 1):
        checkpointer.wrote(records)
        checkpointer.close()

    assert tries == len(tried)
