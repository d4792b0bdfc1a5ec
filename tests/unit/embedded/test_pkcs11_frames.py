"""Frames between the server and the process that holds the HSM: whole, in order, and nothing kept."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.embedded.root_keys.token_frames import LARGEST, BrokenFrame, Channel

FIELDS = st.lists(st.binary(max_size=300), max_size=8)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


@given(st.integers(0, 2**32 - 1), st.integers(0, 255), FIELDS)
def test_what_one_side_says_the_other_hears(number: int, word: int, fields: list[bytes]) -> None:
    """Number, word and each field."""
    one, other = socket.socketpair()
    with one, other:
        Channel(one).send(number, word, fields)
        frame = Channel(other).receive(time.monotonic() + 5)

        assert (number, word, fields) == (frame.number, frame.word, [bytes(field) for field in frame.fields])


def test_the_longest_frame_passes_and_a_longer_one_is_not_sent(ends: tuple[socket.socket, socket.socket]) -> None:
    """A field needs four bytes for its length."""
    one, other = map(Channel, ends)

    one.send(1, 2, [bytes(LARGEST - 4)], time.monotonic() + 5)

    assert [LARGEST - 4] == [len(field) for field in other.receive(time.monotonic() + 5).fields]
    with pytest.raises(BrokenFrame):
        one.send(1, 2, [bytes(LARGEST - 3)])


def test_a_frame_is_wiped_after_use(ends: tuple[socket.socket, socket.socket]) -> None:
    """What was moved out of it stays."""
    one, other = map(Channel, ends)
    one.send(1, 2, [b"secret"])
    frame = other.receive()

    heard = frame.moved()

    assert bytearray(b"secret") == heard.fields[0]
    assert bytes(6) == bytes(frame.fields[0])
    assert "secret" not in repr(heard)


@pytest.mark.parametrize(
    "octets",
    [
        b"\x00\x01\x00\x01" + bytes(5),  # announces more than the largest
        b"\x00\x00\x00\x02" + bytes(5) + b"\x00\x00",  # half a length of a field
        b"\x00\x00\x00\x05" + bytes(5) + b"\x00\x00\x00\x02a",  # a field longer than its frame
        bytes(9) + b"more",  # more than one frame
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_nonsense_is_refused(ends: tuple[socket.socket, socket.socket], octets: bytes) -> None:
    """Before anything is read by its lengths."""
    ends[0].sendall(octets)

    with pytest.raises(BrokenFrame):
        Channel(ends[1]).receive(time.monotonic() + 5)


@given(st.binary(max_size=64))
def test_no_octets_do_harm(octets: bytes) -> None:
    """A frame, a broken frame, or the end."""
    one, other = socket.socketpair()
    with other:
        with one:
            one.sendall(octets)
        with suppress(BrokenFrame, ConnectionError):
            Channel(other).receive(time.monotonic() + 5)


def test_a_deadline_holds_against_a_side_that_sends_drops(ends: tuple[socket.socket, socket.socket]) -> None:
    """The time counts for the whole frame."""
    ends[0].sendall(b"\x00\x00")
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        Channel(ends[1]).receive(began + 0.05)

    assert time.monotonic() - began < 1


def test_a_deadline_holds_against_a_side_that_does_not_read(ends: tuple[socket.socket, socket.socket]) -> None:
    """Once the buffers between them are full."""
    channel = Channel(ends[0])
    began = time.monotonic()

    def fill() -> None:
        while True:
            channel.send(1, 2, [bytes(LARGEST - 4)], began + 0.2)

    with pytest.raises(TimeoutError):
        fill()

    assert time.monotonic() - began < 2


def test_a_side_that_is_gone_is_noticed(ends: tuple[socket.socket, socket.socket]) -> None:
    """At once, by who waits and by who speaks."""
    ends[0].close()
    channel = Channel(ends[1])

    with pytest.raises(ConnectionError):
        channel.receive(time.monotonic() + 5)
    with pytest.raises(ConnectionError):
        channel.send(1, 2, [])
