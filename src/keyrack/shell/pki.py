"""The deployment's own certificate authority: makes the server's certificate and, on request, clients' pairs.

vCenter pins the server's certificate, so it lives long; its key is RSA-2048 because vSphere's documents ask for RSA.
A client's certificate counts because its fingerprint was added to an instance, never because this authority signed it.
"""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
KeyKind = Literal["rsa-2048", "ec-p256"]

AUTHORITY_DAYS = 7300
SERVER_DAYS = 3650
CLIENT_DAYS = 3650

_BACKDATED = timedelta(hours=1)
"""Certificates begin an hour ago: a client whose clock is a little behind is no attacker."""


def make_key(kind: KeyKind) -> PrivateKey:
    """A new private key. RSA-2048 takes some 100 ms, P-256 less than one."""
    if kind == "ec-p256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate's DER form, 64 lower-case hexadecimal digits."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate in PEM."""
        return pem_of(self.certificate)

    @property
    def key_pem(self) -> bytes:
        """The private key in PEM (PKCS #8), without passphrase."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def pkcs12(self, password: bytes, *, name: str, issuer: x509.Certificate | None = None) -> bytes:
        """Certificate, key and issuer as one PKCS #12 file under a password."""
        return pkcs12.serialize_key_and_certificates(
            name.encode(),
            self.key,
            self.certificate,
            [issuer] if issuer else None,
            serialization.BestAvailableEncryption(password),
        )

    def write(self, certificate: Path, key: Path, *, issuer: x509.Certificate | None = None) -> None:
        """Write both files, the key readable by its owner alone; refuses to replace a file."""
        chain = issuer.public_bytes(serialization.Encoding.PEM) if issuer else b""
        write_private(key, self.key_pem)
        write_new(certificate, self.certificate_pem + chain)


def make_authority(common_name: str, *, now: datetime, key: PrivateKey, days: int = AUTHORITY_DAYS) -> Pair:
    """A self-signed certificate authority that may sign leaves alone."""
    name = _name(common_name)
    builder = _builder(name, name, key.public_key(), now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(sign_certificates=True), critical=True)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue_server(
    authority: Pair, names: Sequence[str], *, now: datetime, key: PrivateKey, days: int = SERVER_DAYS
) -> Pair:
    """The certificate of the KMIP listener, for these host names and addresses."""
    alternative = alternative_names(names)
    purpose = ExtendedKeyUsageOID.SERVER_AUTH
    return _issue(authority, names[0], now=now, key=key, days=days, purpose=purpose, alternative=alternative)


def alternative_names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    """Host names and addresses as a certificate has them."""
    return x509.SubjectAlternativeName([_general_name(name) for name in names])


def issue_client(authority: Pair, common_name: str, *, now: datetime, key: PrivateKey, days: int = CLIENT_DAYS) -> Pair:
    """A client's certificate; it counts once its fingerprint is added to an instance."""
    return _issue(authority, common_name, now=now, key=key, days=days, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)


def sign_client(
    authority: Pair,
    subject: x509.Name,
    key: PublicKey,
    *,
    now: datetime,
    days: int = CLIENT_DAYS,
    alternative: x509.SubjectAlternativeName | None = None,
) -> x509.Certificate:
    """A client's certificate over a key that the client alone has; it counts once its fingerprint is added."""
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH
    return _sign(authority, subject, key, now=now, days=days, purpose=purpose, alternative=alternative)


def read_authority(certificate: Path, key: Path) -> Pair:
    """The authority that ``keyrack init`` made; raises ``OSError`` or ``ValueError``."""
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key} holds neither an RSA nor an EC key")
    return Pair(x509.load_pem_x509_certificate(certificate.read_bytes()), private)


def pem_of(certificate: x509.Certificate) -> bytes:
    """A certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fingerprint_of_file(certificate: Path) -> str:
    """SHA-256 of the first certificate in a PEM file."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).fingerprint(hashes.SHA256()).hex()


def spaced(fingerprint: str) -> str:
    """A fingerprint as vCenter shows it: pairs of upper-case digits with colons between."""
    return ":".join(fingerprint[index : index + 2] for index in range(0, len(fingerprint), 2)).upper()


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that its owner alone can read; it is never, not for a moment, open to others."""
    _create(path, content, 0o600)


def write_new(path: Path, content: bytes) -> None:
    """Write a new file that everybody may read; raises ``FileExistsError`` where there is one."""
    _create(path, content, 0o644)


def _create(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _issue(
    authority: Pair,
    common_name: str,
    *,
    now: datetime,
    key: PrivateKey,
    days: int,
    purpose: x509.ObjectIdentifier,
    alternative: x509.SubjectAlternativeName | None = None,
) -> Pair:
    signed = _sign(
        authority, _name(common_name), key.public_key(), now=now, days=days, purpose=purpose, alternative=alternative
    )
    return Pair(signed, key)


def _sign(
    authority: Pair,
    subject: x509.Name,
    key: PublicKey,
    *,
    now: datetime,
    days: int,
    purpose: x509.ObjectIdentifier,
    alternative: x509.SubjectAlternativeName | None,
) -> x509.Certificate:
    builder = _builder(subject, authority.certificate.subject, key, now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(
        _usage(sign_certificates=False, rsa_key=isinstance(key, rsa.RSAPublicKey)), critical=True
    )
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
    )
    if alternative is not None:
        builder = builder.add_extension(alternative, critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - _BACKDATED)
        .not_valid_after(now.astimezone(UTC) + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    # X.520 bounds a common name at 64 characters; the alternative names carry the whole of a longer one.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Keyrack"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64]),
        ]
    )


def _usage(*, sign_certificates: bool, rsa_key: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_encipherment=rsa_key,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
