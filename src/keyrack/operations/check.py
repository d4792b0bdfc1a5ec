"""Check (KMIP 1.4, 4.10): may the client use an object as it intends to?"""

from keyrack.domain import access
from keyrack.domain.access import Permission
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import CryptographicUsageMask, Operation
from keyrack.spec.types import Interval, LongInteger
from keyrack.wire.codec import structure


@structure
class CheckRequest:
    """The intended use: how much, for what, for how long (in seconds)."""

    unique_identifier: str | None = None
    usage_limits_count: LongInteger | None = None
    cryptographic_usage_mask: CryptographicUsageMask | None = None
    lease_time: Interval | None = None


@structure
class CheckResponse:
    """The object; the other fields would name what was refused, where an answer is no failure."""

    unique_identifier: str
    usage_limits_count: LongInteger | None = None
    cryptographic_usage_mask: CryptographicUsageMask | None = None
    lease_time: Interval | None = None


@operation(Operation.CHECK, needs=Permission.READ)
async def check(request: CheckRequest, target: ManagedObject, context: Context) -> CheckResponse:
    """Answer with the object's identifier if the use is allowed; refuse with Permission Denied otherwise (11.11)."""
    access.check(
        target,
        usage_limits_count=request.usage_limits_count,
        cryptographic_usage_mask=request.cryptographic_usage_mask,
        lease_time=request.lease_time,
        at=context.now,
    )
    return CheckResponse(unique_identifier=target.unique_identifier)
