"""The key manager's database: every record comes back as it was put, and nothing is believed that was not put."""

import hashlib
import multiprocessing
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keyrack.domain.journal_chain import link
from keyrack.domain.secret import Secret
from keyrack.embedded.errors import (
    InvalidInstance,
    KeyNotFound,
    KeystoreDamaged,
    KeystoreError,
    KeystoreExists,
    KeystoreMissing,
    Refusal,
)
from keyrack.embedded.house import House
from keyrack.embedded.iam.records import ApiKey, Grant, ServiceId
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.instances import ImportToken, InstancePolicy, KeyManagerInstance, KeyRing, PolicyType
from keyrack.embedded.keys import Alias, Key, KeyState, KeyVersion, PolicyRecord, Registration, RotationPolicy
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.embedded.store.codec import decode, encode
from keyrack.embedded.store.database import Database, anchor_path, database_path
from keyrack.embedded.store.unit import EMPTY
from keyrack.testing.key_houses import (
    INSTANCE,
    OTHER_INSTANCE,
    a_call,
    a_caller,
    a_house,
    an_instance,
    opened_again,
    revision,
)
from keyrack.testing.some_keys import PAYLOAD, a_root_key, a_standard_key, kept, payload_of

T = TypeVar("T")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
seconds = st.integers(-(2**63), 2**63 - 1)
some_bytes = st.binary(max_size=40)
words = st.text("abc-_", min_size=2, max_size=6)


def many(strategy: st.SearchStrategy[T], **options: Any) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(strategy, max_size=3, **options).map(tuple)


