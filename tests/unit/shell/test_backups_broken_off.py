"""A restore that is broken off, or meets a server or what another database has left, spoils nothing."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.embedded.store.database import database_path
from keyrack.service.office.administration import Administrator
from keyrack.shell.backups import archive, making, restoring
from keyrack.shell.backups.making import Order
from keyrack.shell.backups.manifest import BadBackup
from keyrack.shell.config.whole import load
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.process import _model

pytestmark = pytest.mark.skipif(over_postgres(), reason="PostgreSQL has backups of its own: docs/backup.md")

ME = Administrator("local-user-test")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A deployment with an instance."""
    model, _ = _model("prod")
    deployment = model.copied(tmp_path / "d", {})
    return Order(config=load(deployment.configuration, {}), file=deployment.configuration)


@pytest.fixture
def made(order: Order) -> making.Made:
    """A backup of it; made outside of the loop, as in a thread."""
    return making.make(order)


def keystore_database(order: Order) -> Path:
    (table,) = order.config.embedded.values()
    return database_path(order.config.path(table.keystore))


def test_a_part_that_is_broken_off_has_no_name_yet(made: making.Made, tmp_path: Path) -> None:
    """Half a file at its name would be taken for one that is there, and stay: by the next restore, and by a server."""
    target = tmp_path / "there" / "keystore"

    with archive.opened(made.path) as backup:
        parts = [replace(each, sha256="0" * 64) for each in backup.manifest.parts]
        backup.manifest = replace(backup.manifest, parts=parts)
        with pytest.raises(BadBackup, match="not as it was written"):
            backup.extract("key_managers/embedded/database", target)

    assert not list(target.parent.iterdir())
    with archive.opened(made.path) as whole:
        whole.extract("key_managers/embedded/database", target)
    assert [target] == list(target.parent.iterdir())
    assert target.stat().st_mode & 0o777 == 0o600


async def test_a_server_that_begins_while_a_backup_is_read_keeps_its_catalog(
    order: Order, made: making.Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it acknowledges goes into the file at the name; that one may not be put aside under it."""
    catalog = order.config.catalog_path
    assert catalog is not None
    before = catalog.read_bytes()
    began: list[bool] = []

    def refuse_served(config: object) -> None:
        if began:
            raise BadBackup("a server of this deployment runs")
        began.append(True)

    monkeypatch.setattr(restoring, "refuse_served", refuse_served)
    keystore_database(order).unlink()

    with pytest.raises(BadBackup, match="runs"):
        await restoring.restore(order.config, made.path, ME)

    assert catalog.read_bytes() == before
    assert not keystore_database(order).exists()


async def test_what_is_left_of_a_lost_database_is_not_read_into_the_restored_one(
    order: Order, made: making.Made
) -> None:
    database = keystore_database(order)
    wrong = sqlite3.connect(database)
    wrong.execute("PRAGMA wal_autocheckpoint = 0")
    wrong.execute("CREATE TABLE of_later (text TEXT)")
    wrong.commit()
    log = database.with_name(database.name + "-wal")
    left = log.read_bytes()
    wrong.close()
    database.unlink()
    log.write_bytes(left)
    assert left

    done = await restoring.restore(order.config, made.path, ME)

    assert database in done.files
    found = sqlite3.connect(database)
    assert not found.execute("SELECT name FROM sqlite_master WHERE name = 'of_later'").fetchall()
    found.close()
    assert [left] == [path.read_bytes() for path in database.parent.glob(f"{database.name}.before-*-wal")]
