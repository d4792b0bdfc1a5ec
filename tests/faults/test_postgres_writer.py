"""What a commit over PostgreSQL may answer: success only where it is durable, on the standby too where one is named."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.ports.catalog import CatalogUnavailable, OutcomeUnknown, Unit
from keyrack.testing.catalog_values import certificate, entry, instance, key
from keyrack.testing.postgres import Cluster, binaries
from keyrack.testing.postgres_catalogs import Fresh

pytestmark = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")
WRITERS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture
async def catalog(postgres: Fresh) -> AsyncIterator[PostgresCatalog]:
    """With an instance and a certificate."""
    catalog = await postgres.catalog("node-1/kmip-0")
    await catalog.commit(Unit(entries=(entry(),), instances=(instance(),), certificates=(certificate(),)))
    yield catalog
    await catalog.close()


@pytest.fixture
async def without_standby(postgres_cluster: Cluster, catalog: PostgresCatalog) -> AsyncIterator[Cluster]:
    """A standby is named, and is not there: commits wait for it."""
    await asyncio.to_thread(_standby, postgres_cluster, "one_that_is_gone")
    yield postgres_cluster
    await asyncio.to_thread(_standby, postgres_cluster, "")


def _standby(running: Cluster, name: str) -> None:
    running.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'", "SELECT pg_reload_conf()")


async def test_a_commit_without_its_standby_is_no_success(without_standby: Cluster, catalog: PostgresCatalog) -> None:
    """It does not come back; the catalog says so within its deadline, and commits again once nothing is missing."""
    with pytest.raises(OutcomeUnknown):
        await asyncio.wait_for(catalog.commit(Unit(entries=(entry(),), inserted=(key(),))), 5)

    await asyncio.to_thread(_standby, without_standby, "")
    await asyncio.sleep(0.3)
    await catalog.commit(Unit(entries=(entry(),)))


async def test_a_wait_for_the_standby_that_is_cut_short_is_no_success(
    without_standby: Cluster, catalog: PostgresCatalog
) -> None:
    """PostgreSQL tells success then, with a warning: the standby has nothing of it."""
    waiting = asyncio.ensure_future(catalog.commit(Unit(entries=(entry(),), inserted=(key(),))))
    while not (pid := await asyncio.to_thread(without_standby.sql, WRITERS)):
        await asyncio.sleep(0.02)
    await asyncio.to_thread(without_standby.sql, f"SELECT pg_cancel_backend({int(pid)})")

    with pytest.raises(OutcomeUnknown, match="standby"):
        await asyncio.wait_for(waiting, 5)


async def test_a_writer_whose_connection_is_ended_writes_again(
    postgres_cluster: Cluster, postgres: Fresh, catalog: PostgresCatalog
) -> None:
    """Every connection is cut, as a failover does; the next commits and reads go on by themselves."""
    ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{postgres.name}'"
    await asyncio.to_thread(postgres_cluster.sql, ended)

    for _ in range(20):
        try:
            await catalog.commit(Unit(entries=(entry(),)))
            assert await catalog.instances()
            break
        except CatalogUnavailable:
            await asyncio.sleep(0.05)
    else:
        pytest.fail("the catalog does not come back")
    assert (await catalog.journal_heads())["node-1/kmip-0"] >= 2
