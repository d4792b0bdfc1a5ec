"""Get Usage Allocation (KMIP 1.4, 4.18): take some of a key's Usage Limits for later use."""

from keyrack.domain import access
from keyrack.domain.access import Permission
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation
from keyrack.spec.types import LongInteger
from keyrack.wire.codec import structure


@structure
class GetUsageAllocationRequest:
    """How many units the client is going to protect."""

    unique_identifier: str | None = None
    usage_limits_count: LongInteger


@structure
class GetUsageAllocationResponse:
    """The key that they were taken from."""

    unique_identifier: str


@operation(Operation.GET_USAGE_ALLOCATION, needs=Permission.CHANGE)
async def get_usage_allocation(
    request: GetUsageAllocationRequest, target: ManagedObject, context: Context
) -> GetUsageAllocationResponse:
    """Count them as used, if that many are left."""
    context.change(access.allocate(target, request.usage_limits_count, at=context.now))
    return GetUsageAllocationResponse(unique_identifier=target.unique_identifier)
