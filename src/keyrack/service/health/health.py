"""Is the house well? Findings, each with what to do; the parts behind the ports are looked at here."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from keyrack.domain.instances import ClientCertificate, Instance
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager
from keyrack.service.care.validation import look
from keyrack.service.health import instance_health
from keyrack.service.health.findings import Finding, Level
from keyrack.service.health.instance_health import Known
from keyrack.service.health.remedies import Acts
from keyrack.service.vault.lease import Terms

__all__ = ["Finding", "Health", "Level", "examine"]


@dataclass(frozen=True, slots=True)
class Health:
    """All findings, with the numbers behind them."""

    findings: Sequence[Finding]
    numbers: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return all(finding.level is not Level.FAILED for finding in self.findings)


async def examine(
    catalog: Catalog,
    key_managers: Mapping[str, KeyManager],
    at: int,
    *,
    terms: Mapping[str, Terms] = MappingProxyType({}),
    acts: Mapping[str, Acts] = MappingProxyType({}),
) -> Health:
    """Look at the catalog, and each instance and its root key; ``at`` is seconds since 1970.

    ``key_managers`` are those that could be opened; ``terms`` of all that are configured, and ``acts`` of those that
    are not embedded, by configured name. Raises ``CatalogUnavailable`` where there is nothing to look at.
    """
    instances = await catalog.instances()
    certificates = await catalog.certificates()
    keys = {instance.name: await catalog.count(instance.identifier) for instance in instances}
    findings = [_catalog(instances, keys)]
    known = await _known(catalog, key_managers, instances, acts)
    for each in known:
        findings += instance_health.findings(each, at)
    findings += instance_health.bounds(terms)
    return Health(findings, {"instances": [_numbers(each, keys, certificates) for each in known]})


async def _known(
    catalog: Catalog, key_managers: Mapping[str, KeyManager], instances: Sequence[Instance], acts: Mapping[str, Acts]
) -> Sequence[Known]:
    validations, leftovers = await catalog.validations(), await catalog.leftovers()
    homes = [each.home for each in instances if each.key_manager in key_managers]
    looks = await asyncio.gather(*(look(key_managers[home.key_manager], home) for home in dict.fromkeys(homes)))
    seen = dict(zip(dict.fromkeys(homes), looks, strict=True))
    return [
        Known(
            instance=instance,
            seen=seen.get(instance.home),
            validation=validations.get(instance.identifier),
            wrapping_key=await catalog.wrapping_key(instance.identifier),
            leftovers=[each for each in leftovers if each.instance == instance.identifier],
            acts=acts.get(instance.key_manager.partition("/")[0]),
        )
        for instance in instances
    ]


def _numbers(known: Known, keys: Mapping[str, int], certificates: Sequence[ClientCertificate]) -> Mapping[str, Any]:
    instance, found = known.instance, known.validation
    return {
        "name": instance.name,
        "status": str(instance.status),
        "sealed": instance.sealed_at is not None,
        "keys": keys[instance.name],
        "certificates": sum(each.instance == instance.identifier for each in certificates),
        "leftovers": len(known.leftovers),
        "withheld": found.withheld if found else 0,
        "strangers": found.strangers if found else 0,
        "behind": found.behind if found else 0,
        "validated_at": found.at if found else None,
        "synced_at": found.synced_at if found else None,
        "reason": found.reason if found else "",
    }


def _catalog(instances: Sequence[Instance], keys: Mapping[str, int]) -> Finding:
    if not instances:
        return Finding("catalog", Level.WARNING, "no instance yet; create one with 'keyrack instance create NAME'")
    held = ", ".join(f"{name} {count}" for name, count in keys.items())
    return Finding("catalog", Level.OK, f"{_count(len(instances), 'instance')}; keys: {held}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
