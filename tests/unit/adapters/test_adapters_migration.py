"""A catalog of an older schema is brought up to date with all that it holds."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.encoding import encode_attributes, glance
from keyrack.adapters.catalogs.sqlite import migrator
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.migrator import UnfitDatabase, migrate, migrations
from keyrack.domain.journal_chain import canonical, genesis, link
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import Author, NotAuthorised, Unit
from keyrack.service.journal.chain import verify
from keyrack.spec.enumerations import State
from keyrack.testing.catalog_values import FINGERPRINT, KEY, ONE, OTHER_KEY, PRINCIPAL, TWO, entry, key, numbered

CLIENT = f"CertificateID-{FINGERPRINT}"
EVE = "local-user-eve"
ACTS = (
    entry("instance.create", initiator=EVE, target=ONE, at=1_000_000),
    entry("certificate.add", initiator="local-user-ann", target=FINGERPRINT, at=2_000_000),
    entry("certificate.remove", initiator=EVE, target=FINGERPRINT, at=3_000_000),
    entry("certificate.add", initiator=EVE, target=FINGERPRINT, at=4_000_000),
    entry("Create", at=5_000_000),
    entry("Get", initiator="CertificateID-" + "b" * 64, at=6_000_000),
    entry("Activate", initiator="CertificateID-" + "b" * 64, at=7_000_000),
    entry("Destroy", initiator="CertificateID-" + "c" * 64, outcome="Wrong Key Lifecycle State", at=8_000_000),
    entry("Create", target=OTHER_KEY, at=9_000_000),
    entry("Destroy", initiator="CertificateID-" + "c" * 64, target=OTHER_KEY, at=10_000_000),
    entry("standard-key.intent", target=numbered(7), at=11_000_000),
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A catalog with the first schema: two instances, a certificate, a key, a destroyed one, an intent, a journal."""
    path = tmp_path / "catalog.db"
    first = migrations()[0]
    with sqlite3.connect(path, isolation_level=None) as connection:
        for statement in first.statements():
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute(f"PRAGMA application_id = {migrator.APPLICATION_ID}")
        for identifier, name in ((ONE, "one"), (TWO, "two")):
            row = (identifier, name, "Installed", "embedded", f"root {name}", "catalog", 900)
            connection.execute("INSERT INTO instance VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        pinned = (FINGERPRINT, ONE, "CN=vcenter", 1, 2, b"der", 4000)
        connection.execute("INSERT INTO certificate VALUES (?, ?, ?, ?, ?, ?, ?)", pinned)
        dates = {"Activation Date": 1000, "Deactivation Date": 2000}
        _insert(connection, key(attributes=dates))
        _insert(connection, replace(key(OTHER_KEY), state=State.DESTROYED))
        _intend(connection, key(numbered(7)))
        _journal(connection)
    connection.close()
    return path


def _insert(connection: sqlite3.Connection, made: ManagedObject) -> None:
    row = (made.unique_identifier, made.instance, 2, int(made.state), 1, 1_700_000_000, 1, None, None, 0)
    texts = (glance(made.attributes), encode_attributes(made.attributes), "[]", made.sealed, None)
    connection.execute(f"INSERT INTO object VALUES (NULL, {', '.join('?' * 15)})", (*row, *texts))


def _intend(connection: sqlite3.Connection, made: ManagedObject) -> None:
    row = (made.unique_identifier, made.instance, 2, int(made.state), 1, 1, None, None, 0)
    texts = (glance(made.attributes), encode_attributes(made.attributes), made.sealed, None)
    connection.execute(f"INSERT INTO intent VALUES ({', '.join('?' * 13)})", (*row, *texts))


def _journal(connection: sqlite3.Connection) -> None:
    head = genesis("kmip-0")
    for number, act in enumerate(ACTS, 1):
        head = link(head, canonical(act))
        connection.execute("INSERT INTO journal VALUES (NULL, 'kmip-0', ?, ?, ?)", (number, canonical(act), head))


@pytest.fixture
async def catalog(old: Path) -> AsyncIterator[SqliteCatalog]:
    """The same file, opened by this program."""
    catalog = SqliteCatalog(old, "kmip-0")
    yield catalog
    await catalog.close()


async def test_instances_learn_who_made_and_changed_them(catalog: SqliteCatalog) -> None:
    """From the journal, as far as it tells; everything else stays."""
    one, two = await catalog.instances()

    assert (one.identifier, one.name, one.root_key, one.created_at) == (ONE, "one", "root one", 900)
    assert (one.created_by, one.updated_at, one.updated_by, one.description) == (EVE, 4000, EVE, "")
    assert (two.created_by, two.updated_at, two.updated_by) == ("", None, "")


async def test_certificates_get_names_and_go_on_counting(catalog: SqliteCatalog) -> None:
    """A vCenter that was let in before notices nothing."""
    (held,) = await catalog.certificates()

    assert (held.fingerprint, held.subject, held.der) == (FINGERPRINT, "CN=vcenter", b"der")
    assert (held.name, held.added_by) == ("kmip_cert_" + "a" * 30, EVE)
    assert await catalog.authorise(FINGERPRINT) == PRINCIPAL


async def test_objects_learn_who_made_and_destroyed_them(catalog: SqliteCatalog) -> None:
    """A Get is no change, nor is what was refused."""
    (lives,) = await catalog.listing(ONE, {State.ACTIVE}, 1999)
    (gone,) = await catalog.listing(ONE, {State.DESTROYED}, 1999)

    assert (lives.created_by, lives.changed_by) == (Author(CLIENT, EVE), Author("CertificateID-" + "b" * 64))
    assert gone.destroyed_by == Author("CertificateID-" + "c" * 64)
    assert (await catalog.load(ONE, KEY)) == lives.managed


async def test_dates_that_make_states_are_found(catalog: SqliteCatalog) -> None:
    """They were in the attributes alone."""
    assert await catalog.count_listing(ONE, {State.DEACTIVATED}, 2000) == 1


async def test_intents_keep_their_author(catalog: SqliteCatalog) -> None:
    """What a crash before the migration has left is finished in the name of who began it."""
    (intent,) = await catalog.intents()
    await catalog.commit(Unit(entries=(entry("x", initiator="keyrack"),), inserted=(intent,)))
    listed = await catalog.listed(ONE, intent.unique_identifier)

    assert listed is not None
    assert listed.created_by == Author(CLIENT, EVE)


async def test_what_the_database_watches_is_watched_still(catalog: SqliteCatalog) -> None:
    """The new table counts its changes, and nothing refers to an instance that is not there."""
    before = await catalog.generation()
    (one, _) = await catalog.instances()
    await catalog.commit(Unit(entries=(), instances=(replace(one, name="uno"),)))
    assert await catalog.generation() > before

    await catalog.commit(Unit(entries=(), removed_certificates=(FINGERPRINT,)))
    with pytest.raises(NotAuthorised):
        await catalog.authorise(FINGERPRINT)
    assert verify(await catalog.journal()).flaws == ()


async def test_references_hold_in_the_migrated_file(old: Path, catalog: SqliteCatalog) -> None:
    """Dropping and renaming has not cut what other tables refer to."""
    with sqlite3.connect(old, isolation_level=None) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            connection.execute("DELETE FROM instance WHERE identifier = ?", (ONE,))
        assert connection.execute("SELECT count(*) FROM sqlite_temp_master").fetchone() == (0,)
    connection.close()


def test_a_reference_to_nothing_stops_the_migration(old: Path) -> None:
    """A file that was tampered with is left as it is."""
    with sqlite3.connect(old, isolation_level=None) as connection:
        connection.execute("DELETE FROM instance WHERE identifier = ?", (ONE,))
        with pytest.raises(UnfitDatabase, match="refer to others"):
            migrate(connection)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
