"""Aliases: what may be one, how many, and that each leads to one key."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.embedded import actions
from keyrack.embedded.alias_rules import MOST_IN_AN_INSTANCE, MOST_OF_A_KEY, RESERVED
from keyrack.embedded.aliases import create_alias, delete_alias
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Alias, Key, KeyState
from keyrack.embedded.lifecycle import delete
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_caller, a_house, an_instance
from keyrack.testing.some_keys import a_root_key, a_standard_key, journal_of, kept, refusal

TAKEN = (409, "KEY_ALIAS_NOT_UNIQUE_ERR")
QUOTA = (409, "KEY_ALIAS_QUOTA_ERR")
INVALID = (400, "INVALID_FIELD_ERR")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    yield house
    house.close()


def aliases_of(house: House, key: Key) -> list[str]:
    return [alias.name for alias in kept(house, key).aliases]


def test_a_key_goes_by_its_alias(house: House) -> None:
    """In every action; case counts; and no longer once the alias is gone."""
    key = a_root_key(house)
    made = create_alias(house, a_call(), key.identifier, "My-Alias_1")
    assert ("My-Alias_1", house.now, "local-user-test") == (made.name, made.created_at, made.created_by)
    actions.wrap(house, a_call(), "My-Alias_1", None)
    assert (404, "KEY_NOT_FOUND_ERR") == refusal(actions.wrap, house, a_call(), "my-alias_1", None)
    delete_alias(house, a_call(), "My-Alias_1", "My-Alias_1")
    assert (404, "KEY_NOT_FOUND_ERR") == refusal(actions.wrap, house, a_call(), "My-Alias_1", None)


@pytest.mark.parametrize("name", ["", "a", "a" * 91, "a b", "a.b", "ä" * 3, "a/b", "a\n", *sorted(RESERVED)])
def test_what_is_no_alias_is_refused(house: House, name: str) -> None:
    """2 to 90 letters, digits, hyphens and underscores, and no word of the paths."""
    assert INVALID == refusal(create_alias, house, a_call(), a_root_key(house).identifier, name)


def test_an_alias_is_never_taken_for_an_identifier(house: House) -> None:
    """Not of a key that is there, nor of one that may come."""
    key = a_root_key(house)
    for name in (str(uuid.uuid4()), str(uuid.uuid4()).upper(), a_root_key(house).identifier):
        assert INVALID == refusal(create_alias, house, a_call(), key.identifier, name)


def test_an_alias_is_one_keys_in_its_instance(house: House) -> None:
    """Also while that key is deleted; in another instance it is free."""
    an_instance(house, OTHER_INSTANCE)
    one, other = a_root_key(house), a_standard_key(house)
    create_alias(house, a_call(), one.identifier, "vcenter")
    for key in (one, other):
        assert TAKEN == refusal(create_alias, house, a_call(), key.identifier, "vcenter")
    delete(house, a_call(), "vcenter")
    assert TAKEN == refusal(create_alias, house, a_call(), other.identifier, "vcenter")
    delete_alias(house, a_call(), one.identifier, "vcenter")
    create_alias(house, a_call(), other.identifier, "vcenter")
    there = a_root_key(house, instance=OTHER_INSTANCE)
    create_alias(house, a_call(instance=OTHER_INSTANCE), there.identifier, "vcenter")


def test_a_key_has_five_aliases(house: House) -> None:
    """The sixth is refused until one is taken away."""
    key = a_root_key(house)
    for number in range(MOST_OF_A_KEY):
        create_alias(house, a_call(), key.identifier, f"alias-{number}")
    assert QUOTA == refusal(create_alias, house, a_call(), key.identifier, "alias-5")
    delete_alias(house, a_call(), key.identifier, "alias-0")
    create_alias(house, a_call(), key.identifier, "alias-5")
    assert [f"alias-{number}" for number in range(1, 6)] == aliases_of(house, key)


def test_an_instance_has_a_thousand_aliases(house: House) -> None:
    """The next is refused, and in another instance there is room."""
    an_instance(house, OTHER_INSTANCE)
    with house.database.change() as unit:
        for number in range(MOST_IN_AN_INSTANCE // MOST_OF_A_KEY):
            names = [f"alias-{number}-{which}" for which in range(MOST_OF_A_KEY)]
            aliases = tuple(Alias(name=name, created_at=1, created_by="x") for name in names)
            unit.put_key(replace(EMPTY, identifier=str(uuid.uuid4()), aliases=aliases))
    key, there = a_root_key(house), a_root_key(house, instance=OTHER_INSTANCE)
    assert QUOTA == refusal(create_alias, house, a_call(), key.identifier, "one-more")
    create_alias(house, a_call(instance=OTHER_INSTANCE), there.identifier, "one-more")
    delete_alias(house, a_call(), "alias-7-0", "alias-7-0")
    create_alias(house, a_call(), key.identifier, "one-more")


EMPTY = Key(
    identifier="",
    instance=a_call().instance,
    name="a key of many",
    extractable=True,
    created_at=1,
    created_by="x",
    updated_at=1,
    state_changed_at=1,
)


def test_an_alias_that_a_key_does_not_have_is_not_found(house: House) -> None:
    """Also where another key has it."""
    key, other = a_root_key(house), a_root_key(house)
    create_alias(house, a_call(), other.identifier, "others")
    for name in ("others", "absent", ""):
        assert (404, "KEY_ALIAS_NOT_FOUND_ERR") == refusal(delete_alias, house, a_call(), key.identifier, name)


def test_a_deleted_key_gets_no_alias_but_may_lose_one(house: House) -> None:
    """So that the name can be used again before the key is purged."""
    key = a_root_key(house, state=KeyState.DESTROYED, aliases=(Alias(name="old", created_at=1, created_by="x"),))
    assert (410, "KEY_DELETED_ERR") == refusal(create_alias, house, a_call(), key.identifier, "new")
    delete_alias(house, a_call(), "old", "old")
    assert [] == aliases_of(house, key)


@pytest.mark.parametrize("role", Role)
def test_writers_give_and_take_aliases(house: House, role: Role) -> None:
    """And managers; nobody else does."""
    key = a_root_key(house, aliases=(Alias(name="old", created_at=1, created_by="x"),))
    call = a_call(a_caller(house, role))
    if role in {Role.WRITER, Role.MANAGER}:
        create_alias(house, call, key.identifier, "new")
        delete_alias(house, call, key.identifier, "old")
        assert ["new"] == aliases_of(house, key)
        events = [(each["action"], each["detail"]["alias"]) for each in journal_of(house)]
        assert [("kms.secrets-alias.create", "new"), ("kms.secrets-alias.delete", "old")] == events
    else:
        for act in (create_alias, delete_alias):
            assert (401, "UNAUTHORIZED_ERR") == refusal(act, house, call, key.identifier, "old")
