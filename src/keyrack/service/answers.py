"""How answers are written: failed items, and messages that say no more than their protocol version has words for."""

from dataclasses import replace
from shlex import quote
from typing import Final

from keyrack.domain.errors import GeneralFailure, InvalidMessage, KmipError, PermissionDenied
from keyrack.domain.instances import Instance
from keyrack.domain.moments import rfc3339
from keyrack.ports.catalog import CatalogUnavailable, OutcomeUnknown, RollbackMode
from keyrack.ports.sinks import SinkBehind, SinkLate
from keyrack.spec.enumerations import ResultStatus
from keyrack.spec.versions import V1_0, V1_4, VERSIONS, ProtocolVersion
from keyrack.wire.errors import UnsupportedVersion, WireError
from keyrack.wire.messages import (
    RequestBatchItem,
    ResponseBatchItem,
    ResponseMessage,
    encoded_length,
    write_response,
)

BUSY: Final = "the catalog cannot commit now; nothing was changed; ask again, or another endpoint"
UNSURE: Final = "the catalog has not told in time whether it keeps this; look what is there before you ask again"
UNTOLD: Final = "the journal does not reach a sink that has to have it before anything is handed out; ask again later"
ROLLED_BACK: Final = (
    "the catalog was restored from a copy and is read-only: nothing was changed; an administrator ends that with"
    " 'keyrack backup agree'"
)


def busy(error: CatalogUnavailable) -> str:
    """What a client hears while the catalog takes nothing; in rollback mode asking again is of no use."""
    if isinstance(error, RollbackMode):
        return ROLLED_BACK
    if isinstance(error, OutcomeUnknown):
        return UNSURE
    return UNTOLD if isinstance(error, SinkBehind | SinkLate) else BUSY


def failed(item: RequestBatchItem | ResponseBatchItem, error: KmipError) -> ResponseBatchItem:
    """The item that tells a client why; the error's cause stays here."""
    return ResponseBatchItem(
        operation=item.operation,
        unique_batch_item_id=item.unique_batch_item_id,
        result_status=ResultStatus.OPERATION_FAILED,
        result_reason=error.reason,
        result_message=str(error),
    )


def refused_by_seal(instance: Instance) -> PermissionDenied:
    """What the clients of a sealed instance hear; one that was unsealed just now may be asked again."""
    if instance.sealed_at is None:
        return PermissionDenied("the instance was sealed until just now: ask again")
    since = rfc3339(instance.sealed_at)
    refusal = PermissionDenied(
        f"the instance is sealed since {since}: an administrator unseals it with "
        f"'keyrack instance unseal {quote(instance.name)}'"
    )
    refusal.cause = f"sealed since {since}"
    return refusal


def beyond_quota(instance: Instance, held: int) -> PermissionDenied:
    """What clients of an instance hear that has as many keys as its quota lets it have."""
    quota = instance.quotas.keys
    refusal = PermissionDenied(
        f"instance {instance.name!r} has {held} keys, and its quota is {quota}: destroy some, or have an administrator "
        f"raise it with 'keyrack instance quota {quote(instance.name)} --keys NUMBER'"
    )
    refusal.cause = f"quota of {quota} keys"
    return refusal


def written(
    version: ProtocolVersion, now: float, items: list[ResponseBatchItem], correlation: str | None = None
) -> bytearray:
    """The message, with the client's own mark on it where it has set one (KMIP 1.4, 6.18)."""
    message = ResponseMessage(
        protocol_version=version,
        time_stamp=int(now),
        batch_items=tuple(items),
        client_correlation_value=correlation,
    )
    try:
        return write_response(message)
    except WireError:
        return write_response(replace(message, batch_items=[_sayable(item, version) for item in items]))


def _sayable(item: ResponseBatchItem, version: ProtocolVersion) -> ResponseBatchItem:
    """The item, or a failure where it holds what was registered in a newer version and has no words in this one."""
    try:
        encoded_length(item, version)
    except WireError as error:
        return failed(item, GeneralFailure(f"KMIP {version} has no words for the answer, ask in a newer one: {error}"))
    return item


def unreadable(error: WireError, now: int) -> bytearray | None:
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
    return written(version, now, [item])
