"""What an administrator does with instances, certificates and keys, over the ports alone.

Every act is one unit of the catalog with its journal entry; a mistake raises :class:`Refused`, whose text says what
happened, why, and what to do instead.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keyrack.domain.instances import ClientCertificate, Hierarchy, Instance, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.domain.people import Actor
from keyrack.domain.rights import EVERYTHING, EVERYWHERE, PROOF_LASTS, PROVED_AGAIN, Grants, Right
from keyrack.domain.secret import SYSTEM, Randomness
from keyrack.ports.catalog import (
    Candidates,
    Catalog,
    JournalRecord,
    RightsChanged,
    Touch,
    Unit,
)
from keyrack.ports.key_manager import KeyManager
from keyrack.service.office import admissions
from keyrack.service.office.installing import Wanted, check_instance_name, create
from keyrack.service.office.refusals import (
    CertificateElsewhere,
    CertificateThere,
    Forbidden,
    LimitReached,
    NameTaken,
    NotThere,
    ProofNeeded,
    Refused,
)
from keyrack.service.vault.envelope import Vault
from keyrack.spec.enumerations import State

__all__ = [
    "Administration",
    "Administrator",
    "CertificateElsewhere",
    "CertificateThere",
    "LimitReached",
    "NameTaken",
    "NotThere",
    "Refused",
    "check_instance_name",
]


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who acts, as the journal names it."""

    initiator: str
    address: str = "local"
    correlation: str = ""
    """What an act came with that others may know it by."""
    grants: Grants = EVERYTHING
    """What it may; whoever works on the machine with the deployment's files may everything."""
    actor: Actor | None = None
    """The person in the catalog on whose rights it acts, checked again in each transaction; ``None`` at the machine."""
    proved_at: int | None = None
    """When the person last proved to be there, in seconds since 1970; ``None`` where nobody could be asked again: at
    the machine, and for a program with an API key."""


