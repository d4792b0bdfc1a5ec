"""Does again, in an older catalog, what took something away after it was copied: nobody gets back by a restore what was
destroyed, removed, revoked or sealed.

It needs no administrator: each of these was decided by one already. It is done as soon as it is known, before anybody
is served.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keyrack.domain import lifecycle
from keyrack.domain.errors import KmipError
from keyrack.domain.instances import Instance
from keyrack.domain.journal import Entry
from keyrack.domain.lifecycle import DESTROYED_STATES, Event
from keyrack.domain.objects import ManagedObject
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import Conflict, Unit
from keyrack.ports.people import PeopleChanges
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.key_steps import is_purged, leftover_of, purged
from keyrack.service.recovery.later import STEPS, Happened, Later

WHY = "it was done after the copy of the catalog was made, and is done again"


@dataclass(slots=True, kw_only=True)
class Applied:
    """How much was done again."""

    destroyed: int = 0
    stepped: int = 0
    """Keys that have gone another step than to be destroyed."""
    purged: int = 0
    certificates: int = 0
    authorities: int = 0
    sealed: int = 0
    api_keys: int = 0
    people: int = 0
    failures: int = 0
    """What could not be done again, and has to be by a person."""

    @property
    def told(self) -> Mapping[str, int]:
        """The counts that are not 0, as people call them."""
        found = {
            "keys destroyed": self.destroyed,
            "keys in another state": self.stepped,
            "keys purged": self.purged,
            "client certificates removed": self.certificates,
            "authorities removed": self.authorities,
            "instances sealed": self.sealed,
            "API keys revoked": self.api_keys,
            "people disabled": self.people,
        }
        return {what: number for what, number in found.items() if number}


def stepped(managed: ManagedObject, steps: Sequence[Happened]) -> ManagedObject:
    """The object after these steps, one version on; the same object where they lead to the state that it has."""
    now = managed
    for each in steps:
        event = STEPS[each.entry.action] or lifecycle.recovery_of(now)
        now = _step(now, event, each.at)
    return managed if now.state is managed.state else replace(now, version=managed.version + 1)


def _step(managed: ManagedObject, event: Event, at: int) -> ManagedObject:
    before = [Event.DEACTIVATE] if event is Event.DESTROY else [Event.ACTIVATE] if event is Event.DEACTIVATE else []
    for way in ([event], [*before, event]):
        try:
            now = managed
            for each in way:
                now = lifecycle.after(now, each, at=at)
            return now
        except KmipError:
            continue  # It is there already, or was in another state by an act that no record tells of.
    return managed


class Applying:
    """One catalog is brought as far as the records tell."""

    def __init__(self, catalog: WholeCatalog, later: Later, *, clock: Callable[[], int], initiator: str) -> None:
        """``clock`` is milliseconds since 1970; ``initiator``: who it is done by, as the journal names it."""
        self._catalog = catalog
        self._later = later
        self._clock = clock
        self._initiator = initiator
        self._done = Applied()

    async def run(self) -> Applied:
        """Everything that can be done again; what is done already is left alone. Raises ``CatalogUnavailable``."""
        instances = {each.identifier: each for each in await self._catalog.instances()}
        for uid in dict.fromkeys([*self._later.steps, *self._later.purged]):
            happened = self._later.purged.get(uid) or self._later.steps[uid][-1]
            instance = instances.get(happened.entry.instance)
            if instance is not None:
                await self._key(instance, uid)
        await self._admissions(instances)
        await self._seals(instances)
        await self._people()
        return self._done

    async def _key(self, instance: Instance, uid: str) -> None:
        managed = await self._catalog.load(instance.identifier, uid)
        if managed is None:
            return
        changed = stepped(managed, self._later.steps.get(uid, ()))
        if uid in self._later.purged and changed.state in DESTROYED_STATES and not is_purged(changed):
            changed = replace(purged(changed), version=managed.version + 1)
        if changed is managed:
            return
        gone, left = changed.state in DESTROYED_STATES, is_purged(changed) and not is_purged(managed)
        action = "key.purge" if left else "key.destroy" if gone else "key.rebuild"
        if await self._commit(
            self._entry(action, instance.identifier, uid, state=changed.state.title),
            updated=(changed,),
            leftovers=leftover_of(instance, managed, self._clock() // 1000) if left else (),
        ):
            self._done.purged += left
            self._done.destroyed += gone and managed.state not in DESTROYED_STATES
            self._done.stepped += not gone

    async def _admissions(self, instances: Mapping[str, Instance]) -> None:
        barred = set(await self._catalog.barred())
        trusted = [each for each in await self._catalog.authorities()]
        for each in await self._catalog.certificates():
            removed = self._later.certificates.get((each.instance, each.fingerprint))
            # One that was let in again since is not the one that was removed.
            if removed is not None and each.added_at <= removed.at:
                entry = self._entry("certificate.remove", each.instance, each.fingerprint)
                self._done.certificates += await self._commit(entry, removed_certificates=(each.fingerprint,))
        anchored = {each.instance for each in trusted}
        for place in self._later.certificates:
            if place[0] in anchored and place[0] in instances and place not in barred:
                await self._commit(self._entry("authority.bar", *place), admissions=AdmissionChanges(barred=(place,)))
        for authority in trusted:
            taken = self._later.authorities.get((authority.instance, authority.fingerprint))
            if taken is not None and authority.added_at <= taken.at:
                changes = AdmissionChanges(removed_authorities=((authority.instance, authority.fingerprint),))
                entry = self._entry("authority.remove", authority.instance, authority.fingerprint)
                self._done.authorities += await self._commit(entry, admissions=changes)

    async def _seals(self, instances: Mapping[str, Instance]) -> None:
        for identifier, happened in self._later.sealed.items():
            instance = instances.get(identifier)
            if instance is not None and instance.sealed_at is None:
                sealed = replace(instance, sealed_at=happened.at)
                entry = self._entry("instance.seal", identifier, identifier, name=instance.name)
                self._done.sealed += await self._commit(entry, seen_instances=(instance,), instances=(sealed,))

    async def _people(self) -> None:
        """Who may less since than the copy says may nothing, until an administrator has looked; all log-ins end."""
        now = self._clock() // 1000
        for key in await self._catalog.api_keys():
            if key.identifier in self._later.api_keys and key.revoked_at is None:
                changes = PeopleChanges(api_keys=(replace(key, revoked_at=now),))
                entry = self._entry("api-key.revoke", "", key.identifier)
                self._done.api_keys += await self._commit(entry, people=changes)
        persons = await self._catalog.persons()
        for person in persons:
            if person.identifier in self._later.people and person.disabled_at is None:
                disabled = replace(person, disabled_at=now, revision=person.revision + 1)
                changes = PeopleChanges(persons=(disabled,), ended_links_of=(person.identifier,))
                entry = self._entry("person.disable", "", person.identifier, name=person.name)
                self._done.people += await self._commit(entry, people=changes)
        everybody = tuple(each.identifier for each in persons)
        if everybody:
            await self._catalog.commit(
                Unit(entries=(), people=PeopleChanges(ended_of=everybody, ended_links_of=everybody), recovers=True)
            )

    async def _commit(self, entry: Entry, **changes: Any) -> bool:
        """Whether it is done; what another process has done meanwhile is not done twice."""
        try:
            await self._catalog.commit(Unit(entries=(entry,), recovers=True, **changes))
        except Conflict:
            self._done.failures += 1
            return False
        return True

    def _entry(self, action: str, instance: str, target: str, **detail: str) -> Entry:
        return Entry(
            at=self._clock(),
            action=action,
            outcome="success",
            initiator=self._initiator,
            address="local",
            instance=instance,
            target=target,
            detail={"why": WHY, **detail},
        )


def gone_of(later: Later) -> Iterator[str]:
    """Unique Identifiers of what was destroyed since, but for what went with its instance."""
    for uid, happened in later.destroyed.items():
        if happened.entry.instance not in later.removed_instances:
            yield uid
