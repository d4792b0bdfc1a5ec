"""What an idle connection costs: resident memory of a listener in a process of its own."""

import contextlib
import gc
import os
import resource
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyrack.testing.certificates import client, client_context
from keyrack.testing.client import Client

pytestmark = pytest.mark.alone
FRAME = b"\x42\x00\x78\x01\x00\x00\x00\x08" + b"question"
KIB_PER_CONNECTION = 100

PROGRAM = """
import sys, tempfile
from pathlib import Path
from keyrack.testing.listener import listening

class One:
    def known(self, fingerprint):
        return fingerprint == sys.argv[1]

with tempfile.TemporaryDirectory() as directory, listening(Path(directory), One()) as listener:
    print(listener.address[1], flush=True)
    print(listener.identity.pem.decode(), flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def server(fingerprint: str) -> Iterator[tuple[int, int, bytes]]:
    """Its pid, its port, its certificate."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, fingerprint],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        pem = b"".join(iter(process.stdout.readline, b"-----END CERTIFICATE-----\n")) + b"-----END CERTIFICATE-----\n"
        yield process.pid, port, pem
    finally:
        process.kill()
        process.communicate()


def resident(pid: int) -> int:
    """KiB of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Raise the limit of this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("tls", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_an_idle_connection_costs_little_and_newcomers_are_quick(
    count: int, tls: ssl.TLSVersion, record_property: Callable[[str, object], None]
) -> None:
    """After each has asked once, at most 100 KiB a connection; a new client meanwhile is served within 50 ms."""
    me = client()
    with server(me.fingerprint) as (pid, port, pem), contextlib.ExitStack() as held:
        context = client_context(me, [pem], tls=tls)
        with Client(("127.0.0.1", port), context) as first:
            assert FRAME == first.exchange(FRAME)
        before = resident(pid)
        gc.disable()
        for _ in range(count):
            assert FRAME == held.enter_context(Client(("127.0.0.1", port), context)).exchange(FRAME)
        gc.enable()
        each = (resident(pid) - before) / count
        times = []
        for _ in range(30):
            began = time.monotonic()
            with Client(("127.0.0.1", port), context) as late:
                assert FRAME == late.exchange(FRAME)
            times.append(time.monotonic() - began)

        record_property("KiB a connection", round(each, 1))
        record_property("newcomer, ms", round(sorted(times)[15] * 1000, 1))
        assert each < KIB_PER_CONNECTION
        assert sorted(times)[15] < 0.05
