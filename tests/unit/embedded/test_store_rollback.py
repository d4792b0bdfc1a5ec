"""An older copy of the database that is put back is noticed: when it is opened, and while it is open."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.embedded.errors import KeystoreError, KeystoreRolledBack
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import KeyState
from keyrack.embedded.lifecycle import delete, disable
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.embedded.store.anchor import Anchor
from keyrack.embedded.store.database import Database, anchor_path, database_path
from keyrack.testing.key_houses import INSTANCE, a_call, a_caller, a_house, opened_again, revision
from keyrack.testing.some_keys import a_root_key, kept


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    yield house
    house.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return database_path(tmp_path / "keystore")


def beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("-wal", "-shm")]


def copy(path: Path) -> bytes:
    """The whole database as it is now, as a backup takes it."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(":memory:")) as target:
        source.backup(target)
        return target.serialize()


def put_back(path: Path, content: bytes, *, log: bool = False) -> None:
    """As another file under the same name; the write-ahead log goes, unless ``log`` stays."""
    new = path.with_name("older")
    new.write_bytes(content)
    if not log:
        for each in beside(path):
            each.unlink(missing_ok=True)
    os.replace(new, path)


def overwrite(path: Path, content: bytes) -> None:
    """In the same file, under the hands of whoever has it open."""
    for each in beside(path):
        each.unlink(missing_ok=True)
    with open(path, "r+b") as file:
        file.write(content)
        file.truncate()


@pytest.mark.parametrize("back", [put_back, overwrite])
def test_an_older_copy_is_not_opened(
    tmp_path: Path, path: Path, house: House, back: Callable[[Path, bytes], None]
) -> None:
    """A deleted key would live again."""
    key = a_root_key(house)
    older = copy(path)
    delete(house, a_call(), key.identifier)
    house.close()

    back(path, older)

    with pytest.raises(KeystoreRolledBack, match="keyrack key-manager accept"):
        opened_again(tmp_path)


@pytest.mark.parametrize("back", [put_back, overwrite])
def test_an_older_copy_is_noticed_while_the_database_is_open(
    tmp_path: Path, path: Path, house: House, back: Callable[[Path, bytes], None]
) -> None:
    """By the next reader and the next writer, unless they go on with the newest one, which they have open still."""
    key = a_root_key(house)
    older = copy(path)
    delete(house, a_call(), key.identifier)

    back(path, older)

    for _ in range(2):
        try:
            assert KeyState.DESTROYED is kept(house, key).state
        except (KeystoreRolledBack, sqlite3.Error):
            with pytest.raises((KeystoreRolledBack, sqlite3.Error)):
                disable(house, a_call(), key.identifier)
        else:
            assert back is overwrite
    house.close()
    try:
        house = opened_again(tmp_path)
    except KeystoreError:
        return
    # Whoever had the newest log open has written it into the database at the end.
    assert KeyState.DESTROYED is kept(house, key).state
    house.close()


def test_what_another_process_has_changed_counts_too(tmp_path: Path, path: Path, house: House) -> None:
    """One process deletes, another one has read so, and then the copy from before comes back."""
    key = a_root_key(house)
    older = copy(path)
    other = opened_again(tmp_path)
    delete(other, a_call(), key.identifier)
    other.close()
    assert KeyState.DESTROYED is kept(house, key).state

    put_back(path, older)

    with pytest.raises((KeystoreRolledBack, sqlite3.Error)):
        kept(house, key)


def test_a_log_that_is_taken_away_is_noticed(tmp_path: Path, path: Path, house: House) -> None:
    """The last changes are in the write-ahead log alone; without it the database is an older one."""
    key = a_root_key(house)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    delete(house, a_call(), key.identifier)
    without = tmp_path / "without"
    without.mkdir()
    for name in ("keystore", "keystore.key", path.name, anchor_path(path).name):
        shutil.copy2(tmp_path / name, without)

    with pytest.raises(KeystoreRolledBack):
        opened_again(without)


def test_a_log_that_is_cut_is_noticed(tmp_path: Path, path: Path, house: House) -> None:
    """At every one of its frames."""
    key = a_root_key(house)
    for _ in range(3):
        a_root_key(house)
    delete(house, a_call(), key.identifier)
    log = beside(path)[0].read_bytes()
    frame = 24 + 4096
    for length in range(32, len(log), frame):
        cut = tmp_path / f"cut-{length}"
        cut.mkdir()
        for name in ("keystore", "keystore.key", path.name, anchor_path(path).name):
            shutil.copy2(tmp_path / name, cut)
        beside(cut / path.name)[0].write_bytes(log[:length])

        with pytest.raises((KeystoreError, sqlite3.Error)):
            opened_again(cut)


