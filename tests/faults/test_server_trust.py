"""Certificates that another process adds and removes while the server serves: it counts within a second, measured."""

import contextlib
import resource
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keyrack.spec.enumerations import Operation, ResultReason
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import Identity, client, client_context
from keyrack.testing.client import Client, ConnectionEnded, Refused
from keyrack.testing.process import Deployment, Served, serve
from keyrack.testing.streams import Writer
from keyrack.testing.ttlv import text

pytestmark = pytest.mark.alone
AT_ONCE = 1.0
"""Seconds within which a change of trust counts."""
IDLE = 2000
KIB_EACH = 100


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose clients come and go."""
    running = serve(tmp_path_factory.mktemp("trust"), instance="cluster")
    yield running
    assert running.deployment is not None
    running.deployment.stop()


@pytest.fixture
def deployment(house: Served) -> Deployment:
    """What the commands of a second process work on."""
    assert house.deployment is not None
    return house.deployment


@dataclass(slots=True)
class Asking:
    """A client that asks for one key without rest; times on the monotonic clock."""

    client: Client
    uid: str
    answered: list[tuple[float, float]] = field(default_factory=list)
    """When it asked, and when it was answered, each time that it got the key."""
    refused: Counter[int | None] = field(default_factory=Counter)
    ended: float | None = None

    def run(self) -> None:
        """Until the connection is closed."""
        while self.ended is None:
            asked = time.monotonic()
            try:
                self.client.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, self.uid))
                self.answered.append((asked, time.monotonic()))
            except Refused as refusal:
                self.refused[refusal.answer.reason] += 1
            except (ConnectionEnded, OSError):
                self.ended = time.monotonic()


def added(house: Served, deployment: Deployment) -> Identity:
    """A client that was just let in."""
    identity = client(deployment.authority, "passing by")
    deployment.add_client("cluster", identity)
    return identity


def within(seconds: float, attempt: Callable[[], bool]) -> float:
    """Seconds until the attempt succeeds."""
    began = time.monotonic()
    while not attempt():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.005)
    return time.monotonic() - began


def gets_in(house: Served, identity: Identity) -> bool:
    """Whether a client can shake hands and is answered."""
    try:
        with house.connect(identity=identity) as asking:
            return asking.try_(Operation.DISCOVER_VERSIONS).ok
    except (ssl.SSLError, ConnectionError):
        return False


def test_a_removed_certificate_gets_no_key_any_more(house: Served, deployment: Deployment) -> None:
    """Not one Get that is asked after the command has ended succeeds, and the busy connection is closed within 1 s."""
    identity = added(house, deployment)
    within(AT_ONCE, lambda: gets_in(house, identity))
    with house.connect(identity=identity) as asking, house.connect(identity=identity) as idle:
        busy = Asking(asking, Writer(asking, "cluster", "trust").create().uid)
        thread = threading.Thread(target=busy.run, daemon=True)
        thread.start()
        time.sleep(0.3)

        deployment.run("cert", "remove", "cluster", identity.fingerprint, "--yes")

        removed = time.monotonic()
        thread.join(10)
        assert busy.ended is not None
        with pytest.raises((ConnectionEnded, OSError)):
            idle.receive()
        idle_for = time.monotonic() - removed
    last = busy.answered[-1][1]
    print(f"closed {busy.ended - last:.3f} s after the last key; {busy.refused} between")  # noqa: T201
    assert len(busy.answered) > 10
    assert [] == [asked for asked, _ in busy.answered if asked > removed]
    assert busy.ended - removed < AT_ONCE
    assert idle_for < AT_ONCE
    assert {ResultReason.AUTHENTICATION_NOT_SUCCESSFUL} >= set(busy.refused)
    assert not gets_in(house, identity)


def test_an_added_certificate_gets_in_within_a_second(house: Served, deployment: Deployment) -> None:
    """From the end of the command to the first answer; before it, it does not."""
    identity = client(deployment.authority, "new")
    before = gets_in(house, identity)

    deployment.add_client("cluster", identity)

    took = within(AT_ONCE, lambda: gets_in(house, identity))
    print(f"let in after {took:.3f} s")  # noqa: T201
    assert not before


def test_others_notice_nothing_of_a_removal(house: Served, deployment: Deployment) -> None:
    """An open connection of another client of the same instance goes on."""
    with house.connect() as staying:
        uid = Writer(staying, "cluster", "trust").create().uid
        identity = added(house, deployment)

        deployment.run("cert", "remove", "cluster", identity.fingerprint, "--yes")

        within(AT_ONCE, lambda: not gets_in(house, identity))
        assert staying.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid)).ok


def test_a_certificate_that_comes_back_gets_its_keys_again(house: Served, deployment: Deployment) -> None:
    """Removed by mistake, added again: the keys were never gone."""
    identity = added(house, deployment)
    within(AT_ONCE, lambda: gets_in(house, identity))
    with house.connect(identity=identity) as asking:
        made = Writer(asking, "cluster", "trust").create()
    deployment.run("cert", "remove", "cluster", identity.fingerprint, "--yes")
    within(AT_ONCE, lambda: not gets_in(house, identity))

    deployment.add_client("cluster", identity)

    within(AT_ONCE, lambda: gets_in(house, identity))
    with house.connect(identity=identity) as asking:
        Writer(asking, "cluster", "trust").get(made)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """This process holds the other ends, and the server inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192) if hard > 0 else 8192, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.usefixtures("many_descriptors")
def test_idle_connections_of_the_whole_server_cost_little(tmp_path: Path) -> None:
    """2,000 that have each fetched a key: at most 100 KiB each, with everything behind the door running."""
    running = serve(tmp_path, instance="cluster")
    assert running.deployment is not None
    assert running.deployment.process is not None
    context = client_context(running.client, [running.authority.pem])
    pid = running.deployment.process.pid
    try:
        with contextlib.ExitStack() as held:
            first = held.enter_context(Client(running.address, context))
            uid = text(Tag.UNIQUE_IDENTIFIER, Writer(first, "cluster", "idle").create().uid)
            before = _resident(pid)
            for _ in range(IDLE):
                held.enter_context(Client(running.address, context)).ask(Operation.GET, uid)
            each = (_resident(pid) - before) / IDLE
            print(f"{each:.1f} KiB for each idle connection")  # noqa: T201
            assert each < KIB_EACH
    finally:
        running.deployment.stop()


def _resident(pid: int) -> int:
    """KiB of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
