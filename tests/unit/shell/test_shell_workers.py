"""Workers: a process each, one port, started again when they end, ended by their parent."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, threading, time
from keyrack.shell.kmip.workers import run_workers

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # whole, where several write to one pipe

def run(worker):
    kind = sys.argv[1]
    if kind == "broken":
        return 2
    worker.listener.listen(16)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set() if kind != "deaf" else None)
    signal.signal(signal.SIGHUP, lambda *_: say("hangup", worker.index))
    if worker.lifeline is not None:
        threading.Thread(target=lambda: (os.read(worker.lifeline, 1), over.set()), daemon=True).start()
    say("ready", worker.index, os.getpid(), worker.listener.getsockname()[1])
    while not over.wait(0.02):
        pass
    say("over", worker.index)
    return 0

sys.exit(run_workers(run, host="127.0.0.1", port=0, count=int(sys.argv[2]), grace=1.0))
"""


class Running:
    """The parent process and what its workers print."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def said(self, word: str, count: int = 1) -> list[list[str]]:
        """The next ``count`` lines; each must begin with the word."""
        assert self.process.stdout is not None
        lines = [self.process.stdout.readline().split() for _ in range(count)]
        assert [word] * count == [line[0] for line in lines]
        return lines


@contextlib.contextmanager
def running(kind: str, count: int) -> Iterator[Running]:
    """Run the program; whatever is left of it is killed in the end, by pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, kind, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")},
    )
    try:
        yield Running(process)
    finally:
        process.kill()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def is_alive(pid: int) -> bool:
    """Whether a process (not ours to wait for) still runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(pid: int, within: float = 5.0) -> bool:
    """Whether a process ends in time."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not is_alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_workers_share_a_port_and_end_with_sigterm() -> None:
    """Two processes, one port; told to end they end by themselves, and the exit code is 0."""
    with running("good", 2) as program:
        lines = program.said("ready", 2)
        program.process.send_signal(signal.SIGTERM)
        program.said("over", 2)

        assert 0 == program.process.wait(5)
        assert 1 == len({port for _, _, _, port in lines})
        assert 2 == len({pid for _, _, pid, _ in lines})


def test_a_worker_that_dies_is_started_again_and_no_connection_is_refused() -> None:
    """Its socket stays open in the parent: who connects meanwhile waits in the backlog."""
    with running("good", 2) as program:
        lines = program.said("ready", 2)
        os.kill(int(lines[0][2]), signal.SIGKILL)
        for _ in range(20):
            socket.create_connection(("127.0.0.1", int(lines[0][3])), 1).close()

        (again,) = program.said("ready")

        assert lines[0][1] == again[1]
        assert lines[0][2] != again[2]


def test_workers_end_when_their_parent_is_killed() -> None:
    """No orphan goes on serving, on a socket that nobody watches."""
    with running("good", 2) as program:
        pids = [int(line[2]) for line in program.said("ready", 2)]
        program.process.kill()

        assert [True, True] == [ends(pid) for pid in pids]


def test_a_worker_that_does_not_listen_to_sigterm_is_killed_after_the_grace() -> None:
    """By pid, and no one else."""
    with running("deaf", 2) as program:
        pids = [int(line[2]) for line in program.said("ready", 2)]
        program.process.send_signal(signal.SIGINT)

        assert 0 == program.process.wait(5)
        assert [True, True] == [ends(pid) for pid in pids]


def test_sighup_reaches_each_worker() -> None:
    """Certificates are read again in all processes."""
    with running("good", 2) as program:
        program.said("ready", 2)
        program.process.send_signal(signal.SIGHUP)

        assert {"0", "1"} == {index for _, index in program.said("hangup", 2)}


def test_workers_that_cannot_start_end_the_parent_with_their_code() -> None:
    """A wrong configuration is not tried for ever."""
    with running("broken", 2) as program:
        assert 2 == program.process.wait(5)


def test_one_worker_runs_without_a_parent() -> None:
    """No fork where there is nothing to share."""
    with running("good", 1) as program:
        ((_, _, pid, _),) = program.said("ready")

        assert program.process.pid == int(pid)


def test_a_port_in_use_is_an_error_before_anything_starts() -> None:
    """Another server may have it, with workers of its own or without."""
    from keyrack.shell.kmip.workers import run_workers

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        run_workers(lambda worker: 0, host="127.0.0.1", port=taken.getsockname()[1], count=2)
