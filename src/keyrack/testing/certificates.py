"""A certificate authority in memory, and certificates as odd as the ones that key management clients really bring.

Keys are ECDSA P-256 unless RSA is asked for, because tests make many. Nothing here is fit for production: the keys are
never protected.
"""

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Algorithm(StrEnum):
    """What kind of key a certificate has."""

    EC_P256 = "ec"
    RSA_2048 = "rsa"


_MAKE: Final[Mapping[Algorithm, Callable[[], PrivateKey]]] = {
    Algorithm.EC_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    Algorithm.RSA_2048: lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the DER form, 64 lower-case hexadecimal digits."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def key_pem(self) -> bytes:
        """The private key, PEM, PKCS #8, unprotected."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write ``name.pem`` and ``name.key`` (mode 0600); their paths."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.touch(mode=0o600)
        key.write_bytes(self.key_pem)
        return certificate, key


def issue(
    subject: str,
    *,
    issuer: Identity | None = None,
    algorithm: Algorithm = Algorithm.EC_P256,
    days: tuple[int, int] = (-1, 365),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> Identity:
    """A certificate for Common Name ``subject`` (none if empty), signed by ``issuer`` or by itself.

    ``days``: validity from and to, counted from now. ``extensions``: each with whether it is critical.
    """
    key = _MAKE[algorithm]()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else [])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Identity(certificate=builder.sign(issuer.key if issuer else key, hashes.SHA256()), key=key)


def authority(name: str = "keyrack test authority", algorithm: Algorithm = Algorithm.EC_P256) -> Identity:
    """A root certificate authority."""
    return issue(name, algorithm=algorithm, extensions=[(x509.BasicConstraints(ca=True, path_length=None), True)])


def server(
    issuer: Identity | None, hosts: Sequence[str] = ("127.0.0.1", "localhost"), algorithm: Algorithm = Algorithm.EC_P256
) -> Identity:
    """A server's certificate for names and addresses, self-signed where there is no issuer."""
    names = [_general_name(host) for host in hosts]
    extension = x509.SubjectAlternativeName(names)
    return issue(hosts[0], issuer=issuer, algorithm=algorithm, extensions=[(extension, False)])


def client(issuer: Identity | None = None, name: str = "client", algorithm: Algorithm = Algorithm.EC_P256) -> Identity:
    """An ordinary client certificate, self-signed unless an issuer is given."""
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    return issue(name, issuer=issuer, algorithm=algorithm, extensions=[(usage, False)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


_UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")

ODDITIES: Final[Mapping[str, Callable[[], Identity]]] = {
    "as vCenter makes it": lambda: issue(
        "kmipClient20251122064500",
        algorithm=Algorithm.RSA_2048,
        days=(-1, 3650),
        extensions=[(x509.BasicConstraints(ca=False, path_length=None), False)],
    ),
    "no extensions": lambda: issue("plain"),
    "for servers only": lambda: issue(
        "server only", extensions=[(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), True)]
    ),
    "a certificate authority": lambda: authority("an authority as a client"),
    "may not sign": lambda: issue("encipher only", extensions=[(_key_usage(signs=False), True)]),
    "unknown critical extension": lambda: issue("critical", extensions=[(_UNKNOWN, True)]),
    "no subject": lambda: issue(""),
    "expired": lambda: issue("late", days=(-30, -1)),
    "not yet valid": lambda: issue("early", days=(10, 30)),
    "issued by nobody we know": lambda: issue("orphan", issuer=authority("nobody")),
    "a hundred years": lambda: issue("long", days=(-1, 36500)),
    "a subject that is not ASCII": lambda: issue("vCenter Zürich – 密钥"),
}
"""Client certificates that must be accepted once they are pinned, by what is odd about them."""


def client_context(
    identity: Identity | None,
    trusted: Sequence[bytes],
    *,
    tls: ssl.TLSVersion | None = None,
) -> ssl.SSLContext:
    """A TLS client context that presents ``identity`` and trusts the PEM certificates ``trusted``, by IP address too.

    Raises :class:`ssl.SSLError` where OpenSSL does not want the certificate. ``tls`` pins the one version to use.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = tls or ssl.TLSVersion.TLSv1_2
    context.maximum_version = tls or ssl.TLSVersion.MAXIMUM_SUPPORTED
    # A server's own certificate may be what is trusted: vCenter pins it and asks for no chain and no name.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    context.load_verify_locations(cadata="".join(pem.decode() for pem in trusted))
    if identity:
        with tempfile.TemporaryDirectory(prefix="keyrack-client-") as directory:
            context.load_cert_chain(*identity.write(Path(directory), "client"))
    return context
