"""Quotas of instances in the database, counted in the transaction that adds: nobody is quick enough to pass them."""

from collections import Counter

from keyrack.adapters.catalogs import queries
from keyrack.adapters.catalogs.reading import Execute, first
from keyrack.ports.catalog import QuotaReached, Unit


async def check_quotas(execute: Execute, unit: Unit) -> None:
    """Raise :class:`QuotaReached` where an instance would have more than it may.

    Only what a client adds counts against the quota of keys: who restores or adopts keys must not be stopped half-way.
    """
    if unit.principal is not None and (unit.inserted or unit.intents):
        # An object that was an intent before is counted when it is inserted.
        added = len(unit.inserted) + len(unit.intents)
        quota, held = first(await execute(queries.KEY_QUOTA, (unit.principal.instance,))) or (0, 0)
        if held + added > quota:
            raise QuotaReached("keys", held, quota)
    admitted = Counter(each.instance for each in unit.certificates)
    admitted.update(each.instance for each in (unit.admissions.authorities if unit.admissions else ()))
    for identifier, added in admitted.items():
        found = first(await execute(queries.CERTIFICATE_QUOTA, (identifier,) * queries.CERTIFICATE_QUOTA.count("?")))
        if found is not None and found[1] + added > found[0]:
            raise QuotaReached("certificates", found[1], found[0])
