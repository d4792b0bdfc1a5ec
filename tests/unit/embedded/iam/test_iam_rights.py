"""Every cell of the roles: what each gives over an instance, a key ring and a key, and that nothing else is given.

The table stands here as the documentation of Key Protect has it, and not as the program has it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import Unauthorised
from keyrack.embedded.house import House
from keyrack.embedded.iam.records import Grant
from keyrack.embedded.iam.rights import Right, Role
from keyrack.embedded.store.reading import Reading
from keyrack.testing.key_houses import ADMINISTRATOR, INSTANCE, OTHER_INSTANCE, a_caller, a_house

ROLES = ("Reader", "ReaderPlus", "Writer", "Manager", "KmipAdapterManager", "KeyPurge")
TABLE = """
    kms.secrets.list                          x x x x x .
    kms.secrets.head                          x x x x x .
    kms.secrets-metadata.read                 x x x x . .
    kms.secrets-key-versions.list             x x x x . .
    kms.key-rings.list                        x x x x x .  instance
    kms.registrations.list                    x x x x . .
    kms.secrets.wrap                          x x x x . .
    kms.secrets.unwrap                        x x x x . .
    kms.secrets.rewrap                        x x x x . .
    kms.secrets.read                          . x x x . .
    kms.secrets.create                        . . x x . .
    kms.secrets.rotate                        . . x x . .
    kms.import-token.create                   . . x x . .  instance
    kms.import-token.read                     . . x x . .  instance
    kms.secrets-alias.create                  . . x x . .
    kms.secrets-alias.delete                  . . x x . .
    kms.key-rings.create                      . . x x . .  instance
    kms.secrets.setkeyfordeletion             . . x x . .
    kms.secrets.unsetkeyfordeletion           . . x x . .
    kms.secrets-event.ack                     . . x x . .
    kms.secrets.delete                        . . . x . .
    kms.secrets.disable                       . . . x . .
    kms.secrets.enable                        . . . x . .
    kms.secrets.restore                       . . . x . .
    kms.secrets.patch                         . . . x . .
    kms.key-rings.delete                      . . . x . .  instance
    kms.policies.read                         . . . x . .
    kms.policies.write                        . . . x . .
    kms.instance-policies.read                . . . x . .  instance
    kms.instance-policies.write               . . . x . .  instance
    kms.secrets-with-policy-overrides.create  . . . x . .
    kms.kmip-management.list                  . . . x x .  instance
    kms.kmip-management.read                  . . . x x .  instance
    kms.kmip-management.create                . . . x x .  instance
    kms.kmip-management.delete                . . . x x .  instance
    kms.secrets.purge                         . . . . . x
"""
CELLS = {line.split()[0]: line.split()[1:] for line in TABLE.strip().splitlines()}

RING, KEY = "vmware", "2c0f3f1e-5b1d-4a7b-9a53-6f8f0f6f7c11"
SCOPES = {
    "deployment": Grant(role=Role.READER),
    "instance": Grant(role=Role.READER, instance=INSTANCE),
    "ring": Grant(role=Role.READER, instance=INSTANCE, ring=RING),
    "key": Grant(role=Role.READER, instance=INSTANCE, key=KEY),
    "another instance": Grant(role=Role.READER, instance=OTHER_INSTANCE),
    "another ring": Grant(role=Role.READER, instance=INSTANCE, ring="other"),
    "another key": Grant(role=Role.READER, instance=INSTANCE, key="6a6ab7ab-6a8b-45c3-9a0c-2f1ce0a2d7f4"),
    "ring of another instance": Grant(role=Role.READER, instance=OTHER_INSTANCE, ring=RING),
    "key of another instance": Grant(role=Role.READER, instance=OTHER_INSTANCE, key=KEY),
}
"""What a grant may be over; of each only the scope is used."""
REACHES = {
    "the instance as a whole": {"deployment", "instance"},
    "a ring": {"deployment", "instance", "ring"},
    "a key": {"deployment", "instance", "ring", "key"},
}
"""What is asked for, and the scopes that reach it."""
ASKED: dict[str, dict[str, str]] = {
    "the instance as a whole": {},
    "a ring": {"ring": RING},
    "a key": {"ring": RING, "key": KEY},
}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = a_house(tmp_path)
    yield made
    made.close()


def may(reading: Reading, caller: Caller, right: Right, **over: str) -> bool:
    try:
        reading.allow(Call(caller=caller, instance=INSTANCE), right, **over)
    except Unauthorised:
        return False
    return True


def test_the_table_knows_every_role_and_every_right() -> None:
    assert set(CELLS) == {right.value for right in Right}
    assert set(ROLES) == {role.value for role in Role}
    assert {len(cells) for cells in CELLS.values()} <= {6, 7}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gives_what_the_table_says_where_it_was_granted_and_nothing_else(house: House, role: str) -> None:
    given = {}
    callers = {
        name: a_caller(house, Role(role), instance=over.instance, ring=over.ring, key=over.key)
        for name, over in SCOPES.items()
    }
    expected = {}
    with house.reading() as reading:
        for right, cells in CELLS.items():
            for what, over in ASKED.items():
                reaching = REACHES["the instance as a whole"] if cells[6:] == ["instance"] else REACHES[what]
                for scope, caller in callers.items():
                    cell = (right, what, scope)
                    given[cell] = may(reading, caller, Right(right), **over)
                    expected[cell] = cells[ROLES.index(role)] == "x" and scope in reaching

    assert {cell for cell in given if given[cell] != expected[cell]} == set()
    assert len(given) == 36 * 3 * 9


def test_who_was_granted_nothing_may_nothing(house: House) -> None:
    nobody = a_caller(house)

    with house.reading() as reading:
        assert not any(may(reading, nobody, right, **over) for right in Right for over in ASKED.values())


def test_a_service_id_or_an_api_key_that_is_not_there_may_nothing(house: House) -> None:
    manager = a_caller(house, Role.MANAGER)
    unknown = Caller(identity="iam-ServiceId-x", service_id="ServiceId-x", api_key=manager.api_key)
    without_key = Caller(identity=manager.identity, service_id=manager.service_id)

    with house.reading() as reading:
        assert may(reading, manager, Right.DELETE)
        assert not may(reading, unknown, Right.LIST)
        assert not may(reading, without_key, Right.LIST)


def test_grants_add_up(house: House) -> None:
    both = a_caller(house, Role.READER, Role.KEY_PURGE)

    with house.reading() as reading:
        assert may(reading, both, Right.WRAP)
        assert may(reading, both, Right.PURGE)
        assert not may(reading, both, Right.DELETE)


def test_an_administrator_at_the_machine_may_everything(house: House) -> None:
    with house.reading() as reading:
        assert all(may(reading, ADMINISTRATOR, right) for right in Right)
