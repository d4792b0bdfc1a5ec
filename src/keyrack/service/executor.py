"""The executor: one batch item through its row, its permission, its handler and its transaction.

Read it beside ``operations/get.py`` and ``domain/lifecycle.py``: the three show how Keyrack works.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from keyrack.domain import attributes, lifecycle
from keyrack.domain.access import Permission
from keyrack.domain.errors import (
    CryptographicFailure,
    GeneralFailure,
    InvalidField,
    InvalidMessage,
    ItemNotFound,
    KmipError,
    OperationNotSupported,
    PermissionDenied,
)
from keyrack.domain.instances import Instance, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.domain.search import Narrowing
from keyrack.domain.secret import SYSTEM, Randomness, Secret
from keyrack.operations._registry import OPERATIONS, Row
from keyrack.ports.catalog import (
    Candidates,
    Catalog,
    CatalogUnavailable,
    Conflict,
    InstanceChanged,
    InstanceSealed,
    NotAuthorised,
    Unit,
)
from keyrack.service.answers import beyond_quota
from keyrack.service.metering import Timing
from keyrack.service.metering import now as metered_now
from keyrack.service.sessions import Session
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.service.vault.generation import generate
from keyrack.service.work import Work
from keyrack.spec.enumerations import NameType, Operation
from keyrack.spec.structures import Name
from keyrack.spec.tags import Tag
from keyrack.spec.versions import ProtocolVersion
from keyrack.wire.errors import UnknownAttribute, WireError
from keyrack.wire.messages import RequestBatchItem, decode_payload

log = logging.getLogger(__name__)

LONGEST_TARGET: Final = 64
"""Characters of an identifier that the journal keeps where no object has it."""
UNEXPECTED: Final = "the server could not do it; its log says why, under the time of this answer"


class Execution:
    """One batch's way through the executor: who asks, in which version, when, and what its items hand on."""

    __slots__ = ("now", "placeholder", "room", "session", "target", "timing", "version")

    def __init__(
        self,
        session: Session,
        version: ProtocolVersion,
        now: int,
        room: int | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Begin a batch; ``now`` is in seconds since 1970."""
        self.session = session
        self.version = version
        self.now = now
        self.timing = timing or Timing()
        self.room = room
        """Bytes that are left of the Maximum Response Size; ``None`` where the client has set none."""
        self.placeholder: str | None = None
        """The ID Placeholder (KMIP 1.4, 4)."""
        self.target = ""
        """What the item that is being executed asks for, as far as it could be read; for the journal."""


class Executor:
    """Executes batch items; knows the catalog and the vault, and nothing of bytes or batches."""

    def __init__(self, catalog: Catalog, vault: Vault, randomness: Randomness = SYSTEM) -> None:
        """Work on ``catalog`` and ``vault``; new keys and their identifiers come from ``randomness``."""
        self.catalog = catalog
        self.vault = vault
        self.randomness = randomness
        self.noting: Callable[[ManagedObject], None] | None = None
        """Told of each object that is opened for a client."""

    async def execute(self, item: RequestBatchItem, execution: Execution, work: Work) -> Any:
        """Decode, authorise, run the handler; the changes are in ``work``, the answer's payload is returned.

        Raises a ``KmipError`` for whatever is refused, and what the catalog raises; no other exception.
        """
        execution.target = ""
        try:
            row = self._row(item.operation, execution.version)
            request: Any = decode_payload(row.request, item.request_payload, execution.version)
            context = ItemContext(self, execution, work)
            if row.targeted:
                meant = self._target(request.unique_identifier, execution)
                execution.target = meant[:LONGEST_TARGET]
                target = await context.find(meant)
                return await row.handle(request, target, context)
            response = await row.handle(request, context)
        except (KmipError, Conflict, NotAuthorised, InstanceSealed, CatalogUnavailable):
            raise
        except UnknownAttribute as error:
            raise InvalidField(str(error)) from error
        except WireError as error:
            raise _misread(error, execution.version)(str(error)) from error
        except Exception as error:
            log.exception("operation %s failed", item.operation)
            raise GeneralFailure(UNEXPECTED) from error
        # Create, Register and a Locate with one result set the ID Placeholder; another Locate clears it (KMIP 1.4, 4).
        if row.needs is not Permission.ASK:
            execution.placeholder = _one(response.unique_identifier)
        return response

    @staticmethod
    def asked(item: RequestBatchItem, execution: Execution) -> str:
        """What an item that is not executed asks for, for the journal; empty where it names nothing, or unreadably."""
        row = OPERATIONS.get(item.operation)
        if row is None or not row.targeted:
            return ""
        try:
            request: Any = decode_payload(row.request, item.request_payload, execution.version)
        except WireError:
            return ""
        return (request.unique_identifier or execution.placeholder or "")[:LONGEST_TARGET]

    @staticmethod
    def _row(number: int, version: ProtocolVersion) -> Row:
        row = OPERATIONS.get(number)
        if row is None:
            name = number.title if isinstance(number, Operation) else f"0x{number:08X}"
            raise OperationNotSupported(f"Keyrack does not do the operation {name}; Query lists what it does")
        if row.operation.since > version:
            raise OperationNotSupported(
                f"{row.operation.title} came with KMIP {row.operation.since}, this is {version}"
            )
        return row

    @staticmethod
    def _target(unique_identifier: str | None, execution: Execution) -> str:
        target = unique_identifier if unique_identifier is not None else execution.placeholder
        if target is None:
            raise ItemNotFound("no Unique Identifier was sent, and no item before has set the ID Placeholder")
        return target


def _misread(error: WireError, version: ProtocolVersion) -> type[KmipError]:
    """What a payload that cannot be read fails with: a field that the version does not have is told apart (11.1)."""
    if error.tag is None or any(tag == error.tag and tag.since <= version for tag in Tag):
        return InvalidMessage
    return InvalidField


def _withheld(managed: ManagedObject, instance: Instance) -> PermissionDenied:
    refusal = PermissionDenied(
        "the object is withheld, because its standard key was deleted in the key manager "
        f"{instance.key_manager!r}; restore it there"
    )
    refusal.cause = f"withheld: standard key {managed.standard_key} is gone from {instance.key_manager}"
    return refusal


def _one(found: str | tuple[str, ...]) -> str | None:
    """The identifier that an answer names, if it names exactly one."""
    if isinstance(found, str):
        return found
    return found[0] if len(found) == 1 else None


class ItemContext:
    """``operations.Context``, over a work, the catalog and the vault."""

    __slots__ = ("_executor", "_timing", "_work", "instance", "now", "version")

    def __init__(self, executor: Executor, execution: Execution, work: Work) -> None:
        """Surround one batch item."""
        self._executor = executor
        self._work = work
        self._timing = execution.timing
        self.version: ProtocolVersion = execution.version
        self.now: int = execution.now
        self.instance: Instance = execution.session.instance

    def new_identifier(self) -> str:
        """A random UUID; that it is new is checked by the catalog."""
        return self._executor.randomness.identifier()

    def generate(self, length: int) -> Secret:
        """Random key material, wiped with the work."""
        secret = generate(length, self._executor.randomness)
        self._work.secrets.append(secret)
        return secret

    async def find(self, unique_identifier: str) -> ManagedObject:
        """The object as this work sees it, at the state that its dates have brought it to."""
        known = self._work.known(unique_identifier)
        if known is not None:
            return known
        managed = await self._executor.catalog.load(self.instance.identifier, unique_identifier)
        if managed is None:
            raise ItemNotFound("this instance has no object with this Unique Identifier")
        self._work.saw(managed)
        current = lifecycle.tick(managed, self.now)
        if current is not managed:
            self._work.change(current)
        return current

    async def search(self, narrowing: Narrowing, decide: Callable[[ManagedObject], bool]) -> list[ManagedObject]:
        """What the catalog finds and ``decide`` accepts; what this work has changed counts as changed."""
        candidates = Candidates(object_type=narrowing.object_type, state=narrowing.state, equal=narrowing.equal)
        found = await self._executor.catalog.search(self.instance.identifier, candidates)
        changes = self._work.changes()
        if changes:
            current = {each.unique_identifier: each for each in (*found, *changes)}
            found = sorted(current.values(), key=lambda each: each.value("Initial Date") or 0)
        return [each for each in reversed(found) if decide(each)]

    async def name_taken(self, name: str, besides: str) -> bool:
        """Whether an object of the instance, or of this work, bears the name, but for the one ``besides``."""
        narrowing = Narrowing(equal=(("Name", Name(name_value=name, name_type=NameType.UNINTERPRETED_TEXT_STRING)),))
        bearers = await self.search(narrowing, lambda each: attributes.bears_name(each, name))
        taken = any(each.unique_identifier != besides for each in bearers)
        if not taken:
            # Free now; another client may take it before this work is committed, and then the commit says so.
            self._work.new_names.append(name)
        return taken

    async def add(self, managed: ManagedObject, material: Secret) -> None:
        """Seal and insert, in the order of the design: nothing is answered before both copies are durable."""
        self._work.secrets.append(material)
        self._work.instance = self.instance
        await self._refuse_beyond_quota()
        vault = self._executor.vault
        began = metered_now()
        try:
            sealed = replace(managed, sealed=await vault.seal_new(self.instance, context_of(managed), material))
        except CryptographicFailure:
            await self._refuse_outdated()
            raise
        finally:
            self._timing.asked(began)
        if self.instance.storage is Storage.KEY_MANAGER:
            # What a crash between the key manager and the catalog leaves behind is found by this trace.
            began = metered_now()
            await self._executor.catalog.commit(
                Unit(
                    principal=self._work.principal,
                    seen_instances=(self.instance,),
                    intents=(sealed,),
                    entries=(self._intent(sealed),),
                )
            )
            self._timing.committed(began)
            self._work.intended[sealed.unique_identifier] = sealed
            began = metered_now()
            standard_key = await vault.store(self.instance, sealed.sealed or b"", sealed.unique_identifier)
            self._timing.asked(began)
            sealed = self._work.intended[sealed.unique_identifier] = replace(sealed, standard_key=standard_key)
        self._work.insert(sealed)

    async def _refuse_beyond_quota(self) -> None:
        """Before a key manager is asked for anything; the commit counts again, and nobody passes it."""
        held = await self._executor.catalog.living(self.instance.identifier)
        if held + len(self._work.inserted) >= self.instance.quotas.keys:
            raise beyond_quota(self.instance, held)

    def _intent(self, managed: ManagedObject) -> Entry:
        return Entry(
            at=self.now * 1000,
            action="standard-key.intent",
            outcome="success",
            initiator=f"CertificateID-{self._work.principal.fingerprint}",
            address="",
            instance=self.instance.identifier,
            target=managed.unique_identifier,
        )

    def keep(self, managed: ManagedObject) -> None:
        """Insert what has nothing to seal."""
        self._work.insert(managed)

    def change(self, managed: ManagedObject) -> None:
        """Note the change."""
        self._work.change(managed)

    async def open(self, managed: ManagedObject) -> Secret:
        """From the vault: cached under the root key's lease, or unwrapped; never while the object is withheld."""
        if managed.withheld_at is not None:
            raise _withheld(managed, self.instance)
        vault = self._executor.vault
        if self._executor.noting is not None:
            self._executor.noting(managed)
        secret = vault.cached(self.instance, managed)
        if secret is not None:
            return secret
        began = metered_now()
        try:
            return await vault.open(self.instance, managed)
        except CryptographicFailure:
            await self._refuse_outdated(managed)
            raise
        finally:
            self._timing.asked(began)

    async def _refuse_outdated(self, managed: ManagedObject | None = None) -> None:
        """Raise a kind of ``Conflict`` where what did not open is not there any more: keys move while they are used."""
        catalog = self._executor.catalog
        if not any(self.instance.is_as(each) for each in await catalog.instances()):
            raise InstanceChanged("the instance was changed meanwhile")
        if managed is not None and managed.unique_identifier not in self._work.inserted:
            found = await catalog.load(managed.instance, managed.unique_identifier)
            if found is None or (found.sealed, found.standard_key) != (managed.sealed, managed.standard_key):
                raise Conflict("the object was wrapped anew meanwhile")

    def forget(self, unique_identifier: str) -> None:
        """Wiped once committed."""
        self._work.forgotten.append(unique_identifier)
