"""Everything that the catalog tells of a deployment's health beside its root keys: who comes in, who administers, what
comes to its bound, and how the journal stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from keyrack.domain.objects import ManagedObject
from keyrack.ports.admissions import Admissions
from keyrack.ports.catalog import Catalog
from keyrack.ports.cluster import ClusterBook
from keyrack.ports.journal import JournalBook
from keyrack.ports.key_affairs import KeyBook
from keyrack.ports.people import PeopleBook
from keyrack.service.health import backup_health, certificate_health, journal_health, limits_health, people_health
from keyrack.service.health.findings import Finding
from keyrack.service.journal.forwarding import lags
from keyrack.service.office.keys import Windows
from keyrack.service.people.throttle import waits_until

_PAGE = 500


class Everything(Catalog, Admissions, KeyBook, PeopleBook, JournalBook, ClusterBook, Protocol):
    """A catalog with all its parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the configuration says about it."""

    windows: Windows
    checkpoint_seconds: float = 60
    sinks: Mapping[str, bool] = field(default_factory=dict)
    """Whether each configured sink is required."""
    alarms: Mapping[str, float] = field(default_factory=dict)
    """Seconds by which each may be behind."""
    missing: str = ""
    """What the catalog lacks of what was exported of its journal."""
    oldest_backup: float = 0
    oldest_proof: float = 0
    """Seconds from which on the last backup, or the last proof, is overdue; 0: never."""
    has_own_backups: bool = True
    """Whether Keyrack makes the backups, and not the database."""
    administered: bool = True
    """Whether there is an administration API, for which somebody has to be able to log in."""


async def whole(catalog: Everything, terms: Terms, at: int) -> list[Finding]:
    """All findings; ``at`` is seconds since 1970. Raises ``CatalogUnavailable``."""
    found = await _clients(catalog, at)
    found += await _limits(catalog, terms.windows, at)
    rollback = await catalog.rollback()
    found += backup_health.rollback(rollback)
    found += backup_health.backups(
        await catalog.reports(),
        at,
        oldest=terms.oldest_backup,
        oldest_proof=terms.oldest_proof,
        has_own=terms.has_own_backups,
    )
    found.append(journal_health.chains(await catalog.journal_heads()))
    found += journal_health.rolled_back(terms.missing if rollback is None else "")
    found.append(journal_health.checkpoint(await journal_health.signed(catalog), terms.checkpoint_seconds, at))
    found += journal_health.sinks(await lags(catalog, terms.sinks, at * 1000), terms.alarms, at)
    if terms.administered:
        found += await _people(catalog, at)
    names = {each.identifier: each.name for each in await catalog.instances()}
    found += people_health.approvals(await catalog.approvals(), names, at)
    return found


async def _clients(catalog: Everything, at: int) -> list[Finding]:
    instances, certificates = await catalog.instances(), await catalog.certificates()
    found = list(certificate_health.clients(instances, certificates, await catalog.authorities(), at))
    return [*found, *certificate_health.seen(await catalog.seen_certificates(), at)]


async def _limits(catalog: Everything, windows: Windows, at: int) -> list[Finding]:
    instances, authorities = await catalog.instances(), await catalog.authorities()
    found: list[Finding] = []
    for each in instances:
        held = len(await catalog.certificates(each.identifier))
        held += sum(one.instance == each.identifier for one in authorities)
        found += limits_health.quotas(each, keys=await catalog.living(each.identifier), certificates=held)
    destroyed: list[ManagedObject] = []
    after = ""
    while page := await catalog.destroyed(after, _PAGE):
        destroyed += page
        after = page[-1].unique_identifier
    names = {each.identifier: each.name for each in instances}
    return [*found, *limits_health.purges(destroyed, names, windows, at)]


async def _people(catalog: Everything, at: int) -> list[Finding]:
    persons = await catalog.persons()
    waits = {each.name: await waits_until(catalog, each.name) for each in persons if each.password}
    return list(people_health.people(persons, await catalog.api_keys(), waits, at))
