"""Registrations: resources that keys protect. Services make them, and none does so with this key manager."""

from typing import Annotated

from fastapi import APIRouter, Query

from keyrack.embedded import lookup
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import Paging, operation, paging
from keyrack.shell.rest.key_protect.desk import AtDesk, Desk
from keyrack.shell.rest.key_protect.envelope import collection
from keyrack.shell.rest.key_protect.resources import Registrations

router = APIRouter(tags=["registrations"])

Crn = Annotated[
    str | None, Query(alias="urlEncodedResourceCRNQuery", description="A CRN, in which * stands for a segment.")
]
Prevent = Annotated[
    bool | None, Query(alias="preventKeyDeletion", description="Only those that do or do not forbid a deletion.")
]


@operation(
    router,
    "GET",
    "/keys/registrations",
    action="kms.registrations.list",
    failure="Registrations could not be listed",
    answer=Registrations,
    refusals=(404,),
)
async def get_registrations_all_keys(
    desk: AtDesk, page: Annotated[Paging, paging()], crn: Crn = None, prevent: Prevent = None
) -> Answer:
    """List the registrations of all keys."""
    return await _listed(desk, None, page, crn, prevent)


@operation(
    router,
    "GET",
    "/keys/{id}/registrations",
    action="kms.registrations.list",
    failure="Registrations could not be listed",
    answer=Registrations,
    refusals=(404,),
)
async def get_registrations(
    desk: AtDesk, id: str, page: Annotated[Paging, paging()], crn: Crn = None, prevent: Prevent = None
) -> Answer:
    """List the registrations of a key."""
    return await _listed(desk, id, page, crn, prevent)


async def _listed(desk: Desk, name: str | None, page: Paging, crn: str | None, prevent: bool | None) -> Answer:
    # For those of all keys every record is looked through.
    act = desk.act_at_length if name is None else desk.act
    found, total = await act(
        lookup.registrations,
        name,
        limit=page.limit,
        offset=page.offset,
        resource=crn or None,
        prevent_key_deletion=prevent,
    )
    told = [shapes.registration(key, each) for key, each in found]
    return Answer(collection("registration", told, total=page.told(total)))