records = st.builds(
    PolicyRecord, identifier=text, created_at=seconds, created_by=text, updated_at=seconds, updated_by=text
)
keys = st.builds(
    Key,
    identifier=st.uuids().map(str),
    instance=st.sampled_from([INSTANCE, OTHER_INSTANCE]),
    ring=text,
    name=text,
    description=text,
    tags=many(text),
    extractable=st.booleans(),
    imported=st.booleans(),
    state=st.sampled_from(list(KeyState)),
    created_at=seconds,
    created_by=text,
    updated_at=seconds,
    state_changed_at=seconds,
    expires_at=st.none() | seconds,
    rotated_at=st.none() | seconds,
    deleted_at=st.none() | seconds,
    deleted_by=st.none() | text,
    versions=many(st.builds(KeyVersion, identifier=text, created_at=seconds, keeper=text, kept=some_bytes)),
    payload=some_bytes,
    aliases=many(st.builds(Alias, name=words, created_at=seconds, created_by=text), unique_by=lambda each: each.name),
    dual_auth_delete=st.booleans(),
    dual_auth_record=st.none() | records,
    rotation=st.none() | st.builds(RotationPolicy, enabled=st.booleans(), months=seconds),
    rotation_record=st.none() | records,
    registrations=many(
        st.builds(
            Registration,
            resource=text,
            description=text,
            prevent_key_deletion=st.booleans(),
            created_at=seconds,
            created_by=text,
        )
    ),
)
attributes = st.dictionaries(text, st.booleans() | seconds | text | st.lists(text, max_size=3), max_size=3)
policies = st.builds(
    InstancePolicy,
    enabled=st.booleans(),
    attributes=attributes,
    created_at=seconds,
    created_by=text,
    updated_at=seconds,
    updated_by=text,
)
instances = st.builds(
    KeyManagerInstance,
    identifier=st.sampled_from([INSTANCE, OTHER_INSTANCE]),
    name=text,
    created_at=seconds,
    created_by=text,
    rings=many(st.builds(KeyRing, identifier=text, created_at=seconds, created_by=text)),
    policies=st.dictionaries(st.sampled_from(list(PolicyType)), policies, max_size=3),
    import_token=st.none()
    | st.builds(
        ImportToken,
        sealed=some_bytes,
        public=some_bytes,
        nonce=some_bytes,
        created_at=seconds,
        expires_at=seconds,
        most_retrievals=seconds,
        retrievals=seconds,
    ),
)
service_ids = st.builds(
    ServiceId,
    identifier=text,
    name=text,
    description=text,
    created_at=seconds,
    created_by=text,
    grants=many(
        st.builds(
            Grant,
            role=st.sampled_from(list(Role)),
            instance=st.none() | text,
            ring=st.none() | text,
            key=st.none() | text,
        )
    ),
    api_keys=many(
        st.builds(ApiKey, identifier=text, name=text, hash=some_bytes, created_at=seconds, created_by=text),
        unique_by=lambda each: each.hash,
    ),
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    an_instance(house, rings=("first", "second"))
    an_instance(house, OTHER_INSTANCE)
    yield house
    house.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One that hypothesis may fill."""
    house = a_house(tmp_path_factory.mktemp("store"))
    yield house
    house.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return database_path(tmp_path / "keystore")


def by_hand(path: Path, statement: str, *parameters: Any) -> int:
    """Change the file with SQL, as somebody would who has the file and not the keystore's key; rows that changed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).rowcount


def rows(path: Path, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(statement, parameters).fetchall()


# What is put comes back.


@given(st.one_of(keys, instances, service_ids))
def test_a_record_has_one_text_and_a_text_one_record(record: Any) -> None:
    """Canonical JSON: what the MAC covers is what is read."""
    written = encode(record)

    again = decode(type(record), written)

    assert record == again
    assert written == encode(again)


@settings(max_examples=50, deadline=None)
@given(st.lists(keys, max_size=3, unique_by=lambda key: key.identifier), instances, service_ids)
def test_what_was_put_comes_back(
    shared: House, some: list[Key], instance: KeyManagerInstance, service_id: ServiceId
) -> None:
    """Keys with everything that they can have, instances and service IDs; replaced whole; gone when removed."""
    some = [
        replace(key, aliases=tuple(replace(alias, name=f"{number}-{alias.name}") for alias in key.aliases))
        for number, key in enumerate(some)
    ]
    with shared.database.change() as unit:
        unit.put_instance(instance)
        unit.put_service_id(service_id)
        for key in some:
            unit.put_key(replace(key, name="another", aliases=()))
        for key in some:
            unit.put_key(key)

    with shared.reading() as reading:
        assert instance == reading.instance(instance.identifier)
        assert service_id in reading.service_ids()
        assert all(service_id == reading.owner_of(each.hash) for each in service_id.api_keys)
        for key in some:
            assert key == reading.key(key.instance, key.identifier)
            assert all(key == reading.key(key.instance, alias.name) for alias in key.aliases)

    with shared.database.change() as unit:
        for key in some:
            unit.remove_key(key)
        unit.remove_service_id(service_id.identifier)
    with shared.reading() as reading:
        assert 0 == reading.count("1 = 1", ()) == reading.aliases(INSTANCE) == reading.aliases(OTHER_INSTANCE)
        assert [] == reading.service_ids()
        assert all(reading.owner_of(each.hash) is None for each in service_id.api_keys)


def test_everything_is_there_after_a_restart(tmp_path: Path, house: House) -> None:
    """Records, a sealed value, the journal and the revision."""
    key = a_root_key(house, versions=3, aliases=(Alias(name="an-alias", created_at=1, created_by="somebody"),))
    with house.database.change() as unit:
        unit.put_sealed_value("a name", b"a value")
        unit.note(house.entry(a_call(), "an.act"))
    before = revision(house)
    with house.reading() as reading:
        end = reading.journal_end
    house.close()

    house = opened_again(tmp_path)

    with house.reading() as reading:
        assert key == reading.key(INSTANCE, "an-alias")
        assert b"a value" == reading.sealed_value("a name")
        assert reading.sealed_value("another") is None
        assert (before, end) == (reading.revision, reading.journal_end)
        assert ["first", "second"] == [ring.identifier for ring in reading.instance(INSTANCE).rings]
    house.close()


def test_the_files_are_their_owners_alone_and_durable(path: Path, house: House) -> None:
    """Mode 0600, WAL with synchronous FULL, and what is deleted is overwritten."""
    a_standard_key(house)

    with house.reading() as reading:
        pragma = {
            name: reading._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete", "trusted_schema")
        }

    assert {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "trusted_schema": 0} == pragma
    found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert {0o600} == set(found.values())
    assert {path.name, f"{path.name}-wal", anchor_path(path).name} <= set(found)


def test_no_payload_and_no_material_is_in_the_clear(path: Path, house: House) -> None:
    """In none of the files."""
    a_standard_key(house)
    with Secret(bytearray(PAYLOAD)) as secret:
        a_standard_key(house, name="x", payload=house.payloads.seal(a_root_key(house), secret))

    for each in path.parent.iterdir():
        assert PAYLOAD not in each.read_bytes()


def test_a_database_is_made_once(path: Path, house: House) -> None:
    """A second init loses no keys."""
    with pytest.raises(KeystoreExists):
        Database.create(path, house.keystore)


# A unit is kept whole or not at all.


def test_a_unit_that_fails_has_done_nothing(house: House) -> None:
    """Neither a record, nor an entry, nor a revision; the next one goes on."""
    key = a_root_key(house)
    before = revision(house)

    def fail() -> None:
        with house.database.change() as unit:
            unit.put_key(replace(key, name="changed"))
            unit.put_sealed_value("a name", b"a value")
            unit.note(house.entry(a_call(), "an.act"))
            unit.remove_key(key)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert before == revision(house)
    assert key == kept(house, key)
    with house.reading() as reading:
        assert reading.sealed_value("a name") is None
        assert EMPTY == reading.journal_end
    a_root_key(house)
    assert before + 1 == revision(house)


def test_a_unit_that_writes_nothing_is_no_change(house: House) -> None:
    """It costs no commit."""
    before = revision(house)

    with house.database.change() as unit:
        unit.instance(INSTANCE)

    assert before == revision(house)


def test_a_key_that_takes_anothers_alias_is_refused_whole(house: House) -> None:
    """The database's own last word, should a use case forget to ask."""
    alias = (Alias(name="taken", created_at=1, created_by="somebody"),)
    key = a_root_key(house, aliases=alias)
    other = a_root_key(house)

    with pytest.raises(sqlite3.IntegrityError), house.database.change() as unit:
        unit.put_key(replace(other, aliases=alias))

    assert (key, other) == (kept(house, key), kept(house, other))


def test_a_reader_sees_one_moment(house: House) -> None:
    """Whatever is written meanwhile."""
    key = a_root_key(house)

    with house.reading() as reading:
        before = reading.revision
        with house.database.change() as unit:
            unit.put_key(replace(key, name="changed"))
            unit.put_key(replace(key, identifier="another"))
        assert key == reading.key(INSTANCE, key.identifier)
        assert 1 == reading.count("1 = 1", ())
        assert before == reading.revision

    assert "changed" == kept(house, key).name


def test_threads_lose_nothing(house: House) -> None:
    """Four writers count in one record; two readers never see it go back, nor a journal of another length."""
    key = a_root_key(house, rotated_at=0)
    over = threading.Event()

    def write() -> None:
        for _ in range(25):
            with house.database.change() as unit:
                found = unit.key(INSTANCE, key.identifier)
                unit.put_key(replace(found, rotated_at=(found.rotated_at or 0) + 1))
                unit.note(house.entry(a_call(), "count"))

    def watch() -> None:
        last = 0
        while not over.is_set():
            with house.reading() as reading:
                found = reading.key(INSTANCE, key.identifier).rotated_at or 0
                assert last <= found == reading.journal_end.number
                last = found

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(watch) for _ in range(2)]
        writers = [pool.submit(write) for _ in range(4)]
        for each in writers:
            each.result()
        over.set()
        for each in readers:
            each.result()

    assert 100 == kept(house, key).rotated_at
    assert_journal_links(house, 100)


def _count(directory: str, identifier: str) -> None:
    house = opened_again(Path(directory))
    for _ in range(25):
        with house.database.change() as unit:
            found = unit.key(INSTANCE, identifier)
            unit.put_key(replace(found, rotated_at=(found.rotated_at or 0) + 1))
            unit.note(house.entry(a_call(), "count"))
    house.close()


def test_processes_lose_nothing(tmp_path: Path, house: House) -> None:
    """Four writers, one database; the anchor has come as far as the database."""
    key = a_root_key(house, rotated_at=0)
    before = revision(house)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_count, args=(str(tmp_path), key.identifier)) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)

    assert [0] * 4 == [each.exitcode for each in writers]
    assert 100 == kept(house, key).rotated_at
    assert before + 100 == revision(house) == house.database._anchor.revision()
    assert_journal_links(house, 100)


