"""A catalog from before quotas, credentials and reasons (schema 3) is brought up to date with all that it holds."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.administering import certificate_columns, instance_columns
from keyrack.adapters.catalogs.sqlite import migrator
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.migrator import migrations
from keyrack.adapters.catalogs.units import Row
from keyrack.domain.instances import Home, InstanceStatus
from keyrack.domain.journal_chain import canonical, genesis, link
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import QuotaReached, Unit
from keyrack.spec.enumerations import State
from keyrack.testing.catalog_values import (
    ONE,
    OTHER_KEY,
    PRINCIPAL,
    TWO,
    certificate,
    entry,
    instance,
    key,
    numbered,
)

MOVING = replace(instance(TWO, "two"), former=Home("embedded", "former root"), sealed_at=1_800_000_000)
GONE = replace(key(OTHER_KEY), state=State.DESTROYED)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A catalog with the third schema: two instances of which one moves, a certificate, two keys, a destroyed one."""
    path = tmp_path / "catalog.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        for migration in migrations()[:3]:
            for statement in migration.statements():
                connection.execute(statement)
        connection.execute("PRAGMA user_version = 3")
        connection.execute(f"PRAGMA application_id = {migrator.APPLICATION_ID}")
        for each in (instance(), MOVING):
            _add(connection, "instance", _INSTANCE, instance_columns(each)[:15])
        _add(connection, "certificate", _CERTIFICATE, certificate_columns(certificate()))
        for each_key in (key(), GONE, key(numbered(3), TWO)):
            _insert(connection, each_key)
        act = canonical(entry("Create"))
        _add(connection, "journal", "chain, sequence, text, hash", ("kmip-0", 1, act, link(genesis("kmip-0"), act)))
    connection.close()
    return path


_INSTANCE = (
    "identifier, name, description, status, key_manager, root_key, storage, created_at, created_by, updated_at,"
    " updated_by, hierarchy, sealed_at, former_key_manager, former_root_key"
)
_CERTIFICATE = "fingerprint, instance, name, subject, not_before, not_after, der, added_at, added_by"
_OBJECT = (
    "identifier, instance, object_type, state, version, key_format_type, key_compression_type, subtype, wrapped,"
    " glance, attributes, indexed, sealed, standard_key, withheld_at, initial_date"
)


def _add(connection: sqlite3.Connection, table: str, columns: str, row: tuple[object, ...]) -> None:
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", row)


def _insert(connection: sqlite3.Connection, made: ManagedObject) -> None:
    head = (made.unique_identifier, made.instance, made.object_type, made.state, made.version)
    _add(connection, "object", _OBJECT, (*head, *Row(made).columns, made.value("Initial Date")))


@pytest.fixture
async def catalog(old: Path) -> AsyncIterator[SqliteCatalog]:
    """The same file, opened by this program."""
    catalog = SqliteCatalog(old, "kmip-0")
    yield catalog
    await catalog.close()


async def test_instances_are_as_they_were(catalog: SqliteCatalog) -> None:
    """With quotas that nobody meets, without credential and dual control; one that moves is Configuring, and serves."""
    one, two = await catalog.instances()

    assert one == instance()
    assert (two.status, two.former, two.sealed_at) == (InstanceStatus.CONFIGURING, MOVING.former, MOVING.sealed_at)
    assert two.reason == "its keys move from root key former root of embedded; its clients are served meanwhile"
    assert two.serves
    assert await catalog.certificates() == [certificate()]
    assert [*await catalog.objects(ONE)] == [key(), GONE]


async def test_what_lives_was_counted(catalog: SqliteCatalog) -> None:
    """And is counted on from there."""
    assert (await catalog.living(ONE), await catalog.living(TWO)) == (1, 1)

    await catalog.commit(Unit(entries=(), updated=(replace(key(), state=State.DESTROYED, version=2),)))
    assert await catalog.living(ONE) == 0


async def test_a_quota_holds_in_the_migrated_file(catalog: SqliteCatalog) -> None:
    """What was there before counts."""
    one, _ = await catalog.instances()
    await catalog.commit(Unit(entries=(), instances=(replace(one, quotas=replace(one.quotas, keys=2)),)))
    await catalog.commit(Unit(entries=(), principal=PRINCIPAL, inserted=(key(numbered(7)),)))

    with pytest.raises(QuotaReached):
        await catalog.commit(Unit(entries=(), principal=PRINCIPAL, inserted=(key(numbered(8)),)))


def test_the_file_is_migrated_once(old: Path) -> None:
    """A second opening finds the schema that it wants, and no reference is broken."""
    for _ in range(2):
        SqliteCatalog.create(old)
    with sqlite3.connect(old) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
