"""Reads a certificate signing request as an administrator hands it over: whose it is, and what is not granted."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID

from keyrack.service.office.certificates import key_of, printable
from keyrack.service.office.material import UnusableCertificate, request_in

LARGEST_SUBJECT: Final = 1024
"""Characters of a subject, as RFC 4514 writes it."""
MOST_NAMES: Final = 100
"""Alternative names of a request."""
SELF_EVIDENT: Final = frozenset({ExtensionOID.SUBJECT_KEY_IDENTIFIER, ExtensionOID.BASIC_CONSTRAINTS})
"""Extensions that nobody has to be told about: the certificate has its own of these."""
CALLED: Final[Mapping[x509.ObjectIdentifier, str]] = {
    ExtensionOID.KEY_USAGE: "Key Usage",
    ExtensionOID.EXTENDED_KEY_USAGE: "Extended Key Usage",
    ExtensionOID.NAME_CONSTRAINTS: "Name Constraints",
    ExtensionOID.CERTIFICATE_POLICIES: "Certificate Policies",
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: "Authority Key Identifier",
}


@dataclass(frozen=True, slots=True)
class OfferedRequest:
    """A request that could be signed, with what a person should know before it counts."""

    subject: x509.Name
    public_key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    alternative: x509.SubjectAlternativeName | None
    """Names that the certificate will have too."""
    told: str
    """The subject, for people."""
    key: str
    """Kind and length of its key, for people."""
    remarks: Sequence[str]


def read_request(material: bytes) -> OfferedRequest:
    """The one request in ``material`` (PEM or DER); raises :class:`UnusableCertificate`.

    Its signature has to be its own key's. One that wants to be an authority is refused; names are granted, whatever
    else it asks for is not, and told.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        request = request_in(material)
        try:
            return _offered(request)
        except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm, TypeError) as error:
            raise UnusableCertificate(f"the signing request cannot be read ({error}); make another") from None


def _offered(request: x509.CertificateSigningRequest) -> OfferedRequest:
    if not request.is_signature_valid:
        raise UnusableCertificate(
            "the signing request is not signed by its own key: it was changed on its way; make another"
        )
    key = key_of(request)
    public_key = request.public_key()
    assert isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    told = printable(request.subject.rfc4514_string())
    if len(told) > LARGEST_SUBJECT:
        raise UnusableCertificate(f"the request's subject has {len(told)} characters; make one with a shorter name")
    alternative, remarks = None, []
    for each in request.extensions:
        if isinstance(each.value, x509.BasicConstraints) and each.value.ca:
            raise UnusableCertificate(
                "the request wants to be a certificate authority, and Keyrack signs clients alone; "
                "make one for a client"
            )
        if isinstance(each.value, x509.SubjectAlternativeName):
            alternative = each.value
            if len(alternative) > MOST_NAMES:
                raise UnusableCertificate(f"the request has {len(alternative)} names; make one with fewer")
        elif each.oid not in SELF_EVIDENT:
            name = CALLED.get(each.oid, each.oid.dotted_string)
            remarks.append(f"it asks for {name}, which is not granted: the certificate is for TLS clients")
    if not told:
        remarks.append("it has no subject; only its fingerprint tells it from others")
    return OfferedRequest(request.subject, public_key, alternative, told, key, tuple(remarks))
