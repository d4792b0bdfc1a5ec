"""Secrets: they do not print, pickle, copy or compare carelessly, and a wipe leaves nothing where they were."""

import copy
import pickle

import pytest

from keyrack.domain.secret import Secret, randomize, wipe


@pytest.mark.parametrize("length", [0, 1, 32, 5000])
def test_a_wipe_overwrites_in_place(length: int) -> None:
    """Who looks at the same memory sees zeros: nothing was moved."""
    material = bytearray(b"k" * length)
    with memoryview(material) as same:
        Secret(material).wipe()

        assert bytes(length) == bytes(same)


def test_a_part_of_a_buffer_can_be_wiped() -> None:
    """Through a memoryview, and nothing beside it."""
    material = bytearray(b"abcdef")

    wipe(memoryview(material)[1:3])

    assert b"a\0\0def" == bytes(material)


def test_a_secret_shows_its_length_alone() -> None:
    """Neither in repr nor in str nor in a format."""
    secret = Secret(bytearray(b"correct horse"))

    shown = {repr(secret), str(secret), f"{secret}"}

    assert {"<Secret 13 bytes>"} == shown


def test_a_secret_is_not_pickled_copied_or_compared() -> None:
    """Each would leave a copy, or tell by its time where two differ."""
    secret = Secret(bytearray(b"correct horse"))

    for act in (pickle.dumps, copy.copy, copy.deepcopy, lambda it: it == secret, hash):
        with pytest.raises(TypeError):
            act(secret)


def test_immutable_bytes_are_no_secret() -> None:
    """They could not be wiped."""
    with pytest.raises(TypeError):
        Secret(b"correct horse")  # type: ignore[arg-type]


def test_a_secret_is_wiped_when_its_block_is_left_by_an_error() -> None:
    """Whatever happens in it."""
    material = bytearray(b"correct horse")

    with pytest.raises(ValueError, match="no"), Secret(material):
        raise ValueError("no")

    assert bytes(13) == bytes(material)


@pytest.mark.parametrize("length", [0, 1, 32, 300, 100_000])
def test_random_bytes_fill_the_whole_buffer(length: int) -> None:
    """To the last byte, and other ones each time."""
    draws = []
    for _ in range(64 if length < 300 else 4):
        material = bytearray(length)
        randomize(material)
        draws.append(bytes(material))

    assert [length] * len(draws) == [len(draw) for draw in draws]
    assert length == 0 or {draw[-1] for draw in draws} != {0}
    assert length < 32 or len(set(draws)) == len(draws)
