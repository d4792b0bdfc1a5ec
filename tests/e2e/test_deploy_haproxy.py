"""HAProxy as it is shipped, in front of two real servers: a node is killed, or all are unready, and clients go on."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.testing.certificates import server
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.process import Deployment, deployed
from keyrack.testing.streams import Writer
from keyrack.testing.web_process import WITH_API, beside

SHIPPED = Path(__file__).parents[2] / "deploy" / "haproxy" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
NET = f"127.{os.getpid() >> 8 & 127 | 1}.{os.getpid() & 255}"
"""Loopback addresses of this test's own, so that every port is the one in the file."""
NODES = (f"{NET}.11", f"{NET}.12")
FRONT = f"{NET}.10"
NAME = "keyrack.example.com"

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="needs haproxy: apt-get install haproxy")


def configured(directory: Path) -> Path:
    """The file as it is shipped, with addresses of this machine, and a log that can be read."""
    text = SHIPPED.read_text()
    for shipped, here in (
        ("192.0.2.", f"{NET}."),
        ("bind :", f"bind {FRONT}:"),
        ("/etc/haproxy/keyrack-ca.pem", str(directory / "ca.pem")),
        ("maxconn 20000", "maxconn 1000"),
        ("log /dev/log local0", "log stdout format raw daemon info"),
        ("\nglobal\n", f"\nglobal\n    stats socket {directory}/admin\n"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    if os.geteuid() != 0:
        text = re.sub(r"^    (chroot|user|group) .*\n", "", text, flags=re.MULTILINE)
    made = directory / "haproxy.cfg"
    made.write_text(text)
    return made


@dataclass(slots=True)
class Site:
    """Two nodes that hold the same key, and the proxy."""

    nodes: tuple[Deployment, Deployment]
    directory: Path
    writer: Writer
    client: Callable[[], Client]

    def get(self) -> None:
        """One Get of the key on a connection of its own, with the one retry that vCenter makes too."""
        for again in (True, False):
            try:
                with self.client() as line:
                    Writer(line, "a", "").get(self.writer.promises[0])
                return
            except (OSError, ConnectionEnded):
                if not again:
                    raise

    def states(self) -> dict[str, str]:
        """What HAProxy thinks of each server, ``UP`` or ``DOWN``; nothing while it starts."""
        with socket.socket(socket.AF_UNIX) as line:
            if line.connect_ex(str(self.directory / "admin")):
                return {}
            line.sendall(b"show stat\n")
            told = b"".join(iter(lambda: line.recv(65536), b"")).decode()
        rows = [row.split(",") for row in told.splitlines()[1:] if row]
        return {f"{row[0]}/{row[1]}": row[17].split()[0] for row in rows if row[1].startswith("node-")}

    def wait(self, **wanted: str) -> None:
        """Until HAProxy thinks so."""
        expected = {name.replace("__", "/").replace("node_", "node-"): state for name, state in wanted.items()}
        until = time.monotonic() + 25
        while not expected.items() <= self.states().items():
            assert time.monotonic() < until, self.states()
            time.sleep(0.1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The second node is a copy of the first, made when the key was there."""
    directory = tmp_path_factory.mktemp("site")
    surroundings = [
        {**WITH_API, "KEYRACK_KMIP__HOST": node, "KEYRACK_API__HOST": node, "KEYRACK_KMIP__PORT": "5696"}
        | {"KEYRACK_API__PORT": "8443", "KEYRACK_DEPLOYMENT__NODE": f"node-{number}"}
        for number, node in enumerate(NODES, 1)
    ]
    first = deployed(directory / "1", surroundings[0])
    pair = server(first.authority, hosts=[NAME, FRONT, *NODES])
    (first.directory / "tls" / "server.pem").write_bytes(pair.pem)
    (first.directory / "tls" / "server.key").write_bytes(pair.key_pem)
    (directory / "ca.pem").write_bytes(first.authority.pem)
    context = first.furnish()["a"]
    with Client(first.start(), context) as line:
        writer = Writer(line, "a", "site")
        writer.create()
    first.stop()
    nodes = (first, first.copied(directory / "2", surroundings[1]))
    try:
        for each in nodes:
            each.start()
        words = [HAPROXY or "haproxy", "-db", "-f", str(configured(directory))]
        with (directory / "haproxy.log").open("wb") as log:
            proxy = subprocess.Popen(words, stdout=log, stderr=log)
        try:
            yield Site(nodes, directory, writer, lambda: Client((FRONT, 5696), context))
        finally:
            proxy.kill()
            proxy.wait()
    finally:
        for each in nodes:
            with suppress(subprocess.TimeoutExpired):
                each.stop()


def test_haproxy_accepts_what_is_shipped(tmp_path: Path) -> None:
    """And says nothing against it."""
    (tmp_path / "ca.pem").write_bytes(server(None).pem)

    told = subprocess.run(
        [HAPROXY or "haproxy", "-c", "-f", str(configured(tmp_path))], capture_output=True, text=True, check=False
    )

    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.slow
def test_clients_go_on_when_a_node_is_killed(site: Site) -> None:
    """On new connections without a failure after one retry; those that were open are ended and not left to hang."""
    site.wait(kmip_ready__node_1="UP", kmip_ready__node_2="UP", api__node_1="UP")
    lines = [site.client() for _ in range(4)]
    for line in lines:
        Writer(line, "a", "").get(site.writer.promises[0])

    assert site.nodes[0].process is not None
    site.nodes[0].process.kill()
    began, gets = time.monotonic(), 0
    while time.monotonic() < began + 2:
        site.get()
        gets += 1

    assert gets > 5
    ended = 0
    for line in lines:
        try:
            Writer(line, "a", "").get(site.writer.promises[0])
        except (OSError, ConnectionEnded):
            ended += 1
        line.close()
    assert ended == 2
    site.wait(kmip_ready__node_1="DOWN", kmip_listening__node_1="DOWN", kmip_ready__node_2="UP")
    site.nodes[0].stop()
    site.nodes[0].start()
    site.wait(kmip_ready__node_1="UP", kmip_listening__node_1="UP")


@pytest.mark.slow
def test_nodes_that_are_not_ready_still_serve_what_they_can(site: Site) -> None:
    """With its key manager away a node serves what it holds: the proxy must not end that where no node is better."""
    site.wait(kmip_ready__node_1="UP", kmip_ready__node_2="UP")
    webs = [beside(each).pid for each in site.nodes]
    for pid in webs:
        os.kill(pid, signal.SIGSTOP)
    try:
        site.wait(kmip_ready__node_1="DOWN", kmip_ready__node_2="DOWN", kmip_listening__node_1="UP")

        site.get()
    finally:
        for pid in webs:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_the_health_that_is_asked(site: Site) -> None:
    """The program that containers and keepalived ask with."""
    program = SHIPPED.parents[1] / "keyrack-health.py"
    ask = ["python3", str(program)]
    known = ["--ca", str(site.directory / "ca.pem"), "--name", NAME, "--host", NODES[1]]

    assert subprocess.run([*ask, "live", *known], check=False).returncode == 0
    assert subprocess.run([*ask, "listening", "--host", NODES[1]], check=False).returncode == 0
    assert subprocess.run([*ask, "live", *known[2:]], check=False).returncode == 0
    assert subprocess.run([*ask, "listening", "--host", f"{NET}.13"], check=False).returncode == 1
    unknown_name = [*known[:2], "--host", NODES[1]]
    assert subprocess.run([*ask, "live", *unknown_name], check=False, capture_output=True).returncode == 1