def assert_journal_links(house: House, length: int) -> None:
    with house.reading() as reading:
        previous = EMPTY.hash
        lines = list(reading.journal(limit=10_000))
        for line in lines:
            previous = link(previous, line.text)
            assert previous == line.hash
        assert (length, previous) == (len(lines), reading.journal_end.hash)


# Nothing is believed that was not put.

KEY_CELLS = {
    "instance": OTHER_INSTANCE,
    "ring": "second",
    "name": "another name",
    "extractable": 1,
    "imported": 1,
    "state": 2,
    "created_at": 7,
    "updated_at": 7,
    "rotated_at": 7,
    "deleted_at": 7,
    "expires_at": 2**40,
    "revision": 1,
    "record": '{"identifier":"x"}',
    "mac": bytes(32),
}


@pytest.mark.parametrize("column", KEY_CELLS)
def test_a_cell_of_a_key_that_was_changed_is_refused(path: Path, house: House, column: str) -> None:
    """Every one of them: alone it does not agree with the record, or not with the MAC."""
    key = a_root_key(house)
    assert 1 == by_hand(path, f"UPDATE keys SET {column} = ? WHERE id = ?", KEY_CELLS[column], key.identifier)

    with house.reading() as reading:
        with pytest.raises(KeystoreDamaged):
            reading.key(INSTANCE, key.identifier)
        with pytest.raises(KeystoreDamaged):
            reading.select("id = ?", (key.identifier,))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"extractable":false', '"extractable":true'),
        ('"created_by":"local-user-test"', '"created_by":"local-user-mine"'),
        (f'"instance":"{INSTANCE}"', f'"instance":"{OTHER_INSTANCE}"'),
        ('"name":"key of a test"', '"name":"key of a test","state":2'),
        ('{"', '{ "'),
        ('{"', '{"unknown":1,"'),
    ],
)
def test_a_record_that_was_changed_is_refused(path: Path, house: House, before: str, after: str) -> None:
    """Its MAC covers every character."""
    key = a_root_key(house)
    ((record,),) = rows(path, "SELECT record FROM keys")
    assert before in record
    by_hand(path, "UPDATE keys SET record = ?", record.replace(before, after, 1))

    with pytest.raises(KeystoreDamaged):
        kept(house, key)


