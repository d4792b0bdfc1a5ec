"""The structures that are values of attributes (KMIP 1.4, sections 2.1 and 3).

A field is named like its tag; ``T | None`` is optional, ``tuple[T, ...]`` may be repeated. What a field means is said
where the standard's title does not say it.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from keyrack.spec.enumerations import (
    AlternativeNameType,
    BlockCipherMode,
    CryptographicAlgorithm,
    DigitalSignatureAlgorithm,
    DRBGAlgorithm,
    Fips186Variation,
    HashingAlgorithm,
    KeyFormatType,
    KeyRoleType,
    KeyValueLocationType,
    LinkType,
    MaskGenerator,
    NameType,
    PaddingMethod,
    RecommendedCurve,
    RevocationReasonCode,
    RNGAlgorithm,
    UsageLimitsUnit,
)
from keyrack.spec.tags import Tag
from keyrack.spec.types import LongInteger, Since
from keyrack.spec.versions import V1_1, V1_2


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """Name (KMIP 1.4, 3.2): what a client calls an object; unique among the objects of its owner."""

    TAG: ClassVar[Tag] = Tag.NAME

    name_value: str
    name_type: NameType | int


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptographicParameters:
    """Cryptographic Parameters (KMIP 1.4, 3.6): how a key is to be used; grew in 1.2 and 1.4."""

    TAG: ClassVar[Tag] = Tag.CRYPTOGRAPHIC_PARAMETERS

    block_cipher_mode: BlockCipherMode | int | None = None
    padding_method: PaddingMethod | int | None = None
    hashing_algorithm: HashingAlgorithm | int | None = None
    key_role_type: KeyRoleType | int | None = None
    digital_signature_algorithm: Annotated[DigitalSignatureAlgorithm | int | None, Since(V1_2)] = None
    cryptographic_algorithm: Annotated[CryptographicAlgorithm | int | None, Since(V1_2)] = None
    random_iv: bool | None = None
    iv_length: int | None = None
    """In bits, like every length of this structure but Salt Length, which is in bytes."""
    tag_length: int | None = None
    fixed_field_length: int | None = None
    invocation_field_length: int | None = None
    counter_length: int | None = None
    initial_counter_value: int | None = None
    salt_length: int | None = None
    mask_generator: MaskGenerator | int | None = None
    mask_generator_hashing_algorithm: HashingAlgorithm | int | None = None
    p_source: bytes | None = None
    trailer_field: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CryptographicDomainParameters:
    """Cryptographic Domain Parameters (KMIP 1.4, 3.7): what Create Key Pair needs beside algorithm and length."""

    TAG: ClassVar[Tag] = Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS

    qlength: int | None = None
    recommended_curve: RecommendedCurve | int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class X509CertificateIdentifier:
    """X.509 Certificate Identifier (KMIP 1.4, 3.10), in DER."""

    TAG: ClassVar[Tag] = Tag.X_509_CERTIFICATE_IDENTIFIER

    issuer_distinguished_name: bytes
    certificate_serial_number: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class X509CertificateSubject:
    """X.509 Certificate Subject (KMIP 1.4, 3.11), in DER."""

    TAG: ClassVar[Tag] = Tag.X_509_CERTIFICATE_SUBJECT

    subject_distinguished_name: bytes
    subject_alternative_name: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class X509CertificateIssuer:
    """X.509 Certificate Issuer (KMIP 1.4, 3.12), in DER."""

    TAG: ClassVar[Tag] = Tag.X_509_CERTIFICATE_ISSUER

    issuer_distinguished_name: bytes
    issuer_alternative_name: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIdentifier:
    """Certificate Identifier (KMIP 1.4, 3.13), deprecated since 1.1."""

    TAG: ClassVar[Tag] = Tag.CERTIFICATE_IDENTIFIER

    issuer: str
    serial_number: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSubject:
    """Certificate Subject (KMIP 1.4, 3.14), deprecated since 1.1."""

    TAG: ClassVar[Tag] = Tag.CERTIFICATE_SUBJECT

    certificate_subject_distinguished_name: str
    certificate_subject_alternative_name: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateIssuer:
    """Certificate Issuer (KMIP 1.4, 3.15), deprecated since 1.1."""

    TAG: ClassVar[Tag] = Tag.CERTIFICATE_ISSUER

    certificate_issuer_distinguished_name: str
    certificate_issuer_alternative_name: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """Digest (KMIP 1.4, 3.17): of the material in one Key Format Type, which is named from 1.1 on."""

    TAG: ClassVar[Tag] = Tag.DIGEST

    hashing_algorithm: HashingAlgorithm | int
    digest_value: bytes | None = None
    key_format_type: Annotated[KeyFormatType | int | None, Since(V1_1)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageLimits:
    """Usage Limits (KMIP 1.4, 3.21): how much a key may still protect.

    A client sends no Usage Limits Count: the server keeps it. The count falls from the total to 0.
    """

    TAG: ClassVar[Tag] = Tag.USAGE_LIMITS

    usage_limits_total: LongInteger
    usage_limits_count: LongInteger | None = None
    usage_limits_unit: UsageLimitsUnit | int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationReason:
    """Revocation Reason (KMIP 1.4, 3.31)."""

    TAG: ClassVar[Tag] = Tag.REVOCATION_REASON

    revocation_reason_code: RevocationReasonCode | int
    revocation_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Link (KMIP 1.4, 3.35): from one object to another."""

    TAG: ClassVar[Tag] = Tag.LINK

    link_type: LinkType | int
    linked_object_identifier: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSpecificInformation:
    """Application Specific Information (KMIP 1.4, 3.36).

    A client may leave Application Data out, so that the server makes it.
    """

    TAG: ClassVar[Tag] = Tag.APPLICATION_SPECIFIC_INFORMATION

    application_namespace: str
    application_data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlternativeName:
    """Alternative Name (KMIP 1.4, 3.40): another name of an object, which need not be unique."""

    TAG: ClassVar[Tag] = Tag.ALTERNATIVE_NAME

    alternative_name_value: str
    alternative_name_type: AlternativeNameType | int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueLocation:
    """Key Value Location (KMIP 1.4, 3.42): where the value of a key is that the server does not hold."""

    TAG: ClassVar[Tag] = Tag.KEY_VALUE_LOCATION

    key_value_location_value: str
    key_value_location_type: KeyValueLocationType | int


@dataclass(frozen=True, slots=True, kw_only=True)
class RNGParameters:
    """RNG Parameters (KMIP 1.4, 2.1.18): the random number generator that made a key."""

    TAG: ClassVar[Tag] = Tag.RNG_PARAMETERS

    rng_algorithm: RNGAlgorithm | int
    cryptographic_algorithm: CryptographicAlgorithm | int | None = None
    cryptographic_length: int | None = None
    hashing_algorithm: HashingAlgorithm | int | None = None
    drbg_algorithm: DRBGAlgorithm | int | None = None
    recommended_curve: RecommendedCurve | int | None = None
    fips186_variation: Fips186Variation | int | None = None
    prediction_resistance: bool | None = None
