"""The disk fills up at random instants under load: refusals instead of lies, and work goes on when there is room again.

Everything of the deployment lies on that disk, the log of the server too.
"""

import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from keyrack.spec.enumerations import Operation, ResultReason
from keyrack.testing.client import Client, Refused
from keyrack.testing.ledger import Promise, broken
from keyrack.testing.process import Deployment
from keyrack.testing.small_disk import CannotMount, SmallDisk, small_disk
from keyrack.testing.streams import Writer

ROUNDS = 10
ROUNDS_LONG = 200
SIZE = 256
"""Mebibytes of the disk."""
ANSWER_WITHIN = 2.0
RECOVER_WITHIN = 5.0
FULL_FOR = (0.1, 0.4)
"""Seconds with no room, counted from the first refusal."""
PAUSE = 0.005
"""Seconds between two requests of one client, so that the disk lasts."""


@dataclass(slots=True)
class Patient:
    """A client that goes on asking, takes refusals for an answer, and notes how long each answer took."""

    client: Client
    instance: str
    stop: threading.Event
    writer: Writer = field(init=False)
    slowest: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    created_at: float = 0.0
    refused_at: float = 0.0

    def __post_init__(self) -> None:
        self.writer = Writer(self.client, self.instance, "patient")

    def run(self) -> None:
        """Create, Get and Register in turn, until told to stop."""
        try:
            while not self.stop.is_set():
                self._try("Create", self.writer.create)
                if self.writer.promises:
                    self._try("Get", lambda: self.writer.get(self.writer.promises[0]))
                self._try("Register", self.writer.register)
        except (OSError, AssertionError) as error:
            self.problems.append(f"{type(error).__name__}: {error}")

    def _try(self, what: str, ask: Callable[[], object]) -> None:
        began = time.monotonic()
        try:
            ask()
            self.created_at = time.monotonic()
        except Refused as refusal:
            self.refused[what] += 1
            self.refused_at = time.monotonic()
            if refusal.answer.reason != ResultReason.GENERAL_FAILURE:
                self.problems.append(f"{what}: {refusal}")
        self.slowest = max(self.slowest, time.monotonic() - began)
        time.sleep(PAUSE)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """A disk that can be filled."""
    try:
        with small_disk(tmp_path_factory.mktemp("small") / "disk", SIZE) as mounted:
            yield mounted
    except CannotMount as error:
        pytest.skip(f"no tmpfs can be mounted here, which needs root: {error}")


@pytest.fixture
def deployment(disk: SmallDisk) -> Iterator[Deployment]:
    """A deployment with everything on that disk, its log too."""
    made = Deployment(directory=disk.path / "deployment").initialise()
    yield made
    made.stop()


@dataclass(slots=True, kw_only=True)
class Seen:
    """What a run has shown; times in seconds."""

    promises: int
    refused: Counter[str]
    discover: Counter[str]
    """How Discover Versions was answered, on a connection that was idle, while the disk was full."""
    slowest: float
    """Of all answers."""
    recovery: float
    """From the first free byte until every client has had a key made, at the worst."""
    problems: list[str]
    broken: list[str]
    broken_after_restart: list[str]


def endure(disk: SmallDisk, deployment: Deployment, rounds: int) -> Seen:
    """Fill and free the disk so many times under load."""
    contexts = deployment.furnish()
    address = deployment.start()
    stop = threading.Event()
    patients = [Patient(Client(address, contexts[name]), name, stop) for name in ("a", "a", "b", "b")]
    idle = Client(address, contexts["a"])
    threads = [threading.Thread(target=patient.run, daemon=True) for patient in patients]
    for thread in threads:
        thread.start()
    discover: Counter[str] = Counter()
    recovery = max(_one_round(disk, patients, idle, discover) for _ in range(rounds))
    stop.set()
    for thread in threads:
        thread.join(15)
    promises = [promise for patient in patients for promise in patient.writer.promises]
    broken_now = _judged(address, contexts, promises)
    for client in (idle, *(patient.client for patient in patients)):
        client.close()
    deployment.stop()
    return Seen(
        promises=len(promises),
        refused=sum((patient.refused for patient in patients), Counter()),
        discover=discover,
        slowest=max(patient.slowest for patient in patients),
        recovery=recovery,
        problems=[problem for patient in patients for problem in patient.problems],
        broken=broken_now,
        broken_after_restart=_judged(deployment.start(), contexts, promises),
    )


def _one_round(disk: SmallDisk, patients: list[Patient], idle: Client, discover: Counter[str]) -> float:
    """Fill, let everybody be refused, free; seconds until everybody has had a key made again."""
    time.sleep(random.uniform(0.02, 0.2))
    disk.fill()
    full = time.monotonic()
    _until(lambda: all(patient.refused_at > full for patient in patients))
    time.sleep(random.uniform(*FULL_FOR))
    discover[idle.try_(Operation.DISCOVER_VERSIONS).status.name] += 1
    disk.free()
    free = time.monotonic()
    _until(lambda: all(patient.created_at > free for patient in patients))
    return max(patient.created_at for patient in patients) - free


def _until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 2 * RECOVER_WITHIN
    while not true():
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.002)


def _judged(address: tuple[str, int], contexts: Mapping[str, ssl.SSLContext], promises: list[Promise]) -> list[str]:
    problems = []
    for name, context in contexts.items():
        with Client(address, context, timeout=60) as asking:
            problems += broken(asking, [promise for promise in promises if promise.instance == name])
    return problems


def check(seen: Seen) -> None:
    """Refusals in time, nothing lost, work again in time."""
    print(seen)  # noqa: T201
    assert [] == seen.problems
    assert [] == seen.broken
    assert [] == seen.broken_after_restart
    assert {"Create", "Get", "Register"} == set(seen.refused)
    assert seen.slowest < ANSWER_WITHIN
    assert seen.recovery < RECOVER_WITHIN


def test_a_full_disk_is_refused_and_got_over(disk: SmallDisk, deployment: Deployment) -> None:
    """No answer takes over 2 s, no acknowledged key is lost, and 5 s after there is room again all is well."""
    check(endure(disk, deployment, ROUNDS))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_disk_that_fills_up_often_is_got_over(disk: SmallDisk, deployment: Deployment) -> None:
    """The same 200 times."""
    check(endure(disk, deployment, ROUNDS_LONG))
