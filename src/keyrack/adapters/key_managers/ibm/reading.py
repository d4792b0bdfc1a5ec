"""Reads an answer of HTTP/1.1 into memory that can be wiped; nothing of a body ever becomes ``bytes``.

The head is no secret. It is read into the connection's one buffer, with the beginning of the body behind it, and the
body goes on into an array of its own. Both are bounded, and both are wiped: the buffer here, the body by the caller.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from keyrack.adapters.key_managers.ibm.wire import Wire
from keyrack.domain.secret import wipe

MOST_LINES: Final = 100
"""Lines of a head."""
MOST_INTERIM: Final = 8
"""Answers such as 100 Continue before the one that counts."""
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")
_BODILESS: Final = frozenset({204, 304})


class BrokenAnswer(Exception):
    """What came is no answer, only a part of one, or longer than any. The text never has its content."""


class Ended(BrokenAnswer):
    """The connection ended before the answer did."""


@dataclass(slots=True)
class Answer:
    """An answer; whoever gets it wipes it."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytearray = field(repr=False, default_factory=bytearray)
    stays: bool = True
    """Whether the connection may be used again."""

    def wipe(self) -> None:
        """Overwrite the body."""
        wipe(self.body)


class Reader:
    """Reads one answer from a wire whose buffer is empty."""

    def __init__(self, wire: Wire) -> None:
        """The wire knows the deadline and the longest body."""
        self._wire = wire
        self._view = memoryview(wire.buffer)
        self._next = 0
        self._end = 0

    def answer(self) -> Answer:
        """The answer; raises :class:`BrokenAnswer` and whatever the wire raises. The buffer is wiped in any case."""
        try:
            answer = self._head()
            for _ in range(MOST_INTERIM):
                if answer.status >= 200:
                    break
                answer = self._head()
            if answer.status < 200:
                raise BrokenAnswer("only interim answers come")
            self._read_body(answer)
            # What nobody has asked for would be taken for the answer to the next request.
            answer.stays = answer.stays and self._next == self._end
            return answer
        finally:
            self._wire.forget()

    def tunnel(self) -> Answer:
        """A proxy's answer to CONNECT, of which only the head counts."""
        try:
            return self._head()
        finally:
            self._wire.forget()

    def _head(self) -> Answer:
        first, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
        status = _STATUS.fullmatch(first)
        if not status:
            raise BrokenAnswer("it does not begin as an answer of HTTP")
        if len(lines) > MOST_LINES:
            raise BrokenAnswer(f"its head has more than {MOST_LINES} lines")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon or not name or name != name.strip():
                raise BrokenAnswer("its head has a line that is none")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        stays = status[1] == b"1" and "close" not in headers.get("connection", "").lower()
        return Answer(int(status[2]), headers, stays=stays)

    def _read_body(self, answer: Answer) -> None:
        if answer.status in _BODILESS:
            return
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise BrokenAnswer("it is compressed, which nobody asked for")
        coding = answer.headers.get("transfer-encoding", "").lower()
        length = answer.headers.get("content-length", "0")
        if (coding and (coding != "chunked" or "content-length" in answer.headers)) or not _LENGTH.fullmatch(length):
            raise BrokenAnswer("it does not say clearly where it ends")
        body = Body(self._wire.most)
        try:
            if coding:
                self._read_chunks(body)
            elif "content-length" in answer.headers:
                self._fill(body.more(int(length)))
            else:
                # Whether it is whole, its own form must tell.
                answer.stays = False
                self._read_rest(body)
            answer.body = body.whole()
        finally:
            body.wipe()

    def _read_chunks(self, body: "Body") -> None:
        while True:
            size = _CHUNK.fullmatch(self._until(b"\r\n"))
            if not size:
                raise BrokenAnswer("it comes in pieces of no known length")
            if not int(size[1], 16):
                break
            self._fill(body.more(int(size[1], 16)))
            if self._until(b"\r\n"):
                raise BrokenAnswer("a piece of it is longer than it says")
        for _ in range(MOST_LINES):
            if not self._until(b"\r\n"):
                return
        raise BrokenAnswer("it has no end")

    def _read_rest(self, body: "Body") -> None:
        while self._next < self._end or self._receive():
            self._fill(body.more(self._end - self._next))
            self._next = self._end = 0

    def _fill(self, target: memoryview) -> None:
        got = min(len(target), self._end - self._next)
        # Copied by views: an assignment to an array itself would make a copy of what is assigned.
        target[:got] = self._view[self._next : self._next + got]
        self._next += got
        while got < len(target):
            more = self._wire.recv_into(target[got:])
            if not more:
                raise Ended("the connection ended in the middle of it")
            got += more

    def _until(self, mark: bytes) -> bytes:
        """What comes before ``mark``, in the buffer; for heads and the like, which are no secrets."""
        while (found := self._wire.buffer.find(mark, self._next, self._end)) < 0:
            if self._end == len(self._view):
                self._move_down()
            if not self._receive():
                raise Ended("the connection ended before it")
        told = bytes(self._view[self._next : found])
        self._next = found + len(mark)
        return told

    def _move_down(self) -> None:
        """Make room at the end of the buffer."""
        if self._next == 0:
            raise BrokenAnswer(f"its head is longer than {len(self._view)} bytes")
        left = self._end - self._next
        self._view[:left] = self._view[self._next : self._end]
        self._next, self._end = 0, left

    def _receive(self) -> int:
        got = self._wire.recv_into(self._view[self._end :])
        self._end += got
        return got


class Body:
    """A body that grows: into an array of twice the size, and the old one is wiped."""

    def __init__(self, most: int) -> None:
        """Take at most ``most`` bytes."""
        self._most = most
        self._array = bytearray()
        self._length = 0

    def more(self, length: int) -> memoryview:
        """Room for ``length`` bytes more, to be filled at once; raises :class:`BrokenAnswer`."""
        before, self._length = self._length, self._length + length
        if self._length > self._most:
            raise BrokenAnswer(f"it is longer than {self._most} bytes")
        if self._length > len(self._array):
            self._become(bytearray(max(self._length, 2 * before)), before)
        return memoryview(self._array)[before : self._length]

    def whole(self) -> bytearray:
        """What was filled in, in an array of its length; this one is empty then."""
        if len(self._array) != self._length:
            self._become(bytearray(self._length), self._length)
        told, self._array = self._array, bytearray()
        return told

    def wipe(self) -> None:
        """Overwrite everything."""
        wipe(self._array)

    def _become(self, array: bytearray, length: int) -> None:
        memoryview(array)[:length] = memoryview(self._array)[:length]
        wipe(self._array)
        self._array = array
