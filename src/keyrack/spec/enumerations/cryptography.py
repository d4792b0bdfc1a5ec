"""What the cryptography is: algorithms, modes, paddings, random number generators."""

from keyrack.spec.versions import V1_1, V1_2, V1_3, V1_4
from keyrack.spec.word import Word


class CryptographicAlgorithm(Word):
    """Cryptographic Algorithm (KMIP 1.4, 9.1.3.2.13)."""

    DES = 0x01, "DES"
    THREE_DES = 0x02, "3DES"
    AES = 0x03, "AES"
    RSA = 0x04, "RSA"
    DSA = 0x05, "DSA"
    ECDSA = 0x06, "ECDSA"
    HMAC_SHA1 = 0x07, "HMAC-SHA1"
    HMAC_SHA224 = 0x08, "HMAC-SHA224"
    HMAC_SHA256 = 0x09, "HMAC-SHA256"
    HMAC_SHA384 = 0x0A, "HMAC-SHA384"
    HMAC_SHA512 = 0x0B, "HMAC-SHA512"
    HMAC_MD5 = 0x0C, "HMAC-MD5"
    DH = 0x0D, "DH"
    ECDH = 0x0E, "ECDH"
    ECMQV = 0x0F, "ECMQV"
    BLOWFISH = 0x10, "Blowfish"
    CAMELLIA = 0x11, "Camellia"
    CAST5 = 0x12, "CAST5"
    IDEA = 0x13, "IDEA"
    MARS = 0x14, "MARS"
    RC2 = 0x15, "RC2"
    RC4 = 0x16, "RC4"
    RC5 = 0x17, "RC5"
    SKIPJACK = 0x18, "SKIPJACK"
    TWOFISH = 0x19, "Twofish"
    EC = 0x1A, "EC", V1_2
    ONE_TIME_PAD = 0x1B, "One Time Pad", V1_3
    CHACHA20 = 0x1C, "ChaCha20", V1_4
    POLY1305 = 0x1D, "Poly1305", V1_4
    CHACHA20POLY1305 = 0x1E, "ChaCha20Poly1305", V1_4
    SHA3_224 = 0x1F, "SHA3-224", V1_4
    SHA3_256 = 0x20, "SHA3-256", V1_4
    SHA3_384 = 0x21, "SHA3-384", V1_4
    SHA3_512 = 0x22, "SHA3-512", V1_4
    HMAC_SHA3_224 = 0x23, "HMAC-SHA3-224", V1_4
    HMAC_SHA3_256 = 0x24, "HMAC-SHA3-256", V1_4
    HMAC_SHA3_384 = 0x25, "HMAC-SHA3-384", V1_4
    HMAC_SHA3_512 = 0x26, "HMAC-SHA3-512", V1_4
    SHAKE_128 = 0x27, "SHAKE-128", V1_4
    SHAKE_256 = 0x28, "SHAKE-256", V1_4


class BlockCipherMode(Word):
    """Block Cipher Mode (KMIP 1.4, 9.1.3.2.14)."""

    CBC = 0x01, "CBC"
    ECB = 0x02, "ECB"
    PCBC = 0x03, "PCBC"
    CFB = 0x04, "CFB"
    OFB = 0x05, "OFB"
    CTR = 0x06, "CTR"
    CMAC = 0x07, "CMAC"
    CCM = 0x08, "CCM"
    GCM = 0x09, "GCM"
    CBC_MAC = 0x0A, "CBC-MAC"
    XTS = 0x0B, "XTS"
    AESKEYWRAPPADDING = 0x0C, "AESKeyWrapPadding"
    NISTKEYWRAP = 0x0D, "NISTKeyWrap"
    X9_102_AESKW = 0x0E, "X9.102 AESKW"
    X9_102_TDKW = 0x0F, "X9.102 TDKW"
    X9_102_AKW1 = 0x10, "X9.102 AKW1"
    X9_102_AKW2 = 0x11, "X9.102 AKW2"
    AEAD = 0x12, "AEAD", V1_4


