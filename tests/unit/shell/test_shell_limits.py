"""Admission: who may come in, and who has to make room."""

import pytest

from keyrack.shell.kmip.limits import Admission, Full, Limits

LIMITS = Limits(
    handshaking_per_address=2, handshaking=3, connections_per_address=4, connections=5, patience=2.0, backlog=1
)


class Time:
    """A monotonic clock that stands still until it is told to go."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def admission(time: Time) -> Admission[str]:
    return Admission(LIMITS, time)


def test_admission_has_room_for_the_first(admission: Admission[str]) -> None:
    """Nothing is full at the start."""
    assert admission.full("a") is None


def test_admission_counts_handshakes_of_an_address(admission: Admission[str]) -> None:
    """Two handshakes of one address fill its limit, not another's."""
    admission.enter("1", "a")
    admission.enter("2", "a")

    assert (Full.HANDSHAKING_PER_ADDRESS, None) == (admission.full("a"), admission.full("b"))


def test_admission_counts_handshakes_of_all(admission: Admission[str]) -> None:
    """Three handshakes of three addresses fill the limit of all."""
    for number, address in enumerate("abc"):
        admission.enter(str(number), address)

    assert Full.HANDSHAKING is admission.full("d")


def test_admission_counts_open_connections_of_an_address(admission: Admission[str]) -> None:
    """A handshake that is done makes room for the next, until the address has its connections."""
    for number in range(4):
        admission.enter(str(number), "a")
        admission.established(str(number))

    assert (Full.CONNECTIONS_PER_ADDRESS, None) == (admission.full("a"), admission.full("b"))


def test_admission_counts_all_connections(admission: Admission[str]) -> None:
    """Five of five addresses are all that there may be."""
    for number, address in enumerate("abcde"):
        admission.enter(str(number), address)
        admission.established(str(number))

    assert Full.CONNECTIONS is admission.full("f")


@pytest.mark.parametrize("established", [False, True])
def test_admission_forgets_who_leaves(admission: Admission[str], established: bool) -> None:
    """In its handshake or after: nothing is left of it, not even its address."""
    admission.enter("1", "a")
    if established:
        admission.established("1")
    admission.leave("1")

    assert (0, 0, {}, {}) == (len(admission), admission.handshaking, admission._all_of, admission._shaking_of)


def test_admission_asks_nobody_to_go_who_has_just_come(admission: Admission[str], time: Time) -> None:
    """Patience first."""
    admission.enter("1", "a")
    time.now += 1.9

    assert admission.stalled("a") is None


def test_admission_asks_the_oldest_handshake_of_the_address_to_go(admission: Admission[str], time: Time) -> None:
    """Of the address that is full, or of all; never one whose handshake is done."""
    for number, address in enumerate("bac"):
        admission.enter(str(number), address)
    admission.established("0")
    time.now += 2.1

    assert ("1", "2", None, "1") == tuple(admission.stalled(each) for each in ("a", "c", "b", None))


@pytest.mark.parametrize(
    "wrong", [{"handshake": 0}, {"message": -1}, {"max_message": 7}, {"max_message": 2**21}, {"connections": 0}]
)
def test_limits_that_shut_everybody_out_are_refused(wrong: dict[str, int]) -> None:
    """Named in the text."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Limits(**wrong)
