"""Two nodes over PostgreSQL with a standby, real processes all, while clients with one retry work on both endpoints.

Whatever is killed, cut, filled or set wrong: no acknowledged key is lost, none has wrong bytes, none is served after
its end, and clients that ask the other endpoint once notice nothing where the promise says so. The short form; see
``test_cluster_long`` for the long one, and ``test_cluster_teeth`` for nodes that were broken on purpose.
"""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from keyrack.testing.client import Client
from keyrack.testing.clusters.checking import BOUND, Span, failures
from keyrack.testing.clusters.ground import Ground, ground
from keyrack.testing.clusters.history import Event, Kind, Outcome
from keyrack.testing.clusters.load import CLIENTS, Load, judged, verdict
from keyrack.testing.clusters.node import Node
from keyrack.testing.clusters.rig import INSTANCE, Rig, rig
from keyrack.testing.clusters.storm_ground import HOST, grown, stormed
from keyrack.testing.clusters.way import State
from keyrack.testing.postgres import binaries
from keyrack.testing.small_disk import CannotMount

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed"),
    pytest.mark.timeout(600),
]
KILLS = 4
EVERY = 2.0
"""Seconds that a node which was killed serves again before the other one is."""
FENCED_WITHIN = 1.0
BACK_WITHIN = 5.0
"""Seconds until both nodes serve, once what they need is there again."""
SABOTAGES = Path(__file__).parent / "cluster_sabotage.py"
OTHER = "tenant"
OTHERS = ("tenant-1", "tenant-2")
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


