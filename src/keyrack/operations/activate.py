"""Activate (KMIP 1.4, 4.19): from Pre-Active to Active."""

from keyrack.domain import lifecycle
from keyrack.domain.access import Permission
from keyrack.domain.lifecycle import Event
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation
from keyrack.wire.codec import structure


@structure
class ActivateRequest:
    """Which object to activate; the ID Placeholder where it is left out."""

    unique_identifier: str | None = None


@structure
class ActivateResponse:
    """The object that was activated."""

    unique_identifier: str


@operation(Operation.ACTIVATE, needs=Permission.CHANGE)
async def activate(request: ActivateRequest, target: ManagedObject, context: Context) -> ActivateResponse:
    """Make the object Active and set its Activation Date to now."""
    context.change(lifecycle.after(target, Event.ACTIVATE, at=context.now))
    return ActivateResponse(unique_identifier=target.unique_identifier)
