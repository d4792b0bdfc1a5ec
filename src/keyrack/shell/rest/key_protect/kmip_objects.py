"""What clients keep in KMIP adapters: listed, looked at and destroyed, never handed out."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from keyrack.embedded.errors import InvalidQueryParam
from keyrack.embedded.iam.rights import Right
from keyrack.shell.rest.key_protect import kmip_resources as shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import Paging, operation, paging
from keyrack.shell.rest.key_protect.desk import AtDesk
from keyrack.shell.rest.key_protect.envelope import collection
from keyrack.shell.rest.key_protect.kmip_adapters import admitted, admitted_to, named
from keyrack.shell.rest.key_protect.kmip_binding import OBJECT, refusing
from keyrack.shell.rest.key_protect.kmip_resources import KmipObjects
from keyrack.spec.enumerations import State

router = APIRouter(tags=["KMIP objects"])

LIVING: Final = "1,2,3,4"
_STATES: Final = {str(int(state)): state for state in State}

States = Annotated[
    str,
    Query(
        description="States, with commas between: 1 Pre-Active, 2 Active, 3 Deactivated, 4 Compromised, 5 Destroyed, "
        "6 Destroyed Compromised."
    ),
]
Force = Annotated[bool, Query(description="Destroy an active object too, and mind none that is destroyed already.")]


@operation(
    router,
    "GET",
    "/kmip_adapters/{adapter_id}/kmip_objects",
    action=Right.LIST_KMIP,
    failure="KMIP objects could not be listed",
    answer=KmipObjects,
    refusals=(404,),
)
async def get_kmip_objects(
    desk: AtDesk, adapter_id: str, page: Annotated[Paging, paging(100)], state: States = LIVING
) -> Answer:
    """List KMIP objects of a KMIP adapter, oldest first.

    Those that are destroyed are left out, unless their states are asked for.
    """
    adapters = await admitted(desk, Right.LIST_KMIP)
    states = _states(state or LIVING)
    adapter = await named(adapters, adapter_id)
    with refusing(OBJECT):
        found = await adapters.objects(adapter, states, limit=page.limit, offset=page.offset)
        total = await adapters.count_objects(adapter, states) if page.total_count else None
    return Answer(collection("kmip_object", [shapes.kmip_object(each) for each in found], total=total))


@operation(
    router,
    "GET",
    "/kmip_adapters/{adapter_id}/kmip_objects/{id}",
    action=Right.READ_KMIP,
    failure="KMIP object could not be retrieved",
    answer=KmipObjects,
    refusals=(404,),
)
async def get_kmip_object(desk: AtDesk, adapter_id: str, id: str) -> Answer:
    """Retrieve a KMIP object of a KMIP adapter, without its material."""
    adapters, adapter = await admitted_to(desk, Right.READ_KMIP, adapter_id)
    with refusing(OBJECT):
        found = await adapters.object(adapter, id)
    return Answer(collection("kmip_object", [shapes.kmip_object(found)]))


@operation(
    router,
    "DELETE",
    "/kmip_adapters/{adapter_id}/kmip_objects/{id}",
    action=Right.DELETE_KMIP,
    failure="KMIP object could not be deleted",
    status=204,
    refusals=(404, 409),
)
async def delete_kmip_object(desk: AtDesk, adapter_id: str, id: str, force: Force = False) -> Answer:
    """Delete a KMIP object: it is Destroyed, and no client gets its material any more.

    An active one, or one that is destroyed already, is refused unless force is given.
    """
    adapters, adapter = await admitted_to(desk, Right.DELETE_KMIP, adapter_id)
    with refusing(OBJECT):
        await adapters.destroy(adapter, id, force=force)
    return Answer(status=204)


def _states(told: str) -> list[State]:
    wanted = {each.strip() for each in told.split(",")}
    if not wanted <= _STATES.keys():
        raise InvalidQueryParam(
            "The query parameter `state` must be: numbers from 1 to 6 with commas between",
            target=("query_param", "state"),
        )
    return [state for number, state in _STATES.items() if number in wanted]
