"""Single keys: who reads them, what is journaled before a payload leaves, their versions and registrations."""

import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.embedded.errors import KeystoreDamaged, KeystoreError
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Alias, Key, KeyState, Registration
from keyrack.embedded.lookup import metadata, read, registrations, versions
from keyrack.embedded.store.database import anchor_path, database_path
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_caller, a_house, an_instance, go_on, revision
from keyrack.testing.some_keys import PAYLOAD, a_root_key, a_standard_key, journal_of, kept, refusal

DENIED = (401, "UNAUTHORIZED_ERR")
ABSENT = (404, "KEY_NOT_FOUND_ERR")
CRN = "crn:v1:bluemix:public:cloud-object-storage:global:a/account:instance:bucket:"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    an_instance(house, rings=("first", "second"))
    an_instance(house, OTHER_INSTANCE)
    yield house
    house.close()


def reads_of(house: House) -> list[dict[str, Any]]:
    return [each for each in journal_of(house) if each["action"] == "kms.secrets.read"]


def payload(house: House, key: Key, call: Any = None) -> bytes | None:
    _, found = read(house, call or a_call(), key.identifier)
    return None if found is None else bytes(found.reveal())


def test_a_payload_is_read_and_the_journal_knows(house: House) -> None:
    """By identifier or alias; who, which key, and when."""
    key = a_standard_key(house, aliases=(Alias(name="an-alias", created_at=1, created_by="somebody"),))
    caller = a_caller(house, Role.READER_PLUS)

    found, secret = read(house, a_call(caller), "an-alias")

    assert secret is not None
    assert (key, PAYLOAD) == (found, bytes(secret.reveal()))
    (entry,) = reads_of(house)
    assert (key.identifier, caller.identity, "success") == (entry["target"], entry["initiator"], entry["outcome"])
    assert "test-correlation" == entry["detail"]["correlation"]


def test_no_payload_leaves_without_its_entry(tmp_path: Path, house: House) -> None:
    """Where the journal cannot be written, nothing is answered."""
    key = a_standard_key(house)
    full = "CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    with house.database.change() as unit:
        unit._write(full)

    with pytest.raises((KeystoreError, sqlite3.Error)):
        read(house, a_call(), key.identifier)


def test_what_the_catalogs_journal_has_is_not_written_twice(house: House) -> None:
    """A Get of KMIP: read without a change of the database."""
    key = a_standard_key(house)
    before = revision(house)

    assert PAYLOAD == payload(house, key, replace(a_call(), journaled=False))

    assert before == revision(house)


def test_nothing_secret_leaves_with_a_root_key(house: House) -> None:
    """Read or looked up: the same record, without an entry."""
    key = a_root_key(house)
    before = revision(house)

    assert (key, None) == read(house, a_call(), key.identifier)
    assert key == metadata(house, a_call(), key.identifier)
    assert before == revision(house)


def test_a_payload_by_state(house: House) -> None:
    """An expired key still gives it, a deleted one does not, and can be looked up all the same."""
    expiring = a_standard_key(house, expires_at=house.now + 1)
    deleted = a_standard_key(house, state=KeyState.DESTROYED)
    go_on(house, 1)

    assert PAYLOAD == payload(house, expiring)
    assert payload(house, deleted) is None
    assert deleted == metadata(house, a_call(), deleted.identifier)
    assert 1 == len(reads_of(house))


def test_a_payload_that_was_changed_is_not_read(house: House) -> None:
    """And no entry says that it was."""
    key = a_standard_key(house)
    with house.database.change() as unit:
        unit.put_key(replace(key, payload=key.payload[:-1] + bytes([key.payload[-1] ^ 1])))

    with pytest.raises(KeystoreDamaged):
        read(house, a_call(), key.identifier)
    assert [] == reads_of(house)


@pytest.mark.parametrize(
    ("role", "sees", "reads"),
    [
        (Role.READER, True, False),
        (Role.READER_PLUS, True, True),
        (Role.WRITER, True, True),
        (Role.MANAGER, True, True),
        (Role.KMIP_ADAPTER_MANAGER, False, False),
        (Role.KEY_PURGE, False, False),
    ],
)
def test_who_reads_what(house: House, role: Role, sees: bool, reads: bool) -> None:
    """Metadata, versions and root keys: readers; payloads: ReaderPlus and above."""
    root, standard = a_root_key(house), a_standard_key(house)
    call = a_call(a_caller(house, role))

    for act, key, allowed in (
        (metadata, root, sees),
        (metadata, standard, sees),
        (versions, root, sees),
        (registrations, root, sees),
        (read, root, sees),
        (read, standard, reads),
    ):
        if allowed:
            assert act(house, call, key.identifier)
        else:
            assert DENIED == refusal(act, house, call, key.identifier)


def test_a_right_that_is_taken_counts_at_once(house: House) -> None:
    """The database is asked at each request: an API key that is removed ends what its tokens may."""
    key = a_standard_key(house)
    caller = a_caller(house, Role.READER_PLUS)
    assert PAYLOAD == payload(house, key, a_call(caller))

    with house.database.change() as unit:
        unit.remove_service_id(str(caller.service_id))

    assert DENIED == refusal(read, house, a_call(caller), key.identifier)


