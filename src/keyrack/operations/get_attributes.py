"""Get Attributes (KMIP 1.4, 4.12): some attributes of an object, or all of them."""

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
class GetAttributesRequest:
    """Which attributes of which object; without names, all."""

    unique_identifier: str | None = None
    attribute_name: tuple[str, ...] = ()


@structure
class GetAttributesResponse:
    """The attributes that the object has of those that were asked for."""

    unique_identifier: str
    attribute: tuple[Attribute, ...] = ()


@operation(Operation.GET_ATTRIBUTES, needs=Permission.READ)
async def get_attributes(
    request: GetAttributesRequest, target: ManagedObject, context: Context
) -> GetAttributesResponse:
    """Answer what is there; an attribute that is not there is left out, and that is a success.

    A vCenter asks in this way whether it has named a key yet, and adds the name when the answer is empty.
    """
    found = attributes.visible(target, request.attribute_name, context.version)
    return GetAttributesResponse(
        unique_identifier=target.unique_identifier,
        attribute=tuple(_attributes.shown(name, instance) for name, instance in found),
    )
