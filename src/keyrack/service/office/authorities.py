"""Trusted authorities: what one would let in is told before it counts, and it counts for one instance alone."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from keyrack.domain.instances import ClientCertificate, Instance, SeenCertificate, TrustedAuthority
from keyrack.domain.patterns import LONGEST_PATTERN
from keyrack.domain.rights import Right
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import AlreadyThere, Conflict, TooMany
from keyrack.service.office import certificates
from keyrack.service.office.administration import Administration
from keyrack.service.office.admissions import AdmissionCatalog, add, one_of
from keyrack.service.office.certificates import day, days_left, key_of, printable, says_authority
from keyrack.service.office.foreign_trust import refuse_foreign_authority
from keyrack.service.office.material import UnusableCertificate, certificates_in
from keyrack.service.office.refusals import CertificateThere, LimitReached, NameTaken, NotThere, Refused, Unusable

LONGEST_NAME: Final = 40
VMCA_UNITS: Final = frozenset({"VMware Engineering", "VMware"})
"""Organizational units in the root of a vCenter's own authority."""


@dataclass(frozen=True, slots=True)
class OfferedAuthority:
    """An authority that could be trusted, with what a person should know before it counts."""

    authority: TrustedAuthority
    key: str
    """Kind and length of its public key, for people."""
    admits: str
    """Whom it would let in, in one sentence."""
    remarks: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Whom of its clients an authority lets in; see ``domain.instances.TrustedAuthority``."""

    subject_pattern: str = ""
    san_pattern: str = ""
    name: str = ""
    """What the authority is called; made of its subject where none is given."""


def read_authority(material: bytes, instance: Instance, terms: Terms, *, at: int, own: str = "") -> OfferedAuthority:
    """The one authority in ``material`` (PEM or DER), as it would be trusted; ``at``: seconds since 1970.

    ``own``: the fingerprint of the deployment's own authority, which nobody may trust: it signs for every instance, and
    what is removed would come back. Raises :class:`UnusableCertificate`.
    """
    for field, pattern in (("subject_pattern", terms.subject_pattern), ("san_pattern", terms.san_pattern)):
        _check_pattern(field, pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = certificates_in(material)
        if len(found) > 1:
            raise UnusableCertificate(
                f"the input holds {len(found)} certificates; hand over the one authority to trust alone, the root or "
                "an intermediate one"
            )
        try:
            return _offered(found[0], instance, terms, at=at, own=own)
        except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
            raise UnusableCertificate(f"the certificate cannot be read ({error}); export it again") from None


def _check_pattern(field: str, pattern: str) -> None:
    if len(pattern) > LONGEST_PATTERN:
        raise Unusable(
            f"the pattern has {len(pattern)} characters, and at most {LONGEST_PATTERN} are of use", field=field
        )
    if not pattern.isprintable():
        raise Unusable("the pattern has a character in it that cannot be seen; type it anew", field=field)


def _offered(found: x509.Certificate, instance: Instance, terms: Terms, *, at: int, own: str) -> OfferedAuthority:
    key = key_of(found)
    fingerprint = found.fingerprint(hashes.SHA256()).hex()
    subject = printable(found.subject.rfc4514_string())
    if fingerprint == own:
        raise UnusableCertificate(
            "this is the deployment's own authority, which signs for every instance; nobody trusts it as a whole; "
            "issue a certificate instead: 'keyrack cert issue'"
        )
    _check_is_authority(found, subject)
    authority = TrustedAuthority(
        fingerprint=fingerprint,
        instance=instance.identifier,
        name=terms.name or _named(found, fingerprint),
        subject=subject,
        subject_pattern=terms.subject_pattern,
        san_pattern=terms.san_pattern,
        not_before=int(found.not_valid_before_utc.timestamp()),
        not_after=int(found.not_valid_after_utc.timestamp()),
        der=found.public_bytes(serialization.Encoding.DER),
        added_at=at,
    )
    if authority.not_after < at:
        raise UnusableCertificate(f"it expired on {day(authority.not_after)}; trust the one that has taken its place")
    if authority.not_before > at:
        raise UnusableCertificate(f"it is not valid before {day(authority.not_before)}; add it then")
    return OfferedAuthority(authority, key, _admits(authority), tuple(_remarks(found, authority, at)))


def _check_is_authority(found: x509.Certificate, subject: str) -> None:
    if not says_authority(found):
        raise UnusableCertificate(
            f"{subject or 'this'} is no certificate authority: it is a client's or a server's certificate; to let in "
            "that one alone, use 'keyrack cert add'"
        )
    try:
        usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.key_cert_sign:
        raise UnusableCertificate(
            f"{subject or 'this'} may not sign certificates by its own Key Usage; hand over the authority that has "
            "signed the client's"
        )


def is_vmca(found: x509.Certificate) -> bool:
    """Whether it looks like the root of a vCenter's own certificate authority (VMCA)."""
    if found.subject != found.issuer:
        return False
    components = {str(each.value) for each in found.subject.get_attributes_for_oid(x509.NameOID.DOMAIN_COMPONENT)}
    units = {str(each.value) for each in found.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)}
    return "vsphere" in components or not VMCA_UNITS.isdisjoint(units)


def _admits(authority: TrustedAuthority) -> str:
    limits = []
    if authority.subject_pattern:
        limits.append(f"whose subject is like {authority.subject_pattern}")
    if authority.san_pattern:
        limits.append(f"with an alternative name like {authority.san_pattern}")
    whom = "everyone with a certificate of this authority, or of one below it"
    return f"{whom}, {' and '.join(limits)}" if limits else whom


