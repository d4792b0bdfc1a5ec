"""Two who do the same to one key at the same moment: one of them does it, the other is told what has happened."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from keyrack.embedded import lifecycle
from keyrack.embedded.errors import Refusal
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key, KeyState
from keyrack.testing.clock import Clock
from keyrack.testing.key_houses import a_call, a_house, opened_again
from keyrack.testing.some_keys import a_root_key, kept

ROUNDS = 100
Act = Callable[[House, Key], object]
Outcome = tuple[int, str]
DONE = (200, "")


@pytest.fixture(params=["threads", "processes"])
def houses(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[House, House]]:
    """One house for two threads, or two houses over the same files, as two processes have them."""
    clock = Clock()
    one = a_house(tmp_path, clock=clock)
    other = one if request.param == "threads" else opened_again(tmp_path, clock=clock)
    yield one, other
    for house in {id(each): each for each in (one, other)}.values():
        house.close()


def at_once(houses: tuple[House, House], acts: tuple[Act, Act], key: Key) -> list[Outcome]:
    """How both end, the first act's outcome first."""
    outcomes: dict[int, Outcome] = {}
    line = threading.Barrier(2)

    def run(number: int) -> None:
        line.wait()
        try:
            acts[number](houses[number], key)
            outcomes[number] = DONE
        except Refusal as refusal:
            outcomes[number] = (refusal.status, refusal.code)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [outcomes[0], outcomes[1]]


def delete(house: House, key: Key) -> object:
    return lifecycle.delete(house, a_call(), key.identifier)


def rotate(house: House, key: Key) -> object:
    return lifecycle.rotate(house, a_call(), key.identifier)


def disable(house: House, key: Key) -> object:
    return lifecycle.disable(house, a_call(), key.identifier)


def restore(house: House, key: Key) -> object:
    return lifecycle.restore(house, a_call(), key.identifier)


def purge(house: House, key: Key) -> object:
    return lifecycle.purge(house, a_call(), key.identifier)


GONE = (410, "KEY_DELETED_ERR")
NOT_FOUND = (404, "KEY_NOT_FOUND_ERR")
WRONG_STATE = (409, "KEY_ACTION_INVALID_STATE_ERR")
ROTATED = (409, "KEY_ROTATION_NOT_PERMITTED")


@pytest.mark.parametrize(
    ("act", "state", "refused"),
    [
        (delete, KeyState.ACTIVE, GONE),
        (rotate, KeyState.ACTIVE, ROTATED),
        (disable, KeyState.ACTIVE, WRONG_STATE),
        (restore, KeyState.DESTROYED, WRONG_STATE),
        (purge, KeyState.DESTROYED, NOT_FOUND),
    ],
)
def test_one_wins_and_the_other_is_refused(
    houses: tuple[House, House], act: Act, state: KeyState, refused: Outcome
) -> None:
    """In every round; and it has happened once."""
    for _ in range(ROUNDS):
        key = a_root_key(houses[0], state=state)
        assert sorted([DONE, refused]) == sorted(at_once(houses, (act, act), key))
        if act is rotate:
            assert len(kept(houses[1], key).versions) == 2


@pytest.mark.parametrize(
    ("acts", "state", "ends"),
    [
        ((rotate, delete), KeyState.ACTIVE, [[DONE, DONE], [GONE, DONE]]),
        ((restore, purge), KeyState.DESTROYED, [[DONE, WRONG_STATE], [NOT_FOUND, DONE]]),
        ((disable, delete), KeyState.ACTIVE, [[DONE, DONE], [GONE, DONE]]),
    ],
)
def test_two_acts_end_as_if_one_came_after_the_other(
    houses: tuple[House, House], acts: tuple[Act, Act], state: KeyState, ends: list[list[Outcome]]
) -> None:
    """A key is never restored and purged, nor rotated after its deletion."""
    for _ in range(ROUNDS // 2):
        assert at_once(houses, acts, a_root_key(houses[0], state=state)) in ends