@pytest.mark.parametrize("columns", ["record", "record, mac", "record, mac, revision", "mac", "mac, revision"])
def test_rows_that_change_places_are_refused(path: Path, house: House, columns: str) -> None:
    """Each MAC covers the place of its record: nothing passes for another key, whatever comes with it."""
    one, other = a_standard_key(house, name="one"), a_standard_key(house, name="other")
    told = {identifier: cells for identifier, *cells in rows(path, f"SELECT id, {columns} FROM keys")}
    for key, source in ((one, other), (other, one)):
        cells = ", ".join(f"{each} = ?" for each in columns.split(", "))
        by_hand(path, f"UPDATE keys SET {cells} WHERE id = ?", *told[source.identifier], key.identifier)

    for key in (one, other):
        with pytest.raises(KeystoreDamaged):
            kept(house, key)


def test_a_whole_row_in_anothers_place_is_refused(path: Path, house: House) -> None:
    """All cells but the identifier are another key's: of the same instance, and of another."""
    for instance in (INSTANCE, OTHER_INSTANCE):
        one, other = a_root_key(house, name="one"), a_root_key(house, name="other", instance=instance)
        columns = [row[1] for row in rows(path, "PRAGMA table_info(keys)") if row[1] != "id"]
        cells = ", ".join(f"{each} = (SELECT {each} FROM keys WHERE id = :other)" for each in columns)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(
                f"UPDATE keys SET {cells} WHERE id = :one", {"one": one.identifier, "other": other.identifier}
            )

        with pytest.raises((KeystoreDamaged, KeyNotFound)):
            kept(house, one)
        assert other == kept(house, other)


def test_identifiers_that_change_places_are_refused(path: Path, house: House) -> None:
    """The rows stay, and the names go."""
    one, other = a_root_key(house, name="one"), a_root_key(house, name="other")
    by_hand(path, "UPDATE keys SET id = 'x' WHERE id = ?", one.identifier)
    by_hand(path, "UPDATE keys SET id = ? WHERE id = ?", one.identifier, other.identifier)
    by_hand(path, "UPDATE keys SET id = ? WHERE id = 'x'", other.identifier)

    for key in (one, other):
        with pytest.raises(KeystoreDamaged):
            kept(house, key)


