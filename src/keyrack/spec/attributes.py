"""The attributes of KMIP 1.0 to 1.4 (section 3), as one table.

The rows are those of the standard's rule tables in 1.4; what changed since 1.0 is only which attributes there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Flag, auto
from types import MappingProxyType
from typing import Any, Final

from keyrack.spec.enumerations import (
    CertificateType,
    CryptographicAlgorithm,
    CryptographicUsageMask,
    DigitalSignatureAlgorithm,
    ObjectType,
    State,
)
from keyrack.spec.structures import (
    AlternativeName,
    ApplicationSpecificInformation,
    CertificateIdentifier,
    CertificateIssuer,
    CertificateSubject,
    CryptographicDomainParameters,
    CryptographicParameters,
    Digest,
    KeyValueLocation,
    Link,
    Name,
    RevocationReason,
    RNGParameters,
    UsageLimits,
    X509CertificateIdentifier,
    X509CertificateIssuer,
    X509CertificateSubject,
)
from keyrack.spec.tags import Tag
from keyrack.spec.types import DateTime, Interval
from keyrack.spec.versions import ProtocolVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeWord:
    """What the standard says about one attribute."""

    name: str
    """The Attribute Name that travels: ``"Cryptographic Algorithm"``."""
    tag: Tag
    type: Any
    """``str``, ``int``, ``bool``, an enumeration, a structure, or an annotation of ``spec.types``.

    A mask is read as a plain ``int``: any 32 bits may come.
    """
    since: ProtocolVersion
    multiple: bool
    """More than one instance is permitted."""
    always: bool
    """It SHALL always have a value, on the objects that it applies to."""
    set_by: frozenset[str]
    """Who may set it first: ``"client"``, ``"server"``, or both."""
    modifiable_by_client: bool
    """By Modify Attribute; some only in some states, which ``domain.attributes`` knows."""
    deletable_by_client: bool
    """By Delete Attribute."""
    applies_to: frozenset[ObjectType]
    section: str
    """The section of KMIP 1.4."""


class _Rule(Flag):
    NONE = 0
    ALWAYS = auto()
    MULTIPLE = auto()
    MODIFIABLE = auto()
    DELETABLE = auto()


ALWAYS, MULTIPLE, MODIFIABLE, DELETABLE = _Rule.ALWAYS, _Rule.MULTIPLE, _Rule.MODIFIABLE, _Rule.DELETABLE

SERVER: Final = frozenset({"server"})
CLIENT: Final = frozenset({"client"})
EITHER: Final = SERVER | CLIENT

ALL_OBJECTS: Final = frozenset(ObjectType)
SYMMETRIC_KEYS: Final = frozenset({ObjectType.SYMMETRIC_KEY, ObjectType.SPLIT_KEY})
ASYMMETRIC_KEYS: Final = frozenset({ObjectType.PUBLIC_KEY, ObjectType.PRIVATE_KEY})
PGP_KEYS: Final = frozenset({ObjectType.PGP_KEY})
KEYS: Final = SYMMETRIC_KEYS | ASYMMETRIC_KEYS | PGP_KEYS
CERTIFICATES: Final = frozenset({ObjectType.CERTIFICATE})
TEMPLATES: Final = frozenset({ObjectType.TEMPLATE})
OPAQUE_OBJECTS: Final = frozenset({ObjectType.OPAQUE_OBJECT})
CRYPTOGRAPHIC_OBJECTS: Final = KEYS | CERTIFICATES | {ObjectType.SECRET_DATA}
"""The Managed Cryptographic Objects (KMIP 1.4, 2.2): every object but templates and opaque objects."""
SECRET_OBJECTS: Final = SYMMETRIC_KEYS | {ObjectType.PRIVATE_KEY, ObjectType.SECRET_DATA}


def _word(  # noqa: PLR0917 - a row of a table reads best without names
    section: str,
    tag: Tag,
    type_: Any,
    applies_to: frozenset[ObjectType],
    set_by: frozenset[str],
    rule: _Rule = _Rule.NONE,
) -> AttributeWord:
    """One row; an attribute's name and first version are those of its tag."""
    return AttributeWord(
        name=tag.title,
        tag=tag,
        type=type_,
        since=tag.since,
        multiple=MULTIPLE in rule,
        always=ALWAYS in rule,
        set_by=set_by,
        modifiable_by_client=MODIFIABLE in rule,
        deletable_by_client=DELETABLE in rule,
        applies_to=applies_to,
        section=section,
    )


