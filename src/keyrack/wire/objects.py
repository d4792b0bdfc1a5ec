"""The objects and the structures that they are made of (KMIP 1.4, 2.1 and 2.2)."""

from struct import Struct
from typing import ClassVar, Final

from keyrack.spec.enumerations import (
    CertificateType,
    CryptographicAlgorithm,
    EncodingOption,
    KeyCompressionType,
    KeyFormatType,
    OpaqueDataType,
    SecretDataType,
    SplitKeyMethod,
    WrappingMethod,
)
from keyrack.spec.structures import CryptographicParameters, Name
from keyrack.spec.tags import Tag
from keyrack.spec.types import BigInteger, ItemType, SecretBytes, Vanishing
from keyrack.spec.versions import ProtocolVersion
from keyrack.wire.attributes import Attribute
from keyrack.wire.codec import Buffer, Decoder, Encoder, Late, structure
from keyrack.wire.declare import SPECIAL
from keyrack.wire.scalars import PADDING, not_zero
from keyrack.wire.wellformed import check_items


@structure
class EncryptionKeyInformation:
    """Encryption Key Information (KMIP 1.4, 2.1.5): the key that encrypts, and how."""

    TAG: ClassVar[Tag] = Tag.ENCRYPTION_KEY_INFORMATION

    unique_identifier: str
    cryptographic_parameters: CryptographicParameters | None = None


@structure
class MacSignatureKeyInformation:
    """MAC/Signature Key Information (KMIP 1.4, 2.1.5): the key that authenticates, and how."""

    TAG: ClassVar[Tag] = Tag.MAC_SIGNATURE_KEY_INFORMATION

    unique_identifier: str
    cryptographic_parameters: CryptographicParameters | None = None


@structure
class KeyWrappingData:
    """Key Wrapping Data (KMIP 1.4, 2.1.5): how the Key Value beside it is wrapped."""

    TAG: ClassVar[Tag] = Tag.KEY_WRAPPING_DATA

    wrapping_method: WrappingMethod | int
    encryption_key_information: EncryptionKeyInformation | None = None
    mac_signature_key_information: MacSignatureKeyInformation | None = None
    mac_signature: bytes | None = None
    iv_counter_nonce: bytes | None = None
    encoding_option: EncodingOption | int | None = None
    """Left out, the wrapped Key Value is TTLV-encoded."""


@structure
class KeyWrappingSpecification:
    """Key Wrapping Specification (KMIP 1.4, 2.1.6): how a Get is to wrap the Key Value."""

    TAG: ClassVar[Tag] = Tag.KEY_WRAPPING_SPECIFICATION

    wrapping_method: WrappingMethod | int
    encryption_key_information: EncryptionKeyInformation | None = None
    mac_signature_key_information: MacSignatureKeyInformation | None = None
    attribute_name: tuple[str, ...] = ()
    """Attributes that are to be wrapped with the key."""
    encoding_option: EncodingOption | int | None = None


@structure
class TransparentSymmetricKey:
    """Transparent Symmetric Key (KMIP 1.4, 2.1.7.1)."""

    TAG: ClassVar[Tag] = Tag.KEY_MATERIAL

    key: SecretBytes


@structure
class TransparentKey:
    """The Key Material of any other transparent format (KMIP 1.4, 2.1.7), kept as TTLV that was checked to be such."""

    TAG: ClassVar[Tag] = Tag.KEY_MATERIAL

    content: SecretBytes


@structure
class KeyValue:
    """Key Value (KMIP 1.4, 2.1.4): the key material, and attributes that belong to it."""

    TAG: ClassVar[Tag] = Tag.KEY_VALUE

    key_material: SecretBytes | TransparentSymmetricKey | TransparentKey
    attribute: tuple[Attribute, ...] = ()


@structure
class KeyBlock:
    """Key Block (KMIP 1.4, 2.1.3): everything about a key's value."""

    TAG: ClassVar[Tag] = Tag.KEY_BLOCK

    key_format_type: KeyFormatType | int
    key_compression_type: KeyCompressionType | int | None = None
    key_value: KeyValue | SecretBytes | None = None
    """A structure, or, wrapped, a byte string; ``None`` where the server does not hold the value (from 1.2 on)."""
    cryptographic_algorithm: CryptographicAlgorithm | int | None = None
    cryptographic_length: int | None = None
    """In bits."""
    key_wrapping_data: KeyWrappingData | None = None


