"""What a checkpoint may speak of while a transaction of another node is still under way: what is settled, no more."""

import asyncpg
import pytest

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
