"""Bytes of the database changed with care, by somebody who knows the form of the file and not the keystore's key."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from keyrack.embedded.errors import KeystoreDamaged
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Key, KeyState, Registration
from keyrack.embedded.lookup import Query, page, registrations, standard_names, total
from keyrack.embedded.store.database import database_path
from keyrack.embedded.store.reading import Reading
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, opened_again
from keyrack.testing.some_keys import a_root_key, a_standard_key


def replaced(directory: Path, before: bytes, after: bytes) -> None:
    """Every place in the file where the bytes are found, of which there must be one."""
    path = database_path(directory / "keystore")
    content = path.read_bytes()
    assert (1, len(before)) == (content.count(before), len(after))
    path.write_bytes(content.replace(before, after))


def in_index(key: Key, instance: str, ring: str) -> bytes:
    """A key as the index of lists has it: instance, identifier, key ring. The row has them in another order."""
    return f"{instance}{key.identifier}{ring}".encode()


@pytest.fixture
def house(tmp_path: Path) -> House:
    house = a_house(tmp_path)
    an_instance(house, rings=("first", "other"))
    an_instance(house, OTHER_INSTANCE)
    return house


KINDS = {
    "keys": ("id", "record", "mac", "revision", "name", "state"),
    "instances": ("record", "mac", "revision"),
    "service_ids": ("record", "mac", "revision"),
    "sealed_values": ("value",),
    "journal": ("text", "hash"),
    "meta": ("revision", "journal_end", "journal_hash", "tally", "mac"),
}
"""Cells, by their tables, that somebody makes something of another kind of."""


CELLS = {"NULL": None, "1099511627776": int, "-1": int, "0.5": float, "'text'": str, "x'00ff'": bytes, "''": str}
RAW = {("journal", "text"): str, ("journal", "hash"): bytes, ("sealed_values", "value"): bytes}
"""What a reading hands out as it is, for others to authenticate: of its kind, it may say anything."""


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("table", "column"), [(table, column) for table in KINDS for column in KINDS[table]])
def test_a_cell_of_another_kind_is_refused(tmp_path: Path, house: House, table: str, column: str, cell: str) -> None:
    """A number where bytes are expected, bytes where a text is: no crash, and nothing is made of it."""
    key = a_root_key(house)
    caller = a_caller(house, Role.READER)
    with house.database.change() as unit:
        unit.put_sealed_value("a name", b"a value")
        unit.note(house.entry(a_call(), "an.act"))
    looks: dict[str, Callable[[Reading], object]] = {
        "keys": lambda reading: reading.select("1 = 1", ()) and reading.key(INSTANCE, key.identifier),
        "instances": lambda reading: reading.instances(),
        "service_ids": lambda reading: reading.service_id(str(caller.service_id)),
        "sealed_values": lambda reading: reading.sealed_value("a name"),
        "journal": lambda reading: list(reading.journal()),
        "meta": lambda reading: reading.instances(),
    }

    def look() -> None:
        with house.reading() as reading:
            looks[table](reading)

    look()
    # In a table of the same name and columns that is not strict, anything can stand.
    with closing(sqlite3.connect(database_path(tmp_path / "keystore"), isolation_level=None)) as connection:
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))
        connection.executescript(
            f"CREATE TABLE lax ({columns}); INSERT INTO lax SELECT * FROM {table}; DROP TABLE {table};"
            f"ALTER TABLE lax RENAME TO {table}; UPDATE {table} SET {column} = {cell}"
        )

    if CELLS[cell] is not None and RAW.get((table, column)) is CELLS[cell]:
        look()
    else:
        with pytest.raises((KeystoreDamaged, sqlite3.Error)):
            look()
    house.close()


LISTS: dict[str, Callable[[House, str | None], object]] = {
    "page": lambda house, ring: page(house, a_call(a_caller(house, Role.READER, ring=ring)), Query()),
    "search": lambda house, ring: page(
        house, a_call(a_caller(house, Role.READER, ring=ring)), Query.parse({"search": "key"})
    ),
    "names": lambda house, ring: standard_names(house, a_call(a_caller(house, Role.READER, ring=ring)), "", "", 9),
}


@pytest.mark.parametrize("ask", LISTS)
def test_an_index_leads_nobody_to_a_key_of_another_ring(tmp_path: Path, house: House, ask: str) -> None:
    """The index says ``first``, where the caller may list; the record says ``other``."""
    key = a_standard_key(house, ring="other")
    for _ in range(3):
        a_standard_key(house, ring="first")
    house.close()
    replaced(tmp_path, in_index(key, INSTANCE, "other"), in_index(key, INSTANCE, "first"))
    house = opened_again(tmp_path)

    try:
        told = LISTS[ask](house, "first")
    except (KeystoreDamaged, sqlite3.Error):
        return
    finally:
        house.close()
    assert key.identifier not in repr(told)


def test_an_index_leads_nobody_to_a_deleted_key_as_if_it_lived(tmp_path: Path, house: House) -> None:
    """What is listed has the state of its record, whatever was asked for."""
    key = a_root_key(house, state=KeyState.DESTROYED)
    house.close()
    with closing(sqlite3.connect(database_path(tmp_path / "keystore"), isolation_level=None)) as connection:
        connection.execute("UPDATE keys SET state = 1")
    house = opened_again(tmp_path)

    assert 1 == total(house, a_call(), Query())
    with pytest.raises(KeystoreDamaged):
        page(house, a_call(), Query())
    assert key.state is KeyState.DESTROYED
    house.close()


def test_registrations_of_another_ring_are_not_listed_either(tmp_path: Path, house: House) -> None:
    """By the same index."""
    told = (Registration(resource="crn:a", created_at=1, created_by="cos"),)
    key = a_root_key(house, ring="other", registrations=told)
    house.close()
    replaced(tmp_path, in_index(key, INSTANCE, "other"), in_index(key, INSTANCE, "first"))
    house = opened_again(tmp_path)
    caller = a_caller(house, Role.READER, ring="first")

    try:
        assert ([], 0) == registrations(house, a_call(caller))
    except (KeystoreDamaged, sqlite3.Error):
        return
    finally:
        house.close()
