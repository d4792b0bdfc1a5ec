"""Trusted authorities and certificates that knocked, in the database: rows and values, a unit's changes, and reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from keyrack.adapters.catalogs import admission_queries as queries
from keyrack.adapters.catalogs.queries import SETTLED
from keyrack.adapters.catalogs.reading import Execute, Reads, first
from keyrack.domain.instances import Principal, SeenCertificate, TrustedAuthority
from keyrack.ports.admissions import ExpiryAlarm
from keyrack.ports.catalog import AlreadyThere, Unit


async def admitted(execute: Execute, principal: Principal) -> tuple[str, int | None] | None:
    """Instance, and since when it is sealed, of a principal that an authority lets in; ``None``: it does not."""
    leaf = principal.fingerprint
    parameters = (principal.trust, principal.instance, principal.authority, leaf, leaf)
    found: tuple[str, int | None] | None = first(await execute(queries.ADMITTED, parameters))
    return found


def concerns(unit: Unit) -> bool:
    """Whether the unit changes anything here."""
    return unit.admissions is not None


async def check(execute: Execute, unit: Unit) -> None:
    """Raise ``Conflict``, or a kind of it, where the database as it is now does not allow the unit.

    Raises ``AlreadyThere`` for an authority that its instance trusts already, a name that is taken, and an alarm that
    was raised before.
    """
    changes = unit.admissions
    if changes is None:
        return
    gone = set(changes.removed_authorities)
    for authority in changes.authorities:
        for held in await authorities_of(execute, authority.instance):
            taken = held.fingerprint == authority.fingerprint or held.name == authority.name
            if taken and (held.instance, held.fingerprint) not in gone:
                raise AlreadyThere("the instance trusts this authority already, or another one has its name")
    raised = {(each.fingerprint, each.days) for each in await alarms_of(execute)} if changes.alarms else set()
    if any((each.fingerprint, each.days) in raised for each in changes.alarms):
        raise AlreadyThere("this alarm was raised before")


async def write(execute: Execute, unit: Unit) -> None:
    """Write what :func:`check` has allowed."""
    changes = unit.admissions
    if changes is None:
        return
    for removed in changes.removed_authorities:
        await execute(queries.REMOVE_AUTHORITY, removed)
    for authority in changes.authorities:
        await execute(queries.ADD_AUTHORITY, _authority_columns(authority))
    for barred in changes.barred:
        await execute(queries.BAR, barred)
    for unbarred in changes.unbarred:
        await execute(queries.UNBAR, unbarred)
    for seen in changes.seen:
        await execute(queries.NOTE_SEEN, (*_seen_columns(seen), seen.fingerprint))
    if changes.seen and first(await execute(queries.COUNT_SEEN))[0] > queries.SEEN_AT_MOST:
        await execute(queries.CUT_SEEN)
    for fingerprint in changes.forgotten:
        await execute(queries.FORGET_SEEN, (fingerprint,))
    for alarm in changes.alarms:
        await execute(queries.ALARM, (alarm.fingerprint, alarm.days, alarm.at))


async def authorities_of(execute: Execute, instance: str | None) -> list[TrustedAuthority]:
    """The authorities of one instance, or of all, oldest first."""
    if instance is None:
        rows = await execute(queries.AUTHORITIES)
    else:
        rows = await execute(queries.AUTHORITIES_OF, (instance,))
    return [_authority_of(row) for row in rows]


async def alarms_of(execute: Execute) -> list[ExpiryAlarm]:
    """The alarms that were raised, oldest first."""
    return [ExpiryAlarm(fingerprint=each[0], days=each[1], at=each[2]) for each in await execute(queries.ALARMS)]


class AdmissionReads(Reads):
    """``ports.admissions.Admissions`` over SQLite."""

    async def authorities(self, instance: str | None = None) -> Sequence[TrustedAuthority]:
        """Oldest first."""
        return await authorities_of(self._read, instance)

    async def barred(self, instance: str | None = None) -> Sequence[tuple[str, str]]:
        """Instance and fingerprint of each."""
        if instance is None:
            rows = await self._read(queries.BARRED)
        else:
            rows = await self._read(queries.BARRED_OF, (instance,))
        return [(row[0], row[1]) for row in rows]

    async def seen_certificates(self) -> Sequence[SeenCertificate]:
        """The last one first."""
        return [_seen_of(row) for row in await self._read(queries.SEEN_CERTIFICATES)]

    async def admitted_certificates(self, instance: str | None = None) -> Sequence[SeenCertificate]:
        """The last one first."""
        found = [_seen_of(row) for row in await self._read(queries.ADMITTED_CERTIFICATES)]
        return [each for each in found if instance in {None, each.instance}]

    async def last_uses(self, instance: str, after: int = 0) -> tuple[Mapping[str, int], int]:
        """Reads the journal, about a microsecond a record: for an administrator's command, not for the server."""
        (last,) = first(await self._read(SETTLED))
        uses = await self._read(queries.LAST_USES, (after, instance))
        return {row[0]: row[1] for row in uses}, last

    async def expiry_alarms(self) -> Sequence[ExpiryAlarm]:
        """Oldest first."""
        return await alarms_of(self._read)


def _authority_columns(authority: TrustedAuthority) -> tuple[Any, ...]:
    """In the order of ``ADD_AUTHORITY``."""
    return (
        authority.fingerprint,
        authority.instance,
        authority.name,
        authority.subject,
        authority.subject_pattern,
        authority.san_pattern,
        authority.not_before,
        authority.not_after,
        authority.der,
        authority.added_at,
        authority.added_by,
    )


def _authority_of(row: tuple[Any, ...]) -> TrustedAuthority:
    number, fingerprint, instance, name, subject, subject_pattern, san_pattern, *rest = row
    not_before, not_after, der, added_at, added_by = rest
    return TrustedAuthority(
        number=number,
        fingerprint=fingerprint,
        instance=instance,
        name=name,
        subject=subject,
        subject_pattern=subject_pattern,
        san_pattern=san_pattern,
        not_before=not_before,
        not_after=not_after,
        der=der,
        added_at=added_at,
        added_by=added_by,
    )


def _seen_columns(seen: SeenCertificate) -> tuple[Any, ...]:
    """In the order of ``NOTE_SEEN``."""
    return (
        seen.fingerprint,
        seen.der,
        seen.subject,
        seen.address,
        seen.reason,
        seen.first_at,
        seen.last_at,
        seen.count,
        seen.instance,
        seen.authority,
    )


def _seen_of(row: tuple[Any, ...]) -> SeenCertificate:
    fingerprint, der, subject, address, reason, first_at, last_at, count, instance, authority = row
    return SeenCertificate(
        fingerprint=fingerprint,
        der=der,
        subject=subject,
        address=address,
        reason=reason,
        first_at=first_at,
        last_at=last_at,
        count=count,
        instance=instance,
        authority=authority,
    )
