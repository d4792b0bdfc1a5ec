"""What a commit over PostgreSQL may answer: success only where it is durable, on the standby too where one is named."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.postgres.catalog import READERS, PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place, password_in
from keyrack.adapters.catalogs.postgres.heartbeat import Heartbeat
from keyrack.adapters.catalogs.reading import Execute
from keyrack.ports.catalog import CatalogUnavailable, OutcomeUnknown, Unit
from keyrack.ports.cluster import ClusterChanges, KeyManagerChange
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


async def test_what_cannot_be_sent_is_refused_alone(catalog: PostgresCatalog) -> None:
    """A number that is too long is one unit's mistake: others of its batch, and of other tenants, are kept."""
    change = KeyManagerChange(key_manager="embedded", revision=2**70, at=0, text="")
    bad = Unit(entries=(), cluster=ClusterChanges(key_manager_changes=(change,)))
    good = Unit(entries=(entry(),), inserted=(key(),))

    refused, kept = await asyncio.gather(catalog.commit(bad), catalog.commit(good), return_exceptions=True)

    assert isinstance(refused, ValueError)
    assert kept is None


async def test_a_password_file_that_is_empty_for_a_moment_is_as_good_as_a_database_that_is_away(
    postgres: Fresh, tmp_path: Path
) -> None:
    """Whoever writes it anew empties it first. Anything but "unavailable" ends the fence and the leaders' duties."""
    file = tmp_path / "password"
    file.write_text("geheim\n")
    place = Place(postgres.url, "password", password_in(file))
    catalog = await PostgresCatalog.open(place, "password")
    try:
        file.write_text("")
        with pytest.raises(CatalogUnavailable, match="no line of text"):
            await Heartbeat(place).beat()
        assert not await catalog.leads("job")
        with pytest.raises(CatalogUnavailable, match="no line of text"):
            await PostgresCatalog.open(place, "another")

        file.write_text("geheim\n")
        await Heartbeat(place).beat()
    finally:
        await catalog.close()


async def test_who_walks_through_everything_holds_up_no_get(catalog: PostgresCatalog) -> None:
    """Searches of the journal last up to minutes, and would hold every connection that reads."""

    async def walk(execute: Execute) -> None:
        await execute("SELECT pg_sleep(1.5)")

    walks = [asyncio.create_task(catalog._apart(walk)) for _ in range(READERS)]
    await asyncio.sleep(0.3)

    async with asyncio.timeout(0.8):
        await catalog.load("none", "none")

    assert not any(each.done() for each in walks)
    await asyncio.gather(*walks)
