"""What came in and is done with is overwritten: in the framing's buffer, in bytes, and in decoded material."""

import ctypes

from keyrack.domain.secret import overwrite
from keyrack.spec.types import Vanishing
from keyrack.wire.connection import REQUEST_HEADER, Framing

MESSAGE = REQUEST_HEADER + (32).to_bytes(4, "big") + bytes(range(1, 33))


def test_a_message_that_was_taken_leaves_nothing_in_the_buffer() -> None:
    """The next one alone is in it, and behind that zeros."""
    framing = Framing()
    framing.feed(MESSAGE[:20])
    framing.feed(MESSAGE[20:] + MESSAGE[:12])

    framing.take()

    assert bytes(framing._buffer) == MESSAGE[:12] + bytes(len(framing._buffer) - 12)


def test_a_cleared_framing_holds_zeros_and_begins_anew() -> None:
    """Half a message is forgotten, and a whole one is taken afterwards."""
    framing = Framing()
    framing.feed(MESSAGE[:20])

    framing.clear()

    assert {0} == set(framing._buffer)
    assert framing.exchange(MESSAGE) == MESSAGE


def test_bytes_are_overwritten_in_place() -> None:
    """The very object is zeros afterwards."""
    data = bytes(bytearray(b"a key that came in"))

    overwrite(data)

    assert bytes(18) == data


def test_bytes_that_python_shares_are_left_alone() -> None:
    """One byte and none are the same objects everywhere."""
    overwrite(b"a")
    overwrite(b"")

    assert [97] == list(b"a")


def test_vanishing_material_is_zeros_once_nobody_holds_it() -> None:
    """Looked at where it was, before the memory is used again."""
    kept = bytearray(64)
    material = Vanishing(b"\x55" * 4096)
    place = ctypes.addressof(ctypes.c_char.from_buffer(material))

    material.__del__()

    ctypes.memmove((ctypes.c_char * 64).from_buffer(kept), place, 64)
    assert bytes(64) == bytes(kept)
