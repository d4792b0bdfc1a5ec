"""A catalog in memory: the same contract without a disk, for tests and for looking around."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from keyrack.adapters.memory_admissions import MemoryAdmissions
from keyrack.adapters.memory_alone import Alone
from keyrack.adapters.memory_objects import bears, has_all, stored
from keyrack.domain.instances import Admittance, ClientCertificate, Instance, Principal, TrustedAuthority, WrappingKey
from keyrack.domain.journal_chain import canonical, genesis, link
from keyrack.domain.lifecycle import DESTROYED_STATES, tick
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import (
    CERTIFICATE_ID,
    AlreadyThere,
    Author,
    Candidates,
    CatalogUnavailable,
    Conflict,
    InstanceChanged,
    InstanceSealed,
    JournalRecord,
    Leftover,
    Listed,
    NotAuthorised,
    QuotaReached,
    StillHangs,
    StillUsed,
    TooMany,
    Unit,
    Validation,
)
from keyrack.spec.enumerations import State


class MemoryCatalog(Alone):
    """``ports.Catalog`` in dictionaries; nothing survives the process.

    Set ``available`` to ``False`` and every commit is refused, as if the disk were full.
    """

    def __init__(self, chain: str = "memory") -> None:
        """Begin empty; journal under the name ``chain``."""
        self.available = True
        self._chain = chain
        self._instances: dict[str, Instance] = {}
        self._certificates: dict[str, ClientCertificate] = {}
        self._admissions: dict[tuple[str, str], str] = {}
        self._objects: dict[str, ManagedObject] = {}
        self._authors: dict[str, dict[str, str]] = {}
        self._intents: dict[str, ManagedObject] = {}
        self._journal: list[JournalRecord] = []
        self._wrapping_keys: dict[str, WrappingKey] = {}
        self._leftovers: dict[tuple[str, str], Leftover] = {}
        self._validations: dict[str, Validation] = {}
        self._trusting = MemoryAdmissions()
        self._generation = 1

    async def authorise(self, fingerprint: str, admittance: Admittance | None = None) -> Principal:
        """The principal of a certificate in force, of an installed instance."""
        certificate = self._certificates.get(fingerprint)
        found = None
        if certificate is not None:
            found = Principal(fingerprint=fingerprint, instance=certificate.instance)
        elif admittance is not None and self._trusting.admits(fingerprint, admittance):
            instance, anchor, number = admittance.instance, admittance.authority, admittance.number
            found = Principal(fingerprint=fingerprint, instance=instance, authority=anchor, trust=number)
        if found is None or not self._instances[found.instance].serves:
            raise NotAuthorised("the certificate is not, or no longer, one of an installed instance")
        return found

    async def authorities(self, instance: str | None = None) -> Sequence[TrustedAuthority]:
        """Trusted authorities, oldest first."""
        return self._trusting.authorities(instance)

    async def barred(self, instance: str | None = None) -> Sequence[tuple[str, str]]:
        """Leaves that no authority lets in."""
        return self._trusting.barred(instance)

    async def load(self, instance: str, unique_identifier: str) -> ManagedObject | None:
        """One object of the instance."""
        managed = self._objects.get(unique_identifier)
        return managed if managed is not None and managed.instance == instance else None

    async def objects(self, instance: str, after: str = "", limit: int = 500) -> Sequence[ManagedObject]:
        """One page, in the order of creation."""
        held = [managed for managed in self._objects.values() if managed.instance == instance]
        begin = next((n for n, managed in enumerate(held, 1) if managed.unique_identifier == after), 0)
        return held[begin : begin + limit]

    async def listing(
        self, instance: str, states: Collection[State], now: int, *, limit: int = 100, offset: int = 0
    ) -> Sequence[Listed]:
        """One page, oldest first."""
        return self._listing(instance, states, now)[offset : offset + limit]

    async def count_listing(self, instance: str, states: Collection[State], now: int) -> int:
        """All of them."""
        return len(self._listing(instance, states, now))

    def _listing(self, instance: str, states: Collection[State], now: int) -> list[Listed]:
        held = (
            each for each in self._objects.values() if each.instance == instance and tick(each, now).state in states
        )
        return [self._listed(each) for each in sorted(held, key=lambda each: each.value("Initial Date") or 0)]

    async def listed(self, instance: str, unique_identifier: str) -> Listed | None:
        """One object, with its authors."""
        managed = await self.load(instance, unique_identifier)
        return self._listed(managed) if managed else None

    def _listed(self, managed: ManagedObject) -> Listed:
        authors = {
            act: Author(initiator, self._admissions.get((managed.instance, initiator.removeprefix(CERTIFICATE_ID)), ""))
            for act, initiator in self._authors[managed.unique_identifier].items()
        }
        return Listed(managed=managed, **authors)

    async def count(self, instance: str) -> int:
        """How many objects the instance has."""
        return sum(managed.instance == instance for managed in self._objects.values())

    async def living(self, instance: str) -> int:
        """How many of them are not destroyed."""
        return sum(each.instance == instance and each.state not in DESTROYED_STATES for each in self._objects.values())

    async def stored_blob(self, instance: str, unique_identifier: str) -> bytes | None:
        """The sealed blob."""
        managed = await self.load(instance, unique_identifier)
        return managed.sealed if managed else None

    async def search(self, instance: str, candidates: Candidates) -> Sequence[ManagedObject]:
        """Objects that may match, oldest first."""
        found = [
            managed
            for managed in self._objects.values()
            if managed.instance == instance
            and candidates.object_type in {None, managed.object_type}
            and candidates.state in {None, managed.state}
            and has_all(managed, candidates)
        ]
        return sorted(found, key=lambda managed: managed.value("Initial Date") or 0)

    async def intents(self) -> Sequence[ManagedObject]:
        """Objects about to be put into a key manager."""
        return list(self._intents.values())

    async def instances(self) -> Sequence[Instance]:
        """All instances, by name."""
        return sorted(self._instances.values(), key=lambda instance: (instance.name, instance.key_manager))

    async def wrapping_key(self, instance: str) -> WrappingKey | None:
        """By its instance."""
        return self._wrapping_keys.get(instance)

    async def leftovers(self, instance: str | None = None) -> Sequence[Leftover]:
        """Oldest first."""
        held = [each for each in self._leftovers.values() if instance in {None, each.instance}]
        return sorted(held, key=lambda each: each.at)

    async def validations(self) -> Mapping[str, Validation]:
        """One for each instance that was looked at."""
        return dict(self._validations)

    async def certificates(self, instance: str | None = None) -> Sequence[ClientCertificate]:
        """Certificates in force, oldest first."""
        held = [each for each in self._certificates.values() if instance in {None, each.instance}]
        return sorted(held, key=lambda each: (each.added_at, each.fingerprint))

    async def generation(self) -> int:
        """Grows with each change of instances or certificates."""
        return self._generation

    async def journal(self, after: int = 0, limit: int = 500) -> Sequence[JournalRecord]:
        """Records in the order they were written."""
        return self._journal[after : after + limit]

    async def journal_heads(self) -> Mapping[str, int]:
        """The one chain."""
        return {record.chain: record.sequence for record in self._journal}

    async def close(self) -> None:
        """Nothing to let go of."""

    async def commit(self, unit: Unit) -> None:
        """All checks, then all writes: nothing between them can fail."""
        if unit.people or unit.key_affairs or unit.journal or unit.actor or unit.cluster:
            raise TypeError("the catalog in memory keeps no people, approvals, checkpoints or nodes")
        inserted, updated, intents = (
            [stored(managed) for managed in group] for group in (unit.inserted, unit.updated, unit.intents)
        )
        texts = [canonical(entry) for entry in unit.entries]
        if not self.available:
            raise CatalogUnavailable("the catalog in memory was made unavailable")
        if unit.principal is not None:
            await self._authorise(unit.principal)
        if unit.admissions is not None:
            self._trusting.check(unit.admissions)
        self._compare_instances(unit)
        self._compare(unit)
        self._check_unique(unit)
        await self._check_quotas(unit)
        self._check_administration(unit)
        self._check_references([*inserted, *intents], unit)
        self._check_wrapping_keys(unit)
        self._administer(unit)
        if unit.admissions is not None:
            self._trusting.write(unit.admissions)
            self._generation += unit.admissions.of_trust
        self._remember(unit)
        self._note_authors(unit)
        self._intents |= {managed.unique_identifier: managed for managed in intents}
        self._objects |= {managed.unique_identifier: managed for managed in (*inserted, *updated)}
        for settled in (*(managed.unique_identifier for managed in inserted), *unit.settled):
            self._intents.pop(settled, None)
        for text in texts:
            self._write(text)

    async def _authorise(self, principal: Principal) -> None:
        admittance = None
        if principal.authority is not None:
            admittance = Admittance(
                instance=principal.instance, authority=principal.authority, number=principal.trust, since=0, until=0
            )
        if await self.authorise(principal.fingerprint, admittance) != principal:
            raise NotAuthorised("the certificate is another instance's")
        if self._instances[principal.instance].sealed_at is not None:
            raise InstanceSealed("the instance is sealed")

    def _compare_instances(self, unit: Unit) -> None:
        for seen in unit.seen_instances:
            held = self._instances.get(seen.identifier)
            if held is None or not held.is_as(seen):
                raise InstanceChanged("an instance was changed meanwhile")

    def _compare(self, unit: Unit) -> None:
        expected: Mapping[str, int] = {
            managed.unique_identifier: managed.version - 1 for managed in unit.updated
        } | dict(unit.seen)
        for identifier, version in expected.items():
            held = self._objects.get(identifier)
            if (held.version if held else 0) != version:
                raise Conflict("an object was changed meanwhile")
            if held and unit.principal and held.instance != unit.principal.instance:
                raise Conflict("an object is another instance's")
        if any(identifier not in self._intents for identifier in unit.intended):
            raise Conflict("what was intended was taken back meanwhile")
        for managed in unit.updated:
            held = self._objects.get(managed.unique_identifier)
            if held is None or held.instance != managed.instance:
                raise Conflict("an object to change is not there")

    def _check_unique(self, unit: Unit) -> None:
        changed = {managed.unique_identifier: managed for managed in (*unit.inserted, *unit.updated)}
        for name in unit.new_names:
            for managed in changed.values():
                if bears(managed, name) and any(
                    bears(other, name) and other.state not in DESTROYED_STATES
                    for other in self._objects.values()
                    if other.instance == managed.instance and other.unique_identifier != managed.unique_identifier
                ):
                    raise AlreadyThere("another object of the instance bears this name")
        names = {(each.key_manager, each.name): each.identifier for each in self._instances.values()}
        certificates = [
            each for each in self._certificates.values() if each.fingerprint not in unit.removed_certificates
        ]
        if (
            any(managed.unique_identifier in self._objects for managed in unit.inserted)
            or any(managed.unique_identifier in self._intents for managed in unit.intents)
            or any(
                names.get((each.key_manager, each.name), each.identifier) != each.identifier for each in unit.instances
            )
            or any(
                {o.identifier for o in self._instances.values() if o.name == name}
                - {o.identifier for o in unit.instances if o.name == name}
                for name in unit.new_instance_names
            )
            or {each.fingerprint for each in certificates} & {each.fingerprint for each in unit.certificates}
            or {(each.instance, each.name) for each in certificates}
            & {(each.instance, each.name) for each in unit.certificates}
        ):
            raise AlreadyThere("something that must be unique is taken")

    def _check_references(self, managed: Sequence[ManagedObject], unit: Unit) -> None:
        known = self._instances.keys() | {each.identifier for each in unit.instances}
        owned: Sequence[ManagedObject | ClientCertificate | WrappingKey] = (
            *managed,
            *unit.certificates,
            *unit.wrapping_keys,
        )
        if {each.instance for each in owned} - known:
            raise Conflict("an instance that is referred to is not there")

    def _check_wrapping_keys(self, unit: Unit) -> None:
        for key in unit.wrapping_keys:
            held = self._wrapping_keys.get(key.instance)
            if key.version == 1:
                others = {each.unique_identifier for each in self._wrapping_keys.values()}
                if held is not None or key.unique_identifier in others:
                    raise AlreadyThere("the instance has a wrapping key already")
            elif held is None or (held.unique_identifier, held.version) != (key.unique_identifier, key.version - 1):
                raise Conflict("the wrapping key was changed meanwhile")

    async def _check_quotas(self, unit: Unit) -> None:
        if unit.principal is not None and (added := len(unit.inserted) + len(unit.intents)):
            quota, living = (
                self._instances[unit.principal.instance].quotas.keys,
                await self.living(unit.principal.instance),
            )
            if living + added > quota:
                raise QuotaReached("keys", living, quota)
        held = Counter(each.instance for each in self._certificates.values())
        for identifier, added in Counter(each.instance for each in unit.certificates).items():
            instance = self._instances.get(identifier)
            if instance is not None and held[identifier] + added > instance.quotas.certificates:
                raise QuotaReached("certificates", held[identifier], instance.quotas.certificates)

    def _check_bare(self, unit: Unit) -> None:
        for identifier in unit.bare:
            if identifier not in self._instances:
                raise Conflict("an instance is not there any more")
            kept = (o for o in self._objects.values() if o.sealed or o.standard_key or o.state not in DESTROYED_STATES)
            owners = {each.instance for each in (*kept, *self._intents.values())}
            if identifier in owners | {each.instance for each in self._certificates.values()}:
                raise StillHangs("something hangs on the instance")

    def _check_administration(self, unit: Unit) -> None:
        self._check_bare(unit)
        for identifier in (*unit.unused, *unit.removed_instances):
            if identifier not in self._instances:
                raise Conflict("an instance is not there any more")
            living = [each for each in self._objects.values() if each.state not in DESTROYED_STATES]
            if any(each.instance == identifier for each in (*living, *self._intents.values())):
                raise StillUsed("an instance still has objects that are not destroyed")
        for instance in unit.instances if unit.most_instances is not None else ():
            others = (each for each in self._instances.values() if each.identifier != instance.identifier)
            if sum(each.key_manager == instance.key_manager for each in others) >= (unit.most_instances or 0):
                raise TooMany("a key manager has as many instances as it may")
        held = Counter(each.instance for each in (*self._certificates.values(), *unit.certificates))
        most = unit.most_certificates
        if most is not None and any(held[each.instance] > most for each in unit.certificates):
            raise TooMany("an instance has as many certificates as it may")

    def _administer(self, unit: Unit) -> None:
        self._instances |= {each.identifier: each for each in unit.instances}
        self._wrapping_keys |= {each.instance: each for each in unit.wrapping_keys}
        for fingerprint in unit.removed_certificates:
            self._certificates.pop(fingerprint, None)
        self._certificates |= {each.fingerprint: each for each in unit.certificates}
        self._admissions |= {(each.instance, each.fingerprint): each.added_by for each in unit.certificates}
        for touch in unit.touched:
            if touch.instance in self._instances:
                touched = replace(self._instances[touch.instance], updated_at=touch.at, updated_by=touch.by)
                self._instances[touch.instance] = touched
        for identifier in unit.removed_instances:
            self._remove_instance(identifier, keep_leftovers=identifier in unit.bare)
        self._generation += bool(
            unit.instances or unit.certificates or unit.removed_certificates or unit.touched or unit.removed_instances
        )

    def _remember(self, unit: Unit) -> None:
        for leftover in unit.leftovers:
            self._leftovers.setdefault((leftover.key_manager, leftover.standard_key), leftover)
        for leftover in unit.cleared:
            self._leftovers.pop((leftover.key_manager, leftover.standard_key), None)
        self._validations |= {each.instance: each for each in unit.validations if each.instance in self._instances}

    def _remove_instance(self, identifier: str, *, keep_leftovers: bool) -> None:
        del self._instances[identifier]
        self._trusting.remove_instance(identifier)
        self._certificates = {k: each for k, each in self._certificates.items() if each.instance != identifier}
        self._objects = {k: each for k, each in self._objects.items() if each.instance != identifier}
        self._admissions = {k: each for k, each in self._admissions.items() if k[0] != identifier}
        if not keep_leftovers:
            self._leftovers = {k: each for k, each in self._leftovers.items() if each.instance != identifier}
        self._wrapping_keys.pop(identifier, None)
        self._validations.pop(identifier, None)

    def _note_authors(self, unit: Unit) -> None:
        for managed in unit.intents:
            self._authors[managed.unique_identifier] = {"created_by": unit.initiator}
        for managed in unit.inserted:
            intended = self._authors.get(managed.unique_identifier, {}).get("created_by", unit.initiator)
            self._authors[managed.unique_identifier] = {"created_by": intended, "changed_by": unit.initiator}
        for managed in unit.updated:
            authors = self._authors[managed.unique_identifier]
            authors["changed_by"] = unit.initiator
            if managed.state in DESTROYED_STATES:
                authors.setdefault("destroyed_by", unit.initiator)

    def _write(self, text: str) -> None:
        number = len(self._journal) + 1
        previous = self._journal[-1].hash if self._journal else genesis(self._chain)
        self._journal.append(JournalRecord(self._chain, number, text, link(previous, text), number))
