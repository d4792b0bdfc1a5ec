"""A node that cannot reach the database is closed within a second, and comes back by itself."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.clusters.way import State
from keyrack.testing.clusters.ways import Ways, ways
from keyrack.testing.postgres import Cluster, binaries
from keyrack.testing.two_nodes import TwoNodes, created, got, two_nodes

pytestmark = [pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"), pytest.mark.alone]


@pytest.fixture(scope="module")
def leading() -> Iterator[Ways]:
    """Ways in one process for all tests here."""
    with ways() as made:
        yield made


@pytest.fixture
def two(tmp_path: Path, postgres_cluster: Cluster, leading: Ways) -> Iterator[TwoNodes]:
    """Two nodes, the first of two processes."""
    with two_nodes(tmp_path, postgres_cluster, leading) as made:
        made.a.deployment.environment = {**made.a.deployment.environment, "KEYRACK_KMIP__WORKERS": "2"}
        made.start()
        yield made


@pytest.mark.parametrize("how", [State.SILENT, pytest.param(State.CUT, marks=pytest.mark.slow)])
def test_a_node_without_its_database_is_closed_within_a_second_and_opens_again(two: TwoNodes, how: State) -> None:
    """Connections are refused and open ones end, in both of its processes; the other node goes on."""
    open_ones = [two.a.connect(two.context) for _ in range(8)]
    identifier = created(open_ones[0])
    key = got(open_ones[0], identifier)

    two.a.become(how)
    began = time.monotonic()
    two.a.await_listening(False, 3)
    closed = time.monotonic() - began
    ends = [_ended(each) for each in open_ones]
    ended = time.monotonic() - began
    with pytest.raises(ConnectionRefusedError):
        two.a.connect(two.context)
    with two.b.connect(two.context) as other:
        assert key == got(other, identifier)

    two.a.become(State.OPEN)
    two.a.await_listening(True, 8)
    with two.a.connect(two.context) as again:
        assert key == got(again, identifier)
    assert all(ends)
    # The last answer came at most one beat before the cut.
    assert closed <= 1.0, f"refused after {closed:.3f} s"
    assert ended <= 1.1, f"the last connection ended after {ended:.3f} s"


def _ended(talking: Client) -> bool:
    try:
        talking.receive()
    except (ConnectionEnded, OSError):
        return True
    return False
