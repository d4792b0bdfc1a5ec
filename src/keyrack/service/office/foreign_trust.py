"""Clients of other instances stay theirs: nobody takes them over by a certificate, which everybody can have.

A certificate is no secret. Whoever may let clients in to one instance could pin the certificate of another one's
client, or trust its authority: the client would then find itself in the wrong instance, and make its keys there, or be
turned away by both. Who has the right over both instances may do it.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from keyrack.domain.instances import ClientCertificate, SeenCertificate, TrustedAuthority
from keyrack.domain.patterns import fits_name
from keyrack.domain.rights import Right
from keyrack.service.office.certificates import fits_one_name
from keyrack.service.office.refusals import CertificateElsewhere

if TYPE_CHECKING:
    from keyrack.service.office.administration import Administration

_HINT: Final = "somebody who has the right over both instances can do it, or pins each client to the instance it is of"
_UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension)


@runtime_checkable
class TellsAdmitted(Protocol):
    """A catalog that knows whom authorities have let in."""

    async def admitted_certificates(self, instance: str | None = None) -> Sequence[SeenCertificate]:
        """As ``ports.admissions.Admissions`` has it."""
        ...


async def refuse_foreign_client(
    administration: "Administration", certificate: ClientCertificate, mine: Collection[str] | None = None
) -> None:
    """Raise :class:`CertificateElsewhere` for the client of another instance's authority, to be pinned.

    ``mine``: identifiers of the instances that the act may concern, where rights do not tell them.
    """
    foreign = await _foreign(administration, certificate.instance, Right.CERTIFICATE_ADD, mine)
    if not foreign:
        return
    whose = {each.instance for each in foreign}
    let_in = [each for each in await _admitted(administration) if each.fingerprint == certificate.fingerprint]
    if any(each.instance in whose for each in let_in) or any(_admits(each, certificate.der) for each in foreign):
        raise CertificateElsewhere("an authority of another instance lets this certificate in already", hint=_HINT)


async def refuse_foreign_authority(administration: "Administration", authority: TrustedAuthority) -> None:
    """Raise :class:`CertificateElsewhere` for an authority that would let in clients of another instance's."""
    foreign = await _foreign(administration, authority.instance, Right.AUTHORITY_CHANGE)
    if not foreign:
        return
    new, whose = _loaded(authority.der), {each.instance for each in foreign}
    related = any(_related(new, _loaded(each.der)) for each in foreign)
    clients = [each for each in await _admitted(administration) if each.instance in whose]
    if related or any(_is_signed_by(_loaded(each.der), new) for each in clients if each.der):
        raise CertificateElsewhere(
            "clients of another instance have certificates of this authority, or of one above or below it", hint=_HINT
        )


async def _foreign(
    administration: "Administration", instance: str, right: Right, mine: Collection[str] | None = None
) -> Sequence[TrustedAuthority]:
    """Authorities of other instances, over which whoever acts has not the right."""
    allow = administration.administrator.grants.allow
    return [
        each
        for each in await administration.catalog.authorities()
        if each.instance != instance and not (allow(right, each.instance) if mine is None else each.instance in mine)
    ]


async def _admitted(administration: "Administration") -> Sequence[SeenCertificate]:
    catalog = administration.catalog
    return await catalog.admitted_certificates() if isinstance(catalog, TellsAdmitted) else ()


def _admits(authority: TrustedAuthority, der: bytes) -> bool:
    """Whether it would let in this certificate, as far as can be told without what comes between the two."""
    leaf = _loaded(der)
    return (
        leaf is not None
        and _is_signed_by(leaf, _loaded(authority.der))
        and fits_name(authority.subject_pattern, leaf.subject.rfc4514_string())
        and fits_one_name(authority.san_pattern, leaf)
    )


def _related(one: x509.Certificate | None, other: x509.Certificate | None) -> bool:
    """Whether both are of one key, or one has signed the other: names decide nothing, anybody may write them."""
    if one is None or other is None:
        return False
    return _key_of(one) == _key_of(other) or _is_signed_by(one, other) or _is_signed_by(other, one)


def _key_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _is_signed_by(certificate: x509.Certificate | None, signer: x509.Certificate | None) -> bool:
    if certificate is None or signer is None:
        return False
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        key, how = signer.public_key(), certificate.signature_algorithm_parameters
        if isinstance(key, rsa.RSAPublicKey):
            assert certificate.signature_hash_algorithm is not None
            padding: Any = how
            key.verify(signature, signed, padding, certificate.signature_hash_algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(how, ec.ECDSA):
            key.verify(signature, signed, how)
        elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        else:
            return False
    except (InvalidSignature, AssertionError, *_UNREADABLE):
        return False
    return True


def _loaded(der: bytes) -> x509.Certificate | None:
    try:
        found = x509.load_der_x509_certificate(der)
        found.public_key()
    except _UNREADABLE:
        return None
    return found
