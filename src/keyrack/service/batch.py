"""The desk: a request message in, a response message out; batches, their order, and what happens when an item fails."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from keyrack.domain.errors import (
    AuthenticationNotSuccessful,
    FeatureNotSupported,
    GeneralFailure,
    InvalidMessage,
    KmipError,
    ResponseTooLarge,
)
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import AlreadyThere, Catalog, CatalogUnavailable, Conflict, NotAuthorised, Unit
from keyrack.service.envelope import Vault
from keyrack.service.executor import Execution, Executor
from keyrack.service.identity import Peer
from keyrack.service.sessions import Session, Sessions
from keyrack.service.work import Work
from keyrack.spec.enumerations import BatchErrorContinuationOption, Operation, ResultStatus
from keyrack.spec.versions import V1_0, V1_4, VERSIONS, ProtocolVersion
from keyrack.wire.errors import UnsupportedVersion, WireError
from keyrack.wire.messages import (
    RequestBatchItem,
    RequestMessage,
    ResponseBatchItem,
    ResponseMessage,
    encoded_length,
    read_request,
    write_response,
)

log = logging.getLogger(__name__)

ATTEMPTS: Final = 8
"""How often an item is decided anew when another change came first."""
HEADER: Final = 120
"""Bytes of a response header and a batch item's frame, allowed for when the Maximum Response Size is weighed."""


class Desk:
    """Answers request messages. One desk serves every connection of a process."""

    def __init__(
        self, catalog: Catalog, vault: Vault, *, clock: Callable[[], float] = time.time, batch_limit: int = 64
    ) -> None:
        """Serve from ``catalog`` and ``vault``; ``batch_limit`` bounds the items of one message."""
        self.catalog = catalog
        self.executor = Executor(catalog, vault)
        self.vault = vault
        self._clock = clock
        self._batch_limit = batch_limit
        self.sessions = Sessions(catalog)

    async def answer(self, frame: bytes, peer: Peer) -> bytearray | None:
        """The response to a request message; ``None`` where none can be made and the connection must go."""
        now = self._clock()
        try:
            message = read_request(frame, self._batch_limit)
        except WireError as error:
            return _unreadable(error, int(now))
        version = message.request_header.protocol_version
        try:
            session = await self.sessions.of(peer)
        except NotAuthorised:
            return await self._stranger(message, peer, now)
        except CatalogUnavailable:
            return _write(version, now, [_failed(item, GeneralFailure(BUSY)) for item in message.batch_items])
        return _write(version, now, await Conversation(self, session, peer, message, now).items())

    async def _stranger(self, message: RequestMessage, peer: Peer, now: float) -> bytearray:
        """A client whose certificate was removed since its handshake: told so, and recorded."""
        refusal = AuthenticationNotSuccessful("the client certificate is not, or no longer, trusted for an instance")
        entries = [
            Entry(
                at=int(now * 1000),
                action=_title(item.operation),
                outcome=refusal.reason.title,
                initiator=f"CertificateID-{peer.fingerprint}",
                address=peer.address,
            )
            for item in message.batch_items
        ]
        try:
            await self.catalog.commit(Unit(entries=entries))
        except CatalogUnavailable:
            log.warning("the catalog cannot record a refusal of %s", peer.address)
        version = message.request_header.protocol_version
        return _write(version, now, [_failed(each, refusal) for each in message.batch_items])


BUSY: Final = "the catalog cannot commit now; nothing was changed; ask again, or another endpoint"


