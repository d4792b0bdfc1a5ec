"""What SQLite adds to the contract: other processes, locks, a full or stuck disk, and going on afterwards."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import AT_ONCE, SqliteCatalog
from keyrack.adapters.catalogs.sqlite.opening import connect, prepare
from keyrack.adapters.catalogs.sqlite.writer import Writer
from keyrack.adapters.catalogs.units import Application, Prepared, Versions
from keyrack.ports.catalog import (
    Candidates,
    CatalogUnavailable,
    Conflict,
    InstanceSealed,
    NotAuthorised,
    OutcomeUnknown,
    Unit,
)
from keyrack.service.journal.chain import verify
from keyrack.testing.care_contract import LOOKED, leftover
from keyrack.testing.catalog_values import (
    FINGERPRINT,
    KEY,
    ONE,
    PRINCIPAL,
    certificate,
    entry,
    instance,
    key,
)

GET = Unit(entries=(entry(),), principal=PRINCIPAL, seen={KEY: 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalog is."""
    return tmp_path / "catalog.db"


@pytest.fixture
async def house(path: Path) -> AsyncIterator[SqliteCatalog]:
    """A catalog with an instance, a certificate and a key; it waits half a second at most."""
    catalog = SqliteCatalog(path, "kmip-0", deadline=0.5)
    await catalog.commit(
        Unit(entries=(), instances=(instance(),), certificates=(certificate(),), inserted=(key(),)),
    )
    yield catalog
    await catalog.close()


@pytest.fixture
async def neighbour(path: Path, house: SqliteCatalog) -> AsyncIterator[SqliteCatalog]:
    """The same file, as another process has it open."""
    catalog = SqliteCatalog(path, "cli")
    yield catalog
    await catalog.close()


@pytest.fixture
def intruder(path: Path, house: SqliteCatalog) -> sqlite3.Connection:
    """A bare connection to the file."""
    return sqlite3.connect(path, isolation_level=None)


async def test_a_removal_by_another_process_counts_at_the_next_commit(
    house: SqliteCatalog, neighbour: SqliteCatalog
) -> None:
    """Authority that was used a moment ago is looked up again when another process has changed it."""
    await house.commit(GET)
    await neighbour.commit(Unit(entries=(), removed_certificates=(FINGERPRINT,)))

    with pytest.raises(NotAuthorised):
        await house.commit(GET)


async def test_a_removal_behind_our_back_counts_at_the_next_commit(
    house: SqliteCatalog, intruder: sqlite3.Connection
) -> None:
    """Even a plain SQL statement of an administrator is noticed: the database counts its own changes."""
    await house.commit(GET)
    intruder.execute("DELETE FROM certificate")

    with pytest.raises(NotAuthorised):
        await house.commit(GET)


async def test_a_seal_by_another_process_counts_at_the_next_commit(
    house: SqliteCatalog, neighbour: SqliteCatalog, intruder: sqlite3.Connection
) -> None:
    """By a command of an administrator, or by plain SQL; so does its end. Nothing is done twice for the refusal."""
    await house.commit(GET)
    await neighbour.commit(Unit(entries=(), instances=(replace(instance(), sealed_at=1),)))
    with pytest.raises(InstanceSealed):
        await house.commit(GET)
    await neighbour.commit(Unit(entries=(), instances=(instance(),)))
    await house.commit(GET)

    intruder.execute("UPDATE instance SET sealed_at = 2")
    statements: list[str] = []
    house._writer._connection.set_trace_callback(statements.append)
    with pytest.raises(InstanceSealed):
        await house.commit(GET)
    assert not any("ROLLBACK" in each for each in statements)


async def test_what_is_remembered_costs_others_no_look(house: SqliteCatalog, intruder: sqlite3.Connection) -> None:
    """A Get of a known version asks the database nothing but its counts, whatever was found out meanwhile."""
    await house.load(ONE, KEY)
    await house.commit(GET)
    counts = intruder.execute("SELECT * FROM generation").fetchall()
    statements: list[str] = []
    house._writer._connection.set_trace_callback(statements.append)
    remembered = Unit(
        entries=(),
        validations=(LOOKED,),
        leftovers=(leftover(),),
        cleared=(leftover("another"),),
    )
    await asyncio.gather(house.commit(remembered), house.commit(GET))

    assert ["BEGIN", "SELECT", "INSERT", "DELETE", "INSERT", "INSERT", "COMMIT"] == [
        each.split()[0] for each in statements
    ]
    assert intruder.execute("SELECT * FROM generation").fetchall() == counts


async def test_a_change_by_another_process_conflicts(house: SqliteCatalog, neighbour: SqliteCatalog) -> None:
    """A version that was read before another process's change is not good any more; after a new look it is."""
    await house.load(ONE, KEY)
    await neighbour.commit(Unit(entries=(), updated=(replace(key(), version=2),)))

    with pytest.raises(Conflict):
        await house.commit(GET)
    loaded = await house.load(ONE, KEY)
    assert loaded is not None
    await house.commit(replace(GET, seen={KEY: loaded.version}))


