"""A running installation moves into PostgreSQL: nothing acknowledged is lost, and never do two databases take changes.

It is killed at each point at which it says how far it is; then the same command is said again, and goes on.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.moving.rows import Different
from keyrack.adapters.catalogs.postgres import opening
from keyrack.adapters.catalogs.postgres.catalog import PostgresCatalog
from keyrack.adapters.catalogs.postgres.connecting import Place
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import CatalogUnavailable, Unit
from keyrack.service.moves.walk import Progress
from keyrack.service.office.administration import Administrator
from keyrack.shell.config.whole import load
from keyrack.shell.nodes.catalog_moving import Done, NotMoved, Order, abandon, forecast, move
from keyrack.testing.client import Client
from keyrack.testing.ledger import Promise, broken
from keyrack.testing.patient import Patients
from keyrack.testing.postgres import OWNER, binaries
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.process import Deployment
from keyrack.testing.streams import FLOWS, Writer

pytestmark = [
    pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL"),
    pytest.mark.sqlite("it is what moves"),
]

POINTS = (2, 20, 33, 40, 70)
"""Of the reports of progress, those at which the short form is killed."""
ENTRY = Entry(at=1, action="test", outcome="success", initiator="test", address="local")


@dataclass(slots=True)
class Home:
    """An installation over SQLite, and what its clients were promised."""

    deployment: Deployment
    contexts: dict[str, ssl.SSLContext]
    promises: list[Promise]

    def copied(self, directory: Path) -> "Home":
        return Home(self.deployment.copied(directory, {}), self.contexts, self.promises)

    def broken(self, address: tuple[str, int]) -> list[str]:
        problems = []
        for name, context in self.contexts.items():
            with Client(address, context, timeout=30) as asking:
                problems += broken(asking, [each for each in self.promises if each.instance == name])
        return problems


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Made once: keys in every state, in two instances."""
    deployment = Deployment(directory=tmp_path_factory.mktemp("move") / "origin").initialise()
    home = Home(deployment, deployment.furnish(), [])
    address = deployment.start()
    try:
        for name, context in home.contexts.items():
            with Client(address, context) as client:
                writer = Writer(client, name, "before")
                for flow in (*FLOWS, *FLOWS):
                    flow(writer)
                home.promises += writer.promises
    finally:
        deployment.stop()
    return home


@pytest.fixture
def home(origin: Home, tmp_path: Path) -> Iterator[Home]:
    copy = origin.copied(tmp_path / "home")
    yield copy
    copy.deployment.stop()


def order(home: Home, url: str, copying: Callable[[Progress], None] = lambda progress: None) -> Order:
    return Order(
        config=load(home.deployment.configuration, {}),
        place=Place(url, "test"),
        standby="warn",
        administrator=Administrator("local-user-test"),
        copying=copying,
        finishing=copying,
    )


def moved(home: Home, url: str) -> Done:
    return asyncio.run(move(order(home, url)))


def serve_from(home: Home, url: str) -> tuple[str, int]:
    home.deployment.environment = {**home.deployment.environment, "KEYRACK_CATALOG__URL": url}
    return home.deployment.start()


def sqlite_takes_changes(home: Home) -> bool:
    """Whether a process that has had it open all the time could commit."""
    with contextlib.closing(sqlite3.connect(home.deployment.catalog)) as connection:
        try:
            connection.execute("UPDATE generation SET changes = changes")
            connection.execute("INSERT INTO pulses (process, at) VALUES ('test', 1)")
        except sqlite3.IntegrityError:
            return False
        connection.rollback()
        return True


def postgres_is_served(url: str, deployment: str) -> bool:
    async def look() -> bool:
        try:
            await opening.check(Place(url, "test"))
        except UnfitDatabase:
            return False
        catalog = await PostgresCatalog.open(Place(url, "test"), "test")
        try:
            return await catalog.deployment() == deployment
        finally:
            await catalog.close()

    return asyncio.run(look())