def test_scopes_of_a_single_key(house: House) -> None:
    """A role over the key itself or over its ring reads it, and none over others; the ring of the call must be its."""
    key = a_standard_key(house, ring="first")
    for scope, call_ring, expected in (
        ({"ring": "first"}, None, None),
        ({"ring": "first"}, "first", None),
        ({"key": key.identifier}, None, None),
        ({"ring": "second"}, None, DENIED),
        ({"key": a_root_key(house).identifier}, None, DENIED),
        ({"instance": OTHER_INSTANCE}, None, DENIED),
        ({}, "second", ABSENT),
        ({}, "first", None),
    ):
        call = a_call(a_caller(house, Role.READER_PLUS, **scope), ring=call_ring)
        if expected is None:
            assert PAYLOAD == payload(house, key, call)
        else:
            assert expected == refusal(read, house, call, key.identifier)
            assert expected == refusal(metadata, house, call, key.identifier)


def test_a_key_that_is_not_there_is_told_to_whom_might_use_it(house: House) -> None:
    """404 for them, 401 for all others: nobody learns by asking which keys there are."""
    key = a_standard_key(house, instance=OTHER_INSTANCE)
    nobody = a_caller(house, Role.READER, ring="first")

    for name in ("absent", key.identifier, "", "\0", "x" * 10_000, "' OR 1=1 --", "schlüssel", "\ud800"):
        assert ABSENT == refusal(metadata, house, a_call(a_caller(house, Role.READER)), name)
        assert DENIED == refusal(metadata, house, a_call(nobody), name)


def test_versions_come_newest_first(house: House) -> None:
    """In pages, with their number."""
    key = a_root_key(house, versions=5)
    newest = [version.identifier for version in reversed(key.versions)]

    def ask(*arguments: Any, **named: Any) -> tuple[list[str], int]:
        found, number = versions(house, a_call(), key.identifier, *arguments, **named)
        return [version.identifier for version in found], number

    assert (newest, 5) == ask()
    assert (newest[1:3], 5) == ask(2, 1)
    assert ([], 5) == ask(200, 5)
    for limit, offset in ((0, 0), (5001, 0), (1, -1), (1, 2**63)):
        with pytest.raises(Exception, match="range"):
            ask(limit, offset)


@pytest.mark.parametrize("state", [KeyState.SUSPENDED, KeyState.DEACTIVATED, KeyState.DESTROYED])
def test_versions_of_a_key_that_is_not_active_are_asked_for_explicitly(house: House, state: KeyState) -> None:
    """With allKeyStates; a standard key has none."""
    key = a_root_key(house, state=state)

    assert (409, "KEY_ACTION_INVALID_STATE_ERR") == refusal(versions, house, a_call(), key.identifier)
    assert 1 == versions(house, a_call(), key.identifier, all_states=True)[1]
    standard = a_standard_key(house).identifier
    assert (400, "KEY_ROOT_REQ_ERR") == refusal(versions, house, a_call(), standard, all_states=True)


def test_there_are_no_registrations(house: House) -> None:
    """Only services of IBM make them."""
    key = a_root_key(house)

    assert ([], 0) == registrations(house, a_call())
    assert ([], 0) == registrations(house, a_call(), key.identifier)


def test_registrations_that_are_there_are_listed(house: House) -> None:
    """Of a key or of all, by resource and by whether they forbid a deletion; not those of other rings or instances."""

    def registered(*resources: str, **fields: Any) -> Key:
        made = tuple(
            Registration(
                resource=CRN + each, created_at=1, created_by="cos", prevent_key_deletion=each.startswith("worm")
            )
            for each in resources
        )
        return a_root_key(house, registrations=made, **fields)

    one = registered("one", "worm/1")
    registered("two", ring="first")
    registered("three", instance=OTHER_INSTANCE)
    a_root_key(house, name='"registrations":[')

    def found(name: str | None = None, ring: str | None = None, caller: Any = None, **named: Any) -> list[str]:
        call = a_call(ring=ring) if caller is None else a_call(caller, ring=ring)
        listed, number = registrations(house, call, name, **named)
        assert number >= len(listed)
        return sorted(each.resource.removeprefix(CRN) for _, each in listed)

    assert ["one", "two", "worm/1"] == found()
    assert ["one", "worm/1"] == found(one.identifier)
    assert ["two"] == found(ring="first") == found(caller=a_caller(house, Role.READER, ring="first"))
    assert ["worm/1"] == found(prevent_key_deletion=True)
    assert ["one", "two"] == found(prevent_key_deletion=False)
    assert ["one", "two", "worm/1"] == found(resource=CRN + "*")
    assert ["worm/1"] == found(resource=CRN + "worm*")
    assert ["worm/1"] == found(resource="crn:v1:bluemix:*:*:*:*:*:*:worm/1")
    assert [] == found(resource="*") == found(resource=CRN.upper() + "*") == found(resource=CRN + "[a-z]*")
    assert 1 == len(found(limit=1, offset=2))
    key = found.__name__
    assert DENIED == refusal(registrations, house, a_call(a_caller(house, Role.READER, key=key)))


def test_a_failure_after_the_commit_wipes_the_payload(tmp_path: Path, house: House) -> None:
    """The anchor cannot be written: the call fails, although the entry is durable."""
    key = a_standard_key(house)
    anchor = anchor_path(database_path(tmp_path / "keystore"))
    os.rename(anchor, anchor.with_suffix(".away"))
    anchor.mkdir()

    with pytest.raises(OSError, match=str(anchor)):
        read(house, a_call(), key.identifier)

    assert 1 == len(reads_of(house))
    assert kept(house, key) == key