class PaddingMethod(Word):
    """Padding Method (KMIP 1.4, 9.1.3.2.15)."""

    NONE = 0x01, "None"
    OAEP = 0x02, "OAEP"
    PKCS5 = 0x03, "PKCS5"
    SSL3 = 0x04, "SSL3"
    ZEROS = 0x05, "Zeros"
    ANSI_X9_23 = 0x06, "ANSI X9.23"
    ISO_10126 = 0x07, "ISO 10126"
    PKCS1_V1_5 = 0x08, "PKCS1 v1.5"
    X9_31 = 0x09, "X9.31"
    PSS = 0x0A, "PSS"


class HashingAlgorithm(Word):
    """Hashing Algorithm (KMIP 1.4, 9.1.3.2.16)."""

    MD2 = 0x01, "MD2"
    MD4 = 0x02, "MD4"
    MD5 = 0x03, "MD5"
    SHA_1 = 0x04, "SHA-1"
    SHA_224 = 0x05, "SHA-224"
    SHA_256 = 0x06, "SHA-256"
    SHA_384 = 0x07, "SHA-384"
    SHA_512 = 0x08, "SHA-512"
    RIPEMD_160 = 0x09, "RIPEMD-160"
    TIGER = 0x0A, "Tiger"
    WHIRLPOOL = 0x0B, "Whirlpool"
    SHA_512_224 = 0x0C, "SHA-512/224", V1_2
    SHA_512_256 = 0x0D, "SHA-512/256", V1_2
    SHA_3_224 = 0x0E, "SHA-3-224", V1_4
    SHA_3_256 = 0x0F, "SHA-3-256", V1_4
    SHA_3_384 = 0x10, "SHA-3-384", V1_4
    SHA_3_512 = 0x11, "SHA-3-512", V1_4


class MaskGenerator(Word):
    """Mask Generator (KMIP 1.4, 9.1.3.2.49)."""

    MGF1 = 0x01, "MGF1", V1_4


class DigitalSignatureAlgorithm(Word):
    """Digital Signature Algorithm (KMIP 1.4, 9.1.3.2.7)."""

    MD2_WITH_RSA_ENCRYPTION_PKCS1_V1_5 = 0x01, "MD2 with RSA Encryption (PKCS#1 v1.5)", V1_1
    MD5_WITH_RSA_ENCRYPTION_PKCS1_V1_5 = 0x02, "MD5 with RSA Encryption (PKCS#1 v1.5)", V1_1
    SHA_1_WITH_RSA_ENCRYPTION_PKCS1_V1_5 = 0x03, "SHA-1 with RSA Encryption (PKCS#1 v1.5)", V1_1
    SHA_224_WITH_RSA_ENCRYPTION_PKCS1_V1_5 = 0x04, "SHA-224 with RSA Encryption (PKCS#1 v1.5)", V1_1
    SHA_256_WITH_RSA_ENCRYPTION_PKCS1_V1_5 = 0x05, "SHA-256 with RSA Encryption (PKCS#1 v1.5)", V1_1
    SHA_384_WITH_RSA_ENCRYPTION_PKCS1_V1_5 = 0x06, "SHA-384 with RSA Encryption (PKCS#1 v1.5)", V1_1
    SHA_512_WITH_RSA_ENCRYPTION_PKCS1_V1_5 = 0x07, "SHA-512 with RSA Encryption (PKCS#1 v1.5)", V1_1
    RSASSA_PSS_PKCS1_V2_1 = 0x08, "RSASSA-PSS (PKCS#1 v2.1)", V1_1
    DSA_WITH_SHA_1 = 0x09, "DSA with SHA-1", V1_1
    DSA_WITH_SHA224 = 0x0A, "DSA with SHA224", V1_1
    DSA_WITH_SHA256 = 0x0B, "DSA with SHA256", V1_1
    ECDSA_WITH_SHA_1 = 0x0C, "ECDSA with SHA-1", V1_1
    ECDSA_WITH_SHA224 = 0x0D, "ECDSA with SHA224", V1_1
    ECDSA_WITH_SHA256 = 0x0E, "ECDSA with SHA256", V1_1
    ECDSA_WITH_SHA384 = 0x0F, "ECDSA with SHA384", V1_1
    ECDSA_WITH_SHA512 = 0x10, "ECDSA with SHA512", V1_1
    SHA3_256_WITH_RSA_ENCRYPTION = 0x11, "SHA3-256 with RSA Encryption", V1_4
    SHA3_384_WITH_RSA_ENCRYPTION = 0x12, "SHA3-384 with RSA Encryption", V1_4
    SHA3_512_WITH_RSA_ENCRYPTION = 0x13, "SHA3-512 with RSA Encryption", V1_4


