"""A data centre boots while one of two nodes is killed: every host gets every key, with one retry at most.

A small storm is among the tests of ``test_cluster``.
"""

from collections.abc import Iterator

import pytest

from keyrack.testing.clusters.rig import INSTANCE, Rig, rig
from keyrack.testing.clusters.storm_ground import HOST, grown, stormed
from keyrack.testing.postgres import binaries

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed"),
    pytest.mark.timeout(1200),
]
CONNECTIONS = 64


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two nodes that serve, without ways between: nothing is cut here."""
    with rig(tmp_path_factory.mktemp("storm"), cuttable=False) as made:
        made.new_instance(INSTANCE, HOST)
        made.start()
        yield made


@pytest.mark.parametrize(("keys", "times"), [(1000, 1), (2, 250)], ids=["a thousand keys", "the same two keys"])
def test_every_host_gets_every_key(cluster: Rig, keys: int, times: int) -> None:
    """From two nodes that have just started, of which one is killed in the middle."""
    seen = stormed(cluster, grown(cluster, keys), CONNECTIONS, times=times)

    print(seen.told())  # noqa: T201
    assert [] == list(seen.failures)
    assert CONNECTIONS * keys * times == seen.gets
    assert seen.retries > 0, "the control"