@pytest.fixture(scope="module")
def disks() -> Iterator[Ground | None]:
    """Disks that can be filled, where this machine has them."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(ground())
        except CannotMount:
            yield None


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, disks: Ground | None) -> Iterator[Rig]:
    """Everything, serving, with an instance for each of two customers."""
    grounds = (disks.a.path, disks.b.path) if disks else (None, None)
    home = disks.node.path if disks else None
    with rig(tmp_path_factory.mktemp("cluster"), grounds=grounds, homes=(home, None)) as made:
        made.new_instance(INSTANCE, CLIENTS[0], CLIENTS[3])
        made.lend(CLIENTS[0], CLIENTS[1], CLIENTS[2], HOST)
        made.new_instance(OTHER, OTHERS[0])
        made.lend(OTHERS[0], OTHERS[1])
        made.start()
        yield made


def check(load: Load, excused: Sequence[Span] = ()) -> None:
    """Nothing that was promised is broken, and nobody was left without but in the excused times."""
    assert [] == verdict(load, excused)
    print(load.counted())  # noqa: T201


def check_database(cluster: Rig) -> None:
    """The journal is whole, and the standby has all that the primary has."""
    cluster.nodes[1].deployment.run("audit", "verify")
    assert [] == cluster.pair.differences()


def test_nodes_that_are_killed_in_turn_are_not_missed(cluster: Rig) -> None:
    """SIGKILL and SIGTERM by turns: whoever asks the other endpoint once gets what it wants."""
    with Load(cluster) as load:
        time.sleep(0.5)
        for number in range(KILLS):
            node = cluster.nodes[number % 2]
            node.kill((signal.SIGKILL, signal.SIGTERM)[number // 2 % 2])
            node.start()
            time.sleep(EVERY)
    check(load)


def test_a_standby_takes_the_place_of_a_primary_that_is_killed(cluster: Rig) -> None:
    """Nodes follow without restart; what was acknowledged before is there after."""
    with Load(cluster) as load:
        time.sleep(1)
        since = time.monotonic()
        cluster.pair.fail_over()
        there = time.monotonic()
        took = [load.going_on(kind, since=there, within=BACK_WITHIN) for kind in (Kind.GET, Kind.CREATE)]
        for node in cluster.nodes:
            node.await_listening(True, BACK_WITHIN)
        excused = [Span(since, time.monotonic())]
        time.sleep(1)
    print(f"a new standby after {there - since:.1f} s, then Get after {took[0]:.2f} s, Create after {took[1]:.2f} s")  # noqa: T201
    check(load, excused)
    check_database(cluster)


def parted_and_promoted(cluster: Rig, *, acknowledging: bool = False) -> tuple[Load, Span]:
    """Clients work on while primary and standby are parted; then the primary is lost, and the standby takes over.

    The time is that from the parting to the loss. ``acknowledging``: until a Create is acknowledged, which must not be.
    """
    with Load(cluster) as load:
        time.sleep(0.7)
        cluster.part_servers()
        since = time.monotonic()
        time.sleep(0.7)
        if acknowledging:
            load.going_on(Kind.CREATE, since=since, within=BACK_WITHIN)
        until = time.monotonic()
        cluster.pair.kill_primary()
        cluster.pair.promote()
        cluster.join_servers()
        cluster.pair.rebuild()
        time.sleep(0.5)
    return load, Span(since, until)


def test_a_primary_without_its_standby_acknowledges_nothing(cluster: Rig) -> None:
    """So that nothing is missed when the standby takes over."""
    load, parted = parted_and_promoted(cluster)

    assert [] == judged(load)
    told = [each for each in load.history if each.invoked > parted.since and each.answered < parted.until]
    assert {Kind.LOCATE} >= {each.kind for each in told if each.outcome is Outcome.DONE}


@pytest.mark.parametrize("how", [State.SILENT, State.CUT])
def test_a_node_that_is_cut_from_the_database_closes_within_a_second(cluster: Rig, how: State) -> None:
    """The other endpoint serves everybody meanwhile; it opens again by itself."""
    node = cluster.nodes[0]
    with Load(cluster) as load:
        time.sleep(0.5)
        with cluster.ways.being(how, *node.to_database):
            closed = node.await_listening(False, FENCED_WITHIN)
            time.sleep(1)
        opened = node.await_listening(True, BACK_WITHIN)
        time.sleep(0.5)
    print(f"closed after {closed:.2f} s, open again after {opened:.2f} s")  # noqa: T201
    check(load)


def test_a_node_that_is_cut_from_the_key_manager_gives_out_what_it_knows(cluster: Rig) -> None:
    """Warm Gets go on, a Create is refused in time; who asks the other endpoint notices nothing."""
    node = cluster.nodes[0]
    with Load(cluster) as load:
        alone = load.caller(CLIENTS[0], retries=False)
        warm = [each for each in (alone.create() for _ in range(5)) if each is not None]
        assert {Outcome.DONE} == {alone.get(each) for each in warm}
        with cluster.ways.being(State.CUT, node.to_key_manager):
            began = time.monotonic()
            assert alone.create() is None
            refused = time.monotonic() - began
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                assert {Outcome.DONE} == {alone.get(each) for each in warm}
        load.going_on(Kind.CREATE, since=time.monotonic(), within=BACK_WITHIN)
        alone.close()
    assert refused < 3
    check(load, [Span(began, began + refused)])


def test_clients_that_are_cut_from_a_node_go_to_the_other(cluster: Rig) -> None:
    with Load(cluster) as load:
        time.sleep(0.3)
        with cluster.ways.being(State.CUT, cluster.nodes[1].to_clients):
            time.sleep(1)
        time.sleep(0.3)
    check(load)


@pytest.mark.slow
def test_a_primary_whose_disk_is_full_acknowledges_nothing_that_it_has_not(cluster: Rig, disks: Ground | None) -> None:
    """Refusals meanwhile; work goes on once there is room, if need be after a restart of PostgreSQL."""
    if disks is None:
        pytest.skip("no tmpfs can be mounted here")
    full = disks.a if cluster.pair.primary is cluster.pair.a else disks.b
    with Load(cluster) as load:
        time.sleep(0.5)
        since = time.monotonic()
        full.fill()
        time.sleep(2)
        full.free()
        cluster.pair.revive()
        there = time.monotonic()
        took = load.going_on(Kind.CREATE, since=there, within=BACK_WITHIN)
        excused = [Span(since, there + took)]
        time.sleep(0.5)
    print(f"Create after {took:.2f} s")  # noqa: T201
    check(load, excused)
    check_database(cluster)


@pytest.mark.slow
def test_a_node_whose_own_disk_is_full_goes_on_serving(cluster: Rig, disks: Ground | None) -> None:
    """Nothing that a request needs is kept there."""
    if disks is None:
        pytest.skip("no tmpfs can be mounted here")
    disks.node.fill()
    try:
        with Load(cluster) as load:
            time.sleep(1.5)
    finally:
        disks.node.free()
    check(load)
    assert {each.node for each in load.history if each.outcome is Outcome.DONE} >= {each.name for each in cluster.nodes}


@contextmanager
def with_false_clock(node: Node, told: Path) -> Iterator[None]:
    """Serve from a process whose wall clock is what the file says, from its beginning to its end."""
    node.kill()
    before = node.deployment.environment
    node.deployment.environment = {
        **before,
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    try:
        node.deployment.start()
        yield
    finally:
        node.deployment.stop()
        node.deployment.environment = before
        node.start()


@pytest.mark.slow
def test_a_clock_that_jumps_is_of_no_account(cluster: Rig, tmp_path: Path) -> None:
    """An hour ahead, two hours back, while it serves: nobody is refused, nothing is lost."""
    if not FAKETIME.exists():
        pytest.skip("libfaketime is not installed")
    told = tmp_path / "clock"
    told.write_text("+0\n")
    with Load(cluster) as load, with_false_clock(cluster.nodes[1], told):
        for jump in ("+3600", "-3600", "+0"):
            told.write_text(f"{jump}\n")
            time.sleep(1)
    check(load)


# Administrators -------------------------------------------------------------------------------------------------------


def acted(load: Load, kind: Kind, key: str, *words: str) -> None:
    """An administrator's command on the first node, as an event of the history."""
    invoked = time.monotonic()
    load.rig.deployment.run(*words)
    load.history.add(
        Event(
            client="administrator",
            kind=kind,
            key=key,
            node=load.rig.nodes[0].name,
            invoked=invoked,
            answered=time.monotonic(),
            outcome=Outcome.DONE,
        )
    )


