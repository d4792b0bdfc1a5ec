"""Which client certificates an instance lets in by name: added, found by the beginning of a fingerprint, removed."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from keyrack.domain.instances import ClientCertificate, Instance, SeenCertificate
from keyrack.domain.rights import Right
from keyrack.ports.admissions import AdmissionChanges, Admissions
from keyrack.ports.catalog import AlreadyThere, Catalog, Conflict, QuotaReached, TooMany
from keyrack.ports.key_affairs import KeyAffairs, KeyBook
from keyrack.service.office.foreign_trust import refuse_foreign_client
from keyrack.service.office.refusals import (
    CertificateElsewhere,
    CertificateThere,
    LimitReached,
    NameTaken,
    NotThere,
    Refused,
)

if TYPE_CHECKING:
    from keyrack.service.office.administration import Administration


class AdmissionCatalog(Catalog, Admissions, KeyBook, Protocol):
    """What these use cases need of the catalog."""


async def add(
    administration: "Administration",
    certificate: ClientCertificate,
    *,
    most: int | None = None,
    mine: Collection[str] | None = None,
) -> ClientCertificate:
    """Let a client certificate use all keys of its instance, from now on; answered as it is kept.

    ``mine``: see :func:`keyrack.service.office.foreign_trust.refuse_foreign_client`. Raises :class:`CertificateThere`,
    :class:`CertificateElsewhere`, :class:`NameTaken`, :class:`NotThere` where the instance is gone, and
    :class:`LimitReached` where it has ``most`` certificates already, or its quota of them.
    """
    added = replace(certificate, added_by=administration.administrator.initiator)
    await check_new(administration, added, mine=mine)
    detail: dict[str, str | int] = {
        "subject": added.subject[:200],
        "not_after": added.not_after,
        "name": added.name,
    }
    try:
        await administration.commit(
            "certificate.add",
            added.instance,
            added.fingerprint,
            detail,
            certificates=(added,),
            most_certificates=most,
            touched=administration.touched(added.instance),
        )
    except AlreadyThere:
        await _refuse_duplicate(administration, added)
        raise Refused("this certificate was added by someone else just now; look at 'keyrack cert list'") from None
    except TooMany as error:
        raise _too_many(error, most) from None
    except Conflict:
        raise NotThere("the instance was removed just now") from None
    return added


async def check_new(
    administration: "Administration", certificate: ClientCertificate, *, mine: Collection[str] | None = None
) -> None:
    """Raise what :func:`add` would raise of it now, and change nothing: for whoever looks at it first."""
    administration.require(Right.CERTIFICATE_ADD, certificate.instance)
    await _refuse_duplicate(administration, certificate)
    await refuse_foreign_client(administration, certificate, mine)


def _too_many(error: TooMany, most: int | None) -> LimitReached:
    quota = error.quota if isinstance(error, QuotaReached) else most
    return LimitReached(
        f"the instance has {quota} certificates and authorities, and more it may not have; remove one first"
        if isinstance(error, QuotaReached)
        else f"the instance has {quota} certificates, and more it may not have; remove one first"
    )


async def _refuse_duplicate(administration: "Administration", certificate: ClientCertificate) -> None:
    held = await administration.catalog.certificates()
    same = next((each for each in held if each.fingerprint == certificate.fingerprint), None)
    if same is not None and same.instance == certificate.instance:
        raise CertificateThere("this certificate is in force for this instance already; nothing is to be done")
    if same is not None:
        seen = {each.identifier: each.name for each in await administration.instances()}
        if same.instance not in seen:
            raise CertificateElsewhere(
                "this certificate belongs to another instance, and a certificate means one instance only; make another"
            )
        owner = seen[same.instance]
        raise CertificateElsewhere(
            f"this certificate belongs to instance {owner!r}, and a certificate means one instance only; "
            f"make another, or remove it there first: keyrack cert remove {owner} {same.fingerprint[:16]}"
        )
    if any((each.instance, each.name) == (certificate.instance, certificate.name) for each in held):
        raise NameTaken(f"the instance has a certificate {certificate.name!r} already; choose another name")


async def listed(
    administration: "Administration", catalog: AdmissionCatalog, instance: Instance | None = None
) -> tuple[Sequence[ClientCertificate], Sequence[SeenCertificate]]:
    """The pinned certificates of one instance, or of all that may be seen, and those that authorities have let in."""
    if instance is not None:
        administration.require(Right.CERTIFICATE_READ, instance.identifier)
    allow = administration.administrator.grants.allow
    wanted = instance.identifier if instance else None
    pinned = await catalog.certificates(wanted)
    admitted = await catalog.admitted_certificates(wanted)
    return (
        [each for each in pinned if allow(Right.CERTIFICATE_READ, each.instance)],
        [each for each in admitted if allow(Right.CERTIFICATE_READ, each.instance)],
    )


async def find(administration: "Administration", instance: Instance, prefix: str) -> ClientCertificate:
    """The one pinned certificate of the instance whose fingerprint begins so; colons and case do not matter."""
    administration.require(Right.CERTIFICATE_READ, instance.identifier)
    held = await administration.catalog.certificates(instance.identifier)
    nothing = f"instance {instance.name!r} has no certificate"
    return one_of(held, prefix, nothing, f"see 'keyrack cert list {instance.name}'")


class Fingerprinted(Protocol):
    """Anything that is told by a fingerprint."""

    @property
    def fingerprint(self) -> str:
        """SHA-256, 64 lower-case hexadecimal digits."""
        ...


Thing = TypeVar("Thing", bound=Fingerprinted)


def one_of(held: Sequence[Thing], prefix: str, nothing: str, hint: str) -> Thing:
    """The one whose fingerprint begins so; colons and case do not matter. ``nothing``: who has none, for people.

    Raises :class:`NotThere`, and :class:`Refused` for what is no beginning of a fingerprint, or of more than one.
    """
    wanted = prefix.replace(":", "").lower()
    if len(wanted) < 4 or not re.fullmatch(r"[0-9a-f]+", wanted):
        raise Refused(f"{prefix!r} is not the beginning of a fingerprint; give at least 4 hexadecimal digits of it")
    found = [each for each in held if each.fingerprint.startswith(wanted)]
    if len(found) > 1:
        raise Refused(f"{len(found)} certificates begin with {prefix!r}; give more digits")
    if not found:
        raise NotThere(f"{nothing} that begins with {prefix!r}; {hint}")
    return found[0]


@dataclass(frozen=True, slots=True)
class _Barred:
    fingerprint: str


async def remove(
    administration: "Administration",
    certificate: ClientCertificate,
    *,
    affairs: KeyAffairs | None = None,
    last: bool = True,
) -> None:
    """Let a pinned client certificate use nothing from now on, on open connections too.

    Where the instance trusts an authority it is barred as well: it must not come back by another way. ``affairs``: what
    the unit has to write of a second person's agreement; whoever hands it over has asked for the right. Without
    ``last``, ``LastWayIn`` is raised where nobody reaches the instance afterwards.
    """
    if affairs is None:
        administration.require(Right.CERTIFICATE_REMOVE, certificate.instance)
    barred = bool(await administration.catalog.authorities(certificate.instance))
    changes = AdmissionChanges(barred=((certificate.instance, certificate.fingerprint),)) if barred else None
    detail: dict[str, str | int] = {"subject": certificate.subject[:200], "name": certificate.name}
    await administration.commit(
        "certificate.remove",
        certificate.instance,
        certificate.fingerprint,
        {**detail, "barred": 1} if barred else detail,
        removed_certificates=(certificate.fingerprint,),
        reachable=() if last else (certificate.instance,),
        admissions=changes,
        key_affairs=affairs,
        touched=administration.touched(certificate.instance),
    )


async def bar(administration: "Administration", instance: Instance, fingerprint: str) -> None:
    """No authority lets this certificate in to the instance any more, on open connections too."""
    administration.require(Right.CERTIFICATE_REMOVE, instance.identifier)
    await administration.commit(
        "authority.bar",
        instance.identifier,
        fingerprint,
        {},
        admissions=AdmissionChanges(barred=((instance.identifier, fingerprint),)),
        touched=administration.touched(instance.identifier),
    )


async def unbar(administration: "Administration", catalog: AdmissionCatalog, instance: Instance, prefix: str) -> str:
    """Authorities may let this certificate in again; its fingerprint."""
    administration.require(Right.CERTIFICATE_ADD, instance.identifier)
    barred = [_Barred(each[1]) for each in await catalog.barred(instance.identifier)]
    found = one_of(
        barred, prefix, f"instance {instance.name!r} has barred no certificate", "see 'keyrack authority list'"
    )
    await administration.commit(
        "authority.unbar",
        instance.identifier,
        found.fingerprint,
        {},
        admissions=AdmissionChanges(unbarred=((instance.identifier, found.fingerprint),)),
        touched=administration.touched(instance.identifier),
    )
    return found.fingerprint
