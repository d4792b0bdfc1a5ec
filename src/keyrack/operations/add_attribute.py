"""Add Attribute (KMIP 1.4, 4.14): a new attribute, or one more instance of one."""

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
class AddAttributeRequest:
    """The attribute to add, without an Attribute Index: the server gives it one."""

    unique_identifier: str | None = None
    attribute: Attribute


@structure
class AddAttributeResponse:
    """The attribute as it was added."""

    unique_identifier: str
    attribute: Attribute


@operation(Operation.ADD_ATTRIBUTE, needs=Permission.CHANGE)
async def add_attribute(request: AddAttributeRequest, target: ManagedObject, context: Context) -> AddAttributeResponse:
    """Add it, if the client may set it on this object."""
    given = request.attribute
    changed, instance = attributes.add(
        target,
        given.attribute_name,
        given.attribute_value,
        index=given.attribute_index,
        version=context.version,
        now=context.now,
        taken=await _attributes.taken_names(_attributes.pairs((given,)), context, target.unique_identifier),
    )
    context.change(changed)
    return AddAttributeResponse(
        unique_identifier=target.unique_identifier, attribute=_attributes.shown(given.attribute_name, instance)
    )
