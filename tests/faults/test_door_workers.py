"""The listener in two processes on one port: a death, a renewed certificate, an orderly end."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.testing.certificates import Identity, client, client_context, server
from keyrack.testing.client import Client, ConnectionEnded

HEADER = b"\x42\x00\x78\x01\x00\x00\x00\x08"

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from keyrack.shell.kmip.server import KmipServer
from keyrack.shell.kmip.tls import TlsSettings
from keyrack.shell.kmip.workers import run_workers, serve

class One:
    def known(self, fingerprint):
        return fingerprint == sys.argv[2]

class Desk:
    async def answer(self, frame, peer):
        if frame.endswith(b"sleep..."):
            await asyncio.sleep(0.5)
        return bytearray(frame[:8]) + str(os.getpid()).rjust(8).encode()

def run(worker):
    directory = Path(sys.argv[1])
    settings = TlsSettings(certificate=directory / "server.pem", key=directory / "server.key")

    async def work():
        server = KmipServer(Desk(), One(), settings)
        ready = lambda: os.write(1, f"{worker.listener.getsockname()[1]}\\n".encode())
        await serve(server, worker, ready=ready)

    asyncio.run(work())
    return 0

sys.exit(run_workers(run, host="127.0.0.1", port=0, count=2))
"""


@dataclass
class Two:
    """The parent, its port, and how to connect."""

    process: "subprocess.Popen[bytes]"
    directory: Path
    me: Identity
    trusted: list[bytes]

    def __post_init__(self) -> None:
        assert self.process.stdout is not None
        self.port = int([self.process.stdout.readline() for _ in range(2)][0])

    def connect(self) -> Client:
        """A client of whichever worker the kernel picks."""
        return Client(("127.0.0.1", self.port), client_context(self.me, self.trusted))

    def worker_of(self, talking: Client) -> int:
        """The pid of the worker that answers."""
        return int(talking.exchange(HEADER + b"who are?")[8:])


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    """Two workers of one parent."""
    me, identity = client(), server(None)
    identity.write(tmp_path, "server")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), me.fingerprint],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    try:
        yield Two(process, tmp_path, me, [identity.pem])
    finally:
        process.kill()
        process.communicate()


def test_both_workers_answer_and_a_dead_one_is_replaced(two: Two) -> None:
    """Killed at once, it takes its own connections with it and no other; new ones all succeed."""
    with contextlib.ExitStack() as open_ones:
        talking = [open_ones.enter_context(two.connect()) for _ in range(30)]
        workers = {two.worker_of(each) for each in talking}
        assert 2 == len(workers)
        victim = min(workers)
        kept = [each for each in talking if two.worker_of(each) != victim]
        os.kill(victim, signal.SIGKILL)

        replaced = set()
        for _ in range(30):
            with two.connect() as late:
                replaced.add(two.worker_of(late))

        assert victim not in replaced
        assert 2 == len(replaced)
        assert workers - {victim} == {two.worker_of(each) for each in kept}


def test_sighup_renews_the_certificate_in_both(two: Two) -> None:
    """New connections of either worker see the new one; open connections live on."""
    renewed = server(None)
    with two.connect() as early:
        two.worker_of(early)
        renewed.write(two.directory, "server")
        two.trusted.append(renewed.pem)
        two.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 5
        shown: set[bytes] = set()
        while shown != {renewed.der} and time.monotonic() < until:
            shown = set()
            for _ in range(12):
                with two.connect() as late:
                    shown.add(late.server_certificate)

        assert {renewed.der} == shown
        assert two.worker_of(early)


def test_sigterm_answers_what_is_under_way_and_ends_with_0(two: Two) -> None:
    """A request that a worker has taken is answered, and its client sees a proper close."""
    with two.connect() as busy:
        busy.send(HEADER + b"sleep...")
        time.sleep(0.1)
        two.process.send_signal(signal.SIGTERM)

        assert HEADER == busy.receive()[:8]
        with pytest.raises(ConnectionEnded):
            busy.receive()
    assert 0 == two.process.wait(10)
