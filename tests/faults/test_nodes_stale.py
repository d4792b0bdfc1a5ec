"""A node that is cut off and may serve stale: what it had in memory, for so long, and all of it in the journal then."""

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.client import Refused
from keyrack.testing.clusters.way import State
from keyrack.testing.clusters.ways import ways
from keyrack.testing.postgres import Cluster, binaries
from keyrack.testing.process import DidNotStart
from keyrack.testing.ttlv import text
from keyrack.testing.two_nodes import TwoNodes, awaited, created, got, two_nodes

pytestmark = [pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"), pytest.mark.alone]

SECONDS = 6


@pytest.fixture
def two(tmp_path: Path, postgres_cluster: Cluster) -> Iterator[TwoNodes]:
    """Two nodes that serve stale, of which the first one serves."""
    stale = {"KEYRACK_CATALOG__SERVE_STALE_SECONDS": str(SECONDS)}
    with ways() as leading, two_nodes(tmp_path, postgres_cluster, leading, stale) as made:
        made.a.start()
        yield made


def test_what_was_got_before_is_given_out_for_so_long_and_then_stands_in_the_journal(
    two: TwoNodes, postgres_cluster: Cluster
) -> None:
    """Gets alone, of what is in memory; nothing after the time; marked, in order, before anything else of the chain."""
    with ExitStack() as stack:
        talking = stack.enter_context(two.a.connect(two.context))
        identifier, never_got = created(talking), created(talking)
        key = got(talking, identifier)
        assert key == got(talking, identifier)

        two.a.become(State.SILENT)
        began = time.monotonic()
        awaited(lambda: "giving out what it has in memory" in two.a.logged(), 3)
        assert [key] * 5 == [got(talking, identifier) for _ in range(5)]
        # Who comes anew is let in as trust was seen last.
        with two.a.connect(two.context) as late:
            assert key == got(late, identifier)
        for ask in (
            lambda: created(talking),
            lambda: got(talking, never_got),
            lambda: talking.ask(Operation.LOCATE),
            lambda: talking.ask(Operation.GET_ATTRIBUTES, text(Tag.UNIQUE_IDENTIFIER, identifier)),
            lambda: talking.ask(Operation.DESTROY, text(Tag.UNIQUE_IDENTIFIER, identifier)),
        ):
            with pytest.raises(Refused):
                ask()
        (spool,) = (two.a.deployment.directory / "journal").glob("stale-*.jsonl")
        assert 0o600 == spool.stat().st_mode & 0o777
        assert 6 == len(spool.read_text().splitlines())
        two.a.await_listening(False, SECONDS + 1)
        closed = time.monotonic() - began
        assert SECONDS - 0.5 <= closed <= SECONDS + 0.5, f"closed after {closed:.2f} s"

    two.a.become(State.OPEN)
    two.a.await_listening(True, 8)
    with two.a.connect(two.context) as again:
        assert key == got(again, identifier)
    _check_journal(_of_chain(postgres_cluster, two), 6)
    assert not spool.exists()


def test_what_a_killed_process_has_given_out_enters_the_journal_at_its_next_start(
    two: TwoNodes, postgres_cluster: Cluster
) -> None:
    """Before it gives out anything else."""
    with two.a.connect(two.context) as talking:
        identifier = created(talking)
        got(talking, identifier)
        got(talking, identifier)
        two.a.become(State.CUT)
        awaited(lambda: "giving out what it has in memory" in two.a.logged(), 3)
        for _ in range(3):
            got(talking, identifier)
        two.a.deployment.stop(signal.SIGKILL)
    two.a.become(State.OPEN)
    two.a.start()
    with two.a.connect(two.context) as again:
        got(again, identifier)
    _check_journal(_of_chain(postgres_cluster, two), 3)


@pytest.mark.slow
def test_it_does_not_go_together_with_a_required_sink(two: TwoNodes) -> None:
    """No record would reach the sink before the key is handed out."""
    two.b.deployment.environment = {
        **two.b.deployment.environment,
        "KEYRACK_JOURNAL__SINKS__KEPT__TYPE": "json_lines",
        "KEYRACK_JOURNAL__SINKS__KEPT__FILE": "kept.jsonl",
        "KEYRACK_JOURNAL__SINKS__KEPT__REQUIRED": "true",
    }
    with pytest.raises(DidNotStart, match="catalog.serve_stale_seconds: it is 6, and the sink 'kept' is required"):
        two.b.start()


def _of_chain(cluster: Cluster, two: TwoNodes) -> Sequence[Any]:
    told = cluster.sql(
        "SELECT text FROM journal WHERE chain = 'node-1/kmip-0' ORDER BY sequence", database=two.database
    )
    return [json.loads(each) for each in told.splitlines()]


def _check_journal(records: Sequence[Any], expected: int) -> None:
    """As many marked ones, numbered in their order, one behind the other; and a Get that is not behind them."""
    places = [place for place, each in enumerate(records) if "stale" in each["detail"]]
    assert places == list(range(places[0], places[0] + expected))
    numbers = [records[place]["detail"]["stale"].partition("-")[2] for place in places]
    assert numbers == [str(number) for number in range(1, expected + 1)]
    assert all(records[place]["action"] == "Get" for place in places)
    assert [each["action"] for each in records[places[-1] + 1 :]].count("Get") == 1
