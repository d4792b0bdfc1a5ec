"""What the catalog says of the whole deployment, as a sheet: instances, certificates, keys, journal, people."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509

from keyrack.domain.approvals import ApprovalState
from keyrack.domain.instances import Instance
from keyrack.domain.people import Person
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.metering import MOST_INSTANCES, OTHER
from keyrack.shell.metrics.journal_tail import JournalTail
from keyrack.shell.metrics.sheet import Sheet
from keyrack.spec.enumerations import State

FRESH: Final = 15.0
"""Seconds for which the numbers count."""
KEYS_FRESH: Final = 60.0
"""Seconds for which the count of keys does: it reads every object."""
DAY: Final = 86_400
CERTIFICATES: Final = ("keyrack_certificates", "keyrack_certificate_days_left")
AUTHORITIES: Final = ("keyrack_authorities", "keyrack_authority_days_left")
_STATES: Final = {int(each): each.title for each in State}
_DESTROYED: Final = frozenset({int(State.DESTROYED), int(State.DESTROYED_COMPROMISED)})


@dataclass(slots=True, kw_only=True)
class DeploymentNumbers:
    """Reads them when asked, and not more often than they change."""

    catalog: WholeCatalog
    server_certificate: Path
    clock: Callable[[], float] = time.time
    tail: JournalTail = field(default_factory=JournalTail)
    _keys: Mapping[tuple[str, int], int] = field(default_factory=dict)
    _keys_until: float = 0.0
    _sheet: Sheet | None = None
    _until: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def sheet(self) -> Sheet:
        """The numbers; raises ``CatalogUnavailable``."""
        async with self._turn:
            now = time.monotonic()
            if self._sheet is None or now >= self._until:
                self._sheet = await self._read()
                self._until = now + FRESH
            return self._sheet

    async def _read(self) -> Sheet:
        sheet, at = Sheet(), self.clock()
        instances = await self.catalog.instances()
        names = _names(instances)
        await self._put_instances(sheet, instances, names)
        await self._put_keys(sheet, instances, names)
        await self._put_certificates(sheet, names, at)
        await self._put_journal(sheet)
        await self._put_people(sheet, at)
        await self._put_copies(sheet)
        return sheet

    async def _put_copies(self, sheet: Sheet) -> None:
        sheet.put("keyrack_rollback_mode", float(await self.catalog.rollback() is not None))
        for kind, report in (await self.catalog.reports()).items():
            sheet.put(f"keyrack_last_{kind}_timestamp_seconds", report.at)
            sheet.put(f"keyrack_last_{kind}_good", float(report.good))
            sheet.put(f"keyrack_last_{kind}_keys", report.keys)

    async def _put_instances(self, sheet: Sheet, instances: Sequence[Instance], names: Mapping[str, str]) -> None:
        for status, number in _counted(str(each.status) for each in instances).items():
            sheet.put("keyrack_instances", number, status=status)
        validations = await self.catalog.validations()
        sums: dict[tuple[str, str], float] = {}
        for each in instances:
            name, found = names[each.identifier], validations.get(each.identifier)
            _add(sums, ("keyrack_instance_sealed", name), float(each.sealed_at is not None))
            if found is None:
                continue
            _add(sums, ("keyrack_keys_withheld", name), found.withheld)
            _add(sums, ("keyrack_keys_behind", name), found.behind)
            usable = ("keyrack_root_key_usable", name)
            sums[usable] = min(sums.get(usable, 1.0), float(not found.reason))
        for (metric, name), total in sums.items():
            sheet.put(metric, total, kmip_instance=name)

    async def _put_keys(self, sheet: Sheet, instances: Sequence[Instance], names: Mapping[str, str]) -> None:
        if time.monotonic() >= self._keys_until:
            self._keys = await self.catalog.keys_by_state()
            self._keys_until = time.monotonic() + KEYS_FRESH
        sums: dict[tuple[str, str], float] = {}
        living: dict[str, int] = {}
        for (instance, state), number in self._keys.items():
            _add(sums, (names.get(instance, OTHER), _STATES.get(state, "unknown")), number)
            if state not in _DESTROYED:
                living[instance] = living.get(instance, 0) + number
        for (name, named), total in sums.items():
            sheet.put("keyrack_keys", total, kmip_instance=name, state=named)
        for each in instances:
            used = living.get(each.identifier, 0) / max(each.quotas.keys, 1)
            if names[each.identifier] != OTHER:
                sheet.put("keyrack_quota_used_ratio", used, kmip_instance=each.name, quota="keys")

    async def _put_certificates(self, sheet: Sheet, names: Mapping[str, str], at: float) -> None:
        certificates, authorities = await self.catalog.certificates(), await self.catalog.authorities()
        _put_ends(sheet, CERTIFICATES, [(each.instance, each.not_after) for each in certificates], names, at)
        _put_ends(sheet, AUTHORITIES, [(each.instance, each.not_after) for each in authorities], names, at)
        held = Counter([each.instance for each in certificates] + [each.instance for each in authorities])
        for instance in await self.catalog.instances():
            if names.get(instance.identifier, OTHER) != OTHER:
                used = held.get(instance.identifier, 0) / max(instance.quotas.certificates, 1)
                sheet.put("keyrack_quota_used_ratio", used, kmip_instance=instance.name, quota="certificates")
        sheet.put("keyrack_seen_certificates", len(await self.catalog.seen_certificates()))
        end = await asyncio.to_thread(_end_of, self.server_certificate)
        if end is not None:
            sheet.put("keyrack_server_certificate_days_left", _days(end, at))

    async def _put_journal(self, sheet: Sheet) -> None:
        end = await self.catalog.journal_end()
        sheet.put("keyrack_journal_records_total", end)
        sheet.put("keyrack_journal_flaws", await self.tail.look(self.catalog, end))
        last = await self.catalog.last_checkpoint()
        if last is not None:
            sheet.put("keyrack_checkpoint_timestamp_seconds", last.at / 1000)
        for name, state in (await self.catalog.sinks()).items():
            sheet.put("keyrack_sink_lag_records", max(0, end - state.number), sink=name)

    async def _put_people(self, sheet: Sheet, at: float) -> None:
        people = [each for each in await self.catalog.persons() if each.removed_at is None]
        standing = {"active": 0, "disabled": 0, **_counted(_standing(each) for each in people)}
        for name, number in standing.items():
            sheet.put("keyrack_people", number, standing=name)
        sheet.put("keyrack_administrators", sum(each.administers for each in people))
        keys = [
            each
            for each in await self.catalog.api_keys()
            if each.revoked_at is None and (each.expires_at is None or each.expires_at > at)
        ]
        sheet.put("keyrack_api_keys", len(keys))
        ends = [each.expires_at for each in keys if each.expires_at is not None]
        if ends:
            sheet.put("keyrack_api_key_days_left", _days(min(ends), at))
        waiting = [e for e in await self.catalog.approvals() if e.state(int(at)) is ApprovalState.WAITING]
        sheet.put("keyrack_approvals_waiting", len(waiting))


def _standing(person: Person) -> str:
    return "disabled" if person.disabled_at is not None else "active"


def _names(instances: Sequence[Instance]) -> Mapping[str, str]:
    """The label of each instance by its identifier; those beyond the bound share one."""
    return {
        each.identifier: each.name if place < MOST_INSTANCES else OTHER
        for place, each in enumerate(sorted(instances, key=lambda each: (each.created_at, each.identifier)))
    }


def _put_ends(
    sheet: Sheet, metrics: tuple[str, str], ends: Sequence[tuple[str, int]], names: Mapping[str, str], at: float
) -> None:
    first: dict[str, int] = {}
    for instance, end in ends:
        name = names.get(instance, OTHER)
        first[name] = min(first.get(name, end), end)
    for name, number in _counted(names.get(instance, OTHER) for instance, _ in ends).items():
        sheet.put(metrics[0], number, kmip_instance=name)
        sheet.put(metrics[1], _days(first[name], at), kmip_instance=name)


def _end_of(certificate: Path) -> float | None:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError):
        return None


def _days(end: float, at: float) -> float:
    return round((end - at) / DAY, 3)


def _counted(names: Iterable[str]) -> Mapping[str, int]:
    return Counter(names)


def _add(sums: dict[tuple[str, str], float], key: tuple[str, str], number: float) -> None:
    sums[key] = sums.get(key, 0.0) + number
