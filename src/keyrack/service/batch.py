"""The desk: a request message in, a response message out; batches, their order, and what happens when an item fails."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from keyrack.domain.errors import (
    AuthenticationNotSuccessful,
    FeatureNotSupported,
    GeneralFailure,
    InvalidField,
    KmipError,
    ResponseTooLarge,
    Throttled,
)
from keyrack.domain.journal import Entry
from keyrack.domain.secret import SYSTEM, Randomness
from keyrack.ports.catalog import (
    AlreadyThere,
    Catalog,
    CatalogUnavailable,
    Conflict,
    InstanceChanged,
    InstanceSealed,
    NotAuthorised,
    QuotaReached,
    RollbackMode,
    Unit,
)
from keyrack.service.answers import BUSY, beyond_quota, busy, failed, refused_by_seal, unreadable, written
from keyrack.service.credentials import Credentials, wipe_credentials
from keyrack.service.executor import Execution, Executor
from keyrack.service.identity import Peer
from keyrack.service.metering import Meter, Timing
from keyrack.service.metering import now as metered_now
from keyrack.service.sessions import Session, Sessions
from keyrack.service.throttling import Refusals, Throttle
from keyrack.service.undoing import take_back
from keyrack.service.vault.envelope import Vault
from keyrack.service.work import Work
from keyrack.spec.enumerations import BatchErrorContinuationOption, Operation, ResultStatus
from keyrack.wire.errors import WireError
from keyrack.wire.messages import (
    RequestBatchItem,
    RequestMessage,
    ResponseBatchItem,
    encoded_length,
    read_request,
)

log = logging.getLogger(__name__)

ATTEMPTS: Final = 32
"""How often an item is decided anew when another change came first."""
HEADER: Final = 88
"""Bytes of a response message before its first batch item."""


class Desk:
    """Answers request messages. One desk serves every connection of a process."""

    def __init__(
        self,
        catalog: Catalog,
        vault: Vault,
        *,
        clock: Callable[[], float] = time.time,
        batch_limit: int = 64,
        meter: Meter | None = None,
        randomness: Randomness = SYSTEM,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Serve from ``catalog`` and ``vault``; ``batch_limit`` bounds the items of one message.

        ``clock`` is seconds since 1970, ``ticks`` seconds of a clock that is never set.
        """
        self.catalog = catalog
        self.executor = Executor(catalog, vault, randomness)
        self.vault = vault
        self._clock = clock
        self._batch_limit = batch_limit
        self.meter = meter or Meter()
        self.sessions = Sessions(catalog)
        self.throttle = Throttle(ticks)
        self.credentials = Credentials(ticks=ticks)
        self._refusals = Refusals(catalog, clock)

    async def answer(self, frame: bytes, peer: Peer) -> bytearray | None:
        """The response to a request message; ``None`` where none can be made and the connection must go."""
        now, timing = self._clock(), self.meter.begin()
        try:
            message = read_request(frame, self._batch_limit)
        except WireError as error:
            return unreadable(error, int(now))
        header = message.request_header
        try:
            items = await self._items(message, peer, now, timing)
        finally:
            if header.authentication is not None:
                wipe_credentials(message)
        answer = written(header.protocol_version, now, items, header.client_correlation_value)
        self.meter.answered(timing, items)
        return answer

    async def _items(self, message: RequestMessage, peer: Peer, now: float, timing: Timing) -> list[ResponseBatchItem]:
        try:
            session = await self.sessions.of(peer, now)
        except NotAuthorised:
            return await self.refuse(message.batch_items, peer, now)
        except CatalogUnavailable:
            return [failed(item, GeneralFailure(BUSY)) for item in message.batch_items]
        timing.instance = session.instance.name
        try:
            self.throttle.check(session.instance, len(message.batch_items))
            if session.instance.credential is not None:
                await self.credentials.check(session, session.instance.credential, message)
        except KmipError as error:
            title = "instance.throttle" if isinstance(error, Throttled) else _title(message.batch_items[0].operation)
            await self._refusals.note(title, session, peer, error)
            return [failed(item, error) for item in message.batch_items]
        return await Conversation(self, session, peer, message, now=now, timing=timing).items()

    async def refuse(self, items: Sequence[RequestBatchItem], peer: Peer, now: float) -> list[ResponseBatchItem]:
        """The items of a client whose certificate was removed since its handshake: it is told so, and recorded."""
        self.sessions.forget(peer.fingerprint)
        refusal = AuthenticationNotSuccessful("the client certificate is not, or no longer, trusted for an instance")
        entries = [
            Entry(
                at=int(now * 1000),
                action=_title(item.operation),
                outcome=refusal.reason.title,
                initiator=f"CertificateID-{peer.fingerprint}",
                address=peer.address,
            )
            for item in items
        ]
        try:
            await self.catalog.commit(Unit(entries=entries))
        except CatalogUnavailable:
            log.warning("the catalog cannot record a refusal of %s", peer.address)
        return [failed(item, refusal) for item in items]


