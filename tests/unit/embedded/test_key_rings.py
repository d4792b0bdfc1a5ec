"""Key rings: which may be made, which may go, and what becomes of the keys in them."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from keyrack.embedded.creation import NewKey, create
from keyrack.embedded.errors import KeyRingNotFound, Refusal
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import MATRIX, Right, Role
from keyrack.embedded.keys import KeyState
from keyrack.embedded.lifecycle import restore
from keyrack.embedded.rings import MOST_RINGS, create_ring, delete_ring, rings
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_caller, a_house, an_instance
from keyrack.testing.some_keys import (
    PAYLOAD,
    a_root_key,
    a_standard_key,
    journal_of,
    kept,
    payload_of,
    refusal,
)

CONFLICT = (409, "KEY_RING_CONFLICT_ERR")
UNAUTHORISED = (401, "UNAUTHORIZED_ERR")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = a_house(tmp_path)
    yield house
    house.close()


def names(house: House, limit: int = 100, offset: int = 0) -> list[str]:
    page, _ = rings(house, a_call(), limit, offset)
    return ["default" if ring is None else ring.identifier for ring in page]


def test_an_instance_begins_with_the_default_ring(house: House) -> None:
    """Which has no record; made ones follow in the order of their making, with who and when."""
    assert ([None], 1) == rings(house, a_call())
    made = create_ring(house, a_call(), "vmware-2")
    assert (house.now, "local-user-test") == (made.created_at, made.created_by)
    create_ring(house, a_call(), "Aa")
    assert ["default", "vmware-2", "Aa"] == names(house)
    assert (["vmware-2"], ["Aa"], []) == (names(house, 1, 1), names(house, 5, 2), names(house, 5, 3))


def test_a_ring_is_made_once_and_default_never(house: House) -> None:
    """In each instance by itself."""
    create_ring(house, a_call(), "vmware")
    for name in ("vmware", "default"):
        assert CONFLICT == refusal(create_ring, house, a_call(), name)
    an_instance(house, OTHER_INSTANCE)
    create_ring(house, a_call(instance=OTHER_INSTANCE), "vmware")


@pytest.mark.parametrize("name", ["", "a", "a" * 101, "a b", "a_b", "a/b", "ä" * 3, "a\n", "٣٣"])
def test_a_ring_has_2_to_100_letters_digits_and_hyphens(house: House, name: str) -> None:
    """Nothing else."""
    assert (400, "INVALID_FIELD_ERR") == refusal(create_ring, house, a_call(), name)


def test_an_instance_has_fifty_rings_besides_the_default_one(house: House) -> None:
    """The next is refused until one is deleted."""
    for number in range(MOST_RINGS):
        create_ring(house, a_call(), f"ring-{number}")
    assert CONFLICT == refusal(create_ring, house, a_call(), "one-more")
    delete_ring(house, a_call(), "ring-7")
    create_ring(house, a_call(), "one-more")
    assert MOST_RINGS + 1 == rings(house, a_call(), limit=1)[1]


def test_a_ring_that_is_not_there_and_the_default_one_are_not_deleted(house: House) -> None:
    """404 and 409, by force as well."""
    for force in (False, True):
        assert (404, "KEY_RING_NOT_FOUND_ERR") == refusal(delete_ring, house, a_call(), "absent", force)
        assert CONFLICT == refusal(delete_ring, house, a_call(), "default", force)


@pytest.mark.parametrize("state", [state for state in KeyState if state is not KeyState.DESTROYED])
def test_a_ring_with_a_living_key_is_not_deleted(house: House, state: KeyState) -> None:
    """Not by force either; and a deleted key beside it stays where it is."""
    create_ring(house, a_call(), "vmware")
    a_root_key(house, ring="vmware", state=state)
    deleted = a_root_key(house, ring="vmware", state=KeyState.DESTROYED)
    for force in (False, True):
        assert CONFLICT == refusal(delete_ring, house, a_call(), "vmware", force)
    assert "vmware" == kept(house, deleted).ring


def test_force_moves_deleted_keys_to_the_default_ring(house: House) -> None:
    """Without it they keep the ring; restored from there they work, also standard keys, whose payload is bound."""
    create_ring(house, a_call(), "vmware")
    root = a_root_key(house, ring="vmware", state=KeyState.DESTROYED)
    standard = a_standard_key(house, ring="vmware", state=KeyState.DESTROYED)
    assert CONFLICT == refusal(delete_ring, house, a_call(), "vmware")
    delete_ring(house, a_call(), "vmware", force=True)

    assert ["default"] == names(house)
    assert ["default", "default"] == [kept(house, key).ring for key in (root, standard)]
    restore(house, a_call(), standard.identifier)
    assert PAYLOAD == payload_of(house, standard)
    assert {"ring": "vmware", "moved": "2"}.items() <= journal_of(house)[1]["detail"].items()


def test_keys_of_another_instance_do_not_hold_a_ring(house: House) -> None:
    """Whose ring has the same name."""
    an_instance(house, OTHER_INSTANCE, rings=("vmware",))
    create_ring(house, a_call(), "vmware")
    other = a_root_key(house, instance=OTHER_INSTANCE, ring="vmware")
    delete_ring(house, a_call(), "vmware")
    assert "vmware" == kept(house, other).ring


@pytest.mark.parametrize("role", Role)
def test_every_role_may_what_it_may(house: House, role: Role) -> None:
    """Writers make rings, managers delete them, whoever reads lists them; KeyPurge does nothing of it."""
    create_ring(house, a_call(), "vmware")
    call = a_call(a_caller(house, role))
    if role in {Role.WRITER, Role.MANAGER}:
        create_ring(house, call, "another")
    else:
        assert UNAUTHORISED == refusal(create_ring, house, call, "another")
    if role is Role.MANAGER:
        delete_ring(house, call, "vmware")
    else:
        assert UNAUTHORISED == refusal(delete_ring, house, call, "vmware")
    if role is Role.KEY_PURGE:
        assert UNAUTHORISED == refusal(rings, house, call)
    else:
        rings(house, call)


def test_rights_over_one_ring_are_none_over_the_rings(house: House) -> None:
    """A manager of a ring neither lists nor makes nor deletes any, not even that one."""
    create_ring(house, a_call(), "vmware")
    call = a_call(a_caller(house, Role.MANAGER, ring="vmware"))
    assert UNAUTHORISED == refusal(rings, house, call)
    assert UNAUTHORISED == refusal(create_ring, house, call, "another")
    assert UNAUTHORISED == refusal(delete_ring, house, call, "vmware")


def test_force_needs_the_right_to_move_keys(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may delete rings alone, which no role is, deletes the empty ones."""
    monkeypatch.setitem(cast(dict[Role, frozenset[Right]], MATRIX), Role.KEY_PURGE, frozenset({Right.DELETE_RING}))
    call = a_call(a_caller(house, Role.KEY_PURGE))
    for ring in ("full", "empty"):
        create_ring(house, a_call(), ring)
    a_root_key(house, ring="full", state=KeyState.DESTROYED)
    assert UNAUTHORISED == refusal(delete_ring, house, call, "full", force=True)
    delete_ring(house, call, "empty", force=True)


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (5001, 0), (1, -1)])
def test_a_page_has_1_to_5000_rings(house: House, limit: int, offset: int) -> None:
    """Other numbers are bad query parameters."""
    assert (400, "INVALID_QUERY_PARAM_ERR") == refusal(rings, house, a_call(), limit, offset)