def test_it_moves_while_clients_ask_and_nothing_acknowledged_is_lost(home: Home, postgres: Fresh) -> None:
    address = home.deployment.start()
    url = postgres.url
    with Patients(address, home.contexts) as patients:
        done = home.deployment.run("migrate-catalog", "--to", url, "--yes", "--json")
        asked = len(patients.promises)
        # The server that still runs over SQLite hands nothing out and takes nothing.
        with Client(address, home.contexts["a"]) as client, pytest.raises(AssertionError):
            Writer(client, "a", "late").create()
    home.deployment.stop()

    told = json.loads(done.stdout)
    assert all(each["sha256"] == each["sha256_there"] for each in told["tables"].values())
    assert [] == patients.problems
    assert asked > 0
    assert patients.refused["Create"] > 0
    assert patients.refused["Get"] > 0
    assert f'url = "{url}"' in home.deployment.configuration.read_text()
    assert "sqlite:///" in Path(told["configuration_kept"]).read_text()

    address = home.deployment.start()
    assert [] == home.broken(address)
    assert [] == patients.broken(address)
    with Client(address, home.contexts["a"]) as client:
        Writer(client, "a", "after").create()
    assert "administration" in home.deployment.run("audit", "verify").stdout


def killed_at(home: Home, url: str, point: int) -> bool:
    """Move in a process that kills itself at its ``point``-th report; whether it came so far."""
    child = os.fork()
    if child == 0:
        count = 0

        def report(progress: Progress) -> None:
            nonlocal count
            count += 1
            if count == point:
                os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            asyncio.run(move(order(home, url, report)))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def check_kill(home: Home, fresh: Fresh, point: int) -> bool:
    url = fresh.url
    name = load(home.deployment.configuration, {}).deployment.id
    killed = killed_at(home, url, point)
    assert not (sqlite_takes_changes(home) and postgres_is_served(url, name))
    if killed:
        assert not postgres_is_served(url, name)
        moved(home, url)
    assert not sqlite_takes_changes(home)
    assert postgres_is_served(url, name)
    return killed


@pytest.mark.parametrize("point", POINTS)
def test_it_goes_on_wherever_it_was_killed(home: Home, postgres: Fresh, point: int) -> None:
    check_kill(home, postgres, point)
    if point == POINTS[-1]:
        assert [] == home.broken(serve_from(home, postgres.url))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_goes_on_from_every_point(origin: Home, tmp_path: Path, postgres: Fresh) -> None:
    point, killed = 0, True
    while killed:
        point += 1
        copy = origin.copied(tmp_path / "copy")
        fresh = Fresh(postgres.cluster)
        killed = check_kill(copy, fresh, point)
        if point % 10 == 0 or not killed:
            assert [] == copy.broken(serve_from(copy, fresh.url))
            copy.deployment.stop()
        fresh.drop()
        shutil.rmtree(copy.deployment.directory)
    assert point > len(POINTS)


def test_twice_killed_in_the_last_step_it_goes_on_all_the_same(home: Home, postgres: Fresh) -> None:
    assert killed_at(home, postgres.url, 70)
    assert killed_at(home, postgres.url, 40)
    moved(home, postgres.url)
    assert not sqlite_takes_changes(home)


def test_said_again_after_its_end_it_changes_nothing_and_still_writes_the_configuration(
    home: Home, postgres: Fresh
) -> None:
    home.deployment.run("migrate-catalog", "--to", postgres.url, "--yes", "--no-config")
    assert "sqlite:///" in home.deployment.configuration.read_text()

    again = json.loads(home.deployment.run("migrate-catalog", "--to", postgres.url, "--yes", "--json").stdout)

    assert again["before"]
    told = "SELECT count(*) FROM journal WHERE text LIKE '%catalog.move%'"
    assert postgres.cluster.sql(told, database=postgres.name) == "1"
    assert postgres.url in home.deployment.configuration.read_text()


def test_numbers_go_on_behind_the_highest(home: Home, postgres: Fresh) -> None:
    moved(home, postgres.url)
    with contextlib.closing(sqlite3.connect(home.deployment.catalog)) as connection:
        highest, objects = connection.execute(
            "SELECT (SELECT max(number) FROM journal), (SELECT max(number) FROM object)"
        ).fetchone()

    async def write() -> None:
        catalog = await postgres.catalog("node-9/kmip-0")
        try:
            # The record of the move itself is behind what was moved.
            assert highest + 1 == await catalog.journal_end()
            await catalog.commit(Unit(entries=(ENTRY,)))
            assert highest + 2 == await catalog.journal_end()
            (record,) = await catalog.journal(highest + 1)
            assert ("node-9/kmip-0", 1) == (record.chain, record.sequence)
        finally:
            await catalog.close()

    asyncio.run(write())
    given = postgres.cluster.sql("SELECT last_value FROM object_number_seq", database=postgres.name)
    assert int(given) >= objects


FLIP = "UPDATE journal SET text = replace(text, 'success', 'failure') WHERE number = 3"


