"""What the database has believed once it does not believe again, once a bit of it is another."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from keyrack.embedded.errors import KeystoreDamaged, Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right, Role
from keyrack.embedded.lifecycle import disable
from keyrack.embedded.store.database import database_path
from keyrack.embedded.store.rows import MOST_REMEMBERED
from keyrack.testing.key_houses import INSTANCE, a_call, a_caller, a_house
from keyrack.testing.some_keys import a_root_key, kept


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = a_house(tmp_path)
    yield made
    made.close()


def by_hand(tmp_path: Path, statement: str, *parameters: Any) -> None:
    """Change the file as somebody else would."""
    with closing(sqlite3.connect(database_path(tmp_path / "keystore"), isolation_level=None)) as connection:
        assert connection.execute(statement, parameters).rowcount == 1


@pytest.mark.parametrize(
    "change",
    [
        "record = replace(record, '\"extractable\":false', '\"extractable\":true')",
        "revision = revision + 1",
        "mac = zeroblob(32)",
        "state = 2",
        "name = 'another'",
    ],
)
def test_a_row_that_was_believed_is_refused_once_it_changes(house: House, tmp_path: Path, change: str) -> None:
    """Read twice, so that it is remembered; then one cell changes and all others stay."""
    key = a_root_key(house)
    assert key == kept(house, key) == kept(house, key)

    by_hand(tmp_path, f"UPDATE keys SET {change} WHERE id = ?", key.identifier)

    with pytest.raises(KeystoreDamaged):
        kept(house, key)


def test_a_row_that_was_believed_is_not_believed_in_anothers_place(house: House, tmp_path: Path) -> None:
    """All cells but the identifier become those of a key that is remembered."""
    one, other = a_root_key(house, name="one"), a_root_key(house, name="other")
    assert (one, other) == (kept(house, one), kept(house, other))
    cells = ", ".join(f"{each} = (SELECT {each} FROM keys WHERE name = 'other')" for each in ("record", "mac"))

    by_hand(tmp_path, f"UPDATE keys SET {cells} WHERE id = ?", one.identifier)

    with pytest.raises(KeystoreDamaged):
        kept(house, one)


def test_what_the_database_says_of_itself_is_proved_again_once_it_changes(house: House, tmp_path: Path) -> None:
    """The revision goes on by hand, after it was read twice."""
    key = a_root_key(house)
    assert key == kept(house, key) == kept(house, key)

    by_hand(tmp_path, "UPDATE meta SET revision = revision + 1")

    with pytest.raises(KeystoreDamaged):
        kept(house, key)


def test_a_change_counts_at_the_next_look(house: House) -> None:
    """A key that was remembered as active is disabled, and a right that was remembered is gone with its service ID."""
    key, caller = a_root_key(house), a_caller(house, Role.MANAGER)
    with house.reading() as reading:
        assert key == reading.key_for(a_call(caller), key.identifier, Right.WRAP)

    changed = disable(house, a_call(), key.identifier)
    with house.database.change() as unit:
        assert caller.service_id is not None
        unit.remove_service_id(caller.service_id)

    assert changed == kept(house, key) != key
    with house.reading() as reading, pytest.raises(Unauthorised):
        reading.key_for(a_call(caller), key.identifier, Right.WRAP)


def test_the_memory_is_bounded_and_forgets_with_the_database(house: House) -> None:
    """Beyond its bound the least used go, and at the end all."""
    rows = house.database._rows
    for _ in range(3):
        kept(house, a_root_key(house))

    assert 0 < rows._remembered.cache_info().currsize <= MOST_REMEMBERED == rows._remembered.cache_info().maxsize
    house.close()
    assert rows._remembered.cache_info().currsize == 0


def test_lists_do_not_fill_the_memory(house: House) -> None:
    """A list of all keys pushes out nothing that is asked for again and again."""
    for _ in range(5):
        a_root_key(house)
    before = house.database._rows._remembered.cache_info().currsize

    with house.reading() as reading:
        assert len(reading.select("instance = ?", (INSTANCE,))) == 5

    assert before == house.database._rows._remembered.cache_info().currsize