def test_an_unknown_instance_has_no_rings(house: House) -> None:
    """400, as the header of the request is wrong."""
    call = a_call(instance=OTHER_INSTANCE)
    for act in (rings, lambda house, call: create_ring(house, call, "vmware")):
        assert (400, "INVALID_INSTANCE_ERR") == refusal(act, house, call)


def test_no_key_is_ever_left_in_a_ring_that_is_gone(house: House) -> None:
    """Whoever makes a key in a ring that another deletes meanwhile gets it made, or learns that the ring is gone."""
    for round_ in range(50):
        ring = f"ring-{round_}"
        create_ring(house, a_call(), ring)
        line = threading.Barrier(2)
        ends: list[str] = []

        def make(ring: str = ring, line: threading.Barrier = line, ends: list[str] = ends) -> None:
            line.wait()
            try:
                create(house, a_call(ring=ring), NewKey(name="raced", extractable=False))
                ends.append("made")
            except KeyRingNotFound:
                ends.append("no ring")

        maker = threading.Thread(target=make)
        maker.start()
        line.wait()
        try:
            delete_ring(house, a_call(), ring)
            ends.append("deleted")
        except Refusal as refused:
            ends.append(refused.code)
        maker.join()
        assert sorted(ends) in (["deleted", "no ring"], ["KEY_RING_CONFLICT_ERR", "made"])
        if "made" in ends:
            with house.database.change() as unit:
                for key in unit.select("ring = ?", (ring,)):
                    unit.remove_key(key)
            delete_ring(house, a_call(), ring)
