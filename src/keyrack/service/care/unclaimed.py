"""Strangers: standard keys that are named as Keyrack names its own, and that nothing in the catalog has.

A crash between the key manager and the catalog leaves one, and so does another deployment in the same key ring. Here
they are counted, listing by listing; nothing ever deletes them but the customer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set

from keyrack.domain.instances import Instance
from keyrack.ports.catalog import Catalog
from keyrack.service.care.inventory import Listing, managers_of, things


async def intended(catalog: Catalog) -> Set[str]:
    """Objects that are being put into a key manager.

    Asked after a listing and before the objects: what is listed is then either under way, or an object's, or nobody's.
    """
    return {each.unique_identifier for each in await catalog.intents()}


class Unclaimed:
    """Counts what is left of listings once everything has claimed its own.

    One counts that two listings in a row have shown: a key that moves or is rewrapped has two standard keys for a
    moment, and nothing says so yet.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._before: dict[str, frozenset[str]] = {}

    async def count(
        self, name: str, listing: Listing, synced: Sequence[Instance], owners: Mapping[str, str], under_way: Set[str]
    ) -> Mapping[str, int]:
        """How many there are in the key manager ``name``, by the identifiers of the instances that were synced.

        ``owners``: instances by the Unique Identifiers of their objects. Those of nobody are counted with the oldest
        instance. Empty after the first listing.
        """
        await self._claim_others(name, listing, synced)
        found = await self._nobodys(name, listing, under_way)
        before, self._before[name] = self._before.get(name), frozenset(found)
        if before is None:
            return {}
        at_home = [each for each in synced if each.key_manager == name]
        oldest = min(at_home, key=lambda each: (each.created_at, each.identifier)).identifier
        known = {each.identifier for each in at_home}
        whose = (owners.get(uid, oldest) for identifier, uid in found.items() if identifier in before)
        counts = Counter(each if each in known else oldest for each in whose)
        return {identifier: counts[identifier] for identifier in known}

    async def _nobodys(self, name: str, listing: Listing, under_way: Set[str]) -> Mapping[str, str]:
        if not listing.unclaimed:
            return {}
        leftovers = {each.standard_key for each in await self._catalog.leftovers() if each.key_manager == name}
        return {
            identifier: unique_identifier
            for identifier, unique_identifier in listing.unclaimed.items()
            if identifier not in leftovers and unique_identifier not in under_way
        }

    async def _claim_others(self, name: str, listing: Listing, synced: Sequence[Instance]) -> None:
        """Instances that are not synced may have standard keys there all the same, while their storage changes."""
        done = {each.identifier for each in synced}
        for instance in await self._catalog.instances() if listing.unclaimed else ():
            if instance.identifier not in done and name in managers_of(instance):
                async for thing in things(self._catalog, instance):
                    listing.claim(thing)
