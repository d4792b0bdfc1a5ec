"""What a registered certificate says of itself, as attributes (KMIP 1.4, 3.8 to 3.16)."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from keyrack.spec.enumerations import CertificateType, CryptographicAlgorithm, DigitalSignatureAlgorithm
from keyrack.spec.structures import (
    CertificateIdentifier,
    CertificateIssuer,
    CertificateSubject,
    X509CertificateIdentifier,
    X509CertificateIssuer,
    X509CertificateSubject,
)
from keyrack.wire.objects import Certificate

SIGNATURES: Final[Mapping[str, DigitalSignatureAlgorithm]] = {
    "1.2.840.113549.1.1.4": DigitalSignatureAlgorithm.MD5_WITH_RSA_ENCRYPTION_PKCS1_V1_5,
    "1.2.840.113549.1.1.5": DigitalSignatureAlgorithm.SHA_1_WITH_RSA_ENCRYPTION_PKCS1_V1_5,
    "1.2.840.113549.1.1.14": DigitalSignatureAlgorithm.SHA_224_WITH_RSA_ENCRYPTION_PKCS1_V1_5,
    "1.2.840.113549.1.1.11": DigitalSignatureAlgorithm.SHA_256_WITH_RSA_ENCRYPTION_PKCS1_V1_5,
    "1.2.840.113549.1.1.12": DigitalSignatureAlgorithm.SHA_384_WITH_RSA_ENCRYPTION_PKCS1_V1_5,
    "1.2.840.113549.1.1.13": DigitalSignatureAlgorithm.SHA_512_WITH_RSA_ENCRYPTION_PKCS1_V1_5,
    "1.2.840.113549.1.1.10": DigitalSignatureAlgorithm.RSASSA_PSS_PKCS1_V2_1,
    "1.2.840.10040.4.3": DigitalSignatureAlgorithm.DSA_WITH_SHA_1,
    "2.16.840.1.101.3.4.3.1": DigitalSignatureAlgorithm.DSA_WITH_SHA224,
    "2.16.840.1.101.3.4.3.2": DigitalSignatureAlgorithm.DSA_WITH_SHA256,
    "1.2.840.10045.4.1": DigitalSignatureAlgorithm.ECDSA_WITH_SHA_1,
    "1.2.840.10045.4.3.1": DigitalSignatureAlgorithm.ECDSA_WITH_SHA224,
    "1.2.840.10045.4.3.2": DigitalSignatureAlgorithm.ECDSA_WITH_SHA256,
    "1.2.840.10045.4.3.3": DigitalSignatureAlgorithm.ECDSA_WITH_SHA384,
    "1.2.840.10045.4.3.4": DigitalSignatureAlgorithm.ECDSA_WITH_SHA512,
}
"""Object identifiers of signature algorithms (RFC 8017, RFC 5758, RFC 3279)."""


def attributes(certificate: Certificate) -> Mapping[str, Any]:
    """The attributes of a certificate; of one that cannot be parsed, its type and length alone.

    A certificate is kept for its bytes: that a library finds it odd is no reason to refuse it.
    """
    own: dict[str, Any] = {
        "Certificate Type": certificate.certificate_type,
        "Certificate Length": len(certificate.certificate_value),
    }
    if certificate.certificate_type == CertificateType.X_509:
        with suppress(ValueError, UnsupportedAlgorithm):
            own |= _x509(x509.load_der_x509_certificate(certificate.certificate_value))
    return own


def _x509(parsed: x509.Certificate) -> Mapping[str, Any]:
    subject, issuer = parsed.subject.rfc4514_string(), parsed.issuer.rfc4514_string()
    algorithm, length = _key(parsed)
    return {
        "Cryptographic Algorithm": algorithm,
        "Cryptographic Length": length,
        "Digital Signature Algorithm": SIGNATURES.get(parsed.signature_algorithm_oid.dotted_string),
        "X.509 Certificate Identifier": X509CertificateIdentifier(
            issuer_distinguished_name=parsed.issuer.public_bytes(),
            certificate_serial_number=_serial(parsed.serial_number),
        ),
        "X.509 Certificate Subject": X509CertificateSubject(subject_distinguished_name=parsed.subject.public_bytes()),
        "X.509 Certificate Issuer": X509CertificateIssuer(issuer_distinguished_name=parsed.issuer.public_bytes()),
        "Certificate Identifier": CertificateIdentifier(issuer=issuer, serial_number=f"{parsed.serial_number:X}"),
        "Certificate Subject": CertificateSubject(certificate_subject_distinguished_name=subject),
        "Certificate Issuer": CertificateIssuer(certificate_issuer_distinguished_name=issuer),
    }


def _serial(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)


def _key(parsed: x509.Certificate) -> tuple[CryptographicAlgorithm | None, int | None]:
    match parsed.public_key():
        case rsa.RSAPublicKey() as key:
            return CryptographicAlgorithm.RSA, key.key_size
        case dsa.DSAPublicKey() as key:
            return CryptographicAlgorithm.DSA, key.key_size
        case ec.EllipticCurvePublicKey() as key:
            return CryptographicAlgorithm.ECDSA, key.curve.key_size
        case _:
            return None, None
