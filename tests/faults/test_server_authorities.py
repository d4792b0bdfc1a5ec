"""Trust that is taken back under load, with two serving processes: nothing is served after the administrator's answer.

Pinned certificates, authorities, and leaves that are barred from coming in by one; connections that are busy, that are
idle, that begin anew all the time, and that try to resume an earlier session.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.catalogs import admission_queries
from keyrack.shell.kmip.taken import serving
from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.catalogs import executed
from keyrack.testing.certificates import Identity, authority, client
from keyrack.testing.client import Client, ConnectionEnded, Refused
from keyrack.testing.process import Deployment, Served, serve
from keyrack.testing.streams import Writer
from keyrack.testing.ttlv import text

AT_ONCE = 1.0
"""Seconds within which a change of trust counts on other processes."""
WORKERS = 2


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of two processes."""
    environment = {"KEYRACK_KMIP__WORKERS": str(WORKERS), "KEYRACK_API__ENABLED": "false"}
    running = serve(tmp_path_factory.mktemp("authorities"), instance="cluster", environment=environment)
    assert running.deployment is not None
    until = time.monotonic() + 10
    while len(serving(running.directory / "run")) < WORKERS:
        assert time.monotonic() < until
        time.sleep(0.02)
    yield running
    running.deployment.stop()


@pytest.fixture
def deployment(house: Served) -> Deployment:
    """What the commands of another process work on."""
    assert house.deployment is not None
    return house.deployment


@dataclass(slots=True)
class Load:
    """A client's connections: some ask without rest, others begin anew for each question."""

    house: Served
    identity: Identity
    uid: str
    over: threading.Event = field(default_factory=threading.Event)
    served: list[tuple[float, float]] = field(default_factory=list)
    """When it asked, and when it got the key, on the monotonic clock."""
    threads: list[threading.Thread] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    """When a connection that asks without rest was closed."""

    def begin(self, staying: int = 3, coming: int = 1) -> None:
        """Ask."""
        self.threads = [threading.Thread(target=self._stay, daemon=True) for _ in range(staying)]
        self.threads += [threading.Thread(target=self._come_and_go, daemon=True) for _ in range(coming)]
        for each in self.threads:
            each.start()

    def end(self) -> None:
        """Stop asking."""
        self.over.set()
        for each in self.threads:
            each.join(10)

    def _stay(self) -> None:
        context = self.house.context(self.identity, tls=ssl.TLSVersion.TLSv1_3)
        with contextlib.suppress(ConnectionEnded, OSError), Client(self.house.address, context) as asking:
            while not self.over.is_set():
                self._ask(asking)
        self.ended.append(time.monotonic())

    def _come_and_go(self) -> None:
        context = self.house.context(self.identity, tls=ssl.TLSVersion.TLSv1_2)
        while not self.over.is_set():
            with contextlib.suppress(ConnectionEnded, OSError), Client(self.house.address, context) as asking:
                self._ask(asking)

    def _ask(self, asking: Client) -> None:
        asked = time.monotonic()
        with contextlib.suppress(Refused):
            asking.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, self.uid))
            self.served.append((asked, time.monotonic()))
        self.over.wait(0.004)  # both cores are needed by the server, and by the command


def trust(deployment: Deployment, root: Identity, *options: str) -> None:
    """Have the instance trust an authority."""
    path = deployment.directory / f"root-{root.fingerprint[:12]}.pem"
    path.write_bytes(root.pem)
    told = deployment.read("authority", "add", "cluster", str(path), "--yes", *options)
    assert told["in_force"]["processes"] == told["in_force"]["of"] == WORKERS


def is_served(house: Served, identity: Identity) -> bool:
    """Whether a client gets an answer to a request."""
    try:
        with house.connect(identity=identity) as asking:
            return asking.try_(Operation.DISCOVER_VERSIONS).ok
    except (ssl.SSLError, ConnectionError, ConnectionEnded, OSError):
        return False


def a_session(house: Served, context: ssl.SSLContext) -> ssl.SSLSession | None:
    """The session of a connection that was closed in good order."""
    with socket.create_connection(house.address, 5) as plain, context.wrap_socket(plain) as wrapped:
        session = wrapped.session
        with contextlib.suppress(OSError):
            wrapped.unwrap()
        return session


def resumes(house: Served, context: ssl.SSLContext, session: ssl.SSLSession | None) -> bool:
    """Whether an earlier session opens the door."""
    try:
        with socket.create_connection(house.address, 5) as plain, context.wrap_socket(plain, session=session) as tls:
            tls.settimeout(2)
            tls.sendall(DISCOVER)
            return bool(tls.recv(1))
    except (ssl.SSLError, OSError):
        return False


DISCOVER = bytes.fromhex(
    "42007801000000604200770100000038420069010000002042006a0200000004000000010000000042006b0200000004000000010000000042"
    "000d0200000004000000010000000042000f010000001842005c05000000040000001e000000004200790100000000"
)