class DerivationMethod(Word):
    """Derivation Method (KMIP 1.4, 9.1.3.2.21)."""

    PBKDF2 = 0x01, "PBKDF2"
    HASH = 0x02, "HASH"
    HMAC = 0x03, "HMAC"
    ENCRYPT = 0x04, "ENCRYPT"
    NIST800_108_C = 0x05, "NIST800-108-C"
    NIST800_108_F = 0x06, "NIST800-108-F"
    NIST800_108_DPI = 0x07, "NIST800-108-DPI"
    ASYMMETRIC_KEY = 0x08, "Asymmetric Key", V1_4


class WrappingMethod(Word):
    """Wrapping Method (KMIP 1.4, 9.1.3.2.4)."""

    ENCRYPT = 0x01, "Encrypt"
    MAC_SIGN = 0x02, "MAC/sign"
    ENCRYPT_THEN_MAC_SIGN = 0x03, "Encrypt then MAC/sign"
    MAC_SIGN_THEN_ENCRYPT = 0x04, "MAC/sign then encrypt"
    TR_31 = 0x05, "TR-31"


class EncodingOption(Word):
    """Encoding Option (KMIP 1.4, 9.1.3.2.32)."""

    NO_ENCODING = 0x01, "No Encoding", V1_1
    TTLV_ENCODING = 0x02, "TTLV Encoding", V1_1


class RNGAlgorithm(Word):
    """RNG Algorithm (KMIP 1.4, 9.1.3.2.37)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    FIPS_186_2 = 0x02, "FIPS 186-2", V1_3
    DRBG = 0x03, "DRBG", V1_3
    NRBG = 0x04, "NRBG", V1_3
    ANSI_X9_31 = 0x05, "ANSI X9.31", V1_3
    ANSI_X9_62 = 0x06, "ANSI X9.62", V1_3


class DRBGAlgorithm(Word):
    """DRBG Algorithm (KMIP 1.4, 9.1.3.2.38)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    DUAL_EC = 0x02, "Dual-EC", V1_3
    HASH = 0x03, "Hash", V1_3
    HMAC = 0x04, "HMAC", V1_3
    CTR = 0x05, "CTR", V1_3


class Fips186Variation(Word):
    """FIPS186 Variation (KMIP 1.4, 9.1.3.2.39)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    GP_X_ORIGINAL = 0x02, "GP x-Original", V1_3
    GP_X_CHANGE_NOTICE = 0x03, "GP x-Change Notice", V1_3
    X_ORIGINAL = 0x04, "x-Original", V1_3
    X_CHANGE_NOTICE = 0x05, "x-Change Notice", V1_3
    K_ORIGINAL = 0x06, "k-Original", V1_3
    K_CHANGE_NOTICE = 0x07, "k-Change Notice", V1_3


class RNGMode(Word):
    """RNG Mode (KMIP 1.4, 9.1.3.2.46)."""

    UNSPECIFIED = 0x01, "Unspecified", V1_3
    SHARED_INSTANTIATION = 0x02, "Shared Instantiation", V1_3
    NON_SHARED_INSTANTIATION = 0x03, "Non-Shared Instantiation", V1_3
