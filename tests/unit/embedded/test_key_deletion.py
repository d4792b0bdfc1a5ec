"""Deletion, by one or by two people, and the ways on from there: restore and purge."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded import actions, lifecycle
from keyrack.embedded.call import KEYRACK, Caller
from keyrack.embedded.errors import KeyNotFound
from keyrack.embedded.house import DAY, House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Alias, Key, KeyState, Registration, RotationPolicy
from keyrack.testing.key_houses import ADMINISTRATOR, INSTANCE, a_call, a_caller, a_house, an_instance, go_on
from keyrack.testing.some_keys import (
    PAYLOAD,
    a_root_key,
    a_standard_key,
    payload_of,
    refusal,
)

ANOTHER = Caller(identity="local-user-another")
ALIAS = Alias(name="an-alias", created_at=1, created_by="local-user-test")
TOO_EARLY = (409, "REQ_TOO_EARLY_ERR")
GONE = (410, "KEY_DELETED_ERR")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    an_instance(house, rings=("first", "second"))
    yield house
    house.close()


def test_a_deleted_key_is_gone_for_its_users_and_tells_who_deleted_it(house: House) -> None:
    """Destroyed at once; a second delete is 410, and so is a wrap."""
    manager = a_caller(house, Role.MANAGER)
    key = a_root_key(house, aliases=(ALIAS,))
    after = lifecycle.delete(house, a_call(manager), ALIAS.name)

    assert (KeyState.DESTROYED, house.now, manager.identity) == (after.state, after.deleted_at, after.deleted_by)
    assert (house.now, house.now) == (after.updated_at, after.state_changed_at)
    assert GONE == refusal(lifecycle.delete, house, a_call(), key.identifier)
    with Secret(bytearray(32)) as plaintext:
        assert GONE == refusal(actions.wrap, house, a_call(), key.identifier, plaintext)


def test_what_follows_from_a_deletion_is_told(house: House) -> None:
    """Restorable for 30 days, purgeable after 4 hours, purged after 90 days; as the face tells it."""
    key = a_root_key(house, expires_at=house.now + 10 * DAY)
    at = house.now
    after = lifecycle.delete(house, a_call(), key.identifier)
    told = lifecycle.deletion(house.waits, after, at)
    assert (at + 30 * DAY, True) == (told.restore_until, told.restore_allowed)
    assert (at + 4 * 3600, False, at + 90 * DAY) == (told.purge_from, told.purge_allowed, told.purge_on)
    later = lifecycle.deletion(house.waits, after, at + 10 * DAY)
    assert (False, True) == (later.restore_allowed, later.purge_allowed)


def test_a_key_that_protects_resources_is_deleted_by_force_only(house: House) -> None:
    """Its registrations go with it. What forbids the deletion is not forced."""
    registration = Registration(resource="crn:bucket", created_at=1, created_by="x")
    key = a_root_key(house, registrations=(registration,))
    protected = (409, "PROTECTED_RESOURCE_ERR")
    assert protected == refusal(lifecycle.delete, house, a_call(), key.identifier)
    assert () == lifecycle.delete(house, a_call(), key.identifier, force=True).registrations

    forbidding = a_root_key(house, registrations=(replace(registration, prevent_key_deletion=True),))
    for force in (False, True):
        assert (409, "PREV_KEY_DEL_ERR") == refusal(
            lifecycle.delete, house, a_call(), forbidding.identifier, force=force
        )


def test_an_active_key_of_a_kmip_adapter_is_deleted_by_force_only(house: House) -> None:
    """One that is disabled already keeps nothing alive."""
    key = a_root_key(house)
    assert (409, "PROTECTED_RESOURCE_ERR") == refusal(
        lifecycle.delete, house, a_call(), key.identifier, used_by=["vc1"]
    )
    lifecycle.delete(house, a_call(), key.identifier, used_by=["vc1"], force=True)
    suspended = a_root_key(house, state=KeyState.SUSPENDED)
    lifecycle.delete(house, a_call(), suspended.identifier, used_by=["vc1"])


def dual(house: House) -> Key:
    """A key that two people delete."""
    return a_root_key(house, dual_auth_delete=True)


NOT_MET = (409, "AUTHORIZATIONS_NOT_MET")


def test_two_people_delete_a_key_with_dual_authorisation(house: House) -> None:
    """One sets it for deletion, who may be a writer, and a different manager deletes it."""
    key = dual(house)
    writer, manager = a_caller(house, Role.WRITER), a_caller(house, Role.MANAGER)
    assert NOT_MET == refusal(lifecycle.delete, house, a_call(manager), key.identifier)
    marked = lifecycle.set_for_deletion(house, a_call(writer), key.identifier)
    assert (writer.identity, KeyState.ACTIVE) == (marked.set_for_deletion and marked.set_for_deletion.by, marked.state)
    assert (401, "UNAUTHORIZED_ERR") == refusal(lifecycle.delete, house, a_call(writer), key.identifier)
    after = lifecycle.delete(house, a_call(manager), key.identifier)
    assert (KeyState.DESTROYED, None) == (after.state, after.set_for_deletion)


@pytest.mark.parametrize("force", [False, True])
def test_nobody_is_two_people(house: House, force: bool) -> None:
    """Not a manager by force, and not an administrator at the machine, who counts by identity too."""
    key = dual(house)
    for caller in (a_caller(house, Role.MANAGER), ADMINISTRATOR):
        lifecycle.set_for_deletion(house, a_call(caller), key.identifier)
        assert NOT_MET == refusal(lifecycle.delete, house, a_call(caller), key.identifier, force=force)
    lifecycle.delete(house, a_call(ANOTHER), key.identifier)


def test_two_keys_of_one_service_id_are_one_person(house: House) -> None:
    """Whoever renews the API key in between is who it was before."""
    key = dual(house)
    manager = a_caller(house, Role.MANAGER)
    with house.database.change() as unit:
        service_id = unit.service_id(str(manager.service_id))
        assert service_id is not None
        second = replace(service_id.api_keys[0], identifier="second", hash=b"second")
        unit.put_service_id(replace(service_id, api_keys=(*service_id.api_keys, second)))
    lifecycle.set_for_deletion(house, a_call(manager), key.identifier)
    renewed = a_call(replace(manager, api_key="second"))
    assert NOT_MET == refusal(lifecycle.delete, house, renewed, key.identifier)


def test_a_mark_for_deletion_lasts_seven_days_and_can_be_taken_back(house: House) -> None:
    """Also when it is taken back by somebody else; twice is harmless."""
    key = dual(house)
    lifecycle.set_for_deletion(house, a_call(), key.identifier)
    go_on(house, 7 * DAY)
    assert NOT_MET == refusal(lifecycle.delete, house, a_call(ANOTHER), key.identifier)
    lifecycle.set_for_deletion(house, a_call(), key.identifier)
    go_on(house, 7 * DAY - 1)
    for _ in range(2):
        lifecycle.unset_for_deletion(house, a_call(ANOTHER), key.identifier)
    assert NOT_MET == refusal(lifecycle.delete, house, a_call(ANOTHER), key.identifier)


def test_keyrack_itself_is_no_second_person(house: House) -> None:
    """Whoever removes a KMIP adapter lets Keyrack delete its standard keys: he must not be both persons this way."""
    key = dual(house)
    manager = a_caller(house, Role.MANAGER)
    lifecycle.set_for_deletion(house, a_call(manager), key.identifier)

    assert NOT_MET == refusal(lifecycle.delete, house, a_call(KEYRACK), key.identifier, force=True)


def test_a_key_without_dual_authorisation_is_not_set_for_deletion(house: House) -> None:
    """409, for setting and for taking back."""
    key = a_root_key(house)
    for verb in (lifecycle.set_for_deletion, lifecycle.unset_for_deletion):
        assert (409, "NOT_DUAL_AUTH_ERR") == refusal(verb, house, a_call(), key.identifier)


def test_a_restored_key_needs_both_people_again(house: House) -> None:
    """The old mark went with the first deletion."""
    key = dual(house)
    lifecycle.set_for_deletion(house, a_call(), key.identifier)
    lifecycle.delete(house, a_call(ANOTHER), key.identifier)
    go_on(house, 30)
    restored = lifecycle.restore(house, a_call(), key.identifier)
    assert restored.dual_auth_delete
    assert NOT_MET == refusal(lifecycle.delete, house, a_call(ANOTHER), key.identifier)


def test_a_restored_key_is_what_it_was(house: House) -> None:
    """Active, with its versions, aliases, name, ring and policies; what it wrapped before opens."""
    key = a_root_key(house, versions=2, ring="first", aliases=(ALIAS,), rotation=RotationPolicy(enabled=True, months=3))
    with Secret(bytearray(b"p" * 32)) as plaintext:
        wrapped = actions.wrap(house, a_call(), key.identifier, plaintext)
    lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, 29)
    assert TOO_EARLY == refusal(lifecycle.restore, house, a_call(), key.identifier)
    go_on(house, 1)
    after = lifecycle.restore(house, a_call(), ALIAS.name)

    assert replace(key, updated_at=house.now, state_changed_at=house.now) == after
    answer = actions.unwrap(house, a_call(), key.identifier, wrapped.ciphertext)
    assert bytes(answer.plaintext.reveal()) == b"p" * 32


def test_a_key_is_restored_within_thirty_days(house: House) -> None:
    """To the second, and not afterwards."""
    first, second = a_root_key(house), a_standard_key(house)
    for key in (first, second):
        lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, 30 * DAY)
    lifecycle.restore(house, a_call(), first.identifier)
    go_on(house, 1)
    assert (400, "KEY_RESTORE_EXPIRED") == refusal(lifecycle.restore, house, a_call(), second.identifier)


def test_an_expired_key_is_not_restored(house: House) -> None:
    """At its expiration already."""
    key = a_root_key(house, expires_at=house.now + 100)
    lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, 100)
    assert (400, "KEY_EXPIRED_ERR") == refusal(lifecycle.restore, house, a_call(), key.identifier)


@pytest.mark.parametrize("make", [a_root_key, a_standard_key])
def test_a_key_whose_ring_is_gone_comes_back_in_the_default_one(house: House, make: Callable[..., Key]) -> None:
    """And the payload of a standard key still opens, sealed for its new ring."""
    key = make(house, ring="first", state=KeyState.DESTROYED)
    an_instance(house, rings=("second",))
    after = lifecycle.restore(house, a_call(), key.identifier)
    assert "default" == after.ring
    if after.extractable:
        assert payload_of(house, after) == PAYLOAD


def test_a_key_is_purged_after_four_hours_and_then_not_found(house: House) -> None:
    """With its aliases and its material; the local administrator waits like everybody."""
    key = a_root_key(house, aliases=(ALIAS,))
    at = house.now
    lifecycle.delete(house, a_call(), key.identifier)
    go_on(house, 4 * 3600 - 1)
    purger = a_call(a_caller(house, Role.KEY_PURGE))
    for call in (purger, a_call()):
        assert TOO_EARLY == refusal(lifecycle.purge, house, call, key.identifier)
    go_on(house, 1)
    assert at == lifecycle.purge(house, purger, ALIAS.name).deleted_at
    for name in (key.identifier, ALIAS.name):
        assert (404, "KEY_NOT_FOUND_ERR") == refusal(lifecycle.restore, house, a_call(), name)


def test_the_wait_for_a_purge_is_told_as_key_protect_tells_it(house: House) -> None:
    """Clients show it."""
    key = a_root_key(house)
    lifecycle.delete(house, a_call(), key.identifier)
    with pytest.raises(Exception, match="Purge operation is allowed 4h0m0s after key is deleted"):
        lifecycle.purge(house, a_call(), key.identifier)


def test_nothing_is_left_of_a_purged_key(house: House) -> None:
    """Not by any name."""
    key = a_root_key(house, state=KeyState.DESTROYED, aliases=(ALIAS,))
    lifecycle.purge(house, a_call(), key.identifier)
    with house.reading() as reading:
        for name in (key.identifier, ALIAS.name):
            with pytest.raises(KeyNotFound):
                reading.key(INSTANCE, name)
