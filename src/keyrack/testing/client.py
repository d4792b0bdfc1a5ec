"""A tiny KMIP client: one TLS connection, whole messages out and in, and answers checked for their form.

It speaks for tests and for the demonstration. It builds its messages with :mod:`keyrack.testing.ttlv`, not with the
server's codec, sends what it is told, right or wrong, and holds the answer against the form of the standard (KMIP 1.4,
7.1 and 7.2): what it returns is an answer; anything else is a :class:`ProtocolViolation`.
"""

import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from keyrack.spec.enumerations import Operation, ResultReason, ResultStatus
from keyrack.spec.tags import Tag
from keyrack.spec.versions import V1_4, ProtocolVersion
from keyrack.testing.ttlv import Item, NotTtlv, enumeration, integer, octets, parse, structure

_STATUSES = {int(word): word for word in ResultStatus}
_REASONS = {int(word): word for word in ResultReason}

LONGEST_ANSWER = 16 * 1024 * 1024
"""Bytes; an answer that says it is longer is not read."""


class ProtocolViolation(AssertionError):
    """The server's answer has not the form that the standard gives it."""


class ConnectionEnded(ConnectionError):
    """The server closed the connection where an answer was due."""


class Refused(AssertionError):
    """A batch item failed where success was expected."""

    def __init__(self, answer: "Answer") -> None:
        """Keep the answer, for the test that asks why."""
        super().__init__(f"{answer.operation}: {answer.reason!r}: {answer.message}")
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Ask:
    """One batch item to send: an operation, the items of its payload, and a Unique Batch Item ID if any."""

    operation: int
    payload: tuple[Item | None, ...] = ()
    batch_id: bytes | None = None

    def encode(self) -> Item:
        """The Batch Item structure."""
        return structure(
            Tag.BATCH_ITEM,
            enumeration(Tag.OPERATION, self.operation),
            octets(Tag.UNIQUE_BATCH_ITEM_ID, self.batch_id) if self.batch_id is not None else None,
            structure(Tag.REQUEST_PAYLOAD, *self.payload),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """One batch item of an answer; ``payload`` is an empty structure where the server sent none."""

    operation: int | None
    status: ResultStatus
    reason: int | None
    message: str
    payload: Item
    batch_id: bytes | None

    @property
    def ok(self) -> bool:
        """Whether the item succeeded."""
        return self.status is ResultStatus.SUCCESS


def request(
    *asks: Ask, version: ProtocolVersion = V1_4, header: Sequence[Item] = (), batch_count: int | None = None
) -> bytes:
    """The bytes of a Request Message; ``header`` items come between Protocol Version and Batch Count."""
    items = [ask.encode() for ask in asks]
    head = structure(
        Tag.REQUEST_HEADER,
        structure(
            Tag.PROTOCOL_VERSION,
            integer(Tag.PROTOCOL_VERSION_MAJOR, version.major),
            integer(Tag.PROTOCOL_VERSION_MINOR, version.minor),
        ),
        *header,
        integer(Tag.BATCH_COUNT, len(items) if batch_count is None else batch_count),
    )
    return structure(Tag.REQUEST_MESSAGE, head, *items).encode()


def answers(response: bytes) -> tuple[ProtocolVersion, tuple[Answer, ...]]:
    """The version and the batch items of a Response Message; raises :class:`ProtocolViolation`."""
    try:
        message = parse(response)
    except NotTtlv as error:
        raise ProtocolViolation(f"the answer is not TTLV: {error}") from error
    if message.tag != Tag.RESPONSE_MESSAGE or not tuple(message):
        raise ProtocolViolation("the answer is no Response Message")
    header, *items = message
    try:
        version = ProtocolVersion(
            header.number(Tag.PROTOCOL_VERSION, Tag.PROTOCOL_VERSION_MAJOR),
            header.number(Tag.PROTOCOL_VERSION, Tag.PROTOCOL_VERSION_MINOR),
        )
        header.number(Tag.TIME_STAMP)
        count = header.number(Tag.BATCH_COUNT)
    except KeyError as error:
        raise ProtocolViolation(f"the Response Header is incomplete: {error}") from error
    if header.tag != Tag.RESPONSE_HEADER or count != len(items):
        raise ProtocolViolation(f"a Batch Count of {count} with {len(items)} batch items")
    return version, tuple(_answer(item) for item in items)


def _answer(item: Item) -> Answer:
    order = [held.tag for held in item]
    known = [
        Tag.OPERATION,
        Tag.UNIQUE_BATCH_ITEM_ID,
        Tag.RESULT_STATUS,
        Tag.RESULT_REASON,
        Tag.RESULT_MESSAGE,
        Tag.ASYNCHRONOUS_CORRELATION_VALUE,
        Tag.RESPONSE_PAYLOAD,
        Tag.MESSAGE_EXTENSION,
    ]
    if item.tag != Tag.BATCH_ITEM or order != [tag for tag in known if tag in order]:
        raise ProtocolViolation(f"a batch item with {[f'{tag:06X}' for tag in order]}")
    try:
        status = _STATUSES[item.number(Tag.RESULT_STATUS)]
        reason = item.number(Tag.RESULT_REASON) if status is ResultStatus.OPERATION_FAILED else None
    except KeyError as error:
        raise ProtocolViolation(f"a batch item without status or reason: {error}") from error
    operation, message = item.find(Tag.OPERATION), item.find(Tag.RESULT_MESSAGE)
    batch_id = item.find(Tag.UNIQUE_BATCH_ITEM_ID)
    if status is ResultStatus.SUCCESS and not (operation and item.find(Tag.RESPONSE_PAYLOAD)):
        raise ProtocolViolation("a successful batch item without operation or payload")
    return Answer(
        operation=operation.number() if operation else None,
        status=status,
        reason=_REASONS.get(reason, reason) if reason is not None else None,
        message=message.string() if message else "",
        payload=item.find(Tag.RESPONSE_PAYLOAD) or structure(Tag.RESPONSE_PAYLOAD),
        batch_id=batch_id.octets() if batch_id else None,
    )


class Client:
    """One KMIP connection to one server; a context manager. Times are in seconds.

    Raises :class:`ssl.SSLError` or :class:`OSError` where the handshake fails, at opening or, in TLS 1.3 where the
    server judges the client's certificate late, at the first answer.
    """

    def __init__(
        self, address: tuple[str, int], context: ssl.SSLContext, *, version: ProtocolVersion = V1_4, timeout: float = 10
    ) -> None:
        """Connect and shake hands."""
        self.version = version
        plain = socket.create_connection(address, timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = context.wrap_socket(plain, server_hostname=address[0])
        except BaseException:
            plain.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say goodbye if the server still listens, and close; harmless when repeated."""
        try:
            self._socket.settimeout(0)
            self._socket.unwrap()
        except (OSError, ValueError):
            pass
        finally:
            self._socket.close()

    @property
    def server_certificate(self) -> bytes:
        """The server's certificate, DER."""
        return self._socket.getpeercert(binary_form=True) or b""

    @property
    def tls(self) -> str:
        """The TLS version that was agreed: ``"TLSv1.3"``."""
        return self._socket.version() or ""

    def send(self, frame: bytes) -> None:
        """Send bytes, whatever they are."""
        self._socket.sendall(frame)

    def receive(self) -> bytes:
        """The next message, by the length in its header; raises :class:`ConnectionEnded`."""
        head = self._exactly(8)
        length = int.from_bytes(head[4:], "big")
        if length > LONGEST_ANSWER:
            raise ProtocolViolation(f"an answer of {length} bytes")
        return head + self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        gathered = bytearray()
        while len(gathered) < size:
            part = self._socket.recv(size - len(gathered))
            if not part:
                raise ConnectionEnded("the server closed the connection")
            gathered += part
        return bytes(gathered)

    def exchange(self, frame: bytes) -> bytes:
        """Send one message and read one."""
        self.send(frame)
        return self.receive()

    def batch(self, *asks: Ask, header: Sequence[Item] = ()) -> tuple[Answer, ...]:
        """Ask several things in one message; the answers, which are as many unless the server stopped early."""
        version, got = answers(self.exchange(request(*asks, version=self.version, header=header)))
        if version != self.version:
            raise ProtocolViolation(f"asked in {self.version}, answered in {version}")
        return got

    def try_(self, operation: Operation, *payload: Item | None, header: Sequence[Item] = ()) -> Answer:
        """Ask one thing; the answer, a refusal too."""
        (answer,) = self.batch(Ask(operation, payload), header=header)
        if answer.ok and answer.operation != operation:
            raise ProtocolViolation(f"asked {operation.title}, answered {answer.operation}")
        return answer

    def ask(self, operation: Operation, *payload: Item | None, header: Sequence[Item] = ()) -> Item:
        """Ask one thing that must succeed; its payload. Raises :class:`Refused`."""
        answer = self.try_(operation, *payload, header=header)
        if not answer.ok:
            raise Refused(answer)
        return answer.payload
