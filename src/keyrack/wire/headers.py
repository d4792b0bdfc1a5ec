"""What stands around the payloads: headers, versions and extensions (KMIP 1.4, sections 6 and 7)."""

from struct import Struct
from typing import Annotated, ClassVar, Final

from keyrack.spec.enumerations import AttestationType, BatchErrorContinuationOption
from keyrack.spec.tags import Tag
from keyrack.spec.types import DateTime, ItemType, Since
from keyrack.spec.versions import V1_2, VERSIONS, ProtocolVersion
from keyrack.wire.codec import Buffer, Decoder, Encoder, Late, structure
from keyrack.wire.credentials import Authentication, Nonce
from keyrack.wire.declare import SPECIAL
from keyrack.wire.errors import Unexpected
from keyrack.wire.refusals import refuse
from keyrack.wire.wellformed import check_items


@structure
class ProtocolVersionStructure:
    """Protocol Version (KMIP 1.4, 6.1) with any two numbers, as Discover Versions carries it."""

    TAG: ClassVar[Tag] = Tag.PROTOCOL_VERSION

    protocol_version_major: int
    protocol_version_minor: int


@structure
class VendorExtension:
    """Vendor Extension (KMIP 1.4, 6.16): whatever a vendor puts there, as TTLV that was checked to be such."""

    TAG: ClassVar[Tag] = Tag.VENDOR_EXTENSION

    content: bytes


@structure
class MessageExtension:
    """Message Extension (KMIP 1.4, 6.16): to be skipped unless it is marked critical."""

    TAG: ClassVar[Tag] = Tag.MESSAGE_EXTENSION

    vendor_identification: str
    criticality_indicator: bool
    vendor_extension: VendorExtension


@structure
class RequestHeader:
    """Request Header (KMIP 1.4, 7.2)."""

    TAG: ClassVar[Tag] = Tag.REQUEST_HEADER

    protocol_version: ProtocolVersion
    maximum_response_size: int | None = None
    """In bytes."""
    client_correlation_value: str | None = None
    server_correlation_value: str | None = None
    asynchronous_indicator: bool | None = None
    attestation_capable_indicator: bool | None = None
    attestation_type: Annotated[tuple[AttestationType | int, ...], Since(V1_2)] = ()
    authentication: Authentication | None = None
    batch_error_continuation_option: BatchErrorContinuationOption | int | None = None
    batch_order_option: bool | None = None
    time_stamp: DateTime | None = None
    batch_count: int


@structure
class ResponseHeader:
    """Response Header (KMIP 1.4, 7.2)."""

    TAG: ClassVar[Tag] = Tag.RESPONSE_HEADER

    protocol_version: ProtocolVersion
    time_stamp: DateTime
    nonce: Nonce | None = None
    attestation_type: Annotated[tuple[AttestationType | int, ...], Since(V1_2)] = ()
    client_correlation_value: str | None = None
    server_correlation_value: str | None = None
    batch_count: int


# --- Protocol Version: always the same 40 bytes, so it is read and written as one ---

PROTOCOL_VERSION: Final = (Tag.PROTOCOL_VERSION << 8 | ItemType.STRUCTURE) << 32 | 32
MAJOR: Final = (Tag.PROTOCOL_VERSION_MAJOR << 8 | ItemType.INTEGER) << 32 | 4
MINOR: Final = (Tag.PROTOCOL_VERSION_MINOR << 8 | ItemType.INTEGER) << 32 | 4
KNOWN_VERSIONS: Final = {(version.major, version.minor): version for version in VERSIONS}

_content = Struct(">QiIQiI")


def version_bytes(version: ProtocolVersion) -> bytes:
    """The whole Protocol Version structure."""
    return PROTOCOL_VERSION.to_bytes(8, "big") + _content.pack(MAJOR, version.major, 0, MINOR, version.minor, 0)


_VERSION_BYTES: Final = {version: version_bytes(version) for version in VERSIONS}


def _version_codec(version: ProtocolVersion) -> tuple[Encoder, Decoder]:
    def encode(out: bytearray, late: Late, value: ProtocolVersion, head: bytes) -> None:
        out += _VERSION_BYTES.get(value) or version_bytes(value)

    def decode(buf: Buffer, pos: int, end: int) -> ProtocolVersion:
        if end - pos != _content.size:
            raise refuse("Protocol Version", buf, min(pos + _content.size, end), end, Tag.PROTOCOL_VERSION_MINOR.title)
        first, major, rest, second, minor, more = _content.unpack_from(buf, pos)
        if first != MAJOR or second != MINOR or rest or more:
            raise Unexpected(f"Protocol Version: major and minor should stand at byte {pos}")
        return KNOWN_VERSIONS.get((major, minor)) or ProtocolVersion(major, minor)

    return encode, decode


def _extension_codec(version: ProtocolVersion) -> tuple[Encoder, Decoder]:
    def encode(out: bytearray, late: Late, value: VendorExtension, head: bytes) -> None:
        check_items(value.content, 0, len(value.content))
        out += head[:4]
        out += len(value.content).to_bytes(4, "big")
        out += value.content

    def decode(buf: Buffer, pos: int, end: int) -> VendorExtension:
        check_items(buf, pos, end)
        return VendorExtension(content=bytes(buf[pos:end]))

    return encode, decode


SPECIAL[ProtocolVersion] = _version_codec
SPECIAL[VendorExtension] = _extension_codec