LONGEST_CORRELATION: Final = 128
"""Characters of a Client Correlation Value that the journal keeps."""
LONGEST_CAUSE: Final = 200
"""Characters of a failure's cause that the journal keeps."""
CONTESTED: Final = "the object is being changed by many at once; ask again"


_READS: Final = frozenset({"Get", "Get Attributes", "Get Attribute List", "Locate"})
"""What changes an object by the way at most: that it was handed out, or that one of its dates has come."""


class Conversation:
    """One request message of one client, item by item."""

    __slots__ = ("_desk", "_message", "_now", "_peer", "_session", "_timing")

    def __init__(
        self, desk: Desk, session: Session, peer: Peer, message: RequestMessage, *, now: float, timing: Timing
    ) -> None:
        """Everything that the items share."""
        self._desk = desk
        self._session = session
        self._peer = peer
        self._message = message
        self._now = now
        self._timing = timing

    async def items(self) -> list[ResponseBatchItem]:
        """The response's batch items, in order (KMIP 1.4, 6.12, 6.13 and 11.43)."""
        option = self._message.request_header.batch_error_continuation_option or BatchErrorContinuationOption.STOP
        if option not in BatchErrorContinuationOption.__members__.values():
            refusal = InvalidField("the Batch Error Continuation Option is not one of KMIP's")
            return [failed(item, refusal) for item in self._message.batch_items]
        if option == BatchErrorContinuationOption.UNDO:
            return await self._together()
        execution = self._execution()
        answers: list[ResponseBatchItem] = []
        for item in self._message.batch_items:
            answers.append(await self._alone(item, execution))
            if answers[-1].result_status != ResultStatus.SUCCESS and option == BatchErrorContinuationOption.STOP:
                break
        return answers

    def _execution(self) -> Execution:
        header = self._message.request_header
        most = header.maximum_response_size
        room = None if most is None else most - HEADER
        return Execution(self._session, header.protocol_version, int(self._now), room, self._timing)

    async def _alone(self, item: RequestBatchItem, execution: Execution) -> ResponseBatchItem:
        """One item in a transaction of its own."""
        before = execution.placeholder, execution.room
        (answer,) = await self._committed((item,), execution)
        if answer.result_status != ResultStatus.SUCCESS:
            # A failed item hands nothing on, and of the room only what its refusal takes is gone.
            execution.placeholder, execution.room = before
            if execution.room is not None:
                execution.room -= encoded_length(answer, execution.version)
        return answer

    async def _together(self) -> list[ResponseBatchItem]:
        """All items in one transaction: either every one of them happens, or none (Undo)."""
        return await self._committed(self._message.batch_items, self._execution())

    async def _committed(self, items: Sequence[RequestBatchItem], execution: Execution) -> list[ResponseBatchItem]:
        """Decide the items and commit what they change, whole; what the catalog refuses is told."""
        try:
            if self._session.instance.sealed_at is None:
                try:
                    return await self._repeated(items, execution)
                except QuotaReached as error:
                    refusal = beyond_quota(self._session.instance, error.held)
                    return await self._turned_away(items, execution, refusal)
                except InstanceSealed:
                    # The session was remembered from before the seal.
                    self._session = execution.session = await self._desk.sessions.again(self._peer, self._now)
            return await self._turned_away(items, execution, refused_by_seal(self._session.instance))
        except NotAuthorised:
            return await self._desk.refuse(items, self._peer, self._now)
        except CatalogUnavailable as error:
            # Whether it was kept may be unknown: what a key manager got is left to the reconciler.
            return [failed(item, GeneralFailure(busy(error))) for item in items]

    async def _repeated(self, items: Sequence[RequestBatchItem], execution: Execution) -> list[ResponseBatchItem]:
        """Decide and commit, anew as often as another change comes first; nothing stays of what is not committed."""
        before = execution.placeholder, execution.room
        for _ in range(ATTEMPTS):
            execution.placeholder, execution.room = before
            work = Work(self._session.principal)
            try:
                answers = await self._decided(items, execution, work)
                if answers[-1].result_status == ResultStatus.SUCCESS:
                    await self._commit(work)
                    return answers
                await self._abandon(work)
                return await self._undone(answers, work)
            except InstanceChanged:
                # The session was remembered from before the change; its keys move, or are kept elsewhere.
                await self._abandon(work)
                self._session = execution.session = await self._desk.sessions.again(self._peer, self._now)
            except (NotAuthorised, InstanceSealed, QuotaReached):
                await self._abandon(work)
                raise
            except (Conflict, AlreadyThere):
                await self._abandon(work)
            finally:
                work.wipe()
        return [failed(item, GeneralFailure(CONTESTED)) for item in items]

    async def _turned_away(
        self, items: Sequence[RequestBatchItem], execution: Execution, refusal: KmipError
    ) -> list[ResponseBatchItem]:
        """The items of a client whose instance is sealed or full: it is told so, and recorded; nothing else happens."""
        desk, entries = self._desk, []
        for item in items:
            execution.target = desk.executor.asked(item, execution)
            entries.append(self._entry(item, execution, error=refusal))
        try:
            await desk.catalog.commit(Unit(entries=entries))
        except CatalogUnavailable:
            log.warning("the catalog cannot record a refusal of %s", self._peer.address)
        return [failed(item, refusal) for item in items]

    async def _decided(
        self, items: Sequence[RequestBatchItem], execution: Execution, work: Work
    ) -> list[ResponseBatchItem]:
        """Run the items until one fails; their changes and their entries are in ``work``."""
        answers: list[ResponseBatchItem] = []
        for item in items:
            answer, entry = await self._attempt(item, execution, work)
            answers.append(answer)
            work.entries.append(entry)
            if answer.result_status != ResultStatus.SUCCESS:
                break
        return answers

    async def _undone(self, answers: list[ResponseBatchItem], work: Work) -> list[ResponseBatchItem]:
        """Of a work whose last item failed, the journal's entries are all that is kept."""
        *before, last = answers
        record = Work(self._session.principal)
        record.entries = [replace(entry, outcome="undone") for entry in work.entries[:-1]] + work.entries[-1:]
        await self._commit(record)
        return [
            ResponseBatchItem(
                operation=each.operation,
                unique_batch_item_id=each.unique_batch_item_id,
                result_status=ResultStatus.OPERATION_UNDONE,
            )
            for each in before
        ] + [last]

    async def _abandon(self, work: Work) -> None:
        """Take back what a work that changes nothing after all has put into the key manager."""
        vault, instance = self._desk.vault, self._session.instance
        for unique_identifier in work.inserted:
            vault.forget(unique_identifier)
        for managed in work.intended.values():
            entry = Entry(
                at=int(self._now * 1000),
                action="standard-key.intent",
                outcome="undone",
                initiator=self._session.initiator,
                address=self._peer.address,
                instance=instance.identifier,
                target=managed.unique_identifier,
            )
            await take_back(self._desk.catalog, vault, instance, managed, entry)
        work.intended.clear()

    async def _attempt(
        self, item: RequestBatchItem, execution: Execution, work: Work
    ) -> tuple[ResponseBatchItem, Entry]:
        """Run the handler; a refusal becomes a failed item, and both become an entry of the journal."""
        try:
            if item.critical_extension:
                raise FeatureNotSupported("Keyrack knows no Message Extension, and this one is marked critical")
            payload = await self._desk.executor.execute(item, execution, work)
            answer = ResponseBatchItem(
                operation=item.operation,
                unique_batch_item_id=item.unique_batch_item_id,
                result_status=ResultStatus.SUCCESS,
                response_payload=payload,
            )
            _weigh(answer, execution)
        except KmipError as error:
            return failed(item, error), self._entry(item, execution, error=error)
        return answer, self._entry(item, execution, payload)

    def _entry(
        self, item: RequestBatchItem, execution: Execution, payload: Any = None, error: KmipError | None = None
    ) -> Entry:
        """What the journal keeps of an item that has succeeded, or failed with ``error``."""
        detail = self._detail(execution)
        if error is not None and error.cause:
            cut = len(error.cause) > LONGEST_CAUSE
            detail["cause"] = f"{error.cause[: LONGEST_CAUSE - 1]}…" if cut else error.cause
        found = getattr(payload, "unique_identifier", None)
        return Entry(
            at=int(self._now * 1000),
            action=_title(item.operation),
            outcome=error.reason.title if error is not None else "success",
            initiator=self._session.initiator,
            address=self._peer.address,
            instance=self._session.principal.instance,
            target=found if isinstance(found, str) else execution.target,
            detail=detail,
        )

    def _detail(self, execution: Execution) -> dict[str, str | int]:
        peer = self._peer
        detail: dict[str, str | int] = {"kmip": str(execution.version), "tls": peer.tls}
        if peer.session:
            detail["session"], detail["suite"] = peer.session, peer.suite
        correlation = self._message.request_header.client_correlation_value
        if correlation is not None:
            detail["correlation"] = correlation[:LONGEST_CORRELATION]
        return detail

    async def _commit(self, work: Work) -> None:
        began = metered_now()
        try:
            await self._desk.catalog.commit(work.unit())
        except RollbackMode:
            if any(each.action not in _READS for each in work.entries):
                raise
            unit = Unit(principal=work.principal, seen=work.seen, entries=work.entries)
            await self._desk.catalog.commit(unit)
        finally:
            self._timing.committed(began)
        for unique_identifier in work.forgotten:
            self._desk.vault.forget(unique_identifier)


def _title(operation: int) -> str:
    return operation.title if isinstance(operation, Operation) else f"0x{operation:08X}"


def _weigh(answer: ResponseBatchItem, execution: Execution) -> None:
    """Refuse before anything is committed if the answer would not fit (KMIP 1.4, 6.3)."""
    if execution.room is not None:
        execution.room -= encoded_length(answer, execution.version)
        if execution.room < 0:
            raise ResponseTooLarge("the answer is longer than the Maximum Response Size of the request")