class Conversation:
    """One request message of one client, item by item."""

    __slots__ = ("_desk", "_message", "_now", "_peer", "_session")

    def __init__(self, desk: Desk, session: Session, peer: Peer, message: RequestMessage, now: float) -> None:
        """Everything that the items share."""
        self._desk = desk
        self._session = session
        self._peer = peer
        self._message = message
        self._now = now

    async def items(self) -> list[ResponseBatchItem]:
        """The response's batch items, in order (KMIP 1.4, 6.12, 6.13 and 11.43)."""
        option = self._message.request_header.batch_error_continuation_option or BatchErrorContinuationOption.STOP
        if option == BatchErrorContinuationOption.UNDO and len(self._message.batch_items) > 1:
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
        return Execution(self._session, header.protocol_version, int(self._now), header.maximum_response_size)

    async def _alone(self, item: RequestBatchItem, execution: Execution) -> ResponseBatchItem:
        """One item in a transaction of its own, decided anew as often as another change comes first."""
        before = execution.placeholder, execution.room
        for _ in range(ATTEMPTS):
            execution.placeholder, execution.room = before
            work = Work(self._session.principal)
            try:
                with self._translated():
                    answer, entry = await self._attempt(item, execution, work)
                    # Of an item that failed, the journal's entry is all that is kept.
                    kept = work if answer.result_status == ResultStatus.SUCCESS else Work(self._session.principal)
                    kept.entries.append(entry)
                    await self._commit(kept)
            except Conflict:
                continue
            except KmipError as error:
                return _failed(item, error)
            finally:
                work.wipe()
            return answer
        return _failed(item, GeneralFailure("the object is being changed by many at once; ask again"))

    async def _together(self) -> list[ResponseBatchItem]:
        """All items in one transaction: either every one of them happens, or none (Undo)."""
        for _ in range(ATTEMPTS):
            execution = self._execution()
            work = Work(self._session.principal)
            answers: list[ResponseBatchItem] = []
            try:
                with self._translated():
                    for item in self._message.batch_items:
                        answer, entry = await self._attempt(item, execution, work)
                        answers.append(answer)
                        work.entries.append(entry)
                        if answer.result_status != ResultStatus.SUCCESS:
                            return await self._undone(answers, work)
                    await self._commit(work)
            except Conflict:
                continue
            except KmipError as error:
                return [_failed(item, error) for item in self._message.batch_items]
            finally:
                work.wipe()
            return answers
        return [_failed(item, GeneralFailure(BUSY)) for item in self._message.batch_items]

    async def _undone(self, answers: list[ResponseBatchItem], work: Work) -> list[ResponseBatchItem]:
        *before, failed = answers
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
        ] + [failed]

    async def _attempt(
        self, item: RequestBatchItem, execution: Execution, work: Work
    ) -> tuple[ResponseBatchItem, Entry]:
        """Run the handler; a refusal becomes a failed item, and both become an entry of the journal."""
        try:
            if item.critical_extension:
                raise FeatureNotSupported("Keyrack knows no Message Extension, and this one is marked critical")
            payload = await self._desk.executor.execute(item, execution, work)
            _weigh(payload, execution)
        except KmipError as error:
            return _failed(item, error), self._entry(item, execution, None, error.reason.title)
        answer = ResponseBatchItem(
            operation=item.operation,
            unique_batch_item_id=item.unique_batch_item_id,
            result_status=ResultStatus.SUCCESS,
            response_payload=payload,
        )
        return answer, self._entry(item, execution, payload, "success")

    def _entry(self, item: RequestBatchItem, execution: Execution, payload: Any, outcome: str) -> Entry:
        target = getattr(payload, "unique_identifier", None)
        return Entry(
            at=int(self._now * 1000),
            action=_title(item.operation),
            outcome=outcome,
            initiator=self._session.initiator,
            address=self._peer.address,
            instance=self._session.principal.instance,
            target=target if isinstance(target, str) else "",
            detail={"kmip": str(execution.version), "tls": self._peer.tls},
        )

    async def _commit(self, work: Work) -> None:
        await self._desk.catalog.commit(work.unit())
        for unique_identifier in work.forgotten:
            self._desk.vault.forget(unique_identifier)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The catalog's refusals in the words of KMIP."""
        try:
            yield
        except NotAuthorised as error:
            self._desk.sessions.forget(self._peer.fingerprint)
            raise AuthenticationNotSuccessful("the client certificate is no longer trusted for an instance") from error
        except AlreadyThere as error:
            raise Conflict from error
        except CatalogUnavailable as error:
            raise GeneralFailure(BUSY) from error


def _title(operation: int) -> str:
    return operation.title if isinstance(operation, Operation) else f"0x{operation:08X}"


def _weigh(payload: Any, execution: Execution) -> None:
    """Refuse before anything is committed if the answer would not fit (KMIP 1.4, 6.3)."""
    if execution.room is not None:
        execution.room -= HEADER + encoded_length(payload, execution.version)
        if execution.room < 0:
            raise ResponseTooLarge("the answer is longer than the Maximum Response Size of the request")


def _failed(item: RequestBatchItem, error: KmipError) -> ResponseBatchItem:
    return ResponseBatchItem(
        operation=item.operation,
        unique_batch_item_id=item.unique_batch_item_id,
        result_status=ResultStatus.OPERATION_FAILED,
        result_reason=error.reason,
        result_message=str(error),
    )


def _write(version: ProtocolVersion, now: float, items: list[ResponseBatchItem]) -> bytearray:
    return write_response(ResponseMessage(protocol_version=version, time_stamp=int(now), batch_items=tuple(items)))


def _unreadable(error: WireError, now: int) -> bytearray | None:
    """A batch item without operation, in the request's version, where a message can be told (KMIP 1.4, 11.1)."""
    if error.version is None:
        return None
    version = error.version
    if isinstance(error, UnsupportedVersion):
        version = V1_4 if version > V1_4 else V1_0
    elif version not in VERSIONS:
        return None
    item = ResponseBatchItem(
        operation=None,
        unique_batch_item_id=None,
        result_status=ResultStatus.OPERATION_FAILED,
        result_reason=InvalidMessage.reason,
        result_message=str(error),
    )
    return _write(version, now, [item])
