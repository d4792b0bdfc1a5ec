"""The life of a key by Key Protect's law: every action in every state, each wait, each refusal with its code."""

import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded import aliases, lifecycle, policies
from keyrack.embedded.call import Call, Caller
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.keys import Alias, DeletionAuthorisation, Key, KeyState
from keyrack.testing.key_houses import a_call, a_caller, a_house, an_instance, go_on
from keyrack.testing.some_keys import (
    PAYLOAD,
    a_root_key,
    a_standard_key,
    journal_of,
    kept,
    payload_of,
    refusal,
)

ANOTHER = Caller(identity="local-user-another")
ALIAS = Alias(name="an-alias", created_at=1, created_by="local-user-test")
MARK = DeletionAuthorisation(by="local-user-another", at=1_800_000_000)
TOO_EARLY = (409, "REQ_TOO_EARLY_ERR")
WRONG_STATE = (409, "KEY_ACTION_INVALID_STATE_ERR")
GONE = (410, "KEY_DELETED_ERR")
ROOT_ONLY = (400, "KEY_ROOT_REQ_ERR")
OK = None


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    an_instance(house, rings=("first", "second"))
    yield house
    house.close()


ACTS: dict[str, Callable[[House, Call, Key], object]] = {
    "rotate": lambda house, call, key: lifecycle.rotate(house, call, key.identifier),
    "disable": lambda house, call, key: lifecycle.disable(house, call, key.identifier),
    "enable": lambda house, call, key: lifecycle.enable(house, call, key.identifier),
    "delete": lambda house, call, key: lifecycle.delete(house, call, key.identifier),
    "restore": lambda house, call, key: lifecycle.restore(house, call, key.identifier),
    "purge": lambda house, call, key: lifecycle.purge(house, call, key.identifier),
    "set": lambda house, call, key: lifecycle.set_for_deletion(house, call, key.identifier),
    "unset": lambda house, call, key: lifecycle.unset_for_deletion(house, call, key.identifier),
    "sync": lambda house, call, key: lifecycle.sync(house, call, key.identifier),
    "move": lambda house, call, key: lifecycle.move(house, call, key.identifier, "second"),
    "create alias": lambda house, call, key: aliases.create_alias(house, call, key.identifier, "another-alias"),
    "delete alias": lambda house, call, key: aliases.delete_alias(house, call, key.identifier, ALIAS.name),
    "set policies": lambda house, call, key: policies.set_key_policies(
        house, call, key.identifier, dual_auth_delete=True
    ),
    "read policies": lambda house, call, key: policies.key_policies(house, call, key.identifier),
}
ALWAYS = {"delete": OK, "set": OK, "unset": OK, "move": OK, "create alias": OK, "delete alias": OK, "set policies": OK}
"""What every key that is not deleted allows."""
LAW: dict[KeyState, dict[str, tuple[int, str] | None]] = {
    KeyState.PRE_ACTIVATION: {**ALWAYS, "rotate": WRONG_STATE, "disable": WRONG_STATE, "enable": WRONG_STATE},
    KeyState.ACTIVE: {**ALWAYS, "rotate": OK, "disable": OK, "enable": WRONG_STATE},
    KeyState.SUSPENDED: {**ALWAYS, "rotate": WRONG_STATE, "disable": WRONG_STATE, "enable": OK},
    KeyState.DEACTIVATED: {**ALWAYS, "rotate": OK, "disable": WRONG_STATE, "enable": WRONG_STATE},
    KeyState.DESTROYED: {**dict.fromkeys(ACTS, GONE), "restore": OK, "purge": OK, "delete alias": OK},
}


def expected(state: KeyState, act: str, *, extractable: bool) -> tuple[int, str] | None:
    """The whole law of Key Protect's states, written down a second time."""
    if extractable and act in {"rotate", "disable", "enable", "sync"}:
        return ROOT_ONLY
    if act in {"sync", "read policies"}:
        return OK
    if act in {"restore", "purge"} and state is not KeyState.DESTROYED:
        return WRONG_STATE
    return LAW[state][act]


