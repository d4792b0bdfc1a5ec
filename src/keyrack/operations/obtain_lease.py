"""Obtain Lease (KMIP 1.4, 4.17): for how long a client may use an object before it asks again."""

from keyrack.domain import access
from keyrack.domain.access import Permission
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation
from keyrack.spec.types import DateTime, Interval
from keyrack.wire.codec import structure


@structure
class ObtainLeaseRequest:
    """Which object; the ID Placeholder where it is left out."""

    unique_identifier: str | None = None


@structure
class ObtainLeaseResponse:
    """How long, in seconds, and when the object was last changed."""

    unique_identifier: str
    lease_time: Interval
    last_change_date: DateTime


@operation(Operation.OBTAIN_LEASE, needs=Permission.READ)
async def obtain_lease(request: ObtainLeaseRequest, target: ManagedObject, context: Context) -> ObtainLeaseResponse:
    """Give the lease that the object's Lease Time names, if its state allows one."""
    access.check_lease(target)
    return ObtainLeaseResponse(
        unique_identifier=target.unique_identifier,
        lease_time=target.value("Lease Time") or 0,
        last_change_date=target.value("Last Change Date"),
    )
