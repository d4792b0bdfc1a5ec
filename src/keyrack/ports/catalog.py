"""The catalog: instances, certificates, managed objects and the journal, in one database and one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from keyrack.domain.instances import Admittance, ClientCertificate, Instance, Principal, TrustedAuthority, WrappingKey
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.domain.people import Actor
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.answers import AnswerChanges
from keyrack.ports.cluster import ClusterChanges
from keyrack.ports.journal import JournalChanges
from keyrack.ports.journal import JournalRecord as JournalRecord  # noqa: PLC0414 - it is had from here
from keyrack.ports.key_affairs import KeyAffairs
from keyrack.ports.people import PeopleChanges
from keyrack.spec.enumerations import State

CERTIFICATE_ID: Final = "CertificateID-"
"""What an initiator begins with that is a client; its certificate's fingerprint follows."""


class CatalogUnavailable(Exception):
    """The database cannot commit now: full disk, locked, unreachable. Nothing of the unit was kept."""


class OutcomeUnknown(CatalogUnavailable):
    """The commit had begun and did not come back in time: the unit may be kept, or not. Answer as if it were not."""


class InstanceSealed(Exception):
    """An administrator has sealed the instance: nothing of it is handed out or changed until it is unsealed."""


class Conflict(Exception):
    """Another change came first: an object has another version than the unit has seen. Load again and decide again."""


class InstanceChanged(Conflict):
    """An instance is not as the unit has seen it: its keys move, or are kept elsewhere from now on."""


class RightsChanged(Conflict):
    """Whoever acts is not, or not any more, as when it was decided that the act is allowed. Decide again."""


class LastAdministrator(Conflict):
    """Nobody who can log in would be an administrator any more."""


class RollbackMode(CatalogUnavailable):
    """The catalog was restored from a copy, and takes no change until what came after the copy is accounted for."""


class NotAuthorised(Exception):
    """The certificate is not, or no longer, one of an installed instance."""


class AlreadyThere(Exception):
    """A name or fingerprint that must be unique is taken."""


class StillUsed(Conflict):
    """An instance still has objects that are not destroyed, or some are just being made."""


class StillHangs(StillUsed):
    """Something hangs on an instance that is to go with nothing: see ``Unit.bare``."""


class LastWayIn(Conflict):
    """An instance would have neither a client certificate nor a trusted authority any more: see ``Unit.reachable``."""


class TooMany(Conflict):
    """There would be more instances of a key manager, or certificates of an instance, than the unit allows."""


class QuotaReached(TooMany):
    """An instance has as many objects, or certificates and authorities, as its own quota lets it have."""

    def __init__(self, what: str, held: int, quota: int) -> None:
        """``what`` is ``"keys"`` or ``"certificates"``, of which it has ``held``."""
        super().__init__(f"the instance has {held} {what}, and its quota is {quota}")
        self.what = what
        self.held = held
        self.quota = quota


@dataclass(frozen=True, slots=True)
class Touch:
    """Something of an instance was changed by an administrator."""

    instance: str
    at: int
    """Seconds since 1970."""
    by: str
    """As the journal names an initiator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """A standard key that is of no use any more, and still to be deleted in its key manager."""

    key_manager: str
    standard_key: str
    """Its identifier in that key manager."""
    instance: str
    unique_identifier: str
    """The object that it was a copy of."""
    why: str
    """``"rewrapped"``, ``"moved"``, ``"storage"``, ``"restored"``, ``"removed"``, ``"purged"`` or
    ``"undone"``."""
    at: int
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What the last look at an instance's key manager and root key has shown; one process looks for all."""

    instance: str
    at: int
    """When it was looked, in seconds since 1970."""
    since: int
    """Since when it is so."""
    reason: str = ""
    """Empty where all is well; else a value of ``ports.key_manager.Reason``."""
    told: str = ""
    """What the key manager said."""
    root_key_state: int = 1
    root_key_version: str = ""
    """The version that wraps now; empty while unknown."""
    behind: int = 0
    """Keys that are wrapped by an older version."""
    synced_at: int | None = None
    """When the last listing of the standard keys began that came to its end; ``None``: never."""
    withheld: int = 0
    """Objects whose standard keys are gone."""
    strangers: int = 0
    """Standard keys with a name of Keyrack's that no object has."""


