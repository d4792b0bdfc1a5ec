"""Alarms about certificates that come to their end: once for each threshold, in the log and in the journal."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.instances import ClientCertificate, TrustedAuthority
from keyrack.domain.journal import Entry
from keyrack.ports.admissions import AdmissionChanges, ExpiryAlarm
from keyrack.ports.catalog import AlreadyThere, Unit
from keyrack.service.office.admissions import AdmissionCatalog
from keyrack.service.office.certificates import alarm_due, days_left

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 3600.0
"""Seconds between two looks."""
INITIATOR: Final = "keyrack"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """The certificate that the listener shows."""

    fingerprint: str
    subject: str
    not_after: int
    """Seconds since 1970."""


Subject = ClientCertificate | TrustedAuthority | ServerCertificate
_KINDS: Final[Mapping[type, tuple[str, str, str]]] = {
    ClientCertificate: ("certificate.expire", "client certificate", "have 'keyrack cert rotate' walk it through"),
    TrustedAuthority: ("authority.expire", "trusted authority", "trust the one that takes its place"),
    ServerCertificate: (
        "server-certificate.expire",
        "the server's certificate",
        "renew it with 'keyrack server-certificate renew'; vCenter has to trust it anew",
    ),
}
"""The journal's action, how it is called, and what to do."""


async def raise_alarms(
    catalog: AdmissionCatalog, server: ServerCertificate | None, clock: Callable[[], int]
) -> Sequence[ExpiryAlarm]:
    """Raise each alarm that is due and was not raised before; ``clock``: milliseconds since 1970.

    Where two processes do it at once, one of them does. Raises ``CatalogUnavailable``.
    """
    at = clock() // 1000
    raised = {(each.fingerprint, each.days) for each in await catalog.expiry_alarms()}
    held: list[Subject] = [*await catalog.certificates(), *await catalog.authorities()]
    if server is not None:
        held.append(server)
    alarms = []
    for each in held:
        days = alarm_due(each, at)
        if days is None or (each.fingerprint, days) in raised:
            continue
        alarm = ExpiryAlarm(fingerprint=each.fingerprint, days=days, at=at)
        try:
            unit = Unit(entries=(_entry(each, at, clock()),), admissions=AdmissionChanges(alarms=(alarm,)))
            await catalog.commit(unit)
        except AlreadyThere:
            continue
        raised.add((each.fingerprint, days))
        alarms.append(alarm)
        log.warning("%s", told(each, at))
    return alarms


def told(subject: Subject, at: int) -> str:
    """An alarm for people: what comes to its end, when, and what to do; ``at``: seconds since 1970."""
    _, what, instead = _KINDS[type(subject)]
    left = days_left(subject, at)
    when = f"expires in {left} days" if left >= 0 else f"expired {-left} days ago"
    return f"{what} {subject.fingerprint[:16]} ({subject.subject[:200]}) {when}: {instead}"


def _entry(subject: Subject, at: int, milliseconds: int) -> Entry:
    return Entry(
        at=milliseconds,
        action=_KINDS[type(subject)][0],
        outcome="success",
        initiator=INITIATOR,
        address="local",
        instance="" if isinstance(subject, ServerCertificate) else subject.instance,
        target=subject.fingerprint,
        detail={"days_left": days_left(subject, at), "subject": subject.subject[:200]},
    )
