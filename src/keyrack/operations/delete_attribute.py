"""Delete Attribute (KMIP 1.4, 4.16): take an attribute, or one instance of it, away."""

from keyrack.domain import attributes
from keyrack.domain.access import Permission
from keyrack.domain.objects import ManagedObject
from keyrack.operations import _attributes
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation
from keyrack.wire.attributes import Attribute
from keyrack.wire.codec import structure


@structure
class DeleteAttributeRequest:
    """The attribute's name, and which instance of it."""

    unique_identifier: str | None = None
    attribute_name: str
    attribute_index: int | None = None


@structure
class DeleteAttributeResponse:
    """The attribute that was taken away."""

    unique_identifier: str
    attribute: Attribute


@operation(Operation.DELETE_ATTRIBUTE, needs=Permission.CHANGE)
async def delete_attribute(
    request: DeleteAttributeRequest, target: ManagedObject, context: Context
) -> DeleteAttributeResponse:
    """Delete it, if the client may."""
    changed, instance = attributes.delete(
        target, request.attribute_name, index=request.attribute_index, version=context.version, now=context.now
    )
    context.change(changed)
    return DeleteAttributeResponse(
        unique_identifier=target.unique_identifier, attribute=_attributes.shown(request.attribute_name, instance)
    )
