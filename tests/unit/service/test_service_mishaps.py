"""The last failures of the journal, with their causes, however long the journal is."""

from pathlib import Path

import pytest

from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import Catalog, JournalRecord, Unit
from keyrack.service.health.findings import Level
from keyrack.service.health.mishaps import LAST, MOST, Mishap, mishaps, told
from keyrack.testing.catalogs import catalog_at

NOW = 1_800_000_000


def an_entry(outcome: str = "Cryptographic Failure", cause: str = "", *, at: int = NOW, action: str = "Get") -> Entry:
    """An entry of a client's act in instance ``one``."""
    return Entry(
        at=at * 1000,
        action=action,
        outcome=outcome,
        initiator="CertificateID-1",
        address="192.0.2.1:1",
        instance="one",
        detail={"cause": cause} if cause else {},
    )


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_failures_of_one_kind_are_counted_together(kind: str, tmp_path: Path) -> None:
    """What they say of single keys may differ; successes, and refusals without a cause, are not told."""
    catalog: Catalog = await catalog_at(tmp_path / "c.sqlite", "kmip-0") if kind == "sqlite" else MemoryCatalog()
    entries = [
        an_entry(cause="state: 409 ONE: the key 1 is disabled", at=NOW - 100),
        an_entry(cause="state: 409 ONE: the key 2 is disabled", at=NOW - 50),
        an_entry(cause="permission: 403: no", at=NOW - 70),
        an_entry("success", "deleted: as with what is withheld", action="key.withhold"),
        an_entry("Item Not Found"),
    ]
    await catalog.commit(Unit(entries=entries))

    found = await mishaps(catalog)
    await catalog.close()

    assert [("state: 409 ONE: the key 2 is disabled", 2, NOW - 50), ("permission: 403: no", 1, NOW - 70)] == [
        (each.cause, each.times, each.at) for each in found
    ]


class Counting(MemoryCatalog):
    """A catalog that counts what is read of its journal."""

    read = 0

    async def journal(self, after: int = 0, limit: int = 500) -> list[JournalRecord]:
        """As always."""
        page = list(await super().journal(after, limit))
        self.read += len(page)
        return page


async def test_of_a_long_journal_the_end_alone_is_read() -> None:
    catalog = Counting()
    await catalog.commit(Unit(entries=[an_entry(cause="old: and out of sight")]))
    await catalog.commit(Unit(entries=[an_entry("success")] * (3 * LAST)))
    await catalog.commit(Unit(entries=[an_entry(cause="new: at the end")]))

    assert ["new: at the end"] == [each.cause for each in await mishaps(catalog)]
    assert catalog.read <= LAST


async def test_no_more_kinds_are_told_than_a_person_reads() -> None:
    catalog = MemoryCatalog()
    await catalog.commit(Unit(entries=[an_entry(cause=f"{n}: of its kind", at=NOW + n) for n in range(2 * MOST)]))

    found = await mishaps(catalog)

    assert (MOST, NOW + 2 * MOST - 1) == (len(found), found[0].at)


@pytest.mark.parametrize(("age", "level"), [(60, Level.WARNING), (86_400, Level.OK)])
def test_what_is_long_ago_calls_for_no_attention(age: int, level: Level) -> None:
    mishap = Mishap(
        action="Get", outcome="General Failure", instance="one", cause="timeout: slow", times=3, at=NOW - age
    )

    found = told(mishap, {"one": "prod"}, NOW)

    assert ("journal: Get", level, "timeout") == (found.what, found.level, found.cause)
    assert found.told.startswith("General Failure in prod, 3 times, the last one ")
    assert found.told.endswith(" ago: timeout: slow")