@pytest.mark.parametrize("column", ["id", "revision", "record", "mac"])
@pytest.mark.parametrize("table", ["instances", "service_ids"])
def test_records_of_other_tables_are_refused_too(path: Path, house: House, table: str, column: str) -> None:
    """Changed in place, or put in another's."""
    caller = a_caller(house, Role.READER)
    own = {"instances": INSTANCE, "service_ids": str(caller.service_id)}[table]
    other = {"instances": OTHER_INSTANCE, "service_ids": str(a_caller(house, Role.MANAGER).service_id)}[table]

    def look() -> None:
        with house.reading() as reading:
            if table == "instances":
                reading.instance(own)
            elif reading.service_id(own) is None:
                raise InvalidInstance("not there any more")

    look()
    if column == "id":
        by_hand(path, f"DELETE FROM {table} WHERE id = ?", own)
        by_hand(path, f"UPDATE {table} SET id = ? WHERE id = ?", own, other)
    else:
        taken = f"(SELECT {column} FROM {table} WHERE id = ?)"
        by_hand(path, f"UPDATE {table} SET {column} = {taken} WHERE id = ?", other, own)
    with pytest.raises(KeystoreDamaged):
        look()


def test_a_record_of_one_table_is_none_of_another(path: Path, house: House) -> None:
    """The MAC covers the name of the table: a bare instance has the very fields of a bare service ID."""
    by_hand(path, "INSERT INTO service_ids SELECT id, revision, record, mac FROM instances")

    for identifier in (INSTANCE, OTHER_INSTANCE):
        with house.reading() as reading, pytest.raises(KeystoreDamaged):
            reading.service_id(identifier)


def test_a_grant_cannot_be_written_by_hand(path: Path, house: House) -> None:
    """Who has the file gives nobody a role."""
    caller = a_caller(house, Role.READER)
    ((record,),) = rows(path, "SELECT record FROM service_ids")
    by_hand(path, "UPDATE service_ids SET record = ?", record.replace("Reader", "Manager"))

    with house.reading() as reading, pytest.raises(KeystoreDamaged):
        reading.service_id(str(caller.service_id))


def test_an_alias_leads_to_its_own_key_alone(path: Path, house: House) -> None:
    """Whatever the table of aliases says: the key's record must confirm it."""
    one = a_root_key(house, aliases=(Alias(name="one", created_at=1, created_by="somebody"),))
    other = a_root_key(house)
    elsewhere = a_root_key(house, instance=OTHER_INSTANCE)

    by_hand(path, "INSERT INTO aliases VALUES (?, 'invented', ?)", INSTANCE, one.identifier)
    for target in (other.identifier, elsewhere.identifier, "absent"):
        by_hand(path, "UPDATE aliases SET key = ? WHERE alias = 'one'", target)
        for name in ("one", "invented"):
            with house.reading() as reading, pytest.raises(KeyNotFound):
                reading.key(INSTANCE, name)


def test_an_api_key_leads_to_its_own_service_id_alone(path: Path, house: House) -> None:
    """The record of the service ID must have its hash."""
    caller, manager = a_caller(house, Role.READER), a_caller(house, Role.MANAGER)
    (hashed,) = (row[0] for row in rows(path, "SELECT hash FROM api_keys WHERE service_id = ?", caller.service_id))
    by_hand(path, "UPDATE api_keys SET service_id = ? WHERE hash = ?", manager.service_id, hashed)
    mine = hashlib.sha256(b"mine").digest()
    by_hand(path, "INSERT INTO api_keys VALUES (?, ?)", mine, manager.service_id)

    with house.reading() as reading:
        assert reading.owner_of(hashed) is None
        assert reading.owner_of(mine) is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE meta SET revision = revision + 1",
        "UPDATE meta SET revision = -1",
        "UPDATE meta SET journal_end = 7",
        "UPDATE meta SET journal_hash = x'00'",
        "UPDATE meta SET mac = x'00'",
        "UPDATE meta SET keystore = '0b7d1c7e-6a53-4f6b-9f0e-2f1d3a5c7e91'",
        "UPDATE meta SET format = 2",
        "DELETE FROM meta",
        "DROP TABLE meta",
        "DROP TABLE keys",
    ],
)
def test_what_the_database_says_of_itself_is_not_taken_on_trust(
    tmp_path: Path, path: Path, house: House, change: str
) -> None:
    """While it is open, and when it is opened."""
    key = a_root_key(house)
    by_hand(path, change)

    with pytest.raises((KeystoreError, sqlite3.Error)):
        kept(house, key)
    with pytest.raises((KeystoreError, sqlite3.Error)):
        kept(opened_again(tmp_path), key)


