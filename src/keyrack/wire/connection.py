"""Framing: which bytes of a connection are a request message (KMIP 1.4, 9.1.1 and 10.1); no input or output here.

A message is one TTLV item, so its first eight bytes say all that framing needs: the tag (three bytes, Request Message),
the type (one byte, Structure) and the length of what follows (four bytes). Whatever else begins a message ends the
connection: there is no way to find the next message behind bytes that are not understood.
"""

from enum import Enum

HEADER_LENGTH = 8
"""Bytes of tag, type and length."""
REQUEST_HEADER = b"\x42\x00\x78\x01"
"""Tag of Request Message and type of Structure: how each request begins."""
DEFAULT_MAX_MESSAGE = 64 * 1024
"""Bytes of a whole message, header included, unless configured otherwise."""
LARGEST_MAX_MESSAGE = 1024 * 1024
"""No configuration allows a longer message than this, in bytes."""

KEPT = 2048
"""Bytes of an empty buffer that an idle connection keeps for its next message."""


class FramingError(ValueError):
    """The bytes cannot be a request message; the connection has to be closed."""


class NotARequest(FramingError):
    """The message does not begin with the tag and type of a Request Message."""


class MessageTooLong(FramingError):
    """The message says that it is longer than this connection allows."""


class Progress(Enum):
    """Where a connection stands between two messages."""

    IDLE = "idle"
    """No byte of a next message has come."""
    PARTIAL = "partial"
    """A message has begun and is not complete."""
    READY = "ready"
    """At least one whole message waits to be taken."""


class Framing:
    """Cuts the bytes of one connection into request messages, in order, holding no more than it was told to.

    Use: :meth:`feed` what came in, then :meth:`take` until it gives ``None``. Both raise :class:`FramingError` as soon
    as the header shows that the bytes are no request, or one longer than ``max_message`` bytes.
    """

    __slots__ = ("_buffer", "_filled", "_max_message", "_needed")

    def __init__(self, max_message: int = DEFAULT_MAX_MESSAGE) -> None:
        """Allow messages of at most ``max_message`` bytes, header included."""
        if not HEADER_LENGTH <= max_message <= LARGEST_MAX_MESSAGE:
            raise ValueError(f"a message's limit is {HEADER_LENGTH} to {LARGEST_MAX_MESSAGE} bytes, not {max_message}")
        self._buffer = bytearray()
        self._filled = 0
        """How many bytes of the buffer have come in; what is behind them is zero."""
        self._max_message = max_message
        self._needed = 0
        """Length of the message that the buffer begins with, 0 while its header is incomplete."""

    @property
    def progress(self) -> Progress:
        """Whether a message waits, has begun, or neither."""
        if not self._filled:
            return Progress.IDLE
        return Progress.READY if 0 < self._needed <= self._filled else Progress.PARTIAL

    @property
    def buffered(self) -> int:
        """Bytes held, of complete and incomplete messages."""
        return self._filled

    def exchange(self, data: bytes) -> bytes | None:
        """:meth:`feed` and :meth:`take` in one, without a copy where ``data`` is one whole message, as usual."""
        if not self._filled and len(data) >= HEADER_LENGTH and self._length_of(data) == len(data):
            return data
        self.feed(data)
        return self.take()

    def feed(self, data: bytes) -> None:
        """Add what came in. A wrong beginning is told from the first bytes on, before the header is complete."""
        end = self._filled + len(data)
        if end > len(self._buffer):
            self._grow(end)
        self._buffer[self._filled : end] = data
        self._filled = end
        if not self._needed:
            self._look()

    def take(self) -> bytes | None:
        """The next whole message, or ``None`` while it is incomplete."""
        if not 0 < self._needed <= self._filled:
            return None
        held = memoryview(self._buffer)
        message = bytes(held[: self._needed])
        rest = self._filled - self._needed
        held[:rest] = held[self._needed : self._filled]
        held[rest : self._filled] = bytes(self._needed)
        self._filled, self._needed = rest, 0
        if not rest and len(self._buffer) > KEPT:
            self._buffer = bytearray()
        self._look()
        return message

    def clear(self) -> None:
        """Forget what has come in, and overwrite it: it may hold half a key."""
        self._buffer[:] = bytes(len(self._buffer))
        self._filled = self._needed = 0

    def _grow(self, end: int) -> None:
        """Make room for ``end`` bytes and, within reason, for the rest of the message; nothing stays where it was."""
        grown = bytearray(max(end, min(self._needed, 2 * end)))
        grown[: self._filled] = memoryview(self._buffer)[: self._filled]
        self._buffer[:] = bytes(len(self._buffer))
        self._buffer = grown

    def _look(self) -> None:
        """Read the header at the start of the buffer, as far as it has come."""
        if self._filled >= HEADER_LENGTH:
            self._needed = self._length_of(self._buffer)
        elif not REQUEST_HEADER.startswith(self._buffer[: min(self._filled, len(REQUEST_HEADER))]):
            raise NotARequest("the message does not begin with the tag of a Request Message and the type Structure")

    def _length_of(self, data: bytes | bytearray) -> int:
        """Length in bytes, header included, of the message that ``data`` begins with."""
        if not data.startswith(REQUEST_HEADER):
            raise NotARequest("the message does not begin with the tag of a Request Message and the type Structure")
        length = HEADER_LENGTH + int.from_bytes(data[4:HEADER_LENGTH], "big")
        if length > self._max_message:
            raise MessageTooLong(f"the message is {length} bytes long, the limit is {self._max_message}")
        return length
