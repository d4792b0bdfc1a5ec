"""The log that nodes share of a key manager, over real catalogs: a file that two directories name, and PostgreSQL."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyrack.embedded import creation, lifecycle
from keyrack.embedded.errors import KeyNotFound, KeystoreBehind, KeystoreDiverged, LogUnavailable, Overtaken
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key, KeyState
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.shell.catalogs import file_catalog
from keyrack.shell.nodes.change_logs import CatalogLog, OpenCatalog
from keyrack.testing.key_houses import a_call, a_copy, a_house, opened_again
from keyrack.testing.postgres_catalogs import Fresh
from keyrack.testing.some_keys import kept

SOON = 1.0
"""Seconds within which a change counts on every node."""


@pytest.fixture(params=["sqlite", "postgres"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> OpenCatalog:
    """How a node opens the catalog that it shares."""
    if request.param == "sqlite":
        return lambda: file_catalog(tmp_path / "catalog.db", "key-manager-log")
    fresh: Fresh = request.getfixturevalue("postgres")
    return lambda: fresh.catalog("key-manager-log")


@pytest.fixture
def log(opens: OpenCatalog) -> Iterator[CatalogLog]:
    made = CatalogLog("embedded", opens)
    yield made
    made.close()


@pytest.fixture
def houses(opens: OpenCatalog, tmp_path: Path) -> Iterator[tuple[House, House]]:
    (tmp_path / "one").mkdir()
    a_house(tmp_path / "one").close()
    opened_again(tmp_path / "one", log=CatalogLog("embedded", opens)).close()
    a_copy(tmp_path / "one", tmp_path / "two")
    one, two = (opened_again(tmp_path / name, log=CatalogLog("embedded", opens)) for name in ("one", "two"))
    yield one, two
    one.close()
    two.close()


def seen(house: House, key: Key, state: KeyState) -> bool:
    try:
        return kept(house, key).state is state
    except (KeyNotFound, KeystoreBehind):
        return False


def waited(true: Callable[[], bool]) -> float:
    """Seconds until it became true; infinite where that took a second."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > SOON:
            return float("inf")
        time.sleep(0.002)
    return time.monotonic() - began


def test_lines_stand_one_behind_the_other(log: CatalogLog) -> None:
    log.append(7, "seven")
    log.append(8, "eight")

    assert [(7, "seven"), (8, "eight")] == [(line.revision, line.text) for line in log.since(6)]
    assert ["eight"] == [line.text for line in log.since(7)]
    assert ["seven"] == [line.text for line in log.since(0, 1)]
    for revision in (7, 8):
        with pytest.raises(Overtaken):
            log.append(revision, "another")
    with pytest.raises(KeystoreDiverged):
        log.append(10, "ten")
    log.forget(7)
    assert ["eight"] == [line.text for line in log.since(0)]
    log.restart(100, "anew")
    assert ["anew"] == [line.text for line in log.since(0)]


def test_a_key_manager_has_a_log_of_its_own(log: CatalogLog, opens: OpenCatalog) -> None:
    other = CatalogLog("another", opens)
    log.append(7, "seven")
    other.append(1, "one")

    assert ["one"] == [line.text for line in other.since(0)]
    other.close()


def test_two_nodes_share_one_key_manager(houses: tuple[House, House]) -> None:
    one, two = houses
    key = creation.create(one, a_call(), creation.NewKey(name="root", extractable=False))
    assert waited(lambda: seen(two, key, KeyState.ACTIVE)) < SOON
    lifecycle.disable(two, a_call(), key.identifier)
    assert waited(lambda: seen(one, key, KeyState.SUSPENDED)) < SOON

    assert one.database.standing() == two.database.standing()


def test_two_nodes_at_once(houses: tuple[House, House]) -> None:
    """Whoever is overtaken begins anew; each count is there in the end."""

    def count(house: House) -> None:
        def act() -> None:
            with house.database.change() as unit:
                said = int.from_bytes(unit.sealed_value("count") or b"", "big")
                unit.put_sealed_value("count", (said + 1).to_bytes(4, "big"))

        for _ in range(10):
            house.settled(act)

    threads = [threading.Thread(target=count, args=(house,)) for house in houses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for house in houses:
        house.database.follow()
        with house.reading() as reading:
            assert 20 == int.from_bytes(reading.sealed_value("count") or b"", "big")


def test_a_log_that_was_closed_answers_nobody(opens: OpenCatalog) -> None:
    log = CatalogLog("embedded", opens)
    log.close()
    log.close()

    with pytest.raises(LogUnavailable):
        log.since(0)


def test_a_catalog_that_does_not_open_is_told_of() -> None:
    async def away() -> None:
        raise CatalogUnavailable("nobody answers at db1")

    before = threading.active_count()
    with pytest.raises(LogUnavailable, match="db1"):
        CatalogLog("embedded", away)  # type: ignore[arg-type]
    assert before == threading.active_count()


def test_postgres_that_goes_away_and_comes_back(postgres: Fresh, tmp_path: Path) -> None:
    """Its connections are cut: what is asked meanwhile is refused, and nothing needs a restart."""
    a_house(tmp_path).close()
    house = opened_again(tmp_path, log=CatalogLog("embedded", lambda: postgres.catalog("key-manager-log")))
    key = creation.create(house, a_call(), creation.NewKey(name="root", extractable=False))
    postgres.cluster.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{postgres.name}'")

    def disabled() -> bool:
        try:
            lifecycle.disable(house, a_call(), key.identifier)
        except LogUnavailable:
            return False
        return True

    assert waited(disabled) < SOON
    assert seen(house, key, KeyState.SUSPENDED)
    house.close()
