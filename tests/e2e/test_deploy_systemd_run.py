"""What the unit of systemd forbids, a real server does not do: its system calls are held against the unit."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from keyrack.testing.client import Client
from keyrack.testing.power import pull_the_plug, strace
from keyrack.testing.process import deployed
from keyrack.testing.streams import Writer, boot
from keyrack.testing.web_process import WITH_API, beside

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "keyrack.service"
SETTINGS = [line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"\w+=", line)]
BEYOND = frozenset({"fchown", "fchown32"})
"""SQLite calls it where it runs as root, as a test may."""

pytestmark = [
    pytest.mark.skipif(strace() is None, reason="strace is not installed: apt-get install strace"),
    pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd: apt-get install systemd"),
]


def members(group: str) -> set[str]:
    """The system calls of one of systemd's groups, and of those in it."""
    told = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", group], capture_output=True, text=True, check=True
    ).stdout
    words = [line.strip() for line in told.splitlines()[1:]]
    found = {word for word in words if word and not word.startswith(("#", "@"))}
    return found.union(*(members(word) for word in words if word.startswith("@")))


def permitted() -> set[str]:
    """What the unit's filters let through, in their order."""
    found: set[str] = set()
    for value in [value for name, value in SETTINGS if name == "SystemCallFilter"]:
        words = value.lstrip("~").split()
        named = set().union(*(members(word) if word.startswith("@") else {word} for word in words))
        found = found - named if value.startswith("~") else found | named
    return found


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every system call of a server and its web process that start, make keys, give them out and answer a probe."""
    directory = tmp_path_factory.mktemp("traced")
    deployment = deployed(directory / "d", WITH_API)
    context = deployment.furnish()["b"]
    trace = directory / "trace"
    deployment.wrapper = (strace() or "", "-f", "-qq", "-e", "signal=none", "-o", str(trace))
    address = deployment.start()
    try:
        with Client(address, context) as line:
            boot(Writer(line, "b", "group"))
        until = time.monotonic() + 20
        while beside(deployment).ask("GET", "/health/ready").status != 200:
            assert time.monotonic() < until, "it does not get ready"
            time.sleep(0.2)
    finally:
        pull_the_plug(deployment)
    # What one thread says in the middle of another's line is told in two halves; the first has all that counts.
    return trace.read_text(errors="replace")


def test_no_call_is_filtered(calls: str) -> None:
    """A call that the filter refuses fails only when it is made, which may be in a year."""
    made = set(re.findall(r"^\d+ +([a-z]\w+)\(", calls, re.MULTILINE))

    assert {"fdatasync", "accept4", "vfork"} & made
    assert set() == made - permitted() - BEYOND


def test_no_memory_is_mapped_that_the_unit_forbids(calls: str) -> None:
    """The TLS engine's callbacks need memory that is writable and executable: the unit must not forbid it."""
    both = re.search(r"(mmap|mprotect)\([^)]*PROT_WRITE\|PROT_EXEC", calls)
    forbidden = ["MemoryDenyWriteExecute", "true"] in SETTINGS

    assert not (both and forbidden), both
    assert both, "nothing needs it any more: write MemoryDenyWriteExecute=true"


def test_no_family_of_sockets_is_used_that_the_unit_forbids(calls: str) -> None:
    """Unix, IPv4 and IPv6, and what the resolver asks the kernel by."""
    (families,) = [value.split() for name, value in SETTINGS if name == "RestrictAddressFamilies"]

    assert set(re.findall(r"socket(?:pair)?\((AF_\w+|PF_\w+)", calls)) <= set(families)


def test_nothing_is_written_but_the_state(calls: str) -> None:
    """ProtectSystem=strict: the deployment's directory, and nothing else."""
    opened = re.findall(r'openat\(\S+ "([^"]+)", [^)]*(?:O_WRONLY|O_RDWR|O_CREAT)', calls)
    made = re.findall(r'(?:mkdir|unlink|chmod)\("([^"]+)"', calls)

    (state,) = {re.sub(r"/d/.*", "/d/", path) for path in opened if path.endswith("/d/catalog.db")}
    elsewhere = {path for path in {*opened, *made} if not path.startswith((state, "/dev/null"))}
    # A virtual environment that root has installed is compiled already.
    assert {path for path in elsewhere if "__pycache__" not in path and path + "/" != state} == set()
