"""Two nodes over PostgreSQL at length: a hundred kills, twenty primaries lost, disks that fill up again and again."""

import itertools
import random
import signal
import time
from collections.abc import Iterator

import pytest

from keyrack.testing.clusters.checking import Span
from keyrack.testing.clusters.ground import Ground, ground
from keyrack.testing.clusters.history import Kind
from keyrack.testing.clusters.load import CLIENTS, Load, verdict
from keyrack.testing.clusters.rig import INSTANCE, Rig, rig
from keyrack.testing.clusters.way import State
from keyrack.testing.postgres import binaries
from keyrack.testing.small_disk import CannotMount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed"),
    pytest.mark.timeout(3600),
]
KILLS = 100
EVERY = 3.0
FAILOVERS = 20
FILLED = 15
PARTED = 20
BACK_WITHIN = 10.0


@pytest.fixture(scope="module")
def disks() -> Iterator[Ground]:
    try:
        with ground() as mounted:
            yield mounted
    except CannotMount as error:
        pytest.skip(f"no tmpfs can be mounted here: {error}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, disks: Ground) -> Iterator[Rig]:
    with rig(tmp_path_factory.mktemp("cluster"), grounds=(disks.a.path, disks.b.path)) as made:
        made.new_instance(INSTANCE, *CLIENTS)
        made.start()
        yield made


def check(cluster: Rig, load: Load, excused: list[Span]) -> None:
    """No promise is broken, nobody was left without in other times, the journal is whole, the standby the same."""
    problems = verdict(load, excused)
    print(load.counted())  # noqa: T201
    assert [] == problems
    cluster.nodes[1].deployment.run("audit", "verify")
    assert [] == cluster.pair.differences()


def test_a_hundred_kills(cluster: Rig) -> None:
    """SIGKILL and SIGTERM by turns, every three seconds: not one operation fails after one retry."""
    with Load(cluster, pause=0.05) as load:
        for number in range(KILLS):
            due = time.monotonic() + EVERY
            node = cluster.nodes[number % 2]
            node.kill((signal.SIGKILL, signal.SIGTERM)[number // 2 % 2])
            node.start()
            time.sleep(max(due - time.monotonic(), 0.5))
    check(cluster, load, [])


def test_twenty_primaries_are_lost(cluster: Rig) -> None:
    """By turns the old one is made anew or rewound, and now and then it was cut from its standby before."""
    excused, slowest = [], 0.0
    with Load(cluster, pause=0.05) as load:
        for number in range(FAILOVERS):
            time.sleep(2)
            since = time.monotonic()
            if number % 3 == 2:
                cluster.part_servers()
                time.sleep(random.uniform(0.1, 2))
            cluster.pair.kill_primary()
            cluster.pair.promote()
            cluster.join_servers()
            (cluster.pair.rewind if number % 2 else cluster.pair.rebuild)()
            there = time.monotonic()
            took = max(load.going_on(kind, since=there, within=BACK_WITHIN) for kind in (Kind.GET, Kind.CREATE))
            for node in cluster.nodes:
                node.await_listening(True, BACK_WITHIN)
            slowest = max(slowest, took)
            excused.append(Span(since, time.monotonic()))
    print(f"work goes on {slowest:.2f} s after the new standby follows, at the worst")  # noqa: T201
    check(cluster, load, excused)


def test_ways_are_cut_again_and_again(cluster: Rig) -> None:
    """Each way of each node, silently or not: whoever asks the other endpoint once notices nothing."""
    worst = 0.0
    with Load(cluster, pause=0.05) as load:
        for number, (node, how) in enumerate(
            itertools.product([*cluster.nodes] * (PARTED // 4), (State.SILENT, State.CUT))
        ):
            time.sleep(1)
            ways = (node.to_database, (node.to_key_manager,), (node.to_clients,))[number // 4 % 3]
            if how is State.SILENT and ways != node.to_database:
                continue  # A client that is told nothing has no reason to ask another one until it loses patience.
            with cluster.ways.being(how, *ways):
                if ways == node.to_database:
                    worst = max(worst, node.await_listening(False, 1.0))
                time.sleep(random.uniform(0.2, 3))
            node.await_listening(True, BACK_WITHIN)
    print(f"closed after {worst:.2f} s at the worst")  # noqa: T201
    check(cluster, load, [])


def test_disks_fill_up_again_and_again(cluster: Rig, disks: Ground) -> None:
    """That of the primary and that of the standby by turns."""
    excused = []
    with Load(cluster, pause=0.05) as load:
        for number in range(FILLED):
            time.sleep(random.uniform(0.5, 2))
            disk = (disks.a, disks.b)[number % 2]
            since = time.monotonic()
            disk.fill()
            time.sleep(random.uniform(0.5, 4))
            disk.free()
            cluster.pair.revive()
            there = time.monotonic()
            took = load.going_on(Kind.CREATE, since=there, within=BACK_WITHIN)
            for node in cluster.nodes:
                node.await_listening(True, BACK_WITHIN)
            excused.append(Span(since, max(there + took, time.monotonic())))
    check(cluster, load, excused)
