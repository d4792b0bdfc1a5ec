"""Reads a client certificate as an administrator hands it over: what it is, what is odd, and until when it is good."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keyrack.domain.instances import ClientCertificate
from keyrack.domain.patterns import fits
from keyrack.service.office.material import UnusableCertificate, certificates_in

__all__ = ["EXPIRY_ALARMS", "Offered", "UnusableCertificate", "alarm_due", "dates", "days_left", "read"]

SMALLEST_RSA = 2048
SMALLEST_CURVE = 256
EXPIRY_ALARMS: Final = (90, 30, 7, 0)
"""Days that are left to a certificate when an alarm is raised: time to plan, to act, to hurry; 0: it is over."""
DAY: Final = 86_400


class Lapsing(Protocol):
    """Anything that is good until some time."""

    @property
    def not_after(self) -> int:
        """Seconds since 1970."""
        ...


def days_left(lapsing: Lapsing, at: int) -> int:
    """Whole days until it expires; negative once it has. ``at``: seconds since 1970."""
    return (lapsing.not_after - at) // DAY


def alarm_due(lapsing: Lapsing, at: int) -> int | None:
    """The least of :data:`EXPIRY_ALARMS` that is reached at ``at`` (seconds since 1970); ``None``: none is."""
    left = days_left(lapsing, at)
    reached = [days for days in EXPIRY_ALARMS if (left < 0 if days == 0 else left <= days)]
    return min(reached, default=None)


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
    with warnings.catch_warnings():
        # cryptography warns of odd serial numbers and the like; identity is the fingerprint, so they do not matter.
        warnings.simplefilter("ignore")
        found = certificates_in(material)
        try:
            _refuse_chain_upside_down(found)
            return _offered(found[0], instance, at, name, several=len(found))
        except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
            raise UnusableCertificate(
                f"the certificate cannot be read ({error}); copy it again, whole, from BEGIN to END"
            ) from None


def _refuse_chain_upside_down(found: Sequence[x509.Certificate]) -> None:
    """A chain begins with its leaf; one that begins with an authority would let in the authority."""
    if len(found) > 1 and says_authority(found[0]) and not all(says_authority(each) for each in found):
        raise UnusableCertificate(
            f"the input holds a chain of {len(found)} certificates that begins with an authority's "
            f"({printable(found[0].subject.rfc4514_string())}); hand over the client's own certificate alone"
        )


def says_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate says CA:TRUE; one whose extensions cannot be read says nothing."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False


def fits_one_name(pattern: str, certificate: x509.Certificate) -> bool:
    """Whether one of its alternative names fits, an empty pattern fits all.

    A mail address is looked at only where the pattern has an ``@``, and a DNS name or an address of the network only
    where it has none: who has a mail address of a domain is no host of it.
    """
    if not pattern:
        return True
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    mail = "@" in pattern
    kinds = x509.RFC822Name if mail else x509.DNSName | x509.IPAddress
    return any(fits(pattern, str(each.value)) for each in names if isinstance(each, kinds))


def _offered(found: x509.Certificate, instance: str, at: int, name: str, several: int) -> Offered:
    key = key_of(found)
    fingerprint = found.fingerprint(hashes.SHA256()).hex()
    certificate = ClientCertificate(
        fingerprint=fingerprint,
        name=name or _named(found, fingerprint),
        instance=instance,
        subject=printable(found.subject.rfc4514_string()),
        not_before=int(found.not_valid_before_utc.timestamp()),
        not_after=int(found.not_valid_after_utc.timestamp()),
        der=found.public_bytes(serialization.Encoding.DER),
        added_at=at,
    )
    remarks = list(dates(certificate, at))
    if several > 1:
        remarks.append(f"the input holds {several} certificates; the first one counts, its issuers are not needed")
    if says_authority(found):
        remarks.append(
            "it says that it is an authority's; added like this it lets in its owner alone: 'keyrack authority add' "
            "lets in those whom it has certified"
        )
    return Offered(certificate, key, tuple(remarks))


def printable(text: str) -> str:
    """A certificate may come from a tenant, and its subject is shown at an administrator's terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


def _named(found: x509.Certificate, fingerprint: str) -> str:
    """``vcenter-example-com_3f2a9c0d1e4b``: at most 40 letters, digits and two signs, and hardly anybody else's."""
    names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    common = str(names[0].value) if names else ""
    speaking = re.sub(r"[^A-Za-z0-9]+", "-", common)[:27].strip("-")
    return f"{speaking}_{fingerprint[:12]}" if speaking else ""


def key_of(found: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Kind and length of a public key, for people; raises :class:`UnusableCertificate` where it is too weak."""
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
        return (f"it is not valid before {day(certificate.not_before)}; it counts all the same",)
    days = days_left(certificate, at)
    if days < 0:
        return (f"it expired on {day(certificate.not_after)}; it counts all the same, but should be replaced",)
    return (f"it expires in {days} days",) if days <= EXPIRY_ALARMS[0] else ()


def day(seconds: int) -> str:
    """A date for people, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