def owner(fresh: Fresh, *statements: str) -> None:
    fresh.cluster.sql(*statements, database=fresh.name, role=OWNER)


def test_a_record_that_was_changed_on_the_way_is_found_and_sqlite_goes_on(home: Home, postgres: Fresh) -> None:
    assert killed_at(home, postgres.url, 40)
    owner(postgres, "ALTER TABLE journal DISABLE TRIGGER USER", FLIP, "ALTER TABLE journal ENABLE TRIGGER USER")

    with pytest.raises(Different, match="journal 3 is another than in SQLite"):
        moved(home, postgres.url)

    assert sqlite_takes_changes(home)


def test_a_row_that_does_not_arrive_as_it_was_written_is_found(home: Home, postgres: Fresh) -> None:
    postgres.make()
    owner(
        postgres,
        "CREATE FUNCTION flip() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN NEW.sealed := set_byte(NEW.sealed, 9, get_byte(NEW.sealed, 9) # 1); RETURN NEW; END$$",
        "CREATE TRIGGER flips BEFORE INSERT ON object FOR EACH ROW WHEN (NEW.number = 5) EXECUTE FUNCTION flip()",
    )

    with pytest.raises(Different, match="object 5 does not stand in PostgreSQL as it was written"):
        moved(home, postgres.url)

    assert sqlite_takes_changes(home)


def test_an_object_that_was_changed_on_the_way_is_put_right(home: Home, postgres: Fresh) -> None:
    assert killed_at(home, postgres.url, 40)
    owner(postgres, "UPDATE object SET state = 3", "DELETE FROM attribute", "DELETE FROM object WHERE number = 4")

    moved(home, postgres.url)

    assert [] == home.broken(serve_from(home, postgres.url))


def test_it_can_be_given_up_before_its_end(home: Home, postgres: Fresh) -> None:
    assert killed_at(home, postgres.url, 70)
    assert not sqlite_takes_changes(home)
    with pytest.raises(UnfitDatabase, match="migrate-catalog"):
        SqliteCatalog(home.deployment.catalog)

    asyncio.run(abandon(order(home, postgres.url)))

    assert sqlite_takes_changes(home)
    assert [] == home.broken(home.deployment.start())
    with pytest.raises(Different, match="prepare another database"):
        moved(home, postgres.url)


def test_after_its_end_it_cannot_be_given_up(home: Home, postgres: Fresh) -> None:
    moved(home, postgres.url)

    with pytest.raises(NotMoved, match="moved to the end"):
        asyncio.run(abandon(order(home, postgres.url)))

    assert not sqlite_takes_changes(home)


def test_a_running_server_refuses_what_would_change_a_catalog_that_has_moved(home: Home, postgres: Fresh) -> None:
    """Units that only journal, and units that change rows, hear the same."""

    async def refused() -> None:
        catalog = SqliteCatalog(home.deployment.catalog, "kmip-0")
        try:
            await move(order(home, postgres.url))
            with pytest.raises(CatalogUnavailable, match="has moved to postgresql"):
                await catalog.commit(Unit(entries=(ENTRY,)))
        finally:
            await catalog.close()

    asyncio.run(refused())


def test_a_database_with_something_in_it_or_of_another_deployment_is_refused(
    home: Home, origin: Home, tmp_path: Path, postgres: Fresh
) -> None:
    moved(home, postgres.url)
    other = origin.copied(tmp_path / "other")
    text = other.deployment.configuration.read_text()
    other.deployment.configuration.write_text(text.replace("\nid = ", '\nid = "other" #', 1))
    with pytest.raises(Different, match="not this deployment 'other'"):
        moved(other, postgres.url)
    # The same name, and another catalog: its last record is not there.
    other.deployment.configuration.write_text(text)
    with pytest.raises(NotMoved, match="of another catalog"):
        moved(other, postgres.url)

    used = Fresh(postgres.cluster)
    used.make()
    owner(used, "INSERT INTO journal (chain, sequence, text, hash) VALUES ('x', 1, '{}', '\\x00')")
    with pytest.raises(NotMoved, match="holds something already"):
        moved(other, used.url)
    used.drop()


def test_a_forecast_moves_nothing(home: Home, postgres: Fresh) -> None:
    found = asyncio.run(forecast(order(home, postgres.url)))

    assert found.tables["object"] > 0
    assert not found.goes_on
    assert postgres.cluster.sql("SELECT count(*) FROM deployment", database=postgres.name) == "0"