@structure
class Certificate:
    """Certificate (KMIP 1.4, 2.2.1)."""

    TAG: ClassVar[Tag] = Tag.CERTIFICATE

    certificate_type: CertificateType | int
    certificate_value: bytes
    """In DER."""


@structure
class SymmetricKey:
    """Symmetric Key (KMIP 1.4, 2.2.2)."""

    TAG: ClassVar[Tag] = Tag.SYMMETRIC_KEY

    key_block: KeyBlock


@structure
class PublicKey:
    """Public Key (KMIP 1.4, 2.2.3)."""

    TAG: ClassVar[Tag] = Tag.PUBLIC_KEY

    key_block: KeyBlock


@structure
class PrivateKey:
    """Private Key (KMIP 1.4, 2.2.4)."""

    TAG: ClassVar[Tag] = Tag.PRIVATE_KEY

    key_block: KeyBlock


@structure
class SplitKey:
    """Split Key (KMIP 1.4, 2.2.5)."""

    TAG: ClassVar[Tag] = Tag.SPLIT_KEY

    split_key_parts: int
    key_part_identifier: int
    split_key_threshold: int
    split_key_method: SplitKeyMethod | int
    prime_field_size: BigInteger | None = None
    key_block: KeyBlock


@structure
class Template:
    """Template (KMIP 1.4, 2.2.6), deprecated since 1.3."""

    TAG: ClassVar[Tag] = Tag.TEMPLATE

    attribute: tuple[Attribute, ...] = ()


@structure
class SecretData:
    """Secret Data (KMIP 1.4, 2.2.7)."""

    TAG: ClassVar[Tag] = Tag.SECRET_DATA

    secret_data_type: SecretDataType | int
    key_block: KeyBlock


@structure
class OpaqueObject:
    """Opaque Object (KMIP 1.4, 2.2.8)."""

    TAG: ClassVar[Tag] = Tag.OPAQUE_OBJECT

    opaque_data_type: OpaqueDataType | int
    opaque_data_value: SecretBytes


@structure
class PGPKey:
    """PGP Key (KMIP 1.4, 2.2.9; since 1.2)."""

    TAG: ClassVar[Tag] = Tag.PGP_KEY

    pgp_key_version: int
    key_block: KeyBlock


@structure
class TemplateAttribute:
    """Template-Attribute (KMIP 1.4, 2.1.8): the attributes of an object to be, and names of templates."""

    TAG: ClassVar[Tag] = Tag.TEMPLATE_ATTRIBUTE

    name: tuple[Name, ...] = ()
    attribute: tuple[Attribute, ...] = ()


# --- transparent keys: a symmetric key is read, the others are kept as they came ---

_KEY: Final = Tag.KEY << 8 | ItemType.BYTE_STRING
_peek: Final = Struct(">Q").unpack_from
_put: Final = Struct(">Q").pack
_put_size: Final = Struct(">I").pack_into


def _transparent_codec(version: ProtocolVersion) -> tuple[Encoder, Decoder]:
    def encode(out: bytearray, late: Late, value: TransparentSymmetricKey, head: bytes) -> None:
        size = len(value.key)
        padded = size + 7 & -8
        out += head
        _put_size(out, len(out) - 4, padded + 8)
        out += _put(_KEY << 32 | size)
        late.append((len(out), value.key))
        out += bytes(padded)

    def decode(buf: Buffer, pos: int, end: int) -> TransparentSymmetricKey | TransparentKey:
        head = _peek(buf, pos)[0] if pos < end else 0
        size = head & 0xFFFFFFFF
        stop = pos + 8 + size
        if head >> 32 != _KEY or stop + (-size & 7) != end:
            check_items(buf, pos, end)
            return TransparentKey(content=Vanishing(memoryview(buf)[pos:end]))
        if size & 7 and buf[stop:end] != PADDING[size & 7]:
            raise not_zero(pos)
        return TransparentSymmetricKey(key=Vanishing(memoryview(buf)[pos + 8 : stop]))

    return encode, decode


def _other_codec(version: ProtocolVersion) -> tuple[Encoder, Decoder]:
    def encode(out: bytearray, late: Late, value: TransparentKey, head: bytes) -> None:
        check_items(value.content, 0, len(value.content))
        out += head
        _put_size(out, len(out) - 4, len(value.content))
        late.append((len(out), value.content))
        out += bytes(len(value.content))

    return encode, _transparent_codec(version)[1]


SPECIAL[TransparentSymmetricKey] = _transparent_codec
SPECIAL[TransparentKey] = _other_codec
