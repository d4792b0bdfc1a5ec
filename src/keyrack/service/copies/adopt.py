"""Takes over the keys of another Keyrack whose standard keys lie in an instance's key manager, under its root key.

Each is opened by what its own header says, sealed anew for the instance under the same Unique Identifier, because that
is what vCenter asks for, and kept as a standard key of this deployment. Those of the other one stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Home, Instance
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager
from keyrack.service.copies.copies import Copy, belonging, gather, labels
from keyrack.service.copies.each import each
from keyrack.service.copies.entering import enter
from keyrack.service.copies.opening import Opening, OpenWrappingKey, wipe
from keyrack.service.copies.recovered import NoObject, is_wrapping_key, object_of
from keyrack.service.copies.sorting import Copies, born, home_of, ranked, sort
from keyrack.service.moves.walk import Report, silently
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.envelope import Vault
from keyrack.service.vault.sealing import check_value

ACTION = "key.adopt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Whose keys, and how."""

    deployment: str | None = None
    instance: str | None = None
    """Its identifier there."""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """An instance of another deployment, and its keys."""

    deployment: str
    instance: str
    keys: int

    def __str__(self) -> str:
        return f"instance {self.instance} of deployment {self.deployment} ({self.keys} keys)"


@dataclass(slots=True, kw_only=True)
class Adopted:
    """What it has come to; in a dry run, would come to."""

    source: Source
    keys: int = 0
    there: list[tuple[str, str]] = field(default_factory=list)
    """Unique Identifiers that this deployment has already, with the name of the instance that has them."""
    nameless: list[tuple[str, str]] = field(default_factory=list)
    """Unique Identifiers with a name that another object bears."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    stopped: bool = False
    """So much failed in a row that the rest was not tried."""


class Adoption:
    """One instance takes over keys."""

    def __init__(
        self,
        catalog: Catalog,
        administration: Administration,
        vault: Vault,
        key_managers: Mapping[str, KeyManager],
        instance: Instance,
        *,
        deployment: str,
        wishes: Wishes,
    ) -> None:
        """``instance`` of ``deployment`` is at home where the keys are."""
        self._catalog = catalog
        self._administration = administration
        self._vault = vault
        self._key_managers = {instance.key_manager: key_managers[instance.key_manager]}
        self._instance = instance
        self._deployment = deployment
        self._wishes = wishes
        self._opening = Opening(vault.wrapping, accepts_any_mac=True)
        self._under: Mapping[str, OpenWrappingKey] = {}
        self._put_before: Copies = {}

    async def run(
        self, *, reading: Report = silently, adopting: Report = silently, rate: float | None = None
    ) -> Adopted:
        """Read, open, seal anew, keep and enter; at most ``rate`` of each in a second.

        Raises ``Refused`` where nothing is there to be taken over, or more than one source is; and the key manager's
        two failures where it does not even list.
        """
        known = await belonging(self._catalog)
        unknown = [label for label in await labels(self._key_managers) if label.identifier not in known]
        gathered = await gather(self._key_managers, unknown, report=reading, rate=rate)
        found = sort(gathered.copies, self._deployment)
        self._put_before = found.own.get(self._instance.identifier, {})
        others = {(self._deployment, instance): copies for instance, copies in found.own.items()}
        source, copies = await self._chosen({**others, **found.foreign})
        adopted = Adopted(source=source, failures=[*gathered.failures], stopped=gathered.stopped)
        due = await self._due(copies, adopted)

        async def act(one: tuple[str, Sequence[Copy]]) -> bool:
            await self._adopt(*one, adopted)
            return True

        newest = await self._newest()
        in_order = {uid: ranked(held, [self._instance.home], newest) for uid, held in copies.items()}
        self._under = await self._opening.wrapping_keys(in_order)
        try:
            outcome = await each(
                [(uid, in_order[uid]) for uid in due], act, called=lambda one: one[0], report=adopting, rate=rate
            )
        finally:
            wipe(self._under)
        adopted.failures += outcome.failures
        adopted.stopped |= outcome.stopped
        return adopted

    async def _chosen(self, found: Mapping[tuple[str, str], Copies]) -> tuple[Source, Copies]:
        """The one source that is meant: with keys that the instance's root key has wrapped."""
        here = {instance.identifier for instance in await self._catalog.instances()}
        sources = {}
        for (deployment, instance), copies in found.items():
            fits = deployment == (self._wishes.deployment or deployment)
            fits &= instance == (self._wishes.instance or instance)
            is_ours = deployment == self._deployment
            # What is ours and lost is rebuilt, not adopted, unless somebody wants just that.
            fits &= not is_ours or (instance not in here and self._wishes.instance is not None)
            keys = [uid for uid, held in copies.items() if not is_wrapping_key(held[0].wrapped)]
            if fits and keys and any(self._is_at_home(copy) for held in copies.values() for copy in held):
                sources[Source(deployment, instance, len(keys))] = copies
        home = f"root key {self._instance.root_key} of key manager {self._instance.key_manager!r}"
        if not sources:
            raise Refused(
                f"{home} has wrapped no keys of another deployment that lie there as standard keys"
                + (" and fit what was asked for" if self._wishes.deployment or self._wishes.instance else "")
                + "; 'keyrack verify' tells what does"
            )
        if len(sources) > 1:
            raise Refused(
                f"{home} has wrapped keys of {len(sources)} others; name one with --from-deployment and "
                "--from-instance:\n" + "\n".join(str(source) for source in sources)
            )
        return next(iter(sources.items()))

    def _is_at_home(self, copy: Copy) -> bool:
        return home_of(copy) == self._instance.home

    async def _due(self, copies: Copies, adopted: Adopted) -> Sequence[str]:
        """Unique Identifiers to adopt, oldest first."""
        instances = await self._catalog.instances()
        due = []
        for uid, held in sorted(copies.items(), key=lambda item: (born(item[1]), item[0])):
            if is_wrapping_key(held[0].wrapped):
                continue
            has = [each.name for each in instances if await self._catalog.load(each.identifier, uid) is not None]
            if has:
                adopted.there.append((uid, has[0]))
            else:
                due.append(uid)
        return due

    async def _newest(self) -> Mapping[Home, str]:
        home = self._instance.home
        manager = self._key_managers[home.key_manager]
        return {home: (await manager.describe_root_key(home.root_key)).version}

    async def _adopt(self, uid: str, copies: Sequence[Copy], adopted: Adopted) -> None:
        at_home = [copy for copy in copies if copy.wrapped.header.two_level or self._is_at_home(copy)]
        if not at_home:
            header = copies[0].wrapped.header
            raise CryptographicFailure(
                f"it is wrapped by root key {header.root_key}, and the instance has {self._instance.root_key}: "
                "adopt it with an instance on that one"
            )
        copy, material = await self._opening.first(at_home, self._under)
        with material:
            try:
                # What cannot be kept is told before anything is put.
                object_of(copy.wrapped, copy.payload, None, material)
            except NoObject as error:
                raise CryptographicFailure(str(error)) from error
            if not self._wishes.dry_run:
                managed = await self._sealed(uid, copy, material)
                adopted.nameless += [(uid, name) for name in await self._enter(managed, copy)]
        adopted.keys += 1

    async def _sealed(self, uid: str, copy: Copy, material: Secret) -> ManagedObject:
        """The object under the instance's own root key, and kept where its storage says."""
        before = await self._before(uid, material)
        if before is not None:
            return before
        try:
            sealed = await self._vault.seal_new(self._instance, copy.wrapped.header.context, material)
        finally:
            self._vault.forget(uid)
        standard_key = await self._vault.store(self._instance, sealed, uid)
        return object_of(blobs.parse(sealed), sealed, standard_key, material)

    async def _before(self, uid: str, material: Secret) -> ManagedObject | None:
        """The object of a standard key that a run has put which was broken off: another would be there for nothing."""
        for copy in self._put_before.get(uid, ()):
            blob = copy.wrapped
            if check_value(material, blob.context_hash) != blob.check_value:
                continue
            managed = object_of(blob, copy.payload, copy.label.identifier, material)
            try:
                await self._vault.verify(self._instance, managed)
            except CryptographicFailure:
                continue
            return managed
        return None

    async def _enter(self, managed: ManagedObject, copy: Copy) -> Sequence[str]:
        header = copy.wrapped.header
        detail = {
            "from_deployment": header.deployment,
            "from_instance": header.instance,
            "standard_key": copy.label.identifier,
        }
        return [*await enter(self._catalog, self._administration, ACTION, managed, detail, sealed_for=self._instance)]