_WORDS: Final = (
    _word("3.1", Tag.UNIQUE_IDENTIFIER, str, ALL_OBJECTS, SERVER, ALWAYS),
    _word("3.2", Tag.NAME, Name, ALL_OBJECTS, CLIENT, MULTIPLE | MODIFIABLE | DELETABLE),
    _word("3.3", Tag.OBJECT_TYPE, ObjectType, ALL_OBJECTS, SERVER, ALWAYS),
    _word("3.4", Tag.CRYPTOGRAPHIC_ALGORITHM, CryptographicAlgorithm, KEYS | CERTIFICATES | TEMPLATES, SERVER, ALWAYS),
    _word("3.5", Tag.CRYPTOGRAPHIC_LENGTH, int, KEYS | CERTIFICATES | TEMPLATES, SERVER, ALWAYS),
    _word(
        "3.6",
        Tag.CRYPTOGRAPHIC_PARAMETERS,
        CryptographicParameters,
        KEYS | CERTIFICATES | TEMPLATES,
        CLIENT,
        MULTIPLE | MODIFIABLE | DELETABLE,
    ),
    _word(
        "3.7", Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS, CryptographicDomainParameters, ASYMMETRIC_KEYS | TEMPLATES, CLIENT
    ),
    _word("3.8", Tag.CERTIFICATE_TYPE, CertificateType, CERTIFICATES, SERVER, ALWAYS),
    _word("3.9", Tag.CERTIFICATE_LENGTH, int, CERTIFICATES, SERVER, ALWAYS),
    _word("3.10", Tag.X_509_CERTIFICATE_IDENTIFIER, X509CertificateIdentifier, CERTIFICATES, SERVER, ALWAYS),
    _word("3.11", Tag.X_509_CERTIFICATE_SUBJECT, X509CertificateSubject, CERTIFICATES, SERVER, ALWAYS),
    _word("3.12", Tag.X_509_CERTIFICATE_ISSUER, X509CertificateIssuer, CERTIFICATES, SERVER, ALWAYS),
    _word("3.13", Tag.CERTIFICATE_IDENTIFIER, CertificateIdentifier, CERTIFICATES, SERVER, ALWAYS),
    _word("3.14", Tag.CERTIFICATE_SUBJECT, CertificateSubject, CERTIFICATES, SERVER, ALWAYS),
    _word("3.15", Tag.CERTIFICATE_ISSUER, CertificateIssuer, CERTIFICATES, SERVER, ALWAYS),
    _word(
        "3.16",
        Tag.DIGITAL_SIGNATURE_ALGORITHM,
        DigitalSignatureAlgorithm,
        CERTIFICATES | PGP_KEYS,
        SERVER,
        ALWAYS | MULTIPLE,
    ),
    _word("3.17", Tag.DIGEST, Digest, CRYPTOGRAPHIC_OBJECTS | OPAQUE_OBJECTS, SERVER, ALWAYS | MULTIPLE),
    _word("3.18", Tag.OPERATION_POLICY_NAME, str, ALL_OBJECTS, EITHER),
    _word(
        "3.19", Tag.CRYPTOGRAPHIC_USAGE_MASK, CryptographicUsageMask, CRYPTOGRAPHIC_OBJECTS | TEMPLATES, EITHER, ALWAYS
    ),
    _word("3.20", Tag.LEASE_TIME, Interval, CRYPTOGRAPHIC_OBJECTS, SERVER),
    _word("3.21", Tag.USAGE_LIMITS, UsageLimits, KEYS | TEMPLATES, EITHER, MODIFIABLE | DELETABLE),
    _word("3.22", Tag.STATE, State, CRYPTOGRAPHIC_OBJECTS, SERVER, ALWAYS),
    _word("3.23", Tag.INITIAL_DATE, DateTime, ALL_OBJECTS, SERVER, ALWAYS),
    _word("3.24", Tag.ACTIVATION_DATE, DateTime, CRYPTOGRAPHIC_OBJECTS | TEMPLATES, EITHER, MODIFIABLE),
    _word("3.25", Tag.PROCESS_START_DATE, DateTime, SYMMETRIC_KEYS | TEMPLATES, EITHER, MODIFIABLE),
    _word("3.26", Tag.PROTECT_STOP_DATE, DateTime, SYMMETRIC_KEYS | TEMPLATES, EITHER, MODIFIABLE),
    _word("3.27", Tag.DEACTIVATION_DATE, DateTime, CRYPTOGRAPHIC_OBJECTS | TEMPLATES, EITHER, MODIFIABLE),
    _word("3.28", Tag.DESTROY_DATE, DateTime, CRYPTOGRAPHIC_OBJECTS | OPAQUE_OBJECTS, SERVER),
    _word("3.29", Tag.COMPROMISE_OCCURRENCE_DATE, DateTime, CRYPTOGRAPHIC_OBJECTS | OPAQUE_OBJECTS, SERVER),
    _word("3.30", Tag.COMPROMISE_DATE, DateTime, CRYPTOGRAPHIC_OBJECTS | OPAQUE_OBJECTS, SERVER),
    _word("3.31", Tag.REVOCATION_REASON, RevocationReason, CRYPTOGRAPHIC_OBJECTS | OPAQUE_OBJECTS, SERVER),
    _word("3.32", Tag.ARCHIVE_DATE, DateTime, ALL_OBJECTS, SERVER),
    _word("3.33", Tag.OBJECT_GROUP, str, ALL_OBJECTS, EITHER, MULTIPLE | MODIFIABLE | DELETABLE),
    _word("3.34", Tag.FRESH, bool, CRYPTOGRAPHIC_OBJECTS, EITHER),
    _word("3.35", Tag.LINK, Link, CRYPTOGRAPHIC_OBJECTS, EITHER, MULTIPLE | MODIFIABLE | DELETABLE),
    _word(
        "3.36",
        Tag.APPLICATION_SPECIFIC_INFORMATION,
        ApplicationSpecificInformation,
        ALL_OBJECTS,
        EITHER,
        MULTIPLE | MODIFIABLE | DELETABLE,
    ),
    _word("3.37", Tag.CONTACT_INFORMATION, str, ALL_OBJECTS, EITHER, MODIFIABLE | DELETABLE),
    _word("3.38", Tag.LAST_CHANGE_DATE, DateTime, ALL_OBJECTS, SERVER, ALWAYS),
    _word("3.40", Tag.ALTERNATIVE_NAME, AlternativeName, ALL_OBJECTS, CLIENT, MULTIPLE | MODIFIABLE | DELETABLE),
    _word("3.41", Tag.KEY_VALUE_PRESENT, bool, SECRET_OBJECTS, SERVER),
    _word("3.42", Tag.KEY_VALUE_LOCATION, KeyValueLocation, SECRET_OBJECTS, CLIENT, MULTIPLE | MODIFIABLE | DELETABLE),
    _word("3.43", Tag.ORIGINAL_CREATION_DATE, DateTime, ALL_OBJECTS, EITHER),
    _word("3.44", Tag.RANDOM_NUMBER_GENERATOR, RNGParameters, CRYPTOGRAPHIC_OBJECTS, EITHER),
    _word("3.45", Tag.PKCS12_FRIENDLY_NAME, str, CRYPTOGRAPHIC_OBJECTS, EITHER, MODIFIABLE | DELETABLE),
    _word("3.46", Tag.DESCRIPTION, str, ALL_OBJECTS, EITHER, MODIFIABLE | DELETABLE),
    _word("3.47", Tag.COMMENT, str, ALL_OBJECTS, EITHER, MODIFIABLE | DELETABLE),
    _word("3.48", Tag.SENSITIVE, bool, ALL_OBJECTS, EITHER, ALWAYS | MODIFIABLE),
    _word("3.49", Tag.ALWAYS_SENSITIVE, bool, ALL_OBJECTS, SERVER, ALWAYS),
    _word("3.50", Tag.EXTRACTABLE, bool, ALL_OBJECTS, EITHER, ALWAYS | MODIFIABLE),
    _word("3.51", Tag.NEVER_EXTRACTABLE, bool, ALL_OBJECTS, SERVER, ALWAYS),
)

ATTRIBUTES: Final[Mapping[str, AttributeWord]] = MappingProxyType({word.name: word for word in _WORDS})
"""Every attribute by its name, in the order of the standard.

Custom attributes (section 3.39) are not in it: their names begin ``x-`` (set by a client) or ``y-`` (by the server),
they may have several instances, apply to all objects, and hold a ``spec.types.CustomValue``.
"""

CLIENT_PREFIX: Final = "x-"
SERVER_PREFIX: Final = "y-"


def is_custom(name: str) -> bool:
    """Whether ``name`` is that of a custom attribute (KMIP 1.4, 3.39)."""
    return name.startswith((CLIENT_PREFIX, SERVER_PREFIX))