# Not frozen, as values are: one is made for each request, and to freeze its many fields took 5 % of a Get.
@dataclass(slots=True, kw_only=True)
class Unit:
    """Everything that one act changes, committed whole or not at all, with the authority that it stands on.

    ``principal``: checked in the transaction against certificate and instance; ``None`` for an administrative act.
    ``seen``: versions of the objects that the decision was made on, by unique identifier; 0 means "must not exist".
    """

    entries: Sequence[Entry]
    principal: Principal | None = None
    seen: Mapping[str, int] = field(default_factory=dict)
    seen_instances: Sequence[Instance] = ()
    """Instances that the decision was made on: where one is gone, or other than this in anything but who touched it
    last, :class:`InstanceChanged` is raised. So no key is inserted under a root key that its instance has left."""
    inserted: Sequence[ManagedObject] = ()
    updated: Sequence[ManagedObject] = ()
    new_names: Sequence[str] = ()
    """Name Values of inserted or updated objects that no other object of their instance may bear: looking first is not
    enough when two clients give the same name at once. Raises :class:`AlreadyThere`."""
    intents: Sequence[ManagedObject] = ()
    """Objects about to be put into a key manager: kept apart, invisible, so that a crash leaves a trace to follow."""
    intended: Sequence[str] = ()
    """Unique Identifiers whose intents must still be there, else :class:`Conflict`: an object whose intent was settled
    was taken back, and is not completed any more."""
    settled: Sequence[str] = ()
    """Unique Identifiers whose intents are over; inserting an object settles its own."""
    instances: Sequence[Instance] = ()
    """Instances to insert, or to replace where the identifier is there already."""
    new_instance_names: Sequence[str] = ()
    """Names of instances of this unit that no other instance may have, whichever its key manager; else
    :class:`AlreadyThere`."""
    most_instances: int | None = None
    """How many instances the key manager of an inserted one may then have; more raise :class:`TooMany`."""
    certificates: Sequence[ClientCertificate] = ()
    """Certificates to add."""
    most_certificates: int | None = None
    """How many certificates an instance that is given one may then have; more raise :class:`TooMany`."""
    removed_certificates: Sequence[str] = ()
    """Fingerprints to remove."""
    touched: Sequence[Touch] = ()
    """Instances whose ``updated_at`` moves, and nothing else."""
    unused: Sequence[str] = ()
    """Instances that must be there and have no object but destroyed ones, nor an intent; else :class:`Conflict`,
    :class:`StillUsed`."""
    removed_instances: Sequence[str] = ()
    """Instances to remove for good with their certificates and their destroyed objects; they must be unused."""
    bare: Sequence[str] = ()
    """Instances that must have no object that could ever be opened again, no intent, no certificate and no trusted
    authority; else :class:`Conflict`, :class:`StillHangs`. One that is removed so leaves its leftovers for deletion."""
    reachable: Sequence[str] = ()
    """Instances that must have a certificate or an authority left; else :class:`LastWayIn`: of two who take away one of
    the last two at the same time, one was wrong that it was not the last one."""
    wrapping_keys: Sequence[WrappingKey] = ()
    """Wrapping keys to insert (version 1; a second one of an instance raises :class:`AlreadyThere`), or to change: the
    version after the stored one of the same identifier, else :class:`Conflict`."""
    leftovers: Sequence[Leftover] = ()
    """Standard keys to remember for deletion; one that is remembered already stays as it is."""
    cleared: Sequence[Leftover] = ()
    """Leftovers that are gone."""
    validations: Sequence[Validation] = ()
    """What was found out about instances; it takes the place of what was known. Of one that is gone nothing is kept."""
    actor: Actor | None = None
    """The person on whose rights an administrative act stands; one that has changed raises :class:`RightsChanged`."""
    people: PeopleChanges | None = None
    admissions: AdmissionChanges | None = None
    key_affairs: KeyAffairs | None = None
    journal: JournalChanges | None = None
    answers: AnswerChanges | None = None
    cluster: ClusterChanges | None = None
    recovers: bool = False
    """It is part of what ends rollback mode; any other change raises :class:`RollbackMode` meanwhile."""

    @property
    def initiator(self) -> str:
        """Who acts, as the journal names it; empty for a unit that says nothing about it."""
        if self.entries:
            return self.entries[0].initiator
        return f"{CERTIFICATE_ID}{self.principal.fingerprint}" if self.principal else ""


