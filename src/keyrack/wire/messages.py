"""Messages (KMIP 1.4, section 7): a header and batch items, whose payloads are read later, one by one.

So a payload that is broken fails its own item, and the others of the batch are answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import Annotated, Any, ClassVar, Final, NamedTuple, TypeVar

from keyrack.spec.enumerations import Operation, ResultReason, ResultStatus
from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType
from keyrack.spec.versions import VERSIONS, ProtocolVersion
from keyrack.wire.codec import (
    DECODERS,
    ENCODERS,
    WRONG_BYTES,
    WRONG_VALUE,
    Buffer,
    Decoder,
    Encoder,
    Late,
    decode_content,
    fill,
    structure,
    structure_check,
    structure_head,
    write_item,
    wrong_bytes,
    wrong_value,
)
from keyrack.wire.declare import SPECIAL, Verbatim
from keyrack.wire.errors import Malformed, Unexpected, UnsupportedVersion, WireError
from keyrack.wire.headers import (
    KNOWN_VERSIONS,
    MAJOR,
    MINOR,
    PROTOCOL_VERSION,
    MessageExtension,
    ProtocolVersionStructure,
    RequestHeader,
    ResponseHeader,
    version_bytes,
)
from keyrack.wire.refusals import refuse
from keyrack.wire.scalars import not_eightfold, not_zero

__all__ = [
    "BATCH_LIMIT",
    "MessageExtension",
    "ProtocolVersionStructure",
    "RequestBatchItem",
    "RequestHeader",
    "RequestMessage",
    "ResponseBatchItem",
    "ResponseHeader",
    "ResponseMessage",
    "decode_payload",
    "encoded_length",
    "read_request",
    "read_response",
    "write_request",
    "write_response",
]

T = TypeVar("T")

BATCH_LIMIT: Final = 64
"""How many batch items a message may hold, unless the caller says otherwise."""


class Payload:
    """A payload of whatever operation: read as a view of its content, written from a declared structure or bytes."""


@structure
class RequestBatchItem:
    """One Batch Item of a request (KMIP 1.4, 7.2)."""

    TAG: ClassVar[Tag] = Tag.BATCH_ITEM

    operation: Annotated[Operation | int, Verbatim]
    unique_batch_item_id: bytes | None = None
    request_payload: Annotated[Any, Payload]
    """As read: a view of the content, for :func:`decode_payload`."""
    message_extension: MessageExtension | None = None

    @property
    def critical_extension(self) -> bool:
        """Whether there is a Message Extension that must not be skipped."""
        return self.message_extension is not None and self.message_extension.criticality_indicator


class RequestMessage(NamedTuple):
    """Request Message (KMIP 1.4, 7.1)."""

    request_header: RequestHeader
    batch_items: tuple[RequestBatchItem, ...]


@structure
class ResponseBatchItem:
    """One Batch Item of a response (KMIP 1.4, 7.2)."""

    TAG: ClassVar[Tag] = Tag.BATCH_ITEM

    operation: Annotated[Operation | int, Verbatim] | None = None
    """The request's, echoed whatever it is; ``None`` where the request could not be read so far."""
    unique_batch_item_id: bytes | None = None
    result_status: ResultStatus
    result_reason: ResultReason | int | None = None
    """One that is newer than the protocol version is written as General Failure."""
    result_message: str | None = None
    asynchronous_correlation_value: bytes | None = None
    response_payload: Annotated[Any, Payload] | None = None
    """As read: a view of the content, for :func:`decode_payload`."""
    message_extension: MessageExtension | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMessage:
    """Response Message (KMIP 1.4, 7.1); the Batch Count is that of the items."""

    protocol_version: ProtocolVersion
    time_stamp: int
    """Seconds since 1970."""
    batch_items: Sequence[ResponseBatchItem]
    client_correlation_value: str | None = None
    """The request's, echoed; written from 1.4 on."""
    server_correlation_value: str | None = None


def _payload_codec(version: ProtocolVersion) -> tuple[Encoder, Decoder]:
    encoders = ENCODERS[version]

    def encode(out: bytearray, late: Late, value: Any, head: bytes) -> None:
        if isinstance(value, bytes | bytearray | memoryview):
            out += head[:4]
            out += len(value).to_bytes(4, "big")
            out += value
        else:
            encoders[type(value)](out, late, value, head)

    def decode(buf: Buffer, pos: int, end: int) -> memoryview:
        if end - pos & 7:
            raise not_eightfold(pos - 8)
        return memoryview(buf)[pos:end]

    return encode, decode


