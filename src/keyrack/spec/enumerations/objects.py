"""What the objects are: types, formats, names and states."""

from keyrack.spec.versions import V1_1, V1_2, V1_3, V1_4
from keyrack.spec.word import Word


class ObjectType(Word):
    """Object Type (KMIP 1.4, 9.1.3.2.12)."""

    CERTIFICATE = 0x01, "Certificate"
    SYMMETRIC_KEY = 0x02, "Symmetric Key"
    PUBLIC_KEY = 0x03, "Public Key"
    PRIVATE_KEY = 0x04, "Private Key"
    SPLIT_KEY = 0x05, "Split Key"
    TEMPLATE = 0x06, "Template"
    SECRET_DATA = 0x07, "Secret Data"
    OPAQUE_OBJECT = 0x08, "Opaque Object"
    PGP_KEY = 0x09, "PGP Key", V1_2


class State(Word):
    """State (KMIP 1.4, 9.1.3.2.18)."""

    PRE_ACTIVE = 0x01, "Pre-Active"
    ACTIVE = 0x02, "Active"
    DEACTIVATED = 0x03, "Deactivated"
    COMPROMISED = 0x04, "Compromised"
    DESTROYED = 0x05, "Destroyed"
    DESTROYED_COMPROMISED = 0x06, "Destroyed Compromised"


class KeyFormatType(Word):
    """Key Format Type (KMIP 1.4, 9.1.3.2.3)."""

    RAW = 0x01, "Raw"
    OPAQUE = 0x02, "Opaque"
    PKCS1 = 0x03, "PKCS#1"
    PKCS8 = 0x04, "PKCS#8"
    X_509 = 0x05, "X.509"
    ECPRIVATEKEY = 0x06, "ECPrivateKey"
    TRANSPARENT_SYMMETRIC_KEY = 0x07, "Transparent Symmetric Key"
    TRANSPARENT_DSA_PRIVATE_KEY = 0x08, "Transparent DSA Private Key"
    TRANSPARENT_DSA_PUBLIC_KEY = 0x09, "Transparent DSA Public Key"
    TRANSPARENT_RSA_PRIVATE_KEY = 0x0A, "Transparent RSA Private Key"
    TRANSPARENT_RSA_PUBLIC_KEY = 0x0B, "Transparent RSA Public Key"
    TRANSPARENT_DH_PRIVATE_KEY = 0x0C, "Transparent DH Private Key"
    TRANSPARENT_DH_PUBLIC_KEY = 0x0D, "Transparent DH Public Key"
    TRANSPARENT_ECDSA_PRIVATE_KEY = 0x0E, "Transparent ECDSA Private Key"
    TRANSPARENT_ECDSA_PUBLIC_KEY = 0x0F, "Transparent ECDSA Public Key"
    TRANSPARENT_ECDH_PRIVATE_KEY = 0x10, "Transparent ECDH Private Key"
    TRANSPARENT_ECDH_PUBLIC_KEY = 0x11, "Transparent ECDH Public Key"
    TRANSPARENT_ECMQV_PRIVATE_KEY = 0x12, "Transparent ECMQV Private Key"
    TRANSPARENT_ECMQV_PUBLIC_KEY = 0x13, "Transparent ECMQV Public Key"
    TRANSPARENT_EC_PRIVATE_KEY = 0x14, "Transparent EC Private Key", V1_3
    TRANSPARENT_EC_PUBLIC_KEY = 0x15, "Transparent EC Public Key", V1_3
    PKCS12 = 0x16, "PKCS#12", V1_4


class KeyCompressionType(Word):
    """Key Compression Type (KMIP 1.4, 9.1.3.2.2)."""

    EC_PUBLIC_KEY_TYPE_UNCOMPRESSED = 0x01, "EC Public Key Type Uncompressed"
    EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_PRIME = 0x02, "EC Public Key Type X9.62 Compressed Prime"
    EC_PUBLIC_KEY_TYPE_X9_62_COMPRESSED_CHAR2 = 0x03, "EC Public Key Type X9.62 Compressed Char2"
    EC_PUBLIC_KEY_TYPE_X9_62_HYBRID = 0x04, "EC Public Key Type X9.62 Hybrid"


class KeyWrapType(Word):
    """Key Wrap Type (KMIP 1.4, 9.1.3.2.48)."""

    NOT_WRAPPED = 0x01, "Not Wrapped", V1_4
    AS_REGISTERED = 0x02, "As Registered", V1_4


class KeyValueLocationType(Word):
    """Key Value Location Type (KMIP 1.4, 9.1.3.2.35)."""

    UNINTERPRETED_TEXT_STRING = 0x01, "Uninterpreted Text String", V1_2
    URI = 0x02, "URI", V1_2


class SplitKeyMethod(Word):
    """Split Key Method (KMIP 1.4, 9.1.3.2.8)."""

    XOR = 0x01, "XOR"
    POLYNOMIAL_SHARING_GF_2_16 = 0x02, "Polynomial Sharing GF (216)"
    POLYNOMIAL_SHARING_PRIME_FIELD = 0x03, "Polynomial Sharing Prime Field"
    POLYNOMIAL_SHARING_GF_2_8 = 0x04, "Polynomial Sharing GF (28)", V1_2