WAYS = ["a pin is removed", "an authority is removed", "a leaf is barred"]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_served_after_the_answer(house: Served, deployment: Deployment, way: str) -> None:
    """Connections ask without rest on both processes; not one question asked after the answer gets the key."""
    root = authority(way)
    mine, other = client(root, "mine"), client(root, "other")
    if way == "a pin is removed":
        deployment.add_client("cluster", mine)
    else:
        trust(deployment, root)
    with house.connect(identity=mine) as asking, house.connect(identity=mine) as idle:
        uid = Writer(asking, "cluster", way).create().uid
        load = Load(house, mine, uid)
        context = house.context(mine, tls=ssl.TLSVersion.TLSv1_2)
        session = a_session(house, context)
        load.begin()
        time.sleep(0.5)

        what, which = ("authority", root) if way == WAYS[1] else ("cert", mine)
        told = deployment.read(what, "remove", "cluster", which.fingerprint, "--yes")

        answered = time.monotonic()
        time.sleep(0.5)
        load.end()
        with pytest.raises((ConnectionEnded, OSError)):
            idle.receive()
    late = [asked for asked, _ in load.served if asked > answered]
    last = max(got for _, got in load.served)
    print(f"{way}: {len(load.served)} served, the last {answered - last:.3f} s before the answer; {told['in_force']}")  # noqa: T201
    assert len(load.served) > 50
    assert [] == late
    assert len(load.ended) == 3
    assert max(load.ended) - last < AT_ONCE
    assert told["in_force"]["processes"] == told["in_force"]["of"] == WORKERS
    assert told["in_force"]["seconds"] < AT_ONCE
    assert not resumes(house, context, session)
    assert not is_served(house, mine)
    assert is_served(house, other) == (way == WAYS[2])
    if way == WAYS[2]:
        deployment.run("authority", "unbar", "cluster", mine.fingerprint)
        assert is_served(house, mine)
        deployment.run("authority", "remove", "cluster", root.fingerprint, "--yes")


def test_the_catalog_alone_refuses_where_a_process_has_not_noticed(house: Served, deployment: Deployment) -> None:
    """The first request after the answer is refused by the transaction itself, on a connection that is still open."""
    root = authority("slow to notice")
    trust(deployment, root)
    with house.connect(identity=client(root)) as asking:
        uid = Writer(asking, "cluster", "slow").create().uid
        ((instance,),) = executed(deployment.catalog, "SELECT identifier FROM instance")
        executed(deployment.catalog, admission_queries.REMOVE_AUTHORITY, instance, root.fingerprint)
        began = time.monotonic()
        refused = False
        try:
            asking.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid))
        except (Refused, ConnectionEnded, OSError):
            refused = True
        assert refused
        assert time.monotonic() - began < 0.2


def test_who_knocks_is_listed_and_let_in_by_one_command(house: Served, deployment: Deployment) -> None:
    """ "Seen, not trusted": within two seconds; trusted by the beginning of its fingerprint, typed."""
    stranger = client(name="a vCenter that waits")
    assert not is_served(house, stranger)
    subject = "CN=a vCenter that waits"
    found = _eventually(lambda: [each for each in deployment.read("cert", "seen") if each["subject"] == subject])
    assert [(each["fingerprint"], each["address"], each["count"]) for each in found] == [
        (stranger.fingerprint, "127.0.0.1", 1)
    ]

    begins = stranger.fingerprint[:8]
    wrong = deployment.run("cert", "trust", "cluster", begins, "--confirm", "00000000", check=False)
    assert (wrong.returncode, is_served(house, stranger)) == (2, False)
    told = deployment.read("cert", "trust", "cluster", begins, "--confirm", begins)

    assert told["in_force"]["processes"] == WORKERS
    assert is_served(house, stranger)
    assert stranger.fingerprint not in {each["fingerprint"] for each in deployment.read("cert", "seen")}


def _eventually(look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What is found within some seconds: it is written down about each second."""
    until = time.monotonic() + 5
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def test_whom_an_authority_lets_in_is_listed(house: Served, deployment: Deployment) -> None:
    """With the authority that lets it in, and from where it came last."""
    root = authority("listed")
    trust(deployment, root, "--subject", "CN=vc*")
    assert is_served(house, client(root, "vc1"))
    assert not is_served(house, client(root, "esx1"))

    listed = _eventually(
        lambda: [each for each in deployment.read("cert", "list", "cluster") if each["authority"] == root.fingerprint]
    )

    assert [(each["subject"], each["address"]) for each in listed] == [("CN=vc1", "127.0.0.1")]
    refused = [each for each in deployment.read("cert", "seen") if each["subject"] == "CN=esx1"]
    assert ["its subject does not fit the pattern of authority" in each["reason"] for each in refused] == [True]


@pytest.mark.slow
def test_a_dead_process_does_not_count(house: Served, deployment: Deployment, tmp_path: Path) -> None:
    """What it has left in the run directory is known by its lock."""
    left = deployment.directory / "run/processes/999999.json"
    left.write_text('{"generation": 0, "certificate": ""}'.ljust(512))

    told = deployment.read("cert", "add", "cluster", str(_pem(tmp_path)))

    assert (told["in_force"]["processes"], told["in_force"]["of"]) == (WORKERS, WORKERS)
    left.unlink()


def _pem(directory: Path) -> Path:
    path = directory / "new.pem"
    path.write_bytes(client().pem)
    return path
