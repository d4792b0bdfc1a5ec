"""Each job has one leader among all processes of all nodes, and its death leaves none undone for long."""

import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from keyrack.testing.clusters.way import State
from keyrack.testing.clusters.ways import ways
from keyrack.testing.postgres import Cluster, binaries
from keyrack.testing.process import DidNotStart
from keyrack.testing.two_nodes import NodeOfTwo, TwoNodes, awaited, created, two_nodes

pytestmark = [pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"), pytest.mark.alone]

JOBS = ("reconcile", "care", "purge", "schedule", "expiry", "notary")


@pytest.fixture
def two(tmp_path: Path, postgres_cluster: Cluster) -> Iterator[TwoNodes]:
    """Two nodes that do not serve yet, and sign each second."""
    quick = {"KEYRACK_JOURNAL__CHECKPOINT_SECONDS": "1"}
    with ways() as leading, two_nodes(tmp_path, postgres_cluster, leading, quick) as made:
        yield made


def test_every_job_has_one_leader_and_another_after_its_death(two: TwoNodes, postgres_cluster: Cluster) -> None:
    """SIGKILL, and a node that is cut off without a word: within seconds the other one leads, and signs."""
    two.start()
    awaited(lambda: len(leaders(postgres_cluster, two)) == len(JOBS), 10)
    assert {"node-1"} == set(leaders(postgres_cluster, two).values())
    with two.b.connect(two.context) as talking:
        created(talking)
        awaited(lambda: _signed_by_both(two), 10)

        two.a.deployment.stop(signal.SIGKILL)
        took = awaited(lambda: set(leaders(postgres_cluster, two).values()) == {"node-2"}, 10)
        assert took <= 4, f"after a death the last job was taken over after {took:.1f} s"
        awaited(lambda: len(leaders(postgres_cluster, two)) == len(JOBS), 5)

        before = two.b.deployment.directory.joinpath("journal/checkpoints.jsonl").read_bytes()
        created(talking)
        awaited(lambda: _checkpoints(two.b) > len(before.splitlines()), 5)

    # What it has slept through, it copies; and it leads again when the other one is silent.
    two.a.start()
    awaited(lambda: _signed_by_both(two), 10)
    two.b.become(State.CUT)
    took = awaited(lambda: set(leaders(postgres_cluster, two).values()) == {"node-1"}, 15)
    assert took <= 4, f"after a cut the last job was taken over after {took:.1f} s"


def leaders(cluster: Cluster, two: TwoNodes) -> Mapping[str, str]:
    """The node of each job's leader, as the server's locks tell."""
    jobs = ", ".join(f"('{each}')" for each in JOBS)
    told = cluster.sql(
        "SELECT job || ' ' || split_part(split_part(application_name, ' ', 2), '/', 1) "
        f"FROM (VALUES {jobs}) AS jobs (job) "
        "JOIN pg_locks ON locktype = 'advisory' AND classid = 1263684429 "
        "AND objid::BIGINT = hashtext(job)::BIGINT & 4294967295 AND granted JOIN pg_stat_activity USING (pid) "
        f"WHERE database = (SELECT oid FROM pg_database WHERE datname = '{two.database}')"
    ).splitlines()
    found = dict(each.split() for each in told)
    assert len(found) == len(told), "a job has two leaders"
    return found


def _checkpoints(node: NodeOfTwo) -> int:
    path = node.deployment.directory / "journal" / "checkpoints.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def _signed_by_both(two: TwoNodes) -> bool:
    """Both have the same lines, and there are some."""
    files = [each.deployment.directory / "journal" / "checkpoints.jsonl" for each in two.both]
    if not all(each.exists() for each in files):
        return False
    lines = [each.read_text().splitlines() for each in files]
    assert all(len(each) == len(set(each)) for each in lines)
    return lines[0][-1:] == lines[1][-1:] and len(lines[0]) == len(lines[1]) > 0


def test_a_name_is_one_nodes_and_a_database_one_deployments(two: TwoNodes, postgres_cluster: Cluster) -> None:
    """A second node of the name, and another deployment, are refused and told what mends it; who was killed is not."""
    two.a.start()
    two.b.deployment.environment = {**two.b.deployment.environment, "KEYRACK_DEPLOYMENT__NODE": "node-1"}
    with pytest.raises(DidNotStart) as refused:
        two.b.start()
    assert "deployment.node: another node 'node-1' serves from this catalog at 127.0.0.1" in str(refused.value)

    began = time.monotonic()
    two.a.deployment.stop(signal.SIGKILL)
    two.a.start()
    assert time.monotonic() - began <= 8, "who was killed waits for itself"
    assert ["node-1"] == [each["name"] for each in two.a.deployment.read("node", "list")]

    two.b.deployment.environment = {
        **two.b.deployment.environment,
        "KEYRACK_DEPLOYMENT__NODE": "node-2",
        "KEYRACK_DEPLOYMENT__ID": "another",
    }
    with pytest.raises(DidNotStart) as foreign:
        two.b.start()
    assert "deployment.id: it is 'another', and the catalog is that of deployment" in str(foreign.value)

    two.a.deployment.stop()
    assert "0" == postgres_cluster.sql("SELECT count(*) FROM node", database=two.database)
