"""Locate (KMIP 1.4, 4.9): find objects by their attributes."""

from typing import Annotated

from keyrack.domain import search
from keyrack.domain.access import Permission
from keyrack.domain.errors import InvalidField
from keyrack.operations import _attributes
from keyrack.operations._context import Context
from keyrack.operations._registry import operation
from keyrack.spec.enumerations import ObjectGroupMember, Operation, StorageStatusMask
from keyrack.spec.types import Since
from keyrack.spec.versions import V1_1, V1_3
from keyrack.wire.attributes import Attribute
from keyrack.wire.codec import structure


@structure
class LocateRequest:
    """What the objects must have; how many of them to name, after how many to skip."""

    maximum_items: int | None = None
    offset_items: Annotated[int | None, Since(V1_3)] = None
    storage_status_mask: StorageStatusMask | None = None
    object_group_member: Annotated[ObjectGroupMember | int | None, Since(V1_1)] = None
    attribute: tuple[Attribute, ...] = ()


@structure
class LocateResponse:
    """The objects found, newest first; how many there are in all, where the version can say it."""

    located_items: Annotated[int | None, Since(V1_3)] = None
    unique_identifier: tuple[str, ...] = ()


@operation(Operation.LOCATE, needs=Permission.READ)
async def locate(request: LocateRequest, context: Context) -> LocateResponse:
    """Find the objects of the instance that match every attribute given; destroyed ones only when asked for."""
    if (request.maximum_items or 0) < 0 or (request.offset_items or 0) < 0:
        raise InvalidField("Maximum Items and Offset Items are not negative")
    filters = _attributes.pairs(request.attribute)
    decide = search.matcher(
        filters,
        version=context.version,
        now=context.now,
        storage_status_mask=request.storage_status_mask,
        object_group_member=request.object_group_member,
    )
    found = await context.search(search.candidates(filters), decide)
    begin = request.offset_items or 0
    end = None if request.maximum_items is None else begin + request.maximum_items
    return LocateResponse(
        located_items=len(found), unique_identifier=tuple(each.unique_identifier for each in found[begin:end])
    )
