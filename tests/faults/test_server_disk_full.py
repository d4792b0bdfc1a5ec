"""The disk fills up at random instants under load: refusals instead of lies, and work goes on when there is room again.

Everything of the deployment lies on that disk, the log of the server too.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from keyrack.spec.enumerations import Operation
from keyrack.testing.client import Client
from keyrack.testing.patient import Patients
from keyrack.testing.process import Deployment
from keyrack.testing.small_disk import CannotMount, SmallDisk, small_disk

ROUNDS = 4
ROUNDS_LONG = 60
SIZE = 256
"""Mebibytes of the disk; the long form makes some 150 of keys and journal."""
ANSWER_WITHIN = 2.0
RECOVER_WITHIN = 5.0
FREE_FOR = (0.02, 0.2)
FREE_FOR_LONG = (0.5, 2.0)
"""Seconds of load before the disk is filled. In the long form the log must be emptied now and then, or it is the log
that fills the disk."""
FULL_FOR = (0.1, 0.4)
"""Seconds with no room, counted from when everybody has been refused once."""
FULL_AT_MOST = 1.5
"""Seconds to wait for that."""


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


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """A disk that can be filled."""
    try:
        with small_disk(tmp_path_factory.mktemp("small") / "disk", SIZE) as mounted:
            yield mounted
    except CannotMount as error:
        pytest.skip(f"no tmpfs can be mounted here, which needs root: {error}")


@pytest.fixture
def deployment(disk: SmallDisk, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment with everything on that disk."""
    made = Deployment(directory=disk.path / request.node.name).initialise()
    yield made
    made.stop()


def endure(disk: SmallDisk, deployment: Deployment, rounds: int, free_for: tuple[float, float]) -> Seen:
    """Fill and free the disk so many times under load."""
    contexts = deployment.furnish()
    address = deployment.start()
    discover: Counter[str] = Counter()
    with Client(address, contexts["a"]) as idle, Patients(address, contexts) as patients:
        recovery = 0.0
        for _ in range(rounds):
            time.sleep(random.uniform(*free_for))
            recovery = max(recovery, _one_round(disk, patients, idle, discover))
    broken = patients.broken(address)
    deployment.stop()
    return Seen(
        promises=len(patients.promises),
        refused=patients.refused,
        discover=discover,
        slowest=patients.slowest,
        recovery=recovery,
        problems=patients.problems,
        broken=broken,
        broken_after_restart=patients.broken(deployment.start()),
    )


def _one_round(disk: SmallDisk, patients: Patients, idle: Client, discover: Counter[str]) -> float:
    """Fill, let everybody be refused, free; seconds until everybody has had a key made again."""
    disk.fill()
    full = time.monotonic()
    # The log may have room of its own that was used before: then work goes on for a while, and truly so.
    _until(lambda: all(patient.refused_at > full for patient in patients.all), FULL_AT_MOST)
    time.sleep(random.uniform(*FULL_FOR))
    discover[idle.try_(Operation.DISCOVER_VERSIONS).status.name] += 1
    disk.free()
    free = time.monotonic()
    assert _until(lambda: all(patient.made_at > free for patient in patients.all), 2 * RECOVER_WITHIN), (
        patients.problems or f"{disk.left} bytes are free, and no key is made"
    )
    return max(patient.made_at for patient in patients.all) - free


def _until(true: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.002)
    return True


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
    check(endure(disk, deployment, ROUNDS, FREE_FOR))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_disk_that_fills_up_often_is_got_over(disk: SmallDisk, deployment: Deployment) -> None:
    """The same 60 times, with more work between."""
    check(endure(disk, deployment, ROUNDS_LONG, FREE_FOR_LONG))