@dataclass(frozen=True, slots=True)
class Author:
    """Who has done something to an object."""

    initiator: str
    """As the journal names it; empty where nobody knows any more."""
    admitted_by: str = ""
    """Who added the client certificate that the initiator is, even if it was removed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An object as a list for administrators tells of it. Its state is the one that was last written down."""

    managed: ManagedObject
    created_by: Author
    changed_by: Author
    destroyed_by: Author | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What narrows a search before the law of ``domain.search`` decides; every field is a necessary condition."""

    object_type: int | None = None
    state: int | None = None
    equal: Sequence[tuple[str, Any]] = ()
    """Attribute name and exact value, for attributes that the catalog indexes (``INDEXED``)."""


class Catalog(Protocol):
    """Reads see what was committed before them; :meth:`commit` returns when the unit is durable."""

    async def authorise(self, fingerprint: str, admittance: Admittance | None = None) -> Principal:
        """The principal that a certificate means now; raises :class:`NotAuthorised`.

        A pinned certificate means its instance, whatever else is said. One that is not pinned means the instance of its
        ``admittance``, as long as that authority stands and the certificate is not barred there.
        """
        ...

    async def load(self, instance: str, unique_identifier: str) -> ManagedObject | None:
        """One object of the instance, or ``None``: absent and foreign look alike."""
        ...

    async def objects(self, instance: str, after: str = "", limit: int = 500) -> Sequence[ManagedObject]:
        """One page of the instance's objects in the order of creation, behind the one with identifier ``after``."""
        ...

    async def listing(
        self, instance: str, states: Collection[State], now: int, *, limit: int = 100, offset: int = 0
    ) -> Sequence[Listed]:
        """One page of the instance's objects in these states, as their dates make them at ``now``; oldest first."""
        ...

    async def count_listing(self, instance: str, states: Collection[State], now: int) -> int:
        """How many objects all pages of such a listing have."""
        ...

    async def listed(self, instance: str, unique_identifier: str) -> Listed | None:
        """One object of the instance, as a listing tells of it."""
        ...

    async def count(self, instance: str) -> int:
        """How many objects the instance has, in whatever state."""
        ...

    async def living(self, instance: str) -> int:
        """How many of them are not destroyed: what counts against its quota. Costs the same however many they are."""
        ...

    async def stored_blob(self, instance: str, unique_identifier: str) -> bytes | None:
        """The sealed blob as a connection that did not write it reads it; ``None`` if there is none."""
        ...

    async def search(self, instance: str, candidates: Candidates) -> Sequence[ManagedObject]:
        """Objects of the instance that may match, oldest first (by Initial Date, then in the order of creation)."""
        ...

    async def intents(self) -> Sequence[ManagedObject]:
        """Objects that were about to be put into a key manager, with their sealed blobs, and never inserted."""
        ...

    async def commit(self, unit: Unit) -> None:
        """Authorise, compare versions, write, journal, make durable.

        Raises :class:`NotAuthorised`, :class:`InstanceSealed`, :class:`Conflict`, :class:`AlreadyThere` or
        :class:`CatalogUnavailable`; then nothing of the unit is kept. A unit without ``principal`` is never refused
        because of a seal. Objects that a client adds, and certificates and authorities whoever adds them, are counted
        against the quotas of their instance: :class:`QuotaReached`.
        """
        ...

    async def instances(self) -> Sequence[Instance]:
        """All instances, by name."""
        ...

    async def wrapping_key(self, instance: str) -> WrappingKey | None:
        """The wrapping key of an instance of two levels; ``None`` where it has none."""
        ...

    async def leftovers(self, instance: str | None = None) -> Sequence[Leftover]:
        """Standard keys that are still to be deleted, of one instance or of all, oldest first."""
        ...

    async def validations(self) -> Mapping[str, Validation]:
        """What was last found out about each instance, by its identifier."""
        ...

    async def certificates(self, instance: str | None = None) -> Sequence[ClientCertificate]:
        """Certificates in force, of one instance or of all."""
        ...

    async def authorities(self, instance: str | None = None) -> Sequence[TrustedAuthority]:
        """Trusted authorities, of one instance or of all, oldest first."""
        ...

    async def barred(self, instance: str | None = None) -> Sequence[tuple[str, str]]:
        """Instance and fingerprint of certificates that no authority lets in."""
        ...

    async def generation(self) -> int:
        """A number that changes when instances, certificates or authorities change, on whatever process."""
        ...

    async def leads(self, job: str) -> bool:
        """Whether this process does ``job`` for all that share the catalog; it takes the job where nobody has it."""
        ...

    async def news(self, seconds: float) -> None:
        """Return after so many seconds, or at once when something is told to have changed: a hint, no promise."""
        ...

    async def journal(self, after: int = 0, limit: int = 500) -> Sequence[JournalRecord]:
        """Journal records in the order they were written."""
        ...

    async def journal_heads(self) -> Mapping[str, int]:
        """The sequence of the last record of each chain."""
        ...

    async def close(self) -> None:
        """Finish what is under way and let go of the database."""
        ...