@pytest.mark.parametrize("extractable", [False, True], ids=["root", "standard"])
@pytest.mark.parametrize("state", KeyState, ids=lambda state: state.name.lower())
@pytest.mark.parametrize("act", ACTS)
def test_every_action_in_every_state(house: House, act: str, state: KeyState, extractable: bool) -> None:
    """What is allowed works; what is not is refused with Key Protect's code, and nothing is written."""
    make = a_standard_key if extractable else a_root_key
    mark = None if state is KeyState.DESTROYED else replace(MARK, at=house.now)
    key = make(house, state=state, aliases=(ALIAS,), dual_auth_delete=True, set_for_deletion=mark)
    law = expected(state, act, extractable=extractable)
    if law is not OK:
        assert law == refusal(ACTS[act], house, a_call(), key)
        assert key == kept(house, key)
    else:
        ACTS[act](house, a_call(), key)


def test_what_is_not_there_is_not_found(house: House) -> None:
    """With the code for keys, by every action."""
    absent = a_root_key(house)
    with house.database.change() as unit:
        unit.remove_key(absent)
    for act in ACTS.values():
        assert (404, "KEY_NOT_FOUND_ERR") == refusal(act, house, a_call(), absent)


MAY = {
    "rotate": {Role.WRITER, Role.MANAGER},
    "set": {Role.WRITER, Role.MANAGER},
    "unset": {Role.WRITER, Role.MANAGER},
    "sync": {Role.WRITER, Role.MANAGER},
    "disable": {Role.MANAGER},
    "enable": {Role.MANAGER},
    "delete": {Role.MANAGER},
    "restore": {Role.MANAGER},
    "move": {Role.MANAGER},
    "purge": {Role.KEY_PURGE},
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("act", MAY)
def test_every_role_may_what_it_may(house: House, act: str, role: Role) -> None:
    """Whoever may not gets 401, and nothing is written; purging is nobody's but KeyPurge's."""
    states = {"enable": KeyState.SUSPENDED, "restore": KeyState.DESTROYED, "purge": KeyState.DESTROYED}
    key = a_root_key(house, state=states.get(act, KeyState.ACTIVE), dual_auth_delete=act in {"set", "unset"})
    call = a_call(a_caller(house, role))
    if role in MAY[act]:
        ACTS[act](house, call, key)
    else:
        assert (401, "UNAUTHORIZED_ERR") == refusal(ACTS[act], house, call, key)


def test_a_key_of_another_ring_or_instance_is_out_of_reach(house: House) -> None:
    """The ring that the caller names must be the key's; a manager of one ring has no say over another's."""
    key = a_root_key(house, ring="first")
    manager = a_caller(house, Role.MANAGER, ring="second")
    assert (404, "KEY_NOT_FOUND_ERR") == refusal(lifecycle.delete, house, a_call(ring="second"), key.identifier)
    assert (401, "UNAUTHORIZED_ERR") == refusal(lifecycle.delete, house, a_call(manager), key.identifier)


def test_a_disabled_key_is_enabled_after_thirty_seconds(house: House) -> None:
    """Not one second earlier; and the wait begins anew with each change."""
    key = a_root_key(house)
    assert KeyState.SUSPENDED is lifecycle.disable(house, a_call(), key.identifier).state
    go_on(house, 29)
    assert TOO_EARLY == refusal(lifecycle.enable, house, a_call(), key.identifier)
    go_on(house, 1)
    assert KeyState.ACTIVE is lifecycle.enable(house, a_call(), key.identifier).state
    lifecycle.disable(house, a_call(), key.identifier)
    assert TOO_EARLY == refusal(lifecycle.enable, house, a_call(), key.identifier)


def test_an_expiration_that_came_while_a_key_was_disabled_counts_when_it_is_enabled(house: House) -> None:
    """Enabled it is deactivated: it unwraps, and no longer wraps."""
    key = a_root_key(house, expires_at=house.now + 100)
    lifecycle.disable(house, a_call(), key.identifier)
    go_on(house, 200)
    assert KeyState.DEACTIVATED is lifecycle.enable(house, a_call(), key.identifier).state_at(house.now)


def test_resources_are_told_again_once_an_hour(house: House) -> None:
    """After the last time, after a rotation, and after a change of state; the making of a key does not count."""
    key = a_root_key(house, created_at=house.now, state_changed_at=house.now)
    lifecycle.sync(house, a_call(), key.identifier)
    for told_by in (lifecycle.rotate, lifecycle.disable, lifecycle.delete, None):
        go_on(house, 3600)
        if told_by is None:
            lifecycle.sync(house, a_call(), key.identifier)
        else:
            told_by(house, a_call(), key.identifier)
        assert TOO_EARLY == refusal(lifecycle.sync, house, a_call(), key.identifier)


@pytest.mark.parametrize("make", [a_root_key, a_standard_key])
def test_a_key_moves_to_another_ring(house: House, make: Callable[..., Key]) -> None:
    """Rights over the new ring count from then on; a payload opens in the new ring, and not as of the old one."""
    key = make(house, ring="first")
    manager = a_call(a_caller(house, Role.MANAGER, ring="first"))
    after = lifecycle.move(house, a_call(), key.identifier, "second")
    assert ("second", house.now) == (after.ring, after.updated_at)
    assert (401, "UNAUTHORIZED_ERR") == refusal(lifecycle.delete, house, manager, key.identifier)
    if key.extractable:
        assert payload_of(house, after) == PAYLOAD
        assert key.payload != after.payload
        with pytest.raises(Exception, match="was changed"):
            house.payloads.open(replace(after, ring="first"))


def test_a_key_moves_only_where_the_mover_may_move_it(house: House) -> None:
    """The right is needed over the key and over the target ring; a ring that is not there is told to those alone."""
    key = a_root_key(house, ring="first")
    one = a_call(a_caller(house, Role.MANAGER, ring="first"))
    whole = a_call(a_caller(house, Role.MANAGER))
    for ring in ("second", "default", "absent"):
        assert (401, "UNAUTHORIZED_ERR") == refusal(lifecycle.move, house, one, key.identifier, ring)
    assert (404, "KEY_RING_NOT_FOUND_ERR") == refusal(lifecycle.move, house, whole, key.identifier, "absent")
    assert key == lifecycle.move(house, whole, key.identifier, "first")


def test_every_change_is_journaled_with_who_and_what(house: House) -> None:
    """By IBM's names of events; base64 of a payload or material is in none of them."""
    key = a_root_key(house, imported=True, dual_auth_delete=True)
    material = b"M" * 32
    with Secret(bytearray(material)) as secret:
        lifecycle.rotate(house, a_call(), key.identifier, secret)
    lifecycle.disable(house, a_call(), key.identifier)
    go_on(house, 30)
    lifecycle.enable(house, a_call(), key.identifier)
    lifecycle.move(house, a_call(), key.identifier, "second")
    lifecycle.set_for_deletion(house, a_call(), key.identifier)
    lifecycle.unset_for_deletion(house, a_call(), key.identifier)
    lifecycle.set_for_deletion(house, a_call(), key.identifier)
    lifecycle.delete(house, a_call(ANOTHER), key.identifier)
    go_on(house, 30)
    lifecycle.restore(house, a_call(), key.identifier)
    go_on(house, 3600)
    lifecycle.sync(house, a_call(), key.identifier)
    lifecycle.set_for_deletion(house, a_call(), key.identifier)
    lifecycle.delete(house, a_call(ANOTHER), key.identifier)
    go_on(house, 4 * 3600)
    lifecycle.purge(house, a_call(), key.identifier)

    journal = journal_of(house)
    secrets = "rotate disable enable patch setkeyfordeletion unsetkeyfordeletion setkeyfordeletion delete restore"
    assert [f"kms.secrets.{event}" for event in secrets.split()] == [each["action"] for each in journal[:9]]
    last = ["kms.secrets-event.ack", "kms.secrets.setkeyfordeletion", "kms.secrets.delete", "kms.secrets.purge"]
    assert [*last, "root-key.destroy-material"] == [each["action"] for each in journal[9:]]
    assert {key.identifier} == {each["target"] for each in journal}
    assert {"success"} == {each["outcome"] for each in journal}
    assert "local-user-another" == journal[7]["initiator"]
    assert base64.b64encode(material).decode()[:16] not in str(journal)
