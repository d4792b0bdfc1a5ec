"""What comes to its bound: quotas of instances, and destroyed keys that are soon gone for good."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from keyrack.domain.instances import Instance
from keyrack.domain.objects import ManagedObject
from keyrack.service.health.findings import Finding, Level, ago
from keyrack.service.office.keys import Windows, purge_at

NEAR: Final = 0.8
"""Part of a quota that calls for attention."""
SOON: Final = 3 * 86_400
"""Seconds before a purge that call for it."""


def quotas(instance: Instance, *, keys: int, certificates: int) -> Iterator[Finding]:
    """How near an instance is to what it may have."""
    for noun, used, most in (
        ("keys", keys, instance.quotas.keys),
        ("certificates", certificates, instance.quotas.certificates),
    ):
        if used < NEAR * most:
            continue
        full = used >= most
        told = f"{used} of {most} {noun}" + (
            ": a new one is refused" if full else "; at the last one new ones are refused"
        )
        act = f"'keyrack instance quota {instance.name}' shows what it may have, and --{noun} NUMBER raises it"
        yield Finding(f"quota of {instance.name}", Level.FAILED if full else Level.WARNING, told, act)


def purges(
    destroyed: Sequence[ManagedObject], instances: Mapping[str, str], windows: Windows, at: int
) -> Iterator[Finding]:
    """Destroyed keys that the server soon purges; ``instances`` are names by identifier."""
    soon: dict[str, list[int]] = {}
    for managed in destroyed:
        due = purge_at(managed, windows)
        if due is not None and due - at <= SOON:
            soon.setdefault(managed.instance, []).append(due)
    for identifier, dues in soon.items():
        name = instances.get(identifier, identifier)
        number = "1 destroyed key is" if len(dues) == 1 else f"{len(dues)} destroyed keys are"
        told = f"{number} purged for good, the first in {ago(min(dues) - at)}"
        act = f"'keyrack key list {name} --recoverable' shows them, 'keyrack key recover {name} KEY' takes one back"
        yield Finding(f"keys of {name}", Level.WARNING, told, act)
