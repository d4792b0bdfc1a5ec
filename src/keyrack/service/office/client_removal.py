"""A client is kept out: by one person, or by two where it is the last way to keys and the instance wants two."""

from keyrack.domain.instances import Instance, TrustedAuthority
from keyrack.domain.rights import Right
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import LastWayIn
from keyrack.ports.key_affairs import KeyBook
from keyrack.service.office.administration import Administration
from keyrack.service.office.admissions import bar, remove
from keyrack.service.office.approvals import ALONE, Consent, KeyCatalog, Wish, agreed, allowed
from keyrack.service.office.impact import confirm_for, impact_of
from keyrack.service.office.refusals import NotThere


async def take_away(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    fingerprint: str,
    *,
    confirmation: str | None = None,
    consent: Consent = ALONE,
) -> None:
    """Keep a client out, however it gets in now: its pin is removed, and where authorities are trusted it is barred.

    Raises :class:`ConfirmationNeeded` where it is the last way to keys that are in use, ``SecondPersonNeeded`` where
    the instance wants two for that, and :class:`NotThere`.
    """
    allowed(administration, Right.CERTIFICATE_REMOVE, instance.identifier, consent)
    pins = await catalog.certificates(instance.identifier)
    pinned = next((each for each in pins if each.fingerprint == fingerprint), None)
    authorities = await catalog.authorities(instance.identifier)
    if pinned is None:
        if not authorities:
            raise NotThere(
                f"instance {instance.name!r} has no such certificate; see 'keyrack cert list {instance.name}'"
            )
        await bar(administration, instance, fingerprint)
        return
    last = len(pins) == 1 and not authorities
    if last:
        await require_words(administration, catalog, instance, "its last client certificate", confirmation)
    wish = Wish(
        act="certificate.remove",
        instance=instance.identifier,
        target=fingerprint,
        told=f"remove the last client certificate {fingerprint[:16]} of {instance.name}",
    )
    two = last and instance.dual_control_at is not None
    affairs = await agreed(administration, catalog, wish, needed=two, consent=consent)
    try:
        await remove(administration, pinned, affairs=affairs, last=last)
    except LastWayIn:
        # Somebody else has taken away the other one meanwhile: now it is the last, and what that asks for is asked.
        await take_away(administration, catalog, instance, fingerprint, confirmation=confirmation, consent=consent)


async def distrust(
    administration: Administration,
    catalog: KeyCatalog,
    instance: Instance,
    authority: TrustedAuthority,
    *,
    confirmation: str | None = None,
    consent: Consent = ALONE,
) -> None:
    """Let in nobody by this authority any more, on open connections too.

    Raises :class:`ConfirmationNeeded` where it is the last way to keys that are in use, and ``SecondPersonNeeded``
    where the instance wants two for that.
    """
    allowed(administration, Right.AUTHORITY_CHANGE, instance.identifier, consent)
    held = await catalog.authorities(instance.identifier)
    last = not await catalog.certificates(instance.identifier) and len(held) == 1
    if last:
        await require_words(administration, catalog, instance, "its last trusted authority", confirmation)
    wish = Wish(
        act="authority.remove",
        instance=instance.identifier,
        target=authority.fingerprint,
        told=f"remove the last trusted authority {authority.name} of {instance.name}",
    )
    two = last and instance.dual_control_at is not None
    affairs = await agreed(administration, catalog, wish, needed=two, consent=consent)
    try:
        await administration.commit(
            "authority.remove",
            instance.identifier,
            authority.fingerprint,
            {"name": authority.name, "subject": authority.subject[:200]},
            admissions=AdmissionChanges(removed_authorities=((instance.identifier, authority.fingerprint),)),
            reachable=() if last else (instance.identifier,),
            key_affairs=affairs,
            touched=administration.touched(instance.identifier),
        )
    except LastWayIn:
        await distrust(administration, catalog, instance, authority, confirmation=confirmation, consent=consent)


async def require_words(
    administration: Administration, catalog: KeyBook, instance: Instance, what: str, confirmation: str | None
) -> None:
    """Raise :class:`ConfirmationNeeded` until the instance's name is repeated, where nobody reaches its keys then."""
    impact = await impact_of(catalog, instance, administration.now)
    if impact.total:
        told = f"that is {what}: nobody reaches the {impact.total} keys of {instance.name} any more"
        confirm_for(impact, instance, f"{told}, and a machine that starts needs them", confirmation)