class SecretDataType(Word):
    """Secret Data Type (KMIP 1.4, 9.1.3.2.9)."""

    PASSWORD = 0x01, "Password"
    SEED = 0x02, "Seed"


class OpaqueDataType(Word):
    """Opaque Data Type (KMIP 1.4, 9.1.3.2.10)."""


class CertificateType(Word):
    """Certificate Type (KMIP 1.4, 9.1.3.2.6)."""

    X_509 = 0x01, "X.509"
    PGP = 0x02, "PGP"


class CertificateRequestType(Word):
    """Certificate Request Type (KMIP 1.4, 9.1.3.2.22)."""

    CRMF = 0x01, "CRMF"
    PKCS10 = 0x02, "PKCS#10"
    PEM = 0x03, "PEM"
    PGP = 0x04, "PGP"


class NameType(Word):
    """Name Type (KMIP 1.4, 9.1.3.2.11)."""

    UNINTERPRETED_TEXT_STRING = 0x01, "Uninterpreted Text String"
    URI = 0x02, "URI"


class AlternativeNameType(Word):
    """Alternative Name Type (KMIP 1.4, 9.1.3.2.34)."""

    UNINTERPRETED_TEXT_STRING = 0x01, "Uninterpreted Text String", V1_2
    URI = 0x02, "URI", V1_2
    OBJECT_SERIAL_NUMBER = 0x03, "Object Serial Number", V1_2
    EMAIL_ADDRESS = 0x04, "Email Address", V1_2
    DNS_NAME = 0x05, "DNS Name", V1_2
    X_500_DISTINGUISHED_NAME = 0x06, "X.500 Distinguished Name", V1_2
    IP_ADDRESS = 0x07, "IP Address", V1_2


class LinkType(Word):
    """Link Type (KMIP 1.4, 9.1.3.2.20)."""

    CERTIFICATE_LINK = 0x101, "Certificate Link"
    PUBLIC_KEY_LINK = 0x102, "Public Key Link"
    PRIVATE_KEY_LINK = 0x103, "Private Key Link"
    DERIVATION_BASE_OBJECT_LINK = 0x104, "Derivation Base Object Link"
    DERIVED_KEY_LINK = 0x105, "Derived Key Link"
    REPLACEMENT_OBJECT_LINK = 0x106, "Replacement Object Link"
    REPLACED_OBJECT_LINK = 0x107, "Replaced Object Link"
    PARENT_LINK = 0x108, "Parent Link", V1_2
    CHILD_LINK = 0x109, "Child Link", V1_2
    PREVIOUS_LINK = 0x10A, "Previous Link", V1_2
    NEXT_LINK = 0x10B, "Next Link", V1_2
    PKCS12_CERTIFICATE_LINK = 0x10C, "PKCS#12 Certificate Link", V1_4
    PKCS12_PASSWORD_LINK = 0x10D, "PKCS#12 Password Link", V1_4


class ObjectGroupMember(Word):
    """Object Group Member (KMIP 1.4, 9.1.3.2.33)."""

    GROUP_MEMBER_FRESH = 0x01, "Group Member Fresh", V1_1
    GROUP_MEMBER_DEFAULT = 0x02, "Group Member Default", V1_1


class RevocationReasonCode(Word):
    """Revocation Reason Code (KMIP 1.4, 9.1.3.2.19)."""

    UNSPECIFIED = 0x01, "Unspecified"
    KEY_COMPROMISE = 0x02, "Key Compromise"
    CA_COMPROMISE = 0x03, "CA Compromise"
    AFFILIATION_CHANGED = 0x04, "Affiliation Changed"
    SUPERSEDED = 0x05, "Superseded"
    CESSATION_OF_OPERATION = 0x06, "Cessation of Operation"
    PRIVILEGE_WITHDRAWN = 0x07, "Privilege Withdrawn"


class UsageLimitsUnit(Word):
    """Usage Limits Unit (KMIP 1.4, 9.1.3.2.31)."""

    BYTE = 0x01, "Byte"
    OBJECT = 0x02, "Object"


class KeyRoleType(Word):
    """Key Role Type (KMIP 1.4, 9.1.3.2.17)."""

    BDK = 0x01, "BDK"
    CVK = 0x02, "CVK"
    DEK = 0x03, "DEK"
    MKAC = 0x04, "MKAC"
    MKSMC = 0x05, "MKSMC"
    MKSMI = 0x06, "MKSMI"
    MKDAC = 0x07, "MKDAC"
    MKDN = 0x08, "MKDN"
    MKCP = 0x09, "MKCP"
    MKOTH = 0x0A, "MKOTH"
    KEK = 0x0B, "KEK"
    MAC16609 = 0x0C, "MAC16609"
    MAC97971 = 0x0D, "MAC97971"
    MAC97972 = 0x0E, "MAC97972"
    MAC97973 = 0x0F, "MAC97973"
    MAC97974 = 0x10, "MAC97974"
    MAC97975 = 0x11, "MAC97975"
    ZPK = 0x12, "ZPK"
    PVKIBM = 0x13, "PVKIBM"
    PVKPVV = 0x14, "PVKPVV"
    PVKOTH = 0x15, "PVKOTH"
    DUKPT = 0x16, "DUKPT", V1_4
    IV = 0x17, "IV", V1_4
    TRKBK = 0x18, "TRKBK", V1_4