SPECIAL[Payload] = _payload_codec


# --- reading ---

_opening: Final = Struct(">QQQQiIQiI")
"""How every message begins: its own header, its Message Header's, and the Protocol Version whole."""
_peek: Final = Struct(">Q").unpack_from
_ITEM: Final = structure_check(Tag.BATCH_ITEM)


def read_request(frame: Buffer, batch_limit: int = BATCH_LIMIT) -> RequestMessage:
    """Read the header and the batch items of a request message, which is the whole of ``frame``; not the payloads.

    Raises a ``WireError``; its ``version`` is set where the message's protocol version could be read.
    """
    known = _plain_header(frame)
    header, pos = _new_header(frame) if known is None else (known, _PLAIN)
    counts = (header.batch_count, batch_limit)
    return RequestMessage(header, _items(frame, pos, counts, RequestBatchItem, header.protocol_version))


_PLAIN: Final = 72
"""Where the batch items begin after a request header that holds nothing but its version and a Batch Count."""
_headers: dict[bytes, RequestHeader] = {}
"""The plain headers that have come so far: one for each version and Batch Count, so there are few."""
_REQUEST: Final = structure_head(Tag.REQUEST_MESSAGE)[:4]


def _plain_header(frame: Buffer) -> RequestHeader | None:
    """The header of a message that has a plain one and the right length, else nothing; the rest is found out slowly.

    Nearly all clients send the same plain header again and again, so that each is read once.
    """
    known = _headers.get(bytes(frame[8:_PLAIN]))
    if known is not None and frame[:8] == _REQUEST + (len(frame) - 8).to_bytes(4, "big"):
        return known
    return None


def _new_header(frame: Buffer) -> tuple[RequestHeader, int]:
    version = _version(frame, Tag.REQUEST_MESSAGE, Tag.REQUEST_HEADER)
    header, pos = _header(frame, RequestHeader, version)
    if pos == _PLAIN and header.batch_count <= BATCH_LIMIT:
        _headers[bytes(frame[8:_PLAIN])] = header
    return header, pos


def read_response(frame: Buffer, batch_limit: int = BATCH_LIMIT) -> ResponseMessage:
    """Read a response message in the same way: what a client sees."""
    version = _version(frame, Tag.RESPONSE_MESSAGE, Tag.RESPONSE_HEADER)
    header, pos = _header(frame, ResponseHeader, version)
    return ResponseMessage(
        protocol_version=version,
        time_stamp=header.time_stamp,
        batch_items=_items(frame, pos, (header.batch_count, batch_limit), ResponseBatchItem, version),
        client_correlation_value=header.client_correlation_value,
        server_correlation_value=header.server_correlation_value,
    )


def decode_payload(cls: type[T], raw: Buffer, version: ProtocolVersion) -> T:
    """Read the content of a payload as ``cls``; raises a ``WireError`` that knows the version."""
    return decode_content(cls, raw, version)


def _version(frame: Buffer, message: Tag, header: Tag) -> ProtocolVersion:
    """The protocol version of a message, which stands at a fixed place; checks the outermost length first."""
    size = len(frame)
    if size < _opening.size or size & 7:
        raise Malformed(f"{size} bytes are no KMIP message")
    outer, inner, label, first, major, rest, second, minor, more = _opening.unpack_from(frame)
    if outer != structure_check(message) << 32 | size - 8:
        raise refuse("message", frame, 0, size, message.title)
    if inner >> 32 != structure_check(header) or (label, first, second) != (PROTOCOL_VERSION, MAJOR, MINOR):
        raise Unexpected(f"the message does not begin with a {header.title} and its Protocol Version")
    if rest or more:
        raise not_zero(24)
    version = KNOWN_VERSIONS.get((major, minor))
    if version is None:
        raise UnsupportedVersion(ProtocolVersion(major, minor))
    return version


def _header(frame: Buffer, cls: type[T], version: ProtocolVersion) -> tuple[T, int]:
    end = 16 + (_peek(frame, 8)[0] & 0xFFFFFFFF)
    if end > len(frame):
        raise Malformed(f"the message's header reaches over the end at byte {len(frame)}")
    return decode_content(cls, frame, version, 16, end), end


