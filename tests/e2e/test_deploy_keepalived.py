"""keepalived as it is shipped: it accepts the file, and the address moves when a node stops to listen.

Two network namespaces with a cable between them, and the file's own addresses: nothing of this machine is touched.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
SHIPPED = DEPLOY / "keepalived" / "keepalived.conf"
KEEPALIVED = shutil.which("keepalived") or shutil.which("keepalived", path="/usr/sbin")
IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
ADDRESS = "192.0.2.10"
SECOND = (
    ("router_id node-1  ", "router_id node-2  "),
    ("priority 110", "priority 100"),
    ("unicast_src_ip 192.0.2.11", "unicast_src_ip 192.0.2.12"),
    ("        192.0.2.12  ", "        192.0.2.11  "),
)
"""What the comments of the file say of the second node."""
LISTENING = "import socket, time; held = socket.create_server(('127.0.0.1', 5696)); time.sleep(60)"

pytestmark = [
    pytest.mark.skipif(KEEPALIVED is None, reason="needs keepalived: apt-get install keepalived"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces"),
]


def configured(directory: Path, user: str, changes: Sequence[tuple[str, str]] = ()) -> Path:
    """The file with an account, an interpreter and a program of this machine's."""
    program = directory / "keyrack-health.py"
    shutil.copy(DEPLOY / "keyrack-health.py", program)
    text = SHIPPED.read_text()
    python = ("/opt/keyrack/bin/python", "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable)
    account = ("script_user keyrack keyrack", f"script_user {user}")
    for shipped, here in (account, python, ("/opt/keyrack/libexec/keyrack-health.py", str(program)), *changes):
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    made = directory / "keepalived.conf"
    made.write_text(text)
    return made


@dataclass(slots=True)
class Node:
    """A namespace, by a process that holds it."""

    holder: int
    directory: Path
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def run(self, *words: str) -> str:
        """A command in the namespace, to its end."""
        inside = ["nsenter", "-t", str(self.holder), "-n", *words]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """One that goes on."""
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                ["nsenter", "-t", str(self.holder), "-n", *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.running.append(process)
        return process

    @property
    def holds(self) -> bool:
        """Whether it has the address now."""
        return ADDRESS in self.run(str(IP), "-o", "address", "show", "dev", "eth0")


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    """Two, with a cable between them."""
    with ExitStack() as stack:
        # The scripts run as nobody, who cannot look into pytest's directories.
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyrack-keepalived-")))
        place.chmod(0o755)
        made = []
        for name in ("1", "2"):
            holder = subprocess.Popen(["unshare", "-n", "sleep", "120"], stderr=subprocess.DEVNULL)
            stack.callback(holder.wait)
            stack.callback(holder.kill)
            (place / name).mkdir()
            made.append(Node(holder.pid, place / name))
        time.sleep(0.3)
        try:
            made[0].run(
                str(IP), "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(made[1].holder)
            )
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine gives no network namespaces: {error.stderr}")
        for node, address in zip(made, ("192.0.2.11/24", "192.0.2.12/24"), strict=True):
            node.run(str(IP), "address", "add", address, "dev", "eth0")
            node.run(str(IP), "link", "set", "eth0", "up")
            node.run(str(IP), "link", "set", "lo", "up")
        try:
            yield made[0], made[1]
        finally:
            for process in [process for node in made for process in node.running]:
                process.terminate()
                process.wait()


def wait(node: Node, *, holds: bool, seconds: float = 15) -> float:
    """Until it has the address, or not; how long that took."""
    began = time.monotonic()
    while node.holds != holds:
        assert time.monotonic() < began + seconds, (node.directory / "log").read_text()
        time.sleep(0.1)
    return time.monotonic() - began


def test_keepalived_accepts_what_is_shipped(tmp_path: Path) -> None:
    """Both nodes' files. Its test of a file ends itself where scripts have another account than its own, so: root."""
    interfaces = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not interfaces:
        pytest.skip("this machine has no interface but the loopback, and keepalived wants one")
    for changes in ((), SECOND):
        made = configured(tmp_path, "root", [*changes, ("eth0", interfaces[0])])

        told = subprocess.run(
            [str(KEEPALIVED), "--config-test", "-f", str(made)], capture_output=True, text=True, check=False
        )

        assert (told.returncode, told.stdout + told.stderr) == (0, "")


def test_the_address_moves_to_who_listens(nodes: tuple[Node, Node]) -> None:
    """Neither is ready here, as when the key manager is away: one of them holds it all the same."""
    listeners = [node.start(sys.executable, "-c", LISTENING) for node in nodes]
    for node, changes in zip(nodes, ((), SECOND), strict=True):
        made = configured(node.directory, "nobody", changes)
        pids = ["-p", str(node.directory / "pid"), "-r", str(node.directory / "vrrp")]
        node.start(str(KEEPALIVED), "-n", "-l", *pids, "-f", str(made))
    wait(nodes[0], holds=True)
    assert not nodes[1].holds

    listeners[0].kill()

    assert wait(nodes[1], holds=True) < 8
    assert not nodes[0].holds
