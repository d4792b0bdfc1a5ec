"""Service IDs, their grants and their API keys: bounded, journaled, and an API key shown once and kept nowhere."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded.call import Caller
from keyrack.embedded.errors import (
    Contradiction,
    InvalidField,
    InvalidInstance,
    KeyNotFound,
    KeyRingNotFound,
    NotFound,
    Unauthorised,
)
from keyrack.embedded.house import House
from keyrack.embedded.iam.records import Grant
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.service_ids import (
    MOST_API_KEYS,
    MOST_GRANTS,
    MOST_SERVICE_IDS,
    create_api_key,
    create_service_id,
    delete_service_id,
    grant,
    hash_of,
    named,
    remove_api_key,
    revoke,
    service_ids,
)
from keyrack.embedded.keys import Alias, Key
from keyrack.testing.canaries import in_files
from keyrack.testing.key_houses import (
    ADMINISTRATOR,
    INSTANCE,
    OTHER_INSTANCE,
    a_caller,
    a_house,
    an_instance,
    opened_again,
    revision,
)

KEY = "2c0f3f1e-5b1d-4a7b-9a53-6f8f0f6f7c11"
OVER_INSTANCE = Grant(role=Role.WRITER, instance=INSTANCE)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = a_house(tmp_path)
    an_instance(made, rings=("vmware",))
    with made.database.change() as unit:
        unit.put_key(
            Key(
                identifier=KEY,
                instance=INSTANCE,
                name="k1",
                extractable=True,
                created_at=made.now,
                created_by="x",
                updated_at=made.now,
                state_changed_at=made.now,
                aliases=(Alias(name="nick", created_at=made.now, created_by="x"),),
            )
        )
    yield made
    made.close()


def journal(house: House) -> list[dict[str, object]]:
    with house.reading() as reading:
        return [json.loads(line.text) for line in reading.journal()]


def test_a_service_id_is_found_by_its_name_and_by_its_identifiers(house: House) -> None:
    made = create_service_id(house, ADMINISTRATOR, "backup", "takes copies", [OVER_INSTANCE, OVER_INSTANCE])

    assert re.fullmatch(r"ServiceId-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made.identifier)
    assert made.grants == (OVER_INSTANCE,)
    assert service_ids(house) == [made]
    with house.reading() as reading:
        assert named(reading, "backup") == named(reading, made.identifier) == named(reading, made.iam_id) == made
        with pytest.raises(NotFound):
            named(reading, "bakcup")


def test_a_service_id_that_was_deleted_leaves_nothing(house: House) -> None:
    made = create_service_id(house, ADMINISTRATOR, "backup", grants=[OVER_INSTANCE])
    _, key = create_api_key(house, ADMINISTRATOR, "backup", "one")

    assert delete_service_id(house, ADMINISTRATOR, "backup").identifier == made.identifier
    assert service_ids(house) == []
    with house.reading() as reading:
        assert reading.owner_of(hash_of(house, key)) is None
    with pytest.raises(NotFound):
        delete_service_id(house, ADMINISTRATOR, "backup")


@pytest.mark.parametrize("name", ["", "x" * 101, " x", "x\ty", KEY, "ServiceId-1", "iam-ServiceId-1", "\udfff"])
def test_what_cannot_be_a_name_is_refused(house: House, name: str) -> None:
    with pytest.raises(InvalidField):
        create_service_id(house, ADMINISTRATOR, name)
    assert service_ids(house) == []


def test_a_description_has_at_most_240_characters(house: House) -> None:
    create_service_id(house, ADMINISTRATOR, "short", "x" * 240)

    with pytest.raises(InvalidField):
        create_service_id(house, ADMINISTRATOR, "long", "x" * 241)


def test_a_name_is_there_once(house: House) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")

    with pytest.raises(Contradiction):
        create_service_id(house, ADMINISTRATOR, "backup")


def test_a_grant_comes_and_goes(house: House) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")
    over_ring = Grant(role=Role.READER, instance=INSTANCE, ring="vmware")

    assert grant(house, ADMINISTRATOR, "backup", OVER_INSTANCE).grants == (OVER_INSTANCE,)
    assert grant(house, ADMINISTRATOR, "backup", over_ring).grants == (OVER_INSTANCE, over_ring)
    before = revision(house)
    assert grant(house, ADMINISTRATOR, "backup", over_ring).grants == (OVER_INSTANCE, over_ring)
    assert revision(house) == before
    assert revoke(house, ADMINISTRATOR, "backup", OVER_INSTANCE).grants == (over_ring,)
    with pytest.raises(NotFound, match="no such grant"):
        revoke(house, ADMINISTRATOR, "backup", OVER_INSTANCE)


@pytest.mark.parametrize(
    ("wanted", "refusal"),
    [
        (Grant(role=Role.READER, instance=OTHER_INSTANCE), InvalidInstance),
        (Grant(role=Role.READER, instance=INSTANCE, ring="vmwear"), KeyRingNotFound),
        (Grant(role=Role.READER, instance=INSTANCE, key=OTHER_INSTANCE), KeyNotFound),
        (Grant(role=Role.READER, instance=INSTANCE, key="nick"), InvalidField),
        (Grant(role=Role.READER, instance=INSTANCE, ring="vmware", key=KEY), InvalidField),
        (Grant(role=Role.READER, ring="vmware"), InvalidField),
        (Grant(role=Role.READER, key=KEY), InvalidField),
    ],
)
def test_a_grant_over_what_is_not_there_is_refused(house: House, wanted: Grant, refusal: type[Exception]) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")

    with pytest.raises(refusal):
        grant(house, ADMINISTRATOR, "backup", wanted)
    with pytest.raises(refusal):
        create_service_id(house, ADMINISTRATOR, "another", grants=[wanted])
    assert [(each.name, each.grants) for each in service_ids(house)] == [("backup", ())]


def test_there_are_bounds(house: House) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")
    many = [Grant(role=Role.READER, instance=INSTANCE, key=_another_key(house, n)) for n in range(MOST_GRANTS)]
    create_service_id(house, ADMINISTRATOR, "greedy", grants=many)
    for number in range(MOST_API_KEYS):
        create_api_key(house, ADMINISTRATOR, "backup", f"key {number}")

    with pytest.raises(Contradiction, match="100 grants"):
        grant(house, ADMINISTRATOR, "greedy", OVER_INSTANCE)
    with pytest.raises(Contradiction, match="10 API keys"):
        create_api_key(house, ADMINISTRATOR, "backup", "one too many")
    remove_api_key(house, ADMINISTRATOR, "backup", "key 3")
    create_api_key(house, ADMINISTRATOR, "backup", "once more")


def test_there_are_at_most_a_thousand_service_ids(house: House) -> None:
    made = create_service_id(house, ADMINISTRATOR, "first")
    with house.database.change() as unit:
        for number in range(MOST_SERVICE_IDS - 1):
            unit.put_service_id(
                type(made)(identifier=f"ServiceId-{number}", name=f"n{number}", created_at=1, created_by="")
            )

    with pytest.raises(Contradiction, match="1000 service IDs"):
        create_service_id(house, ADMINISTRATOR, "last")


def _another_key(house: House, number: int) -> str:
    with house.database.change() as unit:
        key = unit.key(INSTANCE, KEY)
        made = type(key)(
            identifier=f"00000000-0000-4000-8000-{number:012}",
            instance=INSTANCE,
            name="k",
            extractable=True,
            created_at=1,
            created_by="",
            updated_at=1,
            state_changed_at=1,
        )
        unit.put_key(made)
    return made.identifier


def test_an_api_key_has_44_characters_that_a_url_takes_as_they_are(house: House) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")
    keys = [create_api_key(house, ADMINISTRATOR, "backup", f"{n}")[1].reveal().decode() for n in range(MOST_API_KEYS)]

    assert all(re.fullmatch(r"[A-Za-z0-9_-]{44}", key) for key in keys)
    assert len(set(keys)) == MOST_API_KEYS
    assert len(set("".join(keys))) > 55, "440 characters of 64 leave nearly none out"


def test_an_api_key_is_looked_up_by_its_keyed_hash(house: House) -> None:
    made = create_service_id(house, ADMINISTRATOR, "backup")
    api_key, key = create_api_key(house, ADMINISTRATOR, "backup", "one")

    assert api_key.hash == hash_of(house, key)
    with house.reading() as reading:
        owner = reading.owner_of(hash_of(house, key))
        assert owner is not None
        assert owner.identifier == made.identifier
        assert reading.owner_of(hash_of(house, Secret(bytearray(b"x" * 44)))) is None


def test_an_api_key_is_written_nowhere(house: House, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")
    api_key, key = create_api_key(house, ADMINISTRATOR, "backup", "one")
    with house.reading() as reading:
        assert reading.owner_of(hash_of(house, key)) is not None
    plain = bytes(key.reveal())

    assert (tmp_path / "keystore.db-wal").stat().st_size > 0
    assert in_files([plain], tmp_path) == []
    assert in_files([api_key.hash], tmp_path) != [], "what the keystore's database keeps is the hash"
    unkeyed = [hashlib.new(name, plain).digest() for name in ("sha256", "sha512", "sha3_256")]
    assert in_files(unkeyed, tmp_path) == [], "whoever has a copy could tell whether a key that he found is one of ours"
    output = "".join(capfd.readouterr())
    assert plain.decode() not in output
    assert plain.decode() not in repr((api_key, key, service_ids(house), journal(house)))


def test_another_keystore_has_another_hash(house: House, tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    another = a_house(tmp_path / "another")
    key = Secret(bytearray(b"x" * 44))

    assert hash_of(house, key) != hash_of(another, key)
    another.close()


def test_names_of_api_keys_are_there_once_in_a_service_id(house: House) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")
    create_service_id(house, ADMINISTRATOR, "restore")
    made, _ = create_api_key(house, ADMINISTRATOR, "backup", "one")
    create_api_key(house, ADMINISTRATOR, "restore", "one")

    with pytest.raises(Contradiction):
        create_api_key(house, ADMINISTRATOR, "backup", "one")
    assert remove_api_key(house, ADMINISTRATOR, "backup", made.identifier) == made
    with pytest.raises(NotFound):
        remove_api_key(house, ADMINISTRATOR, "backup", "one")


def test_another_process_sees_it_at_once(house: House, tmp_path: Path) -> None:
    other = opened_again(tmp_path)
    create_service_id(house, ADMINISTRATOR, "backup")
    _, key = create_api_key(house, ADMINISTRATOR, "backup", "one")

    with other.reading() as reading:
        assert reading.owner_of(hash_of(other, key)) is not None
    other.close()


def test_the_journal_has_every_act(house: House) -> None:
    made = create_service_id(house, ADMINISTRATOR, "backup", grants=[OVER_INSTANCE])
    grant(house, ADMINISTRATOR, "backup", Grant(role=Role.READER, instance=INSTANCE, ring="vmware"))
    revoke(house, ADMINISTRATOR, "backup", OVER_INSTANCE)
    api_key, _ = create_api_key(house, ADMINISTRATOR, "backup", "one")
    remove_api_key(house, ADMINISTRATOR, "backup", "one")
    delete_service_id(house, ADMINISTRATOR, "backup")

    written = journal(house)
    assert [entry["action"] for entry in written] == [
        "iam-identity.account-serviceid.create",
        "iam-am.policy.create",
        "iam-am.policy.create",
        "iam-am.policy.delete",
        "iam-identity.serviceid-apikey.create",
        "iam-identity.serviceid-apikey.delete",
        "iam-identity.account-serviceid.delete",
    ]
    assert {entry["target"] for entry in written} == {made.identifier}
    assert {entry["initiator"] for entry in written} == {ADMINISTRATOR.identity}
    assert written[2]["detail"] == {"name": "backup", "role": "Reader", "ring": "vmware"}
    assert written[2]["instance"] == INSTANCE
    assert written[4]["detail"] == {"name": "one", "api_key": api_key.identifier}


ACTS: list[Callable[[House, Caller], object]] = [
    lambda house, caller: create_service_id(house, caller, "mine"),
    lambda house, caller: delete_service_id(house, caller, "backup"),
    lambda house, caller: grant(house, caller, "backup", OVER_INSTANCE),
    lambda house, caller: revoke(house, caller, "backup", OVER_INSTANCE),
    lambda house, caller: create_api_key(house, caller, "backup", "mine"),
    lambda house, caller: remove_api_key(house, caller, "backup", "one"),
]


@pytest.mark.parametrize("act", ACTS)
def test_no_role_changes_who_may_what(house: House, act: Callable[[House, Caller], object]) -> None:
    create_service_id(house, ADMINISTRATOR, "backup", grants=[OVER_INSTANCE])
    create_api_key(house, ADMINISTRATOR, "backup", "one")
    manager = a_caller(house, *Role, instance=None)
    before = revision(house)

    with pytest.raises(Unauthorised):
        act(house, manager)
    assert revision(house) == before


def test_a_key_that_could_not_be_kept_is_not_handed_out(house: House, tmp_path: Path) -> None:
    create_service_id(house, ADMINISTRATOR, "backup")
    with sqlite3.connect(tmp_path / "keystore.db") as connection:
        connection.execute("DROP TABLE journal")

    with pytest.raises(sqlite3.Error):
        create_api_key(house, ADMINISTRATOR, "backup", "one")
    assert service_ids(house)[0].api_keys == ()