def _items(frame: Buffer, pos: int, counts: tuple[int, int], cls: type[T], version: ProtocolVersion) -> tuple[T, ...]:
    """The batch items of a message: as many as the first of ``counts`` says, and no more than the second."""
    try:
        if not 0 < counts[0] <= counts[1]:
            raise Unexpected(f"the Batch Count is not between 1 and {counts[1]}")
        items = _whole_items(frame, pos, counts[0], DECODERS[version][cls])
        if len(items) != counts[0]:
            raise Unexpected("there are fewer or more batch items than the Batch Count says")
    except WireError as error:
        error.version = version
        raise
    except WRONG_BYTES as error:
        raise wrong_bytes(cls, error, version) from error
    return tuple(items)


def _whole_items(frame: Buffer, pos: int, count: int, decoder: Decoder) -> list[Any]:
    """The batch items, until one too many has come."""
    size = len(frame)
    items: list[Any] = []
    while pos < size and len(items) <= count:
        head = _peek(frame, pos)[0]
        stop = pos + 8 + (head & 0xFFFFFFFF)
        if head >> 32 != _ITEM or stop > size:
            raise refuse("message", frame, pos, size, Tag.BATCH_ITEM.title)
        items.append(decoder(frame, pos + 8, stop))
        pos = stop
    return items


# --- writing ---


def write_request(message: RequestMessage) -> bytearray:
    """The whole request message, as a client sends it; the Batch Count is the header's."""
    version = message.request_header.protocol_version
    out, late = bytearray(structure_head(Tag.REQUEST_MESSAGE)), Late()
    write_item(out, late, message.request_header, version, Tag.REQUEST_HEADER)
    return _finish(out, late, message.batch_items, version)


def write_response(message: ResponseMessage) -> bytearray:
    """The whole response message, in an array that the caller sends and then wipes."""
    version = message.protocol_version
    out, late = bytearray(structure_head(Tag.RESPONSE_MESSAGE)), Late()
    if message.client_correlation_value is None and message.server_correlation_value is None:
        out += _PLAIN_ANSWER[version]
        out += _put_plain(_TIME_STAMP, message.time_stamp, _BATCH_COUNT, len(message.batch_items), 0)
    else:
        write_item(out, late, _response_header(message), version, Tag.RESPONSE_HEADER)
    return _finish(out, late, [_sayable(item, version) for item in message.batch_items], version)


def _response_header(message: ResponseMessage) -> ResponseHeader:
    return ResponseHeader(
        protocol_version=message.protocol_version,
        time_stamp=message.time_stamp,
        client_correlation_value=message.client_correlation_value,
        server_correlation_value=message.server_correlation_value,
        batch_count=len(message.batch_items),
    )


_TIME_STAMP: Final = (Tag.TIME_STAMP << 8 | ItemType.DATE_TIME) << 32 | 8
_BATCH_COUNT: Final = (Tag.BATCH_COUNT << 8 | ItemType.INTEGER) << 32 | 4
_put_plain: Final = Struct(">QqQiI").pack
_PLAIN_ANSWER: Final = {
    version: (structure_check(Tag.RESPONSE_HEADER) << 32 | 72).to_bytes(8, "big") + version_bytes(version)
    for version in VERSIONS
}
"""How a response header begins that holds nothing but its version, a Time Stamp and a Batch Count, as nearly all do."""


def _finish(out: bytearray, late: Late, items: Sequence[Any], version: ProtocolVersion) -> bytearray:
    encoders, head = ENCODERS[version], structure_head(Tag.BATCH_ITEM)
    try:
        for item in items:
            encoders[type(item)](out, late, item, head)
    except WRONG_VALUE as error:
        raise wrong_value(Tag.BATCH_ITEM) from error
    out[4:8] = (len(out) - 8).to_bytes(4, "big")
    fill(out, late)
    return out


def _sayable(item: ResponseBatchItem, version: ProtocolVersion) -> ResponseBatchItem:
    """The item with a Result Reason that the protocol version has."""
    reason = item.result_reason
    if reason is not None and isinstance(reason, ResultReason) and reason.since > version:
        return replace(item, result_reason=ResultReason.GENERAL_FAILURE)
    return item


def encoded_length(item: ResponseBatchItem, version: ProtocolVersion) -> int:
    """How many bytes a batch item will take in a response, its header included; no secret is copied."""
    out = bytearray()
    write_item(out, [], _sayable(item, version), version, Tag.BATCH_ITEM)
    return len(out)
