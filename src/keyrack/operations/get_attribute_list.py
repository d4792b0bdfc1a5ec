"""Get Attribute List (KMIP 1.4, 4.13): the names of an object's attributes."""

from keyrack.domain import attributes
from keyrack.domain.access import Permission
from keyrack.domain.objects import ManagedObject
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import Operation
from keyrack.wire.codec import structure


@structure
class GetAttributeListRequest:
    """Which object; the ID Placeholder where it is left out."""

    unique_identifier: str | None = None


@structure
class GetAttributeListResponse:
    """The names, each once."""

    unique_identifier: str
    attribute_name: tuple[str, ...] = ()


@operation(Operation.GET_ATTRIBUTE_LIST, needs=Permission.READ)
async def get_attribute_list(
    request: GetAttributeListRequest, target: ManagedObject, context: Context
) -> GetAttributeListResponse:
    """Name every attribute that the object has and the protocol version knows."""
    return GetAttributeListResponse(
        unique_identifier=target.unique_identifier, attribute_name=attributes.names(target, context.version)
    )
