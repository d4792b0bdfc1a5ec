"""When the server makes a backup by itself: when one is due, whoever made the last, and never of an old catalog."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from keyrack.ports.catalog import Unit
from keyrack.ports.cluster import BACKUP, ClusterChanges, Report, Rollback
from keyrack.service.office.administration import Administrator
from keyrack.shell.backups import archive
from keyrack.shell.backups.duty import AGAIN_AFTER, Backups, backup_duties
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config, load
from keyrack.shell.office import open_office
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.process import _model

pytestmark = pytest.mark.skipif(over_postgres(), reason="PostgreSQL has backups of its own: docs/backup.md")
EVERY = {"KEYRACK_BACKUP__EVERY_HOURS": "2", "KEYRACK_BACKUP__KEEP": "2"}


def configured(tmp_path: Path, **more: str) -> tuple[Config, Path]:
    model, _ = _model("prod")
    deployment = model.copied(tmp_path / "d", {})
    return load(deployment.configuration, {**EVERY, **more}), deployment.configuration


def house(config: Config, catalog: Any) -> Any:
    """As much of a house as a backup needs."""
    return cast(Any, SimpleNamespace(config=config, catalog=catalog))


async def put(catalog: Any, *, hours: float, good: bool = True) -> None:
    report = Report(kind=BACKUP, at=int(time.time() - hours * 3600), good=good, told="x")
    await catalog.commit(Unit(entries=(), cluster=ClusterChanges(report=report)))


async def test_one_is_due_when_the_last_is_old_or_has_failed_a_while_ago(tmp_path: Path) -> None:
    config, file = configured(tmp_path)
    async with open_office(config, Administrator("local-user-test")) as office:
        duty = Backups(house(config, office.catalog), file)
        due = [await duty._is_due()]
        for hours, good in ((1, True), (3, True), (0.01, False), (AGAIN_AFTER / 3600 + 0.1, False), (-1, True)):
            await put(office.catalog, hours=hours, good=good)
            due.append(await duty._is_due())

    assert due == [True, False, True, False, True, True]


async def test_it_makes_keeps_and_writes_down(tmp_path: Path) -> None:
    config, file = configured(tmp_path)
    async with open_office(config, Administrator("local-user-test")) as office:
        duty = Backups(house(config, office.catalog), file)
        for _ in range(3):
            await duty.do()
        report = (await office.catalog.reports())[BACKUP]

    left = archive.those_of(config.path(config.backup.directory))
    assert len(left) == 2
    assert (report.good, report.told) == (True, str(left[-1]))


async def test_of_a_catalog_that_is_rolled_back_none_is_made(tmp_path: Path) -> None:
    """A copy of it would take the place of one that may still be needed."""
    config, file = configured(tmp_path)
    async with open_office(config, Administrator("local-user-test")) as office:
        changes = ClusterChanges(rollback=Rollback(at=1, why="a test"))
        await office.catalog.commit(Unit(entries=(), cluster=changes, recovers=True))

        assert not await Backups(house(config, office.catalog), file)._is_due()


def test_who_configures_nothing_has_no_duty(tmp_path: Path) -> None:
    config, file = configured(tmp_path, KEYRACK_BACKUP__EVERY_HOURS="0")
    assert backup_duties(house(config, None), file) == []
    with_proof, _ = configured(tmp_path / "b", KEYRACK_BACKUP__PROVE_DAILY="true")
    assert len(backup_duties(house(with_proof, None), file)) == 2
    assert (config.backup.oldest, with_proof.backup.oldest) == (0, (2 * 2 + 2) * 3600)


def test_an_alarm_that_would_come_before_the_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="alarm_hours is 1"):
        configured(tmp_path, KEYRACK_BACKUP__ALARM_HOURS="1")