async def test_a_version_read_during_a_commit_is_checked_again(house: SqliteCatalog) -> None:
    """What a load has learnt while a change was on its way to the disk does not stand against the change."""
    change = asyncio.ensure_future(house.commit(Unit(entries=(), updated=(replace(key(), version=2),))))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await house.load(ONE, KEY)

    with pytest.raises(Conflict):
        await house.commit(GET)
    await change


async def test_a_known_version_of_a_foreign_object_is_refused(house: SqliteCatalog) -> None:
    """What was learnt from one instance's look-up does not serve another's principal."""
    await house.commit(
        Unit(entries=(), instances=(instance("two", "two"),), certificates=(certificate("b" * 64, "two"),))
    )
    await house.load(ONE, KEY)
    foreign = replace(PRINCIPAL, fingerprint="b" * 64, instance="two")

    with pytest.raises(Conflict):
        await house.commit(replace(GET, principal=foreign))


async def test_two_processes_write_one_sound_journal(house: SqliteCatalog, neighbour: SqliteCatalog) -> None:
    """Each has its chain; both together commit under contention and lose nothing."""
    await asyncio.gather(*(each.commit(GET) for _ in range(60) for each in (house, neighbour)))
    records = await house.journal()

    assert len(records) == 120
    assert {record.chain for record in records} == {"kmip-0", "cli"}
    assert verify(records).flaws == ()


async def test_two_writers_under_one_name_continue_one_chain(path: Path, house: SqliteCatalog) -> None:
    """A second process with the same name, an old one not yet gone, does not fork the chain."""
    twin = SqliteCatalog(path, "kmip-0")
    await asyncio.gather(*(each.commit(GET) for _ in range(40) for each in (house, twin)))
    await twin.close()
    records = await house.journal()

    assert [record.sequence for record in records] == list(range(1, 81))
    assert verify(records).flaws == ()


async def test_the_journal_s_rows_cannot_be_changed(house: SqliteCatalog, intruder: sqlite3.Connection) -> None:
    """The database itself refuses to update or delete a record."""
    await house.commit(GET)
    for statement in ("UPDATE journal SET text = 'x'", "DELETE FROM journal"):
        with pytest.raises(sqlite3.IntegrityError, match="journal record is never"):
            intruder.execute(statement)


async def test_a_short_lock_is_waited_for(house: SqliteCatalog, intruder: sqlite3.Connection) -> None:
    """Another process's write transaction delays a commit and does not fail it."""
    intruder.execute("BEGIN IMMEDIATE")
    commit = asyncio.ensure_future(house.commit(GET))
    await asyncio.sleep(0.05)
    assert not commit.done()
    intruder.execute("COMMIT")
    await commit

    assert len(await house.journal()) == 1


async def test_a_long_lock_is_refused_in_time(house: SqliteCatalog, intruder: sqlite3.Connection) -> None:
    """A lock that does not go away is an answer, not a hang, and leaves nothing; reads go on meanwhile."""
    intruder.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    refused = asyncio.ensure_future(house.commit(GET))
    await asyncio.sleep(0.01)
    assert await house.load(ONE, KEY) == key()
    with pytest.raises(CatalogUnavailable):
        await refused
    assert time.monotonic() - began < 1.5
    intruder.execute("ROLLBACK")

    await house.commit(GET)
    assert len(await house.journal()) == 1


async def test_a_full_database_refuses_and_recovers(house: SqliteCatalog) -> None:
    """No room: everyone of the batch is refused and nothing is kept. Room again: it goes on without a restart."""
    writing = house._writer._connection
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    units = [Unit(entries=[entry("lost", target="x" * 900)] * 20) for _ in range(5)]
    outcomes = await asyncio.gather(*(house.commit(unit) for unit in units), return_exceptions=True)
    assert [CatalogUnavailable] * 5 == [type(outcome) for outcome in outcomes]
    writing.execute("PRAGMA max_page_count = 1000000").fetchall()

    await house.commit(GET)
    records = await house.journal()
    assert len(records) == 1
    assert verify(records).flaws == ()


async def test_authority_of_a_failed_transaction_is_forgotten(house: SqliteCatalog) -> None:
    """A certificate whose addition was rolled back authorises nobody afterwards."""
    writing = house._writer._connection
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {pages}").fetchall()
    stranger = replace(PRINCIPAL, fingerprint="c" * 64)
    outcomes = await asyncio.gather(
        house.commit(Unit(entries=[entry("x" * 900)] * 20, certificates=(certificate("c" * 64),))),
        house.commit(Unit(entries=(), principal=stranger)),
        return_exceptions=True,
    )
    writing.execute("PRAGMA max_page_count = 1000000").fetchall()

    assert [CatalogUnavailable] * 2 == [type(outcome) for outcome in outcomes]
    with pytest.raises(NotAuthorised):
        await house.commit(Unit(entries=(), principal=stranger))


