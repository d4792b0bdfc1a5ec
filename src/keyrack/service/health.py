"""Is the house well? Findings, each with what to do; the parts behind the ports are looked at here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from keyrack.domain.instances import ClientCertificate, Instance
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, KeyManagerUnavailable
from keyrack.service.certificates import dates

SOON_DAYS = 30
"""A server certificate that expires within these days calls for attention: vCenter has to be told of the next one."""
_DEACTIVATED = 3
"""Key Protect's state of a key that has expired."""
_WAYS_BACK: Mapping[int, str] = {2: "enable", 5: "restore"}
"""What takes a key out of Key Protect's states Suspended and Destroyed, as commands call it."""


class Level(StrEnum):
    """How grave a finding is; only ``FAILED`` makes the house unhealthy."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: Level
    told: str
    """What was found, and where it is not well, what to do."""


@dataclass(frozen=True, slots=True)
class Health:
    """All findings, with the numbers behind them."""

    findings: Sequence[Finding]
    numbers: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(finding.level is not Level.FAILED for finding in self.findings)


async def examine(catalog: Catalog, key_managers: Mapping[str, KeyManager], at: int) -> Health:
    """Look at the catalog, each instance's root key and the client certificates; ``at`` is seconds since 1970.

    Raises ``CatalogUnavailable`` where there is nothing to look at.
    """
    instances = await catalog.instances()
    certificates = await catalog.certificates()
    keys = {instance.name: await catalog.count(instance.identifier) for instance in instances}
    findings = [_catalog(instances, keys), *_certificates(instances, certificates, at)]
    findings.append(_journal(await catalog.journal_heads()))
    findings += [await _root_key(instance, key_managers) for instance in instances]
    numbers = {
        "instances": [
            {
                "name": instance.name,
                "status": str(instance.status),
                "keys": keys[instance.name],
                "certificates": sum(each.instance == instance.identifier for each in certificates),
            }
            for instance in instances
        ]
    }
    return Health(findings, numbers)


def _catalog(instances: Sequence[Instance], keys: Mapping[str, int]) -> Finding:
    if not instances:
        return Finding("catalog", Level.WARNING, "no instance yet; create one with 'keyrack instance create NAME'")
    held = ", ".join(f"{name} {count}" for name, count in keys.items())
    return Finding("catalog", Level.OK, f"{_count(len(instances), 'instance')}; keys: {held}")


def _journal(heads: Mapping[str, int]) -> Finding:
    told = ", ".join(f"{chain} at {sequence}" for chain, sequence in sorted(heads.items()))
    return Finding("journal", Level.OK, told or "empty")


def _certificates(
    instances: Sequence[Instance], certificates: Sequence[ClientCertificate], at: int
) -> Iterator[Finding]:
    for instance in instances:
        held = [each for each in certificates if each.instance == instance.identifier]
        what = f"clients of {instance.name}"
        if not held:
            yield Finding(what, Level.WARNING, f"none; add one with 'keyrack cert add {instance.name} FILE'")
            continue
        odd = [f"{each.subject} ({each.fingerprint[:8]}): {remark}" for each in held for remark in dates(each, at)]
        told = "; ".join(odd) or f"{_count(len(held), 'certificate')} in force"
        yield Finding(what, Level.WARNING if odd else Level.OK, told)


async def _root_key(instance: Instance, key_managers: Mapping[str, KeyManager]) -> Finding:
    what = f"root key of {instance.name}"
    manager = key_managers.get(instance.key_manager)
    if manager is None:
        return Finding(what, Level.WARNING, f"not looked at: key manager {instance.key_manager!r} was not opened")
    try:
        await manager.probe(instance.root_key)
        state = (await manager.describe_root_key(instance.root_key)).state
    except KeyManagerRefused as error:
        told = f"refused: {error}; no key of {instance.name} can be fetched{await _way_back(manager, instance)}"
        return Finding(what, Level.FAILED, told)
    except KeyManagerUnavailable as error:
        return Finding(what, Level.FAILED, f"no answer: {error}")
    if state == _DEACTIVATED:
        told = (
            "it has expired: keys are still fetched, and no new one can be made; make an instance with another root key"
        )
        return Finding(what, Level.WARNING, told)
    return Finding(what, Level.OK, f"{instance.key_manager} wraps and unwraps")


async def _way_back(manager: KeyManager, instance: Instance) -> str:
    try:
        state = (await manager.describe_root_key(instance.root_key)).state
    except (KeyManagerRefused, KeyManagerUnavailable):
        return ""
    verb = _WAYS_BACK.get(state)
    return f"; 'keyrack root-key {verb} {instance.root_key}' brings them back" if verb else ""


def server_certificate(days_left: int) -> Finding:
    """What the days that are left to the server's certificate call for."""
    what = "server certificate"
    if days_left < 0:
        return Finding(what, Level.FAILED, f"expired {-days_left} days ago; make another and have vCenter trust it")
    if days_left <= SOON_DAYS:
        return Finding(what, Level.WARNING, f"expires in {days_left} days; plan its renewal, vCenter has to trust it")
    return Finding(what, Level.OK, f"{days_left} days left")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
