"""Credentials in a request's header (KMIP 1.4, 2.1.2): their form depends on the Credential Type."""

from collections.abc import Mapping
from struct import Struct
from typing import ClassVar, Final

from keyrack.spec.enumerations import AttestationType, CredentialType
from keyrack.spec.tags import Tag
from keyrack.spec.types import ItemType, SecretBytes, SecretText
from keyrack.spec.versions import ProtocolVersion
from keyrack.wire.codec import DECODERS, ENCODERS, Buffer, Decoder, Encoder, Late, structure, structure_head
from keyrack.wire.declare import SPECIAL
from keyrack.wire.errors import Unexpected
from keyrack.wire.refusals import refuse
from keyrack.wire.scalars import not_zero
from keyrack.wire.wellformed import check_item


@structure
class Nonce:
    """Nonce (KMIP 1.4, 2.1.14; since 1.2)."""

    TAG: ClassVar[Tag] = Tag.NONCE

    nonce_id: bytes
    nonce_value: bytes


@structure
class UsernameAndPassword:
    """The value of a Username and Password credential."""

    TAG: ClassVar[Tag] = Tag.CREDENTIAL_VALUE

    username: str
    password: SecretText | None = None


@structure
class Device:
    """The value of a Device credential (since 1.1)."""

    TAG: ClassVar[Tag] = Tag.CREDENTIAL_VALUE

    device_serial_number: str | None = None
    password: SecretText | None = None
    device_identifier: str | None = None
    network_identifier: str | None = None
    machine_identifier: str | None = None
    media_identifier: str | None = None


@structure
class Attestation:
    """The value of an Attestation credential (since 1.2)."""

    TAG: ClassVar[Tag] = Tag.CREDENTIAL_VALUE

    nonce: Nonce
    attestation_type: AttestationType | int
    attestation_measurement: bytes | None = None
    attestation_assertion: bytes | None = None


@structure
class OtherCredential:
    """The value of a credential of another type: the whole item in TTLV, checked to be such."""

    TAG: ClassVar[Tag] = Tag.CREDENTIAL_VALUE

    item: SecretBytes


@structure
class Credential:
    """Credential (KMIP 1.4, 2.1.2)."""

    TAG: ClassVar[Tag] = Tag.CREDENTIAL

    credential_type: CredentialType | int
    credential_value: UsernameAndPassword | Device | Attestation | OtherCredential


@structure
class Authentication:
    """Authentication (KMIP 1.4, 6.6): the credentials of a request's header, beside the client's certificate."""

    TAG: ClassVar[Tag] = Tag.AUTHENTICATION

    credential: tuple[Credential, ...] = ()


TYPES: Final[Mapping[int, CredentialType]] = {int(known): known for known in CredentialType}
VALUES: Final[Mapping[int, type]] = {
    CredentialType.USERNAME_AND_PASSWORD: UsernameAndPassword,
    CredentialType.DEVICE: Device,
    CredentialType.ATTESTATION: Attestation,
}

_TYPE: Final = (Tag.CREDENTIAL_TYPE << 8 | ItemType.ENUMERATION) << 32 | 4
_VALUE: Final = Tag.CREDENTIAL_VALUE << 8 | ItemType.STRUCTURE
_peek: Final = Struct(">Q").unpack_from
_get: Final = Struct(">QII").unpack_from
_put: Final = Struct(">QII").pack
_put_size: Final = Struct(">I").pack_into


def _credential_codec(version: ProtocolVersion) -> tuple[Encoder, Decoder]:
    encoders, decoders = ENCODERS[version], DECODERS[version]

    def encode(out: bytearray, late: Late, value: Credential, head: bytes) -> None:
        content = value.credential_value
        expected = _value_class(value.credential_type, version)
        if type(content) is not (expected or OtherCredential):
            raise Unexpected("Credential: the Credential Value is not of the Credential Type")
        out += head
        begin = len(out)
        out += _put(_TYPE, value.credential_type, 0)
        if isinstance(content, OtherCredential):
            check_item(content.item, 0, len(content.item))
            late.append((len(out), content.item))
            out += bytes(len(content.item))
        else:
            encoders[type(content)](out, late, content, structure_head(Tag.CREDENTIAL_VALUE))
        _put_size(out, begin - 4, len(out) - begin)

    def decode(buf: Buffer, pos: int, end: int) -> Credential:
        head, kind, rest = _get(buf, pos)
        if head != _TYPE:
            raise refuse("Credential", buf, pos, end, Tag.CREDENTIAL_TYPE.title)
        if rest:
            raise not_zero(pos)
        pos += 16
        stop = check_item(buf, pos, end)
        head = _peek(buf, pos)[0]
        if head >> 40 != Tag.CREDENTIAL_VALUE or stop != end:
            raise refuse("Credential", buf, pos, end, Tag.CREDENTIAL_VALUE.title)
        known = _value_class(kind, version)
        if known is None:
            other = OtherCredential(item=bytearray(memoryview(buf)[pos:end]))
            return Credential(credential_type=kind, credential_value=other)
        if head >> 32 != _VALUE:
            raise refuse("Credential", buf, pos, end, Tag.CREDENTIAL_VALUE.title)
        return Credential(credential_type=TYPES[kind], credential_value=decoders[known](buf, pos + 8, end))

    return encode, decode


def _value_class(credential_type: int, version: ProtocolVersion) -> type | None:
    """The declared value of a Credential Type, where the version has it."""
    known = VALUES.get(credential_type)
    return known if known is not None and TYPES[credential_type].since <= version else None


SPECIAL[Credential] = _credential_codec
