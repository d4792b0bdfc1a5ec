"""Framing: what is cut into messages, and what ends a connection."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyrack.wire.connection import (
    HEADER_LENGTH,
    LARGEST_MAX_MESSAGE,
    REQUEST_HEADER,
    Framing,
    MessageTooLong,
    NotARequest,
    Progress,
)


def message(length: int, filler: bytes = b"\x2a") -> bytes:
    """A request message as far as framing looks, with ``length`` bytes behind its header."""
    return REQUEST_HEADER + length.to_bytes(4, "big") + filler * length


def taken(framing: Framing) -> list[bytes]:
    """All messages that wait."""
    found = []
    while (each := framing.take()) is not None:
        found.append(each)
    return found


@given(st.lists(st.integers(0, 300), max_size=6), st.data())
def test_framing_gives_the_messages_that_were_sent_however_they_were_cut(
    lengths: list[int], data: st.DataObject
) -> None:
    """Any split of the stream into pieces gives the same messages in the same order, and nothing is left."""
    sent = [message(length, bytes([number])) for number, length in enumerate(lengths)]
    stream = b"".join(sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framing = Framing()
    received = []

    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        framing.feed(stream[start:end])
        received += taken(framing)

    assert sent == received
    assert Progress.IDLE is framing.progress


def test_framing_hands_on_a_single_whole_message_without_copying_it() -> None:
    """The usual case costs no copy: the very object that came in goes out."""
    whole = message(64)

    assert whole is Framing().exchange(whole)


def test_framing_exchange_keeps_what_comes_behind_the_first_message() -> None:
    """Two messages in one read: the first is given, the second waits."""
    first, second = message(8, b"a"), message(16, b"b")
    framing = Framing()

    given_first = framing.exchange(first + second)

    assert first == given_first
    assert Progress.READY is framing.progress
    assert second == framing.take()


@pytest.mark.parametrize(
    "junk", [b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"\x42\x00\x7b\x01\x00\x00\x00\x08", b"\x00"]
)
def test_framing_refuses_another_beginning_from_its_first_bytes_on(junk: bytes) -> None:
    """TLS, HTTP, a response message, a zero: nothing waits for a length that will never be one."""
    with pytest.raises(NotARequest):
        Framing().feed(junk)


def test_framing_refuses_a_request_message_of_another_type_than_structure() -> None:
    """The tag alone is not enough (KMIP 1.4, 9.1.1.2)."""
    with pytest.raises(NotARequest):
        Framing().feed(b"\x42\x00\x78\x02\x00\x00\x00\x04")


def test_framing_refuses_a_wrong_beginning_behind_a_good_message() -> None:
    """The good message is given first; what follows it ends the connection."""
    framing = Framing()

    with pytest.raises(NotARequest):
        framing.exchange(message(8) + b"\x00")


def test_framing_takes_a_message_of_exactly_the_limit() -> None:
    """The limit counts the header."""
    whole = message(1024 - HEADER_LENGTH)

    assert whole == Framing(max_message=1024).exchange(whole)


@pytest.mark.parametrize("length", [1024 - HEADER_LENGTH + 1, 2**31, 2**32 - 1])
def test_framing_refuses_a_longer_message_by_its_header_alone(length: int) -> None:
    """Not a byte of the body is waited for or kept."""
    framing = Framing(max_message=1024)

    with pytest.raises(MessageTooLong):
        framing.feed(REQUEST_HEADER + length.to_bytes(4, "big"))


@pytest.mark.parametrize("limit", [0, 7, LARGEST_MAX_MESSAGE + 1])
def test_framing_has_no_limit_that_makes_no_sense(limit: int) -> None:
    """A limit below a header, or above what any configuration allows, is a mistake."""
    with pytest.raises(ValueError, match="limit"):
        Framing(max_message=limit)


def test_framing_knows_a_message_that_has_begun() -> None:
    """Idle, begun, complete, and idle again: what the connection's deadline goes by."""
    whole = message(8)
    framing = Framing()
    seen = [framing.progress]

    for piece in (whole[:3], whole[3:10], whole[10:]):
        framing.feed(piece)
        seen.append(framing.progress)
    framing.take()
    seen.append(framing.progress)

    assert [Progress.IDLE, Progress.PARTIAL, Progress.PARTIAL, Progress.READY, Progress.IDLE] == seen


def test_framing_keeps_no_large_buffer_for_an_idle_connection() -> None:
    """A long message that came in pieces leaves nothing behind, neither bytes nor room for them."""
    whole = message(60_000)
    framing = Framing()
    for start in range(0, len(whole), 1000):
        framing.feed(whole[start : start + 1000])

    assert whole == framing.take()
    assert 0 == len(framing._buffer)
