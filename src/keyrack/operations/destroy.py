"""Destroy (KMIP 1.4, 4.21): the material goes for good, the attributes stay."""

from keyrack.domain import lifecycle
from keyrack.domain.access import Permission
from keyrack.domain.lifecycle import Event
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation
from keyrack.wire.codec import structure


@structure
class DestroyRequest:
    """Which object to destroy; the ID Placeholder where it is left out."""

    unique_identifier: str | None = None


@structure
class DestroyResponse:
    """The object that was destroyed."""

    unique_identifier: str


@operation(Operation.DESTROY, needs=Permission.DESTROY)
async def destroy(request: DestroyRequest, target: ManagedObject, context: Context) -> DestroyResponse:
    """Destroy the object: from now on no client gets its material, and its cached copy is wiped.

    The sealed blob stays in the catalog for the administrator's window of undoing; to a client that is not to be told
    from destruction.
    """
    context.change(lifecycle.after(target, Event.DESTROY, at=context.now))
    context.forget(target.unique_identifier)
    return DestroyResponse(unique_identifier=target.unique_identifier)
