"""Revoke (KMIP 1.4, 4.20): to Deactivated, or to Compromised."""

from keyrack.domain import lifecycle
from keyrack.domain.access import Permission
from keyrack.domain.errors import InvalidField
from keyrack.domain.lifecycle import Event
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation, RevocationReasonCode
from keyrack.spec.structures import RevocationReason
from keyrack.spec.types import DateTime
from keyrack.wire.codec import structure

COMPROMISE = frozenset({RevocationReasonCode.KEY_COMPROMISE, RevocationReasonCode.CA_COMPROMISE})


@structure
class RevokeRequest:
    """Which object to revoke, why, and since when it may have been compromised."""

    unique_identifier: str | None = None
    revocation_reason: RevocationReason
    compromise_occurrence_date: DateTime | None = None


@structure
class RevokeResponse:
    """The object that was revoked."""

    unique_identifier: str


@operation(Operation.REVOKE, needs=Permission.CHANGE)
async def revoke(request: RevokeRequest, target: ManagedObject, context: Context) -> RevokeResponse:
    """Record the reason and take the step of the lifecycle that it means."""
    code = request.revocation_reason.revocation_reason_code
    if code not in RevocationReasonCode.__members__.values():
        raise InvalidField("this Revocation Reason Code is not one of KMIP's; name one of 9.1.3.2.19")
    event = Event.COMPROMISE if code in COMPROMISE else Event.DEACTIVATE
    if request.compromise_occurrence_date is not None and event is not Event.COMPROMISE:
        raise InvalidField("a Compromise Occurrence Date goes only with Key Compromise or CA Compromise")
    context.change(
        lifecycle.after(
            target,
            event,
            at=context.now,
            revocation_reason=request.revocation_reason,
            compromise_occurrence_date=request.compromise_occurrence_date,
        )
    )
    return RevokeResponse(unique_identifier=target.unique_identifier)
