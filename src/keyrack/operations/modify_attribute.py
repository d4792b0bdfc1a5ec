"""Modify Attribute (KMIP 1.4, 4.15): another value for an attribute that is there."""

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
class ModifyAttributeRequest:
    """The attribute with its new value; its Attribute Index says which instance, the first where it is left out."""

    unique_identifier: str | None = None
    attribute: Attribute


@structure
class ModifyAttributeResponse:
    """The attribute as it is now."""

    unique_identifier: str
    attribute: Attribute


@operation(Operation.MODIFY_ATTRIBUTE, needs=Permission.CHANGE)
async def modify_attribute(
    request: ModifyAttributeRequest, target: ManagedObject, context: Context
) -> ModifyAttributeResponse:
    """Change it, if the client may."""
    given = request.attribute
    changed, instance = attributes.modify(
        target,
        given.attribute_name,
        given.attribute_value,
        index=given.attribute_index,
        version=context.version,
        now=context.now,
        taken=await _attributes.taken_names(_attributes.pairs((given,)), context, target.unique_identifier),
    )
    context.change(changed)
    return ModifyAttributeResponse(
        unique_identifier=target.unique_identifier, attribute=_attributes.shown(given.attribute_name, instance)
    )
