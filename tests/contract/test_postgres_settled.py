"""What a transaction of another node that is still under way means to this one: a checkpoint does not speak of what is
not settled, and a change does not wait for who is gone.
"""

import asyncio

import asyncpg
import pytest

from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.domain.instances import Instance, InstanceStatus, Storage
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Unit
from keyrack.testing.postgres import binaries
from keyrack.testing.postgres_catalogs import Fresh

pytestmark = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL")


def a_unit() -> Unit:
    entry = Entry(at=0, action="test", outcome="success", initiator="local-user-test", address="local")
    return Unit(entries=(entry,))


async def test_heads_of_a_survey_are_those_of_its_last_record(postgres: Fresh) -> None:
    """Else the checkpoint over it would tell of records behind it, and each proof later that they are gone."""
    one, two = await postgres.catalog("one"), await postgres.catalog("two")
    slow = await asyncpg.connect(postgres.url)
    try:
        for catalog in (one, two):
            await catalog.commit(a_unit())
        async with slow.transaction():
            await slow.execute("SELECT begin_unit('slow', FALSE)")
            for catalog in (one, two, two):
                await catalog.commit(a_unit())

            during = await one.survey(0)

        after = await one.survey(0)
        assert [("one", 1), ("two", 1)] == [(head.chain, head.sequence) for head in during.heads]
        assert 2 == during.records
        assert [("one", 2), ("two", 3)] == [(head.chain, head.sequence) for head in after.heads]
        assert [record.hash for record in await one.journal(0) if record.number == during.through] == [
            during.heads[1].hash
        ]
    finally:
        await slow.close()
        await one.close()
        await two.close()


async def test_a_change_outlasts_a_node_that_has_stopped_in_the_middle_of_its_own(postgres: Fresh) -> None:
    """Cut off, or hung: it gives its locks up while those who wait for them still do."""
    instance = Instance(
        identifier="i",
        name="i",
        status=InstanceStatus.INSTALLED,
        key_manager="kp",
        root_key="r",
        storage=Storage.CATALOG,
        created_at=1,
    )
    catalog = await postgres.catalog("one")
    hung = await connect(Place(postgres.url, "hung"))
    try:
        await catalog.commit(a_unit())
        await hung.execute("BEGIN; SELECT begin_unit('hung', TRUE)")

        await asyncio.wait_for(catalog.commit(Unit(instances=(instance,), entries=a_unit().entries)), 2)
    finally:
        hung.terminate()
        await catalog.close()
