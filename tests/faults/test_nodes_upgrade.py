"""A newer schema comes while nodes of this version serve: they go on as long as they understand it, and no longer."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.migrator import Migration, grant, migrate, migrations
from keyrack.adapters.catalogs.postgres.steps import taken
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.testing.client import ConnectionEnded, Refused
from keyrack.testing.clusters.ways import ways
from keyrack.testing.postgres import OWNER, SERVER, Cluster, binaries
from keyrack.testing.process import DidNotStart
from keyrack.testing.two_nodes import NodeOfTwo, TwoNodes, awaited, created, got, two_nodes

pytestmark = [pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"), pytest.mark.alone]

NEWEST = migrations()[-1].number
EXPANDS = Migration(
    NEWEST + 1,
    f"-- least reader: {NEWEST}\nALTER TABLE object ADD COLUMN note TEXT;\nALTER TABLE journal ADD COLUMN note TEXT;\n"
    "CREATE TABLE notes (identifier TEXT PRIMARY KEY);",
)
CONTRACTS = Migration(NEWEST + 2, "ALTER TABLE object DROP COLUMN note;")
"""Its least reader is itself."""
HELD_UP_AT_MOST = 1.2
"""Seconds that one request may take while the schema changes, on a machine that does many things besides."""


@pytest.fixture
def two(tmp_path: Path, postgres_cluster: Cluster) -> Iterator[TwoNodes]:
    """Two nodes that serve."""
    with ways() as leading, two_nodes(tmp_path, postgres_cluster, leading) as made:
        made.start()
        yield made


def test_an_upgrade_beside_nodes_that_serve_loses_nothing_and_ends_in_good_order(
    two: TwoNodes, postgres_cluster: Cluster
) -> None:
    """Expand under load, with somebody in its way; then contract: the nodes of this version end by themselves."""
    loads = [Load(each, two) for each in two.both]
    for each in loads:
        each.begin()
    awaited(lambda: all(len(each.keys) >= 5 for each in loads), 20)

    steps = as_owner(postgres_cluster, two.database, _expand_with_a_reader_in_the_way)
    assert steps == 1
    more = [len(each.keys) + 5 for each in loads]
    awaited(lambda: all(len(each.keys) >= wanted for each, wanted in zip(loads, more, strict=True)), 20)
    for each in loads:
        each.end()
    longest = max(each.longest for each in loads)
    assert not [each.failures for each in loads if each.failures]
    assert longest <= HELD_UP_AT_MOST, f"a request was held up for {longest:.2f} s"
    with two.b.connect(two.context) as talking:
        kept = {identifier: got(talking, identifier) for each in loads for identifier in each.keys}
    assert kept == {**loads[0].keys, **loads[1].keys}

    # A node of this version is started beside the newer schema, too.
    two.a.deployment.stop()
    two.a.start()

    assert 1 == as_owner(postgres_cluster, two.database, lambda connection: taken(connection, [CONTRACTS]))
    for node in two.both:
        process = node.deployment.process
        assert process is not None
        assert 78 == process.wait(10)
        node.deployment.process = None
        assert f"needs a Keyrack that knows {CONTRACTS.number}, and this one knows {NEWEST}" in node.logged()
        assert '"event": "stopped"' in node.logged()
    with pytest.raises(DidNotStart, match="update this node"):
        two.a.start()


@pytest.mark.slow
def test_a_step_that_finds_no_moment_is_not_taken_and_says_so(postgres_cluster: Cluster, two: TwoNodes) -> None:
    """Whoever uses the table meanwhile is served; who comes to a newer schema with an older one is refused."""

    async def in_vain(connection: Any) -> int:
        other = await connect(Place(postgres_cluster.url(OWNER, two.database), "reader"))
        await other.execute("SET idle_in_transaction_session_timeout = 0")
        async with other.transaction():
            await other.execute("LOCK TABLE object IN ACCESS SHARE MODE")
            with pytest.raises(UnfitDatabase, match="has found no moment in 1 s"):
                await taken(connection, [EXPANDS], patience=1)
        await other.close()
        assert NEWEST == await connection.fetchval("SELECT number FROM keyrack_schema")
        assert 1 == await migrate(connection, (*migrations(), EXPANDS))
        with pytest.raises(UnfitDatabase, match="use the newer one"):
            await migrate(connection)
        return 0

    load = Load(two.a, two)
    load.begin()
    as_owner(postgres_cluster, two.database, in_vain)
    load.end()
    assert not load.failures
    assert load.keys


@dataclass(slots=True)
class Load:
    """Creates keys on one node without rest, and keeps what it got."""

    node: NodeOfTwo
    two: TwoNodes
    keys: dict[str, bytes] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def begin(self) -> None:
        """In a thread."""
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def end(self) -> None:
        """Wait until it has ended."""
        self.over.set()
        assert self.thread is not None
        self.thread.join()

    def _run(self) -> None:
        try:
            with self.node.connect(self.two.context) as talking:
                while not self.over.is_set():
                    began = time.monotonic()
                    identifier = created(talking)
                    self.keys[identifier] = got(talking, identifier)
                    self.longest = max(self.longest, time.monotonic() - began)
        except (Refused, ConnectionEnded, OSError) as error:
            self.failures.append(f"{self.node.name}: {error!r}")


async def _expand_with_a_reader_in_the_way(connection: Any) -> int:
    """Somebody reads a table for two seconds, as a backup does."""

    began = asyncio.Event()

    async def reading() -> None:
        other = await connect(Place(connection_url(connection), "reader"))
        await other.execute("SET idle_in_transaction_session_timeout = 0")
        async with other.transaction():
            await other.execute("LOCK TABLE journal IN ACCESS SHARE MODE")
            began.set()
            await asyncio.sleep(2)
        await other.close()

    reader = asyncio.create_task(reading())
    await began.wait()
    steps = await migrate(connection, (*migrations(), EXPANDS))
    await reader
    # As 'keyrack database upgrade' ends.
    await grant(connection, SERVER)
    return steps


def connection_url(connection: Any) -> str:
    """Where a connection goes."""
    host, port = connection._addr
    return f"postgresql://{OWNER}@{host}:{port}/{connection._params.database}?sslmode=disable"


def as_owner(cluster: Cluster, database: str, act: Callable[[Any], Coroutine[Any, Any, int]]) -> int:
    """What the owner of the schema does."""

    async def acting() -> int:
        connection = await connect(Place(cluster.url(OWNER, database), "owner"))
        try:
            return await act(connection)
        finally:
            await connection.close()

    return asyncio.run(acting())
