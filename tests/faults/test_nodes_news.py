"""What changes on one node counts on the other: at once in each request, and within a second in what is open there."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place
from keyrack.ports.catalog import Unit
from keyrack.service.office.key_steps import purged
from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import client
from keyrack.testing.client import Client, ConnectionEnded, Refused
from keyrack.testing.clusters.ways import ways
from keyrack.testing.postgres import OWNER, Cluster, binaries
from keyrack.testing.ttlv import text
from keyrack.testing.two_nodes import INSTANCE, TwoNodes, awaited, created, got, two_nodes

pytestmark = [pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"), pytest.mark.alone]

CREATES = 200


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, postgres_cluster: Cluster) -> Iterator[TwoNodes]:
    """Two nodes that serve, for all tests here."""
    with ways() as leading, two_nodes(tmp_path_factory.mktemp("two"), postgres_cluster, leading) as made:
        made.start()
        yield made


@pytest.fixture(params=["NOTIFY", "the poll alone"])
def heard(request: pytest.FixtureRequest, two: TwoNodes, postgres_cluster: Cluster) -> Iterator[str]:
    """How a node comes to know: with ``the poll alone`` the database tells nobody of anything."""
    told = {}
    if request.param != "NOTIFY":
        for name in ("count_authority", "tell_change", "note_ending"):
            told[name] = postgres_cluster.sql(
                f"SELECT pg_get_functiondef('{name}'::regproc)", database=two.database, role=OWNER
            )
            silent = told[name].replace("PERFORM pg_notify", "-- PERFORM pg_notify")
            assert silent != told[name]
            postgres_cluster.sql(silent, database=two.database, role=OWNER)
    yield request.param
    for each in told.values():
        postgres_cluster.sql(each, database=two.database, role=OWNER)


def test_what_one_node_has_made_the_other_has_at_once(two: TwoNodes) -> None:
    """Create on one, Get on the other, with nothing between them."""
    with two.a.connect(two.context) as making, two.b.connect(two.context) as getting:
        assert CREATES == sum(len(got(getting, created(making))) == 32 for _ in range(CREATES))


def test_a_removed_certificate_ends_what_is_open_on_the_other_node(two: TwoNodes, heard: str) -> None:
    """No request succeeds from the commit on; connections end and a session is not resumed, within a second."""
    identity = client(two.a.deployment.authority, heard)
    two.a.deployment.add_client(INSTANCE, identity)
    context = two.a.deployment.context(identity, ssl.TLSVersion.TLSv1_2)
    with ExitStack() as stack:
        open_ones = [stack.enter_context(two.b.connect(context)) for _ in range(8)]
        identifier = created(open_ones[0])
        session = _session(two, context, None)
        assert session is not None

        acted(two, lambda catalog: catalog.commit(Unit(entries=(), removed_certificates=(identity.fingerprint,))))
        began = time.monotonic()
        assert all(_refused(each, identifier) for each in open_ones[:4])
        for each in open_ones[4:]:
            with pytest.raises((ConnectionEnded, OSError)):
                each.receive()
        ended = time.monotonic() - began
    assert ended <= (1.0 if heard != "NOTIFY" else 0.5), f"by {heard}: {ended:.3f} s"
    with pytest.raises((ConnectionEnded, OSError)):
        _session(two, context, session)


def test_destroyed_and_purged_keys_are_served_by_no_node(two: TwoNodes, heard: str) -> None:
    """From the answer to Destroy on, and from the purge on; the other node has them in memory."""
    with two.a.connect(two.context) as here, two.b.connect(two.context) as there:
        for _ in range(5):
            identifier = created(here)
            got(there, identifier)
            here.ask(Operation.DESTROY, text(Tag.UNIQUE_IDENTIFIER, identifier))
            assert _refused(there, identifier)
        destroyed = identifier

        async def purge(catalog: PostgresCatalog) -> None:
            (managed,) = [each for each in await catalog.destroyed("", 500) if each.unique_identifier == destroyed]
            await catalog.commit(Unit(entries=(), updated=(purged(managed),)))

        acted(two, purge)
        assert _refused(there, destroyed)


def test_a_sealed_instance_is_sealed_on_every_node(two: TwoNodes, heard: str) -> None:
    """From the commit on, and served again once it is unsealed."""
    with two.a.connect(two.context) as here, two.b.connect(two.context) as there:
        identifier = created(here)
        got(there, identifier)

        acted(two, lambda catalog: _sealed(catalog, int(time.time())))
        assert _refused(there, identifier)
        assert _refused(here, identifier)

        acted(two, lambda catalog: _sealed(catalog, None))
        awaited(lambda: not _refused(there, identifier), 2)


async def _sealed(catalog: PostgresCatalog, at: int | None) -> None:
    (instance,) = await catalog.instances()
    await catalog.commit(Unit(entries=(), instances=(replace(instance, sealed_at=at),)))


def acted(two: TwoNodes, act: Callable[[PostgresCatalog], Coroutine[Any, Any, None]]) -> None:
    """What an administrator does on some node, done here: it is committed when this returns."""

    async def acting() -> None:
        catalog = await PostgresCatalog.open(Place(two.a.deployment.environment["KEYRACK_CATALOG__URL"], "act"), "act")
        try:
            await act(catalog)
        finally:
            await catalog.close()

    asyncio.run(acting())


def _refused(talking: Client, identifier: str) -> bool:
    try:
        got(talking, identifier)
    except (Refused, ConnectionEnded, OSError):
        return True
    return False


def _session(two: TwoNodes, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """Shake hands and ask for nothing; raises where the server ends it. The session, for another time."""
    plain = socket.create_connection(("127.0.0.1", two.b.port), 5)
    with plain, context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as wrapped:
        wrapped.settimeout(0.5)
        try:
            if not wrapped.recv(1):
                raise ConnectionEnded
        except TimeoutError:
            return wrapped.session
    raise ConnectionEnded