def _remarks(found: x509.Certificate, authority: TrustedAuthority, at: int) -> list[str]:
    told = []
    open_to_all = not (authority.subject_pattern or authority.san_pattern)
    if is_vmca(found):
        whom = "every ESXi host and every solution user of that vCenter's domain"
        told.append(
            f"this looks like the root of a vCenter's own authority (VMCA): {whom} has a certificate of it"
            + (", and gets in, not vCenter alone; narrow it with --subject or --san" if open_to_all else "")
        )
    elif open_to_all:
        told.append("without a pattern everyone who has, or gets, a certificate of it is let in; narrow it if you can")
    if authority.subject_pattern.startswith("*") and len(authority.subject_pattern) > 1:
        told.append("the subject pattern begins with '*': whoever chooses a common name chooses what stands before it")
    left = days_left(authority, at)
    if left <= certificates.EXPIRY_ALARMS[0]:
        told.append(f"it expires in {left} days; from then on it lets nobody in")
    return told


def _named(found: x509.Certificate, fingerprint: str) -> str:
    names = [
        *found.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME),
        *found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME),
    ]
    speaking = re.sub(r"[^A-Za-z0-9]+", "-", str(names[0].value))[:27].strip("-") if names else ""
    return f"{speaking or 'authority'}_{fingerprint[:12]}"


async def trust(administration: Administration, authority: TrustedAuthority) -> TrustedAuthority:
    """Let in the authority's clients to its instance, from now on; answered as it is kept.

    Raises ``CertificateElsewhere`` where another instance has clients of it, over which whoever acts has no right.
    """
    administration.require(Right.AUTHORITY_CHANGE, authority.instance)
    await refuse_foreign_authority(administration, authority)
    added = replace(authority, added_by=administration.administrator.initiator)
    detail: dict[str, str | int] = {
        "name": added.name,
        "subject": added.subject[:200],
        "subject_pattern": added.subject_pattern,
        "san_pattern": added.san_pattern,
        "not_after": added.not_after,
    }
    try:
        await administration.commit(
            "authority.add",
            added.instance,
            added.fingerprint,
            detail,
            admissions=AdmissionChanges(authorities=(added,)),
            touched=administration.touched(added.instance),
        )
    except AlreadyThere:
        held = await administration.catalog.authorities(added.instance)
        if any(each.fingerprint == added.fingerprint for each in held):
            raise CertificateThere(
                "the instance trusts this authority already; to change its patterns remove it and add it anew"
            ) from None
        raise NameTaken(f"the instance has an authority {added.name!r} already; choose another name") from None
    except TooMany:
        raise LimitReached(
            "the instance has as many certificates and authorities as its quota says; remove one first"
        ) from None
    except Conflict:
        raise NotThere("the instance was removed just now") from None
    held = await administration.catalog.authorities(added.instance)
    return next((each for each in held if each.fingerprint == added.fingerprint), added)


async def trusted(administration: Administration, instance: Instance | None = None) -> Sequence[TrustedAuthority]:
    """The authorities of one instance, or of all that may be seen, oldest first."""
    if instance is not None:
        administration.require(Right.CERTIFICATE_READ, instance.identifier)
    allow = administration.administrator.grants.allow
    held = await administration.catalog.authorities(instance.identifier if instance else None)
    return [each for each in held if allow(Right.CERTIFICATE_READ, each.instance)]


async def find_authority(administration: Administration, instance: Instance, which: str) -> TrustedAuthority:
    """The one authority of the instance of this name, or whose fingerprint begins so."""
    held = await trusted(administration, instance)
    named = [each for each in held if each.name == which]
    if named:
        return named[0]
    if not re.fullmatch(r"[0-9A-Fa-f:]{4,}", which):
        raise NotThere(
            f"instance {instance.name!r} trusts no authority {which!r}; see 'keyrack authority list {instance.name}'"
        )
    nothing = f"instance {instance.name!r} trusts no authority"
    return one_of(held, which, nothing, f"see 'keyrack authority list {instance.name}'")


async def seen(administration: Administration, catalog: AdmissionCatalog) -> Sequence[SeenCertificate]:
    """Certificates that knocked and are not trusted, the last one first."""
    administration.require(Right.STRANGER_READ)
    return await catalog.seen_certificates()


async def find_seen(administration: Administration, catalog: AdmissionCatalog, prefix: str) -> SeenCertificate:
    """The one certificate that knocked whose fingerprint begins so."""
    knocked = await seen(administration, catalog)
    return one_of(knocked, prefix, "no certificate has knocked", "see 'keyrack cert seen'")


async def trust_seen(administration: Administration, instance: Instance, knocked: SeenCertificate) -> ClientCertificate:
    """Pin a certificate that knocked, as if it had been handed over; answered as it is kept."""
    return await add(administration, offered_of(knocked, instance, administration.now).certificate)


def offered_of(knocked: SeenCertificate, instance: Instance, at: int) -> certificates.Offered:
    """What a certificate that knocked is; raises :class:`Refused` for one that was too large to keep."""
    if not knocked.der:
        raise Refused("this certificate was too large to be kept when it knocked; add it with 'keyrack cert add'")
    return certificates.read(knocked.der, instance=instance.identifier, at=at)