def test_what_an_administrator_ends_on_one_node_is_ended_on_both(cluster: Rig) -> None:
    """A certificate, a key, an instance: from the command's end on, plus the bound, nobody is given anything."""
    barred = CLIENTS[3]
    with Load(cluster) as load, Load(cluster, OTHERS, seed=9) as others:
        time.sleep(0.5)
        acted(load, Kind.BAR, barred, "cert", "remove", INSTANCE, cluster.fingerprint(barred), "--yes")
        doomed = load.keys.living.pop()
        with closing(load.caller(CLIENTS[0])) as caller:
            caller.revoke(doomed)
        acted(load, Kind.DESTROY, doomed.uid, "key", "destroy", INSTANCE, doomed.uid, "--confirm", doomed.name)
        load.keys.buried.append(doomed)
        sealing = time.monotonic()
        cluster.deployment.run("instance", "seal", OTHER, "--confirm", OTHER)
        sealed = time.monotonic()
        for each in OTHERS:
            others.history.add(_shut(each, Kind.BAR, sealing, sealed))
        time.sleep(BOUND + 0.7)
        unsealing = time.monotonic()
        cluster.deployment.run("instance", "unseal", OTHER, "--yes")
        for each in OTHERS:
            others.history.add(_shut(each, Kind.ADMIT, unsealing, time.monotonic()))
        admitting = time.monotonic()
        cluster.admit(INSTANCE, barred)
        load.history.add(_shut(barred, Kind.ADMIT, admitting, time.monotonic()))
        others.going_on(Kind.GET, since=time.monotonic(), within=BACK_WITHIN)
        again = time.monotonic()
        time.sleep(1)
    left_without = {each.client for each in failures(load.history)}
    check(others, [Span(sealing, again)])
    check_but(load, barred)
    assert {barred} >= left_without
    assert any(each.client == barred and each.failed for each in load.history), "the control"
    assert any(each.failed for each in others.history), "the control"


def check_but(load: Load, client: str) -> None:
    """As :func:`check`, where one client was left without."""
    load.stop()
    assert [] == judged(load)
    assert [] == [each for each in failures(load.history) if each.client != client]


def _shut(client: str, kind: Kind, invoked: float, answered: float) -> Event:
    return Event(
        client="administrator",
        kind=kind,
        key=client,
        node="node-1",
        invoked=invoked,
        answered=answered,
        outcome=Outcome.DONE,
    )


@pytest.mark.parametrize(
    ("keys", "times"), [(50, 3), pytest.param(2, 50, marks=pytest.mark.slow)], ids=["fifty keys", "the same two keys"]
)
def test_a_small_boot_storm_with_a_kill_leaves_nobody_without(cluster: Rig, keys: int, times: int) -> None:
    """From two nodes that have just started, of which one is killed in the middle."""
    seen = stormed(cluster, grown(cluster, keys), 8, times=times)

    print(seen.told())  # noqa: T201
    assert [] == list(seen.failures)
    assert 8 * keys * times == seen.gets
    assert seen.retries > 0, "the control"


def test_at_the_end_no_log_tells_of_a_fault_of_ours(cluster: Rig) -> None:
    """Whatever was done to them, no node has met with an error that nobody foresaw; and the journal is whole."""
    check_database(cluster)
    for node in cluster.nodes:
        with Client(node.address, cluster.context(CLIENTS[0])):
            pass
        lines = node.deployment.log.read_text(errors="replace").splitlines()
        assert [] == [line[:2000] for line in lines if "Traceback" in line or "mistake" in line]


# Nodes that were broken on purpose ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_node_that_is_not_fenced_is_noticed(cluster: Rig) -> None:
    """The test of the partition would fail: its door stays open."""
    with cluster.broken((SABOTAGES, "unfenced")):
        node = cluster.nodes[0]
        with cluster.ways.being(State.SILENT, *node.to_database), pytest.raises(TimeoutError):
            node.await_listening(False, FENCED_WITHIN)


@pytest.mark.parametrize("sabotage", [pytest.param("released_before_commit", marks=pytest.mark.slow), "unsynchronised"])
def test_what_a_weakened_node_loses_is_noticed(cluster: Rig, sabotage: str) -> None:
    """The same that an honest one stands: keys are lost, and the history shows it."""
    with cluster.broken((SABOTAGES, sabotage)):
        load, _ = parted_and_promoted(cluster, acknowledging=True)
        found = judged(load)
    print(sabotage, len(found), found[:2])  # noqa: T201
    assert any("is lost" in each for each in found)
