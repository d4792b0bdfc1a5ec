"""Opening the SQLite file: safe, private, understood, or refused."""

import sqlite3
import stat
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite import opening
from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.adapters.catalogs.sqlite.migrator import APPLICATION_ID, UnfitDatabase, migrate, migrations
from keyrack.adapters.catalogs.sqlite.opening import connect, file_system, prepare

MOUNTS = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /srv rw,relatime - nfs4 server:/srv rw
31 30 0:26 / /srv/local\\040disk rw - xfs /dev/vdb rw
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalog is to be."""
    return tmp_path / "catalog.db"


def test_a_new_catalog_is_private(path: Path) -> None:
    """Nobody but the owner reads the database or its log, whatever the umask was."""
    prepare(path)
    connection = connect(path)
    connection.execute("BEGIN IMMEDIATE")
    files = list(path.parent.iterdir())

    assert len(files) == 3
    assert {0o600} == {stat.S_IMODE(each.stat().st_mode) for each in files}
    connection.close()


def test_a_catalog_that_others_could_read_is_made_private(path: Path) -> None:
    """A file that was copied with a wider mode is narrowed when it is opened."""
    prepare(path)
    path.chmod(0o644)
    prepare(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_connection_syncs_each_commit(path: Path) -> None:
    """WAL, synchronous=FULL and foreign keys, as read back from SQLite."""
    prepare(path)
    connection = connect(path)
    settings = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    ]

    assert settings == ["wal", 2, 1]
    connection.close()


def test_a_setting_that_does_not_hold_is_refused() -> None:
    """A database in memory has no WAL: what SQLite answers is believed, not what was asked."""
    with pytest.raises(UnfitDatabase, match="journal_mode = memory"):
        opening._setting(sqlite3.connect(":memory:"), "journal_mode", "WAL", "wal")


def test_a_connection_makes_no_file(path: Path) -> None:
    """Where a running server's file was taken away, an empty one in its place would pass for a catalog."""
    with pytest.raises(sqlite3.OperationalError):
        connect(path)

    assert not path.exists()


def test_a_weaker_sync_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If SQLite reads back another level of synchronous than expected, nothing opens."""
    prepare(path)
    monkeypatch.setattr(opening, "FULL", 3)

    with pytest.raises(UnfitDatabase, match="synchronous = 2"):
        connect(path)


def test_migrations_are_marked_in_the_file(path: Path) -> None:
    """The file says whose it is, and which schema it has; migrating again does nothing."""
    prepare(path)
    connection = connect(path)

    assert (APPLICATION_ID,) == connection.execute("PRAGMA application_id").fetchone()
    assert (len(migrations()),) == connection.execute("PRAGMA user_version").fetchone()
    assert migrate(connection) == 0
    connection.close()


def test_a_newer_schema_is_refused(path: Path) -> None:
    """A catalog that a newer Keyrack has used is left alone."""
    prepare(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(migrations()) + 1}")

    with pytest.raises(UnfitDatabase, match="newer Keyrack"):
        SqliteCatalog(path)


def test_another_program_s_database_is_refused(path: Path) -> None:
    """A SQLite file with tables that are not ours is not written to."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")

    with pytest.raises(UnfitDatabase, match="another program"):
        prepare(path)
    with sqlite3.connect(path) as connection:
        assert [("theirs",)] == connection.execute("SELECT name FROM sqlite_master").fetchall()


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    """Anything else is told in one line, not as a traceback of sqlite3."""
    path.write_bytes(b"not a database at all" * 100)

    with pytest.raises(UnfitDatabase, match="not a database"):
        SqliteCatalog(path)


def test_a_path_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """A missing directory is told with the path."""
    with pytest.raises(UnfitDatabase, match="nowhere"):
        SqliteCatalog(tmp_path / "nowhere" / "catalog.db")


def test_a_migration_that_fails_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step is taken whole or not at all, and may be tried again."""
    first = migrations()[0]
    broken = type(first)(1, first.name, first.text + "CREATE TABLE object (x);\n")
    connection = sqlite3.connect(path, isolation_level=None)
    monkeypatch.setattr("keyrack.adapters.catalogs.sqlite.migrator.migrations", lambda: (broken,))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection)
    monkeypatch.undo()

    assert (0,) == connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    assert migrate(connection) == len(migrations())
    connection.close()


@pytest.mark.parametrize(
    ("place", "expected"),
    [("/var/lib", "ext4"), ("/srv/keyrack", "nfs4"), ("/srv/local disk/keyrack", "xfs"), ("/srvother", "ext4")],
)
def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path, place: str, expected: str) -> None:
    """The longest mount point above the file counts; names with spaces are understood."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)

    assert expected == file_system(Path(place) / "catalog.db", mounts)


def test_an_unknown_file_system_is_no_reason_to_refuse(tmp_path: Path) -> None:
    """Where the system does not tell its mounts, nothing is known and nothing is refused."""
    assert file_system(tmp_path / "catalog.db", tmp_path / "absent") == ""


def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's locks are not trusted over a network."""
    monkeypatch.setattr(opening, "file_system", lambda path: "nfs4")

    with pytest.raises(UnfitDatabase, match="nfs4"):
        prepare(path)
    assert not path.exists()