class StuckConnection(sqlite3.Connection):
    """A connection whose disk stops at ``COMMIT`` until it is let go on."""

    go_on = threading.Event()

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """Wait before the commit."""
        if sql == "COMMIT":
            self.go_on.wait()
        return super().execute(sql, *parameters)


async def test_a_stuck_disk_is_refused_in_time(path: Path) -> None:
    """A commit that does not come back has an unknown outcome; what queues behind it is refused; then it goes on."""
    prepare(path)
    StuckConnection.go_on.clear()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=StuckConnection)
    writer = Writer(connection, "kmip-0", Versions(), deadline=0.3)
    first = writer.submit(Prepared(Unit(entries=(entry("first"),))))
    await asyncio.sleep(0.02)
    second = writer.submit(Prepared(Unit(entries=(entry("second"),))))
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert [OutcomeUnknown, CatalogUnavailable] == [type(outcome) for outcome in outcomes]

    StuckConnection.go_on.set()
    await writer.submit(Prepared(Unit(entries=(entry("third"),))))
    reader = connect(path)
    texts = [text for (text,) in reader.execute("SELECT text FROM journal ORDER BY number")]
    reader.close()
    assert ["first", "third"] == [name for text in texts for name in ("first", "second", "third") if name in text]
    await writer.close()


async def test_a_caller_that_gives_up_hurts_nobody(house: SqliteCatalog) -> None:
    """A cancelled commit may be kept or not; those beside it are answered."""
    commits = [asyncio.ensure_future(house.commit(GET)) for _ in range(4)]
    await asyncio.sleep(0)
    commits[1].cancel()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)

    assert [None, None, None] == [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)]


async def test_closing_commits_what_waits(path: Path, house: SqliteCatalog) -> None:
    """Whoever was accepted before the end is answered; whoever comes after is refused."""
    waiting = [asyncio.ensure_future(house.commit(GET)) for _ in range(3)]
    await asyncio.sleep(0)
    await house.close()
    assert [None] * 3 == await asyncio.gather(*waiting)

    with pytest.raises(CatalogUnavailable):
        await house.commit(GET)


async def test_a_long_search_lets_the_loop_breathe_and_sees_one_moment(
    house: SqliteCatalog, intruder: sqlite3.Connection
) -> None:
    """Other work runs between its pages, and what is committed meanwhile is not in it."""
    many = [key(f"00000000-0000-4000-9000-{n:012x}") for n in range(3 * AT_ONCE)]
    await house.commit(Unit(entries=(), inserted=many))
    search = asyncio.ensure_future(house.search(ONE, Candidates()))
    await asyncio.sleep(0)
    assert not search.done()
    intruder.execute("DELETE FROM object")

    assert len(await search) == 3 * AT_ONCE + 1
    assert await house.search(ONE, Candidates()) == []


async def test_searches_use_the_index(intruder: sqlite3.Connection) -> None:
    """Locate by name, authorise, load and the journal's head never scan a table."""
    from keyrack.adapters.catalogs import queries

    statements = [queries.search((), 2), queries.AUTHORISE, queries.LOAD, queries.SEEN, queries.OTHER_BEARER]
    for statement in [*statements, queries.search(("identifier",), 0), queries.COUNT]:
        plan = intruder.execute(f"EXPLAIN QUERY PLAN {statement}", [None] * statement.count("?")).fetchall()
        assert not [step for *_, step in plan if step.startswith("SCAN") and "generation" not in step]


class BrokenApplication(Application):
    """Applies units with a mistake of ours in it."""

    def begin(self, generation: int, changes: int, rollback_at: int | None) -> None:
        """Fail as no database would."""
        raise AssertionError("a mistake")


async def test_a_mistake_of_ours_leaves_nobody_waiting(house: SqliteCatalog) -> None:
    """Whatever goes wrong inside a transaction, it is rolled back and who waits is told; the next one works."""
    application = house._writer._application
    house._writer._application = BrokenApplication(house._read, Versions())
    with pytest.raises(CatalogUnavailable):
        await asyncio.wait_for(house.commit(GET), 2)
    house._writer._application = application

    await house.commit(GET)
    assert len(await house.journal()) == 1


async def test_a_transaction_left_open_is_ended(house: SqliteCatalog) -> None:
    """If the writing connection is found inside a transaction, that one is rolled back and the next commit works."""
    house._writer._connection.execute("BEGIN")
    with pytest.raises(CatalogUnavailable):
        await house.commit(GET)

    await house.commit(GET)
    assert len(await house.journal()) == 1