def test_a_copy_of_now_is_no_older_copy(tmp_path: Path, path: Path, house: House) -> None:
    """A restore of the newest backup needs nobody's leave; neither does a move to another disk."""
    key = a_root_key(house)
    newest = copy(path)
    house.close()
    put_back(path, newest)

    house = opened_again(tmp_path)
    assert key == kept(house, key)
    put_back(path, newest)
    assert key == kept(house, key)
    house.close()


def test_an_administrator_may_accept_an_older_copy(tmp_path: Path, path: Path, house: House) -> None:
    """By his word, once: after that, what is older than this one is refused again."""
    key = a_root_key(house)
    oldest = copy(path)
    disable(house, a_call(), key.identifier)
    older = copy(path)
    delete(house, a_call(), key.identifier)
    put_back(path, older)

    accepted = Database.accept(path, house.keystore)
    house.close()

    house = opened_again(tmp_path)
    assert (accepted, KeyState.SUSPENDED) == (revision(house), kept(house, key).state)
    house.close()
    put_back(path, oldest)
    with pytest.raises(KeystoreRolledBack):
        opened_again(tmp_path)


# A row that is put back, or taken away: each MAC is right, and all of them together are not.


def rows(path: Path, table: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


def put_rows(path: Path, table: str, before: list[tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"DELETE FROM {table}")
        for row in before:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def changed(house: House, table: str) -> None:
    """One more change, to a row of the table."""
    with house.database.change() as unit:
        if table == "keys":
            (key, *_) = unit.select("1 = 1", ())
            unit.put_key(replace(key, state=KeyState.SUSPENDED))
        elif table == "instances":
            unit.put_instance(replace(unit.instance(INSTANCE), name="another"))
        elif table == "service_ids":
            (service_id,) = unit.service_ids()
            unit.put_service_id(replace(service_id, grants=()))
        else:
            unit.put_sealed_value("a name", b"a newer value")


def removed(house: House, table: str) -> None:
    """One change that takes a row away, where there is one."""
    with house.database.change() as unit:
        if table == "keys":
            (key, *_) = unit.select("1 = 1", ())
            unit.remove_key(key)
        elif table == "service_ids":
            unit.remove_service_id(unit.service_ids()[0].identifier)


@pytest.mark.parametrize("table", ["keys", "instances", "service_ids", "sealed_values"])
@pytest.mark.parametrize("act", [changed, removed])
def test_a_row_that_is_put_back_is_noticed(
    tmp_path: Path, path: Path, house: House, act: Callable[[House, str], None], table: str
) -> None:
    """A key that was disabled, a grant that was revoked, a value that was replaced: the row from before has its MAC."""
    if act is removed and table in ("instances", "sealed_values"):
        pytest.skip("no such row is ever taken away")
    a_root_key(house)
    a_caller(house, Role.MANAGER)
    with house.database.change() as unit:
        unit.put_sealed_value("a name", b"a value")
    before = rows(path, table)
    act(house, table)
    after = rows(path, table)
    assert before != after
    house.close()
    opened_again(tmp_path).close()

    put_rows(path, table, before)

    with pytest.raises(KeystoreRolledBack, match="put last"):
        opened_again(tmp_path)
    put_rows(path, table, after)
    opened_again(tmp_path).close()


@pytest.mark.parametrize("table", ["keys", "instances", "service_ids", "sealed_values"])
def test_a_row_that_is_taken_away_is_noticed(tmp_path: Path, path: Path, house: House, table: str) -> None:
    """A policy of an instance, a list of what is to be destroyed: what is not there says nothing."""
    a_root_key(house)
    a_caller(house, Role.MANAGER)
    with house.database.change() as unit:
        unit.put_sealed_value("a name", b"a value")
    house.close()

    put_rows(path, table, rows(path, table)[1:])

    with pytest.raises(KeystoreRolledBack, match="put last"):
        opened_again(tmp_path)


def test_a_row_that_was_put_back_does_not_get_lost_in_later_changes(tmp_path: Path, path: Path, house: House) -> None:
    """Whoever changes the key from its older row is found out all the same."""
    key = a_root_key(house)
    before = rows(path, "keys")
    disable(house, a_call(), key.identifier)
    put_rows(path, "keys", before)

    delete(house, a_call(), key.identifier)
    a_root_key(house)

    house.close()
    with pytest.raises(KeystoreRolledBack, match="put last"):
        opened_again(tmp_path)


def test_an_older_database_under_a_newer_log_is_noticed(tmp_path: Path, path: Path, house: House) -> None:
    """The log says the newest change, and the pages that it does not have are old."""
    key = a_root_key(house)
    with house.database.change() as unit:
        for number in range(60):  # The other keys lie on pages of their own.
            unit.put_key(replace(key, identifier=f"00000000-0000-4000-8000-{number:012}", description="x" * 200))
    older = copy(path)
    delete(house, a_call(), key.identifier)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    a_caller(house, Role.READER)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in ("keystore", "keystore.key", f"{path.name}-wal", anchor_path(path).name):
        shutil.copy2(tmp_path / name, mixed)
    (mixed / path.name).write_bytes(older)

    with pytest.raises((KeystoreError, sqlite3.Error)):
        opened_again(mixed)


def test_the_tally_tells_nobody_a_share(path: Path, house: House) -> None:
    """Two changes that put the same row and take it away again: what is kept differs each time, and says nothing."""
    seen = set()
    for _ in range(3):
        key = a_root_key(house)
        with house.database.change() as unit:
            unit.remove_key(key)
        (meta,) = rows(path, "meta")
        seen |= {cell for cell in meta if isinstance(cell, bytes) and len(cell) == 60}

    assert 3 == len(seen)


# The anchor.


def test_a_database_without_its_anchor_is_not_believed(tmp_path: Path, path: Path, house: House) -> None:
    """Nobody can tell whether it is the newest one; an administrator can."""
    key = a_root_key(house)
    house.close()
    anchor_path(path).unlink()

    with pytest.raises(KeystoreRolledBack, match="accept"):
        opened_again(tmp_path)
    assert not anchor_path(path).exists()

    Database.accept(path, a_keystore(tmp_path))
    house = opened_again(tmp_path)
    assert key == kept(house, key)
    house.close()


def a_keystore(directory: Path) -> Keystore:
    return Keystore.open(directory / "keystore", KeyFile(directory / "keystore.key"))


@pytest.mark.parametrize("content", [b"", b"x", bytes(1024), b"\xff" * 2000, os.urandom(1024)])
def test_an_anchor_that_was_changed_is_not_believed(tmp_path: Path, path: Path, house: House, content: bytes) -> None:
    """It says nothing without its MAC."""
    a_root_key(house)
    house.close()
    anchor_path(path).write_bytes(content)

    with pytest.raises(KeystoreRolledBack):
        opened_again(tmp_path)


def test_every_bit_of_the_anchor_counts_or_does_not_matter(tmp_path: Path, path: Path, house: House) -> None:
    """One slot is spoiled at most, and the other one tells a change less: never more than there were."""
    a_root_key(house)
    a_root_key(house)
    newest = revision(house)
    content = anchor_path(path).read_bytes()
    for place in [*range(0, 48), *range(512, 560), 100, 1000]:
        changed = bytearray(content)
        changed[place] ^= 1
        anchor_path(path).write_bytes(changed)
        assert newest - 1 <= house.database._anchor.revision() <= newest


def test_a_torn_write_of_the_anchor_leaves_the_slot_before(tmp_path: Path, path: Path, house: House) -> None:
    """The power fails in the middle: the database opens, and the anchor follows with the next change."""
    key = a_root_key(house)
    newest = revision(house)
    content = bytearray(anchor_path(path).read_bytes())
    start = newest % 2 * 512
    content[start + 20 : start + 40] = bytes(20)
    anchor_path(path).write_bytes(content)
    assert newest - 1 == house.database._anchor.revision()
    house.close()

    house = opened_again(tmp_path)
    disable(house, a_call(), key.identifier)

    assert newest + 1 == house.database._anchor.revision()
    house.close()


def test_an_older_anchor_alone_is_no_alarm_and_heals(tmp_path: Path, path: Path, house: House) -> None:
    """It may be behind after a power loss, since it is not synced; the next change brings it up."""
    key = a_root_key(house)
    older = anchor_path(path).read_bytes()
    delete(house, a_call(), key.identifier)
    house.close()
    anchor_path(path).write_bytes(older)

    house = opened_again(tmp_path)
    a_root_key(house)

    assert revision(house) == house.database._anchor.revision()
    house.close()


def test_an_anchor_never_goes_back(tmp_path: Path, path: Path, house: House) -> None:
    """Whoever is late notes nothing."""
    anchor = house.database._anchor
    for number in (5, 9, 7, 8, 3):
        anchor.note(number)

    assert 9 == anchor.revision()
    with pytest.raises(KeystoreRolledBack):
        opened_again(tmp_path)


def test_another_databases_anchor_is_not_believed(tmp_path: Path, path: Path, house: House) -> None:
    """Its MAC is made with a key of its own keystore."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = a_house(elsewhere)
    for _ in range(3):
        a_root_key(other)
    other.close()
    house.close()
    shutil.copy2(anchor_path(database_path(elsewhere / "keystore")), anchor_path(path))

    with pytest.raises(KeystoreRolledBack):
        opened_again(tmp_path)


def test_an_anchor_is_made_once(path: Path, house: House) -> None:
    """It belongs to one database."""
    with pytest.raises(FileExistsError):
        Anchor.create(anchor_path(path), house.keystore.derived("anchor"))