class Administration:
    """The use cases of an administrator; ``clock`` answers milliseconds since 1970."""

    def __init__(
        self,
        catalog: Catalog,
        key_managers: Mapping[str, KeyManager],
        administrator: Administrator,
        clock: Callable[[], int],
        vault: Vault | None = None,
        *,
        randomness: Randomness = SYSTEM,
    ) -> None:
        """Work on this catalog, with these key managers by their configured names; instances of two levels take a
        vault.
        """
        self._catalog = catalog
        self._vault = vault
        self._key_managers = key_managers
        self._administrator = administrator
        self._clock = clock
        self.randomness = randomness
        """Where identifiers come from."""

    @property
    def administrator(self) -> Administrator:
        """Who acts."""
        return self._administrator

    @property
    def catalog(self) -> Catalog:
        """Where everything is kept."""
        return self._catalog

    @property
    def key_managers(self) -> Mapping[str, KeyManager]:
        """The key managers by their configured names; none in a process that holds none."""
        return self._key_managers

    @property
    def vault(self) -> Vault | None:
        """What wraps; ``None`` in a process that cannot."""
        return self._vault

    @property
    def now(self) -> int:
        """The time, in seconds since 1970."""
        return self._clock() // 1000

    def require(self, right: Right, instance: str = EVERYWHERE) -> None:
        """Raise :class:`Forbidden` where whoever acts does not have the right, for this instance or everywhere, and
        :class:`ProofNeeded` where the right wants a proof that somebody is there, and the last one is too old.

        Asked at the beginning of each use case. An instance that it does not even see is not found before, see
        :meth:`instance`: foreign and absent look alike.
        """
        if not self._administrator.grants.allow(right, instance):
            raise Forbidden(
                f"this needs the right {right.title!r}, to {right.meaning}",
                hint="an administrator can grant a role that has it; 'Rights' in docs/rights.md lists them",
            )
        if right in PROVED_AGAIN:
            self.require_proof(right.meaning)

    def require_proof(self, what: str) -> None:
        """Raise :class:`ProofNeeded` where the last proof that somebody is there is too old; ``what``: for what, behind
        "to"."""
        proved_at = self._administrator.proved_at
        if proved_at is not None and self.now - proved_at > PROOF_LASTS:
            raise ProofNeeded(
                f"to {what}, prove again that it is you: that was longer ago than {PROOF_LASTS // 60} minutes",
                hint="send your password, or log in again, then repeat this",
            )

    async def instances(self) -> Sequence[Instance]:
        """All instances that whoever acts may see, by name."""
        sees = self._administrator.grants.sees
        return [each for each in await self._catalog.instances() if sees(each.identifier)]

    async def instance(self, name: str) -> Instance:
        """The instance of this name or identifier; a name that two key managers have tells neither."""
        known = await self.instances()
        found = [each for each in known if each.identifier == name] or [each for each in known if each.name == name]
        if len(found) == 1:
            return found[0]
        if found:
            told = ", ".join(f"{each.identifier} (of {each.key_manager})" for each in found)
            raise Refused(f"{len(found)} instances are called {name!r}; name one by its identifier: {told}")
        names = ", ".join(instance.name for instance in known)
        raise NotThere(
            f"there is no instance {name!r}; "
            + (f"use one of: {names}" if names else f"create it with 'keyrack instance create {name}'")
        )

    async def create_instance(
        self,
        name: str,
        *,
        key_manager: str | None = None,
        root_key: str | None = None,
        storage: Storage = Storage.CATALOG,
        hierarchy: Hierarchy = Hierarchy.DIRECT,
    ) -> Instance:
        """Make an instance that is usable at once, see :func:`keyrack.service.office.installing.create`."""
        wanted = Wanted(key_manager=key_manager, root_key=root_key, storage=storage, hierarchy=hierarchy)
        return await create(self, name, wanted)

    async def certificates(self, instance: Instance | None = None) -> Sequence[ClientCertificate]:
        """The client certificates in force, of one instance or of all."""
        return await self._catalog.certificates(instance.identifier if instance else None)

    async def add_certificate(self, certificate: ClientCertificate, *, most: int | None = None) -> ClientCertificate:
        """Let a client certificate use all keys of its instance, from now on; answered as it is kept.

        Raises :class:`CertificateThere`, :class:`CertificateElsewhere`, :class:`NameTaken`, :class:`NotThere` where the
        instance is gone, and :class:`LimitReached` where it has ``most`` certificates already.
        """
        return await admissions.add(self, certificate, most=most)

    async def certificate(self, instance: Instance, prefix: str) -> ClientCertificate:
        """The one certificate of the instance whose fingerprint begins so; colons and case do not matter."""
        return await admissions.find(self, instance, prefix)

    async def remove_certificate(self, certificate: ClientCertificate) -> None:
        """Let a client certificate use nothing from now on, on open connections too."""
        await admissions.remove(self, certificate)

    async def keys(self, instance: Instance, state: State | None = None) -> Sequence[ManagedObject]:
        """The managed objects of an instance, oldest first."""
        found = await self._catalog.search(instance.identifier, Candidates(state=state.value if state else None))
        return [managed for managed in found if state is None or managed.state == state]

    async def journal(self) -> AsyncIterator[JournalRecord]:
        """The whole journal, in the order it was written."""
        read = 0
        while page := await self._catalog.journal(after=read):
            for record in page:
                yield record
            read = page[-1].number

    def touched(self, instance: str) -> Sequence[Touch]:
        """For a unit that changes something of an instance: now, by this administrator."""
        return (Touch(instance, self._clock() // 1000, self._administrator.initiator),)

    async def commit(
        self,
        action: str,
        instance: str,
        target: str,
        detail: Mapping[str, str | int],
        *,
        outcome: str = "success",
        **changes: Any,
    ) -> None:
        """Commit what ``changes``, fields of :class:`Unit`, say, with one entry in the journal.

        Raises what the catalog raises.
        """
        await self.commit_all((self.entry(action, instance, target, detail, outcome),), **changes)

    def entry(
        self, action: str, instance: str, target: str, detail: Mapping[str, str | int], outcome: str = "success"
    ) -> Entry:
        """What the journal is to say of an act of this administrator's, now."""
        who = self._administrator
        return Entry(
            at=self._clock(),
            action=action,
            outcome=outcome,
            initiator=who.initiator,
            address=who.address,
            instance=instance,
            target=target,
            detail={**detail, "correlation": who.correlation} if who.correlation else detail,
        )

    async def commit_all(self, entries: Sequence[Entry], **changes: Any) -> None:
        """As :meth:`commit`, with an entry for each thing that is changed, and one for each agreement in it."""
        affairs = changes.get("key_affairs")
        agreed = [each for each in affairs.approvals if each.agreed_at is not None] if affairs is not None else []
        told = [
            self.entry("approval.agree", each.instance, each.identifier, {"act": each.act, "asked_by": each.asked_by})
            for each in agreed
        ]
        try:
            await self._catalog.commit(Unit(entries=(*told, *entries), actor=self._administrator.actor, **changes))
        except RightsChanged:
            raise Forbidden(
                "your rights, or what you have proved yourself with, were changed just now", hint="log in again"
            ) from None
