"""What a server says of itself when it is queried."""

from keyrack.spec.versions import V1_3
from keyrack.spec.word import Word


class ValidationAuthorityType(Word):
    """Validation Authority Type (KMIP 1.4, 9.1.3.2.40)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    NIST_CMVP = 0x02, "NIST CMVP", V1_3
    COMMON_CRITERIA = 0x03, "Common Criteria", V1_3


class ValidationType(Word):
    """Validation Type (KMIP 1.4, 9.1.3.2.41)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    HARDWARE = 0x02, "Hardware", V1_3
    SOFTWARE = 0x03, "Software", V1_3
    FIRMWARE = 0x04, "Firmware", V1_3
    HYBRID = 0x05, "Hybrid", V1_3


class UnwrapMode(Word):
    """Unwrap Mode (KMIP 1.4, 9.1.3.2.43)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    PROCESSED = 0x02, "Processed", V1_3
    NOT_PROCESSED = 0x03, "Not Processed", V1_3


class DestroyAction(Word):
    """Destroy Action (KMIP 1.4, 9.1.3.2.44)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    KEY_MATERIAL_DELETED = 0x02, "Key Material Deleted", V1_3
    KEY_MATERIAL_SHREDDED = 0x03, "Key Material Shredded", V1_3
    META_DATA_DELETED = 0x04, "Meta Data Deleted", V1_3
    META_DATA_SHREDDED = 0x05, "Meta Data Shredded", V1_3
    DELETED = 0x06, "Deleted", V1_3
    SHREDDED = 0x07, "Shredded", V1_3


class ShreddingAlgorithm(Word):
    """Shredding Algorithm (KMIP 1.4, 9.1.3.2.45)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    CRYPTOGRAPHIC = 0x02, "Cryptographic", V1_3
    UNSUPPORTED = 0x03, "Unsupported", V1_3


class ClientRegistrationMethod(Word):
    """Client Registration Method (KMIP 1.4, 9.1.3.2.47)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    SERVER_PRE_GENERATED = 0x02, "Server Pre-Generated", V1_3
    SERVER_ON_DEMAND = 0x03, "Server On-Demand", V1_3
    CLIENT_GENERATED = 0x04, "Client Generated", V1_3
    CLIENT_REGISTERED = 0x05, "Client Registered", V1_3
