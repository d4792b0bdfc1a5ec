"""New key material, and the look at the generator before the first key."""

import itertools
import random

import pytest

from keyrack.service.vault.generation import UnhealthyGenerator, check_health, generate


def test_generated_keys_have_their_length_and_never_repeat() -> None:
    """A thousand keys are a thousand keys."""
    keys = {bytes(generate(32).reveal()) for _ in range(1000)}

    assert 1000 == len(keys)
    assert {32} == {len(key) for key in keys}


def test_the_operating_systems_generator_is_healthy() -> None:
    """The check accepts what is good, every time."""
    for _ in range(5):
        check_health()


def test_a_generator_that_repeats_itself_is_refused() -> None:
    """As after a snapshot of a virtual machine, or with a constant in the place of a generator."""

    def constant(buffer: bytearray) -> None:
        buffer[:] = bytes(index % 251 for index in range(len(buffer)))

    with pytest.raises(UnhealthyGenerator, match="repeats"):
        check_health(constant)


@pytest.mark.parametrize(
    ("octets", "what"), [([0x00, 0x01], "ones"), ([0xFF, 0xFE], "ones"), ([0x55, 0xAA], "changes"), ([0xF0], "changes")]
)
def test_a_generator_out_of_balance_is_refused(octets: list[int], what: str) -> None:
    """Too many zeros or ones, or neighbours that depend on each other; in the first draw alone it looks alive."""
    randomness = random.Random(4)
    draws = itertools.count()

    def unbalanced(buffer: bytearray) -> None:
        if next(draws) < 2:
            buffer[:] = randomness.randbytes(len(buffer))
        else:
            buffer[:] = bytes(octets) * (len(buffer) // len(octets))

    with pytest.raises(UnhealthyGenerator, match=what):
        check_health(unbalanced)
