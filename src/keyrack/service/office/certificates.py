"""Reads a client certificate as an administrator hands it over: what it is, what is odd, why it cannot be used."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keyrack.domain.instances import ClientCertificate

SMALLEST_RSA = 2048
SMALLEST_CURVE = 256
SOON_DAYS = 30

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class UnusableCertificate(Exception):
    """The input holds no certificate that can be used; the text says what it is, why not, and what to hand over."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A certificate that could be added, with what a person should know before it counts."""

    certificate: ClientCertificate
    key: str
    """Kind and length of its public key, for people."""
    remarks: Sequence[str]


def read(material: bytes, *, instance: str, at: int, name: str = "") -> Offered:
    """The one certificate in ``material`` (PEM or DER); ``at`` is the time in seconds since 1970.

    Without a ``name`` it is named after its subject's common name and the beginning of its fingerprint.

    Of several in a PEM the first counts, as in TLS, and a remark says so. A private key beside it is refused as a
    whole: whoever pastes one has the wrong file in hand, and the key has now been where it should not.
    """
    blocks = _BLOCK.findall(material)
    if any(b"PRIVATE KEY" in kind for kind in blocks):
        raise UnusableCertificate(
            "the input holds a private key: Keyrack never needs a client's key; hand over the certificate alone, "
            "and if others could see this input, make a new pair"
        )
    try:
        with warnings.catch_warnings():
            # cryptography warns of odd serial numbers and the like; identity is the fingerprint, so they do not matter.
            warnings.simplefilter("ignore")
            found = _parse(material)
            return _offered(found, instance, at, name, several=blocks.count(b"CERTIFICATE"))
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise UnusableCertificate(
            f"the certificate cannot be read ({error}); copy it again, whole, from BEGIN to END"
        ) from None


def _parse(material: bytes) -> x509.Certificate:
    if b"-----BEGIN CERTIFICATE REQUEST-----" in material or b"-----BEGIN NEW CERTIFICATE REQUEST-----" in material:
        raise UnusableCertificate(
            "this is a certificate signing request, not a certificate; in vCenter choose 'vCenter Certificate' instead"
        )
    if b"-----BEGIN CERTIFICATE-----" in material:
        return x509.load_pem_x509_certificate(material)
    if material[:1] == b"\x30":
        return x509.load_der_x509_certificate(material)
    raise UnusableCertificate("there is no certificate in it; hand over PEM (-----BEGIN CERTIFICATE-----) or DER")


def _offered(found: x509.Certificate, instance: str, at: int, name: str, several: int) -> Offered:
    key = _key(found)
    fingerprint = found.fingerprint(hashes.SHA256()).hex()
    certificate = ClientCertificate(
        fingerprint=fingerprint,
        name=name or _named(found, fingerprint),
        instance=instance,
        subject=_printable(found.subject.rfc4514_string()),
        not_before=int(found.not_valid_before_utc.timestamp()),
        not_after=int(found.not_valid_after_utc.timestamp()),
        der=found.public_bytes(serialization.Encoding.DER),
        added_at=at,
    )
    remarks = list(dates(certificate, at))
    if several > 1:
        remarks.append(f"the input holds {several} certificates; the first one counts, its issuers are not needed")
    return Offered(certificate, key, tuple(remarks))


def _printable(text: str) -> str:
    """A certificate may come from a tenant, and its subject is shown at an administrator's terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _named(found: x509.Certificate, fingerprint: str) -> str:
    """``vcenter-example-com_3f2a9c0d1e4b``: at most 40 letters, digits and two signs, and hardly anybody else's."""
    names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    common = str(names[0].value) if names else ""
    speaking = re.sub(r"[^A-Za-z0-9]+", "-", common)[:27].strip("-")
    return f"{speaking}_{fingerprint[:12]}" if speaking else ""


def _key(found: x509.Certificate) -> str:
    key = found.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size >= SMALLEST_RSA:
            return f"RSA-{key.key_size}"
        raise UnusableCertificate(
            f"its RSA key has {key.key_size} bits, and the least is {SMALLEST_RSA}; make a new certificate"
        )
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.key_size >= SMALLEST_CURVE:
            return f"EC {key.curve.name}"
        raise UnusableCertificate(
            f"its curve {key.curve.name} is too small, the least is P-{SMALLEST_CURVE}; make a new certificate"
        )
    raise UnusableCertificate("its key is neither RSA nor EC; make a certificate with RSA-2048 or P-256")


def dates(certificate: ClientCertificate, at: int) -> Sequence[str]:
    """What its dates call for: an expired pin still counts, since a lapsed certificate must not stop hosts booting."""
    if certificate.not_before > at:
        return (f"it is not valid before {_day(certificate.not_before)}; it counts all the same",)
    days = days_left(certificate, at)
    if days < 0:
        return (f"it expired on {_day(certificate.not_after)}; it counts all the same, but should be replaced",)
    return (f"it expires in {days} days",) if days <= SOON_DAYS else ()


def days_left(certificate: ClientCertificate, at: int) -> int:
    """Whole days until it expires; negative once it has."""
    return (certificate.not_after - at) // 86_400


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
