"""What the server and the process that holds the HSM say to each other: binary frames on a pair of sockets.

A frame is its length, its number, a word and fields, each field with its length before it. The answer bears the number
of the question, so that an answer that comes late can never be taken for another's. Frames carry key material: each end
of the channel has one buffer for them, which is wiped after each.
"""

import select
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import TracebackType
from typing import Self

from keyrack.domain.secret import wipe

LARGEST = 1 << 16
"""Bytes of the longest frame: many times what Key Protect wraps."""
_HEAD = struct.Struct("!IIB")
_LENGTH = struct.Struct("!I")

Field = bytes | bytearray | memoryview


class Asked(IntEnum):
    """What the server asks for."""

    BEGIN = 1
    PROBE = 2
    GENERATE = 3
    TAKE = 4
    ENCIPHER = 5
    DECIPHER = 6
    DESTROY = 7
    END = 8


class Answer(IntEnum):
    """What the process answers; all but the first two bring a text for people."""

    DONE = 64
    THERE = 65
    """The key is there already."""
    MISSING = 66
    """The token is there and has no such key."""
    UNPROCESSABLE = 67
    """The key works, and this ciphertext does not open under it."""
    REFUSED = 68
    """The key works, and the HSM does not want to do this with it."""
    PIN_REFUSED = 69
    LOST = 70
    """The HSM does not work in this process any more; a new process may help."""
    UNUSABLE = 71
    """The session did not begin, and the text says why."""


class Told(Exception):
    """An answer that is not "done", with its text: raised where the process finds it, sent where it ends."""

    def __init__(self, answer: Answer, text: str) -> None:
        super().__init__(text)
        self.answer = answer


class BrokenFrame(ValueError):
    """The other side sends something else than frames."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a frame has said. The fields may be key material; they are the receiver's, to wipe."""

    word: int
    fields: tuple[bytearray, ...] = field(repr=False)

    def text(self) -> str:
        """The first field as text."""
        return self.fields[0].decode("utf-8", "replace")


class Frame:
    """A frame that was received; it lives in its channel's buffer, and is to be wiped before the next one comes."""

    __slots__ = ("_content", "fields", "number", "word")

    def __init__(self, number: int, word: int, content: memoryview) -> None:
        self.number = number
        self.word = word
        self._content = content
        self.fields = _split(content)

    def text(self, index: int = 0) -> str:
        """A field as text."""
        return str(self.fields[index], "utf-8", "replace")

    def moved(self) -> "Heard":
        """What it says, in memory of its own; the frame is wiped."""
        with self:
            return Heard(self.word, tuple(map(bytearray, self.fields)))

    def wipe(self) -> None:
        """Overwrite all of it, the fields too."""
        wipe(self._content)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()


class Channel:
    """One end of the pair of sockets. Each side says one frame and hears one, in turns; not thread-safe.

    Deadlines are times of the monotonic clock, in seconds. Raises ``TimeoutError``, ``ConnectionError`` where the other
    side is gone, and :class:`BrokenFrame`.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._readable = select.poll()
        self._readable.register(end, select.POLLIN)
        self._buffer = bytearray(_HEAD.size + LARGEST)

    def send(self, number: int, word: int, fields: Sequence[Field], deadline: float | None = None) -> None:
        """Send one frame."""
        length = sum(_LENGTH.size + len(each) for each in fields)
        if length > LARGEST:
            raise BrokenFrame(f"{length} bytes are more than a frame takes")
        frame = bytearray(_HEAD.size + length)
        _HEAD.pack_into(frame, 0, length, number, word)
        position = _HEAD.size
        for each in fields:
            _LENGTH.pack_into(frame, position, len(each))
            position += _LENGTH.size
            frame[position : position + len(each)] = each
            position += len(each)
        try:
            self._send_all(frame, deadline)
        finally:
            wipe(frame)

    def receive(self, deadline: float | None = None) -> Frame:
        """Receive one frame; a second one behind it is an error, since nobody has asked for it."""
        view = memoryview(self._buffer)
        filled, end = 0, _HEAD.size
        try:
            while filled < end:
                received = self._receive_into(view[filled:], deadline)
                filled += received
                if filled >= _HEAD.size:
                    length, number, word = _HEAD.unpack_from(view)
                    end = _HEAD.size + length
                    if length > LARGEST or filled > end:
                        raise BrokenFrame(f"a frame of {length} bytes is announced, and {filled} came")
            return Frame(number, word, view[_HEAD.size : end])
        except BaseException:
            wipe(view[:filled])
            raise

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _send_all(self, frame: bytearray, deadline: float | None) -> None:
        # Nothing is under way while this side speaks, so the frame nearly always fits at once; waiting is for the rest.
        sent = 0
        with memoryview(frame) as left:
            while sent < len(left):
                try:
                    sent += self._end.send(left[sent:], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                except BlockingIOError:
                    select.select([], [self._end], [], None if deadline is None else remaining(deadline))

    def _receive_into(self, buffer: memoryview, deadline: float | None) -> int:
        if deadline is not None and not self._readable.poll(remaining(deadline) * 1000):
            raise TimeoutError("the time is over")
        received = self._end.recv_into(buffer)
        if received == 0:
            raise ConnectionResetError("the other side is gone")
        return received


def remaining(deadline: float) -> float:
    """Seconds that are left; raises ``TimeoutError`` where none are."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left


def _split(content: memoryview) -> tuple[memoryview, ...]:
    fields = []
    position = 0
    while position < len(content):
        start = position + _LENGTH.size
        if start > len(content):
            raise BrokenFrame("a field is cut off")
        position = start + _LENGTH.unpack_from(content, start - _LENGTH.size)[0]
        if position > len(content):
            raise BrokenFrame("a field is longer than its frame")
        fields.append(content[start:position])
    return tuple(fields)