def test_a_trigger_by_hand_does_not_go_unnoticed(path: Path, house: House) -> None:
    """Somebody lets the database undo what is put: the next reader finds a row that is not what was written."""
    key = a_root_key(house)
    by_hand(
        path,
        "CREATE TRIGGER undo AFTER UPDATE ON keys WHEN new.state = 2 BEGIN "
        "UPDATE keys SET state = 1 WHERE id = new.id; END",
    )
    with house.database.change() as unit:
        unit.put_key(replace(key, state=KeyState.SUSPENDED))

    with pytest.raises(KeystoreDamaged):
        kept(house, key)


def test_another_keystores_database_is_refused(tmp_path: Path, house: House) -> None:
    """Put in the place of this one, with its anchor."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = a_house(elsewhere)
    key = a_root_key(other)
    other.close()
    house.close()
    for each in (database_path, lambda keystore: anchor_path(database_path(keystore))):
        each(elsewhere / "keystore").replace(each(tmp_path / "keystore"))

    with pytest.raises(KeystoreError):
        kept(opened_again(tmp_path), key)


def test_a_missing_database_is_named(tmp_path: Path, path: Path, house: House) -> None:
    """Gone while it is open, and when it is opened: it is not silently made anew."""
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()

    with pytest.raises(KeystoreMissing, match=str(path)), house.reading():
        pass
    with pytest.raises(KeystoreMissing, match=str(path)):
        opened_again(tmp_path)
    with pytest.raises(KeystoreMissing), house.database.change():
        pass


def test_an_entry_by_hand_stops_the_journal(path: Path, house: House) -> None:
    """What is noted next stands in its place, and is refused: nothing is done without its entry."""
    key = a_root_key(house)
    by_hand(path, "INSERT INTO journal VALUES (1, '{}', x'00')")
    before = revision(house)

    with pytest.raises(KeystoreDamaged), house.change(a_call(), "an.act") as unit:
        unit.put_key(replace(key, name="changed"))

    assert (before, key) == (revision(house), kept(house, key))


# What the keeper and the payloads bind besides, should somebody have the key of the rows.


@pytest.mark.parametrize(
    "place",
    [
        lambda key: replace(key, identifier="3b1f0a52-58a4-4f0e-9e9c-9b1f6e5d7a11"),
        lambda key: replace(key, ring="first"),
        lambda key: replace(key, instance=OTHER_INSTANCE),
    ],
    ids=["key", "ring", "instance"],
)
def test_a_payload_opens_in_its_own_place_alone(house: House, place: Callable[[Key], Key]) -> None:
    """In no other key, key ring or instance, also where the record says so with a right MAC."""
    key = a_standard_key(house)
    moved = place(key)
    with house.database.change() as unit:
        unit.put_key(moved)

    with pytest.raises(KeystoreDamaged):
        payload_of(house, moved)


def test_material_works_as_its_own_version_alone(house: House) -> None:
    """Of no other version, key or instance."""
    key = a_root_key(house, versions=2)
    other = a_root_key(house)
    keeper = house.keeper_of("software")
    first, second = key.versions
    with Secret(bytearray(b"plaintext")) as plaintext:
        enciphered = keeper.encipher(key.version_name(first), first.kept, plaintext, b"")
        for name, kept_there in (
            (key.version_name(first), second.kept),
            (key.version_name(second), first.kept),
            (other.version_name(other.newest), first.kept),
            (replace(key, instance=OTHER_INSTANCE).version_name(first), first.kept),
        ):
            with pytest.raises((KeystoreDamaged, Refusal)):
                keeper.decipher(name, kept_there, enciphered, b"")
        assert keeper.decipher(key.version_name(first), first.kept, enciphered, b"").matches(plaintext)


def test_a_keystore_without_its_key_opens_no_database(tmp_path: Path, house: House) -> None:
    """Another key file is refused before anything is read."""
    (tmp_path / "other.key").unlink(missing_ok=True)
    KeyFile(tmp_path / "other.key").create()

    with pytest.raises(KeystoreError):
        House.open(tmp_path / "keystore", KeyFile(tmp_path / "other.key"))
