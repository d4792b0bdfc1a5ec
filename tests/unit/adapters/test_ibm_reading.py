"""The reader of answers: whole ones are read, everything else is refused in time, and nothing stays in the buffer."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from keyrack.adapters.key_managers.ibm.reading import Answer, BrokenAnswer, Ended, Reader
from keyrack.adapters.key_managers.ibm.wire import BUFFER, Wire

MOST = 100_000


@contextmanager
def wire_with(content: bytes, *, most: int = MOST, seconds: float = 5) -> Iterator[Wire]:
    """A connection on which ``content`` comes, and then its end."""
    here, there = socket.socketpair()
    with closing(here), closing(there):

        def say() -> None:
            try:
                there.sendall(content)
                there.shutdown(socket.SHUT_WR)
            except OSError:
                return  # nobody listens any more

        thread = threading.Thread(target=say)
        thread.start()
        yield Wire(here, time.monotonic() + seconds, most=most)
        here.close()
        thread.join()


def read(content: bytes, *, most: int = MOST) -> Answer:
    """The answer that ``content`` is. The buffer is empty afterwards, however it ends."""
    with wire_with(content, most=most) as wire:
        try:
            return Reader(wire).answer()
        finally:
            assert bytes(BUFFER) == wire.buffer


def test_a_body_of_told_length() -> None:
    """And head names in any case."""
    told = read(b"HTTP/1.1 200 OK\r\nContent-LENGTH:  5 \r\nX-A: 1\r\nx-a: 2\r\n\r\nabcde")

    assert (200, b"abcde", True, "1, 2") == (told.status, bytes(told.body), told.stays, told.headers["x-a"])


@given(some.binary(max_size=40_000), some.lists(some.integers(1, 9000), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_a_body_in_pieces_of_any_size(body: bytes, sizes: list[int]) -> None:
    """Also where a piece's length stands across the end of the buffer."""
    pieces, at, turn = b"", 0, 0
    while at < len(body):
        piece = body[at : at + sizes[turn % len(sizes)]]
        pieces += f"{len(piece):X};x=y\r\n".encode() + piece + b"\r\n"
        at, turn = at + len(piece), turn + 1
    told = read(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\nTrailer: 1\r\n\r\n")

    assert (body, True) == (bytes(told.body), told.stays)


def test_a_body_that_ends_with_the_connection() -> None:
    """It is taken, and the connection is not used again."""
    told = read(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 50_000)

    assert (50_000, False) == (len(told.body), told.stays)


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"HTTP/1.1 204 None\r\n\r\n", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 204\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 204 None\r\n\r\nHTTP/1.1 200 nobody asked\r\n\r\n", False),
    ],
)
def test_a_connection_is_kept_where_its_next_answer_is_the_next_question_s(head: bytes, stays: bool) -> None:
    assert stays is read(head).stays


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        HEAD + b"no colon\r\n\r\n",
        HEAD + b" folded: 1\r\n\r\n",
        HEAD + b"content-length: -1\r\n\r\n",
        HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\nab",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n",
        HEAD + b"content-encoding: gzip\r\ncontent-length: 1\r\n\r\na",
        HEAD + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        HEAD + b"a: b\r\n" * 200 + b"\r\n",
        HEAD + b"a: " + b"b" * 20_000 + b"\r\n\r\n",
        HEAD + b"content-length: 100001\r\n\r\n" + b"x" * 100_001,
        HEAD + b"content-length: 999999999999999\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"7fff\r\n" + b"x" * 0x7FFF + b"\r\n" * 1 + b"FFFFFFFF\r\n",
        HEAD + b"\r\n" + b"x" * 100_001,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    ],
    ids=lambda content: content[:60].decode("latin-1"),
)
def test_what_is_no_answer_or_too_long_is_refused(content: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        read(content)


@given(some.integers(0, 400))
@settings(max_examples=80, deadline=None)
def test_half_an_answer_is_none(length: int) -> None:
    """Wherever it is cut off."""
    whole = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n"
    if length >= len(whole):
        return
    with pytest.raises(Ended):
        read(whole[:length])


@given(some.binary(max_size=300))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_an_answer_or_refused(content: bytes) -> None:
    """Nothing else happens."""
    for start in (b"", HEAD, HEAD + b"transfer-encoding: chunked\r\n\r\n"):
        try:
            read(start + content)
        except BrokenAnswer:
            continue


def test_many_small_pieces_take_no_time() -> None:
    """A body that grows is not copied for each piece."""
    pieces = b"1\r\nx\r\n" * 50_000
    began = time.process_time()

    told = read(HEAD + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")

    assert 50_000 == len(told.body)
    assert time.process_time() - began < 3


def test_a_deadline_holds_against_a_drip() -> None:
    """A byte now and then does not make it longer."""
    here, there = socket.socketpair()
    over = threading.Event()

    def drip() -> None:
        try:
            there.sendall(HEAD)
            while not over.wait(0.02):
                there.sendall(b"a")
        except OSError:
            return

    thread = threading.Thread(target=drip)
    thread.start()
    began = time.monotonic()
    with closing(here), closing(there), pytest.raises(TimeoutError):
        Reader(Wire(here, began + 0.3, most=MOST)).answer()

    assert 0.3 <= time.monotonic() - began < 0.6
    over.set()
    thread.join()
