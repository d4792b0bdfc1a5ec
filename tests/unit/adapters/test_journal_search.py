"""Searching a journal finds what a look at every record finds: page by page, whatever is asked for."""

import random
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.journal import Entry, read
from keyrack.ports.catalog import Unit
from keyrack.ports.journal import JournalQuery, JournalRecord, matches
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.testing.catalogs import catalog_at

DAY = 86_400_000
BEGUN = 1_790_000_000_000
NAMES = ("key-1", "key-12", 'a"b', "50%", "under_score", "back\\slash", "Übung", "line\nend")
RECORDS = 800


def an_entry(chance: random.Random, number: int) -> Entry:
    """With names that mean something to a database; times as they come, now and then of a clock that was set."""
    return Entry(
        at=BEGUN + number * 600_000 - (chance.randrange(DAY // 2) if chance.random() < 0.1 else 0),
        action=chance.choice(("Get", "Create", "certificate.add")),
        outcome=chance.choice(("success", "success", "Item Not Found", "completed")),
        initiator=chance.choice(("CertificateID-abcd", "CertificateID-abff", "person-anna")),
        address=chance.choice(("192.0.2.1:1", "192.0.2.17:1", "local")),
        instance=chance.choice(("one", "two", "")),
        target=chance.choice(NAMES),
        detail={"name": chance.choice(NAMES), "outcome": "success", "instance": "one"},
    )


def a_query(chance: random.Random) -> JournalQuery:
    """Of one to three conditions."""
    since = BEGUN + chance.randrange(RECORDS) * 600_000
    choices: dict[str, Any] = {
        "since": since,
        "until": since + chance.randrange(1, 5 * DAY),
        "instances": chance.choice(({"one"}, {"one", "two"}, set())),
        "target": chance.choice(("key-1", 'a"', "50%", "no", "Ü", "line\n")),
        "targets": chance.choice((("key-1",), ("key-12", 'a"b', "line\nend", "no"))),
        "initiators": chance.choice((("person-", "CertificateID-abc"), ("an",))),
        "address": chance.choice(("192.0.2.1", "192.0.2.1:", "loc")),
        "data": chance.choice((True, False)),
        "actions": chance.choice((("Get",), ("Create", "certificate.add"))),
        "outcome": chance.choice(("success", "failure", "Item Not Found")),
        "initiator": chance.choice(("abc", "CertificateID-abf", "person-anna", "ANNA")),
        "text": chance.choice(("KEY-12", "50%", "under_score", "Übung", "back\\slash", 'a"b', "nothing")),
    }
    return JournalQuery(**{name: choices[name] for name in chance.sample(sorted(choices), chance.randint(1, 3))})


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a catalog."""
    return tmp_path_factory.mktemp("search") / "c.db"


async def test_a_search_finds_what_a_look_at_all_finds(path: Path) -> None:
    """Eighty searches, each by pages of seventy."""
    chance = random.Random(1)
    catalog = await catalog_at(path, "kmip-0")
    await catalog.commit(Unit(entries=[an_entry(chance, number) for number in range(RECORDS)]))
    records = await catalog.journal(0, RECORDS)
    for _ in range(80):
        query, before = a_query(chance), None
        found: list[JournalRecord] = []
        while True:
            page = await catalog.find(query, before=before, limit=70)
            found += page.records
            before = page.before
            if before is None:
                break
        expected = [each for each in reversed(records) if matches(query, read(each.text), each.text)]
        assert [each.number for each in found] == [each.number for each in expected], query
    await catalog.close()


async def walked(catalog: WholeCatalog, query: JournalQuery, *, on: bool) -> list[int]:
    """The numbers that a look at ninety records at a time finds, one way or the other."""
    found: list[int] = []
    at: int | None = 0 if on else None
    while True:
        if on:
            assert at is not None
            page = await catalog.find_on(query, after=at, limit=7, within=90)
        else:
            page = await catalog.find(query, before=at, limit=7, within=90)
        if page.before is not None and at is not None and query.since is None and query.until is None:
            assert abs(page.before - at) <= 90  # noqa: PLR2004 - what it was told
        found += [each.number for each in page.records]
        at = page.before
        if at is None:
            return found


async def test_a_search_that_looks_at_so_many_at_a_time_finds_the_same(path: Path) -> None:
    """Both ways, and never further at one time than it was told."""
    chance = random.Random(2)
    catalog = await catalog_at(path, "kmip-0")
    records = await catalog.journal(0, RECORDS)
    for _ in range(20):
        query = a_query(chance)
        expected = [each.number for each in records if matches(query, read(each.text), each.text)]
        assert await walked(catalog, query, on=True) == expected, query
        assert await walked(catalog, query, on=False) == expected[::-1], query
    await catalog.close()
