"""The masks of KMIP (section 9.1.3.3): sets of flags that travel as an Integer."""

from enum import IntFlag


class CryptographicUsageMask(IntFlag):
    """Cryptographic Usage Mask (KMIP 1.4, 9.1.3.3.1)."""

    SIGN = 0x1
    VERIFY = 0x2
    ENCRYPT = 0x4
    DECRYPT = 0x8
    WRAP_KEY = 0x10
    UNWRAP_KEY = 0x20
    EXPORT = 0x40
    MAC_GENERATE = 0x80
    MAC_VERIFY = 0x100
    DERIVE_KEY = 0x200
    CONTENT_COMMITMENT = 0x400
    KEY_AGREEMENT = 0x800
    CERTIFICATE_SIGN = 0x1000
    CRL_SIGN = 0x2000
    GENERATE_CRYPTOGRAM = 0x4000
    VALIDATE_CRYPTOGRAM = 0x8000
    TRANSLATE_ENCRYPT = 0x10000
    TRANSLATE_DECRYPT = 0x20000
    TRANSLATE_WRAP = 0x40000
    TRANSLATE_UNWRAP = 0x80000


class StorageStatusMask(IntFlag):
    """Storage Status Mask (KMIP 1.4, 9.1.3.3.2)."""

    ON_LINE_STORAGE = 0x1
    ARCHIVAL_STORAGE = 0x2
