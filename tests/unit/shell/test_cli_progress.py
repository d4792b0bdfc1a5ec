"""Progress of long work: lines where nobody sits at a terminal, a bar where somebody does."""

import os
import pty
import subprocess
import sys

import pytest

from keyrack.service.moves.walk import Progress
from keyrack.shell.cli.progress import EVERY, watched

SCRIPT = """
import time
from keyrack.service.moves.walk import Progress
from keyrack.shell.cli.progress import watched

with watched("Reading", "Writing") as (reading, writing):
    reading(Progress(10, 10, 0, 10))
    writing(Progress(3, 2, 1, 40))
    time.sleep(0.3)
"""


def test_without_a_terminal_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with watched("Verifying keys", clock=lambda: now) as (report,):
        for done in range(101):
            now = done * EVERY / 50
            report(Progress(done, done, 0, 1000))

    assert capsys.readouterr().err.splitlines() == [
        "Verifying keys: 50 of 1000, 5 a second, 190 s left",
        "Verifying keys: 100 of 1000, 5 a second, 180 s left",
    ]


def test_what_has_failed_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with watched("Verifying keys", clock=lambda: now) as (report,):
        report(Progress(0, 0, 0, 10))
        now = EVERY
        report(Progress(5, 3, 2, 10))

    assert capsys.readouterr().err == "Verifying keys: 5 of 10, 0 a second, 10 s left, 2 failed\n"


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with watched("Verifying keys") as (report,):
        report(Progress(0, 0, 0, 0))
        report(Progress(10, 10, 0, 10))

    assert capsys.readouterr().err == ""


def test_at_a_terminal_a_bar_for_each_stage_that_has_begun() -> None:
    terminal, line = pty.openpty()
    done = subprocess.run([sys.executable, "-c", SCRIPT], stderr=line, stdout=subprocess.PIPE, check=True, timeout=60)
    os.close(line)
    told = b""
    try:
        while piece := os.read(terminal, 4096):
            told += piece
    except OSError:
        pass  # The other end is closed.
    os.close(terminal)

    text = told.decode(errors="replace")
    assert "Reading" in text
    assert "10/10" in text
    assert "3/40" in text
    assert "1 failed" in text
    assert done.stdout == b""
