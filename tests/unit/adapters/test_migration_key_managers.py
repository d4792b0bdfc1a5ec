"""A catalog from before key managers elsewhere (schema 2) is brought up to date with all that it holds."""

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
from keyrack.domain.journal_chain import canonical, genesis, link
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Author, Candidates, InstanceSealed, Unit
from keyrack.service.journal.chain import verify
from keyrack.spec.enumerations import State
from keyrack.testing.care_contract import LOOKED, SEALED, WRAPPING_KEY, leftover
from keyrack.testing.catalog_values import (
    FINGERPRINT,
    KEY,
    ONE,
    OTHER_KEY,
    PRINCIPAL,
    TWO,
    certificate,
    entry,
    instance,
    key,
    named,
    numbered,
)

CLIENT = f"CertificateID-{FINGERPRINT}"
EVE = "local-user-eve"
KEPT = replace(key(Name=named("first")), standard_key="sk-1", version=3)
GONE = replace(key(OTHER_KEY), state=State.DESTROYED, sealed=None)
INTENDED = key(numbered(7))
GENERATION = (41, 17)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A catalog with the second schema: two instances, a certificate, a key, a destroyed one, an intent, a journal."""
    path = tmp_path / "catalog.db"
    with sqlite3.connect(path, isolation_level=None) as connection:
        for migration in migrations()[:2]:
            for statement in migration.statements():
                connection.execute(statement)
        connection.execute("PRAGMA user_version = 2")
        connection.execute(f"PRAGMA application_id = {migrator.APPLICATION_ID}")
        for each in (instance(), instance(TWO, "two")):
            _add(connection, "instance", _INSTANCE, instance_columns(each)[:11])
        _add(connection, "certificate", _CERTIFICATE, certificate_columns(certificate()))
        _add(connection, "admission", "instance, fingerprint, added_by", (ONE, FINGERPRINT, EVE))
        _insert(connection, KEPT)
        _insert(connection, GONE)
        _add(connection, "attribute", "instance, name, value, object", (ONE, "Name", "first", 1))
        *form, text, _, sealed, standard_key, _ = Row(INTENDED).columns
        _add(connection, "intent", _INTENT, (*_head(INTENDED), *form, text, sealed, standard_key, CLIENT))
        act = canonical(entry("Create"))
        row = ("kmip-0", 1, act, link(genesis("kmip-0"), act))
        _add(connection, "journal", "chain, sequence, text, hash", row)
        connection.execute("UPDATE generation SET number = ?, changes = ?", GENERATION)
    connection.close()
    return path


_INSTANCE = (
    "identifier, name, description, status, key_manager, root_key, storage, created_at, created_by, updated_at,"
    " updated_by"
)
_CERTIFICATE = "fingerprint, instance, name, subject, not_before, not_after, der, added_at, added_by"
_FORM = "key_format_type, key_compression_type, subtype, wrapped, glance, attributes"
_INTENT = f"identifier, instance, object_type, state, version, {_FORM}, sealed, standard_key, created_by"
_OBJECT = (
    f"identifier, instance, object_type, state, version, {_FORM}, indexed, sealed, standard_key, initial_date,"
    " created_by, changed_by"
)


def _add(connection: sqlite3.Connection, table: str, columns: str, row: tuple[object, ...]) -> None:
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", row)


def _head(made: ManagedObject) -> tuple[object, ...]:
    return made.unique_identifier, made.instance, made.object_type, made.state, made.version


def _insert(connection: sqlite3.Connection, made: ManagedObject) -> None:
    columns = Row(made).columns[:-1]
    _add(connection, "object", _OBJECT, (*_head(made), *columns, made.value("Initial Date"), CLIENT, EVE))


@pytest.fixture
async def catalog(old: Path) -> AsyncIterator[SqliteCatalog]:
    """The same file, opened by this program."""
    catalog = SqliteCatalog(old, "kmip-0")
    yield catalog
    await catalog.close()


async def test_everything_is_as_it_was(catalog: SqliteCatalog) -> None:
    """Instances are direct, not sealed and not moving; nothing is withheld; clients are known."""
    assert await catalog.instances() == [instance(), instance(TWO, "two")]
    assert await catalog.certificates() == [certificate()]
    assert [*await catalog.objects(ONE)] == [KEPT, GONE]
    assert await catalog.search(ONE, Candidates(equal=(("Name", "first"),))) == [KEPT]
    assert await catalog.intents() == [INTENDED]
    assert await catalog.authorise(FINGERPRINT) == PRINCIPAL
    assert await catalog.generation() == GENERATION[0]
    listed = await catalog.listed(ONE, KEY)
    assert listed is not None
    assert (listed.created_by, listed.changed_by) == (Author(CLIENT, EVE), Author(EVE))
    assert (await catalog.wrapping_key(ONE), await catalog.leftovers(), await catalog.validations()) == (None, [], {})


async def test_what_is_there_is_used_as_what_is_new(catalog: SqliteCatalog) -> None:
    """Fetched, withheld, given a wrapping key, sealed, removed; and the journal goes on."""
    await catalog.commit(Unit(entries=(entry(),), principal=PRINCIPAL, seen={KEY: 3}))
    withheld = KEPT.changed(withheld_at=1_800_000_000)
    await catalog.commit(
        Unit(
            entries=(entry("key.withhold"),),
            updated=(withheld,),
            inserted=(INTENDED,),
            wrapping_keys=(WRAPPING_KEY,),
            leftovers=(leftover(),),
            validations=(LOOKED,),
        )
    )
    assert await catalog.load(ONE, KEY) == withheld
    assert await catalog.wrapping_key(ONE) == WRAPPING_KEY

    await catalog.commit(Unit(entries=(), instances=(SEALED,)))
    with pytest.raises(InstanceSealed):
        await catalog.commit(Unit(entries=(entry(),), principal=PRINCIPAL))
    assert await catalog.instances() == [SEALED, instance(TWO, "two")]
    assert verify(await catalog.journal()).flaws == ()


def test_the_file_is_migrated_once(old: Path) -> None:
    """A second opening finds the schema that it wants."""
    for _ in range(2):
        SqliteCatalog.create(old)
    with sqlite3.connect(old) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
