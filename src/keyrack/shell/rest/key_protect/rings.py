"""Key rings."""

from typing import Annotated

from fastapi import APIRouter

from keyrack.embedded import rings as use
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import Force, Paging, operation, paging
from keyrack.shell.rest.key_protect.desk import AtDesk
from keyrack.shell.rest.key_protect.envelope import collection
from keyrack.shell.rest.key_protect.resources import KeyRings

router = APIRouter(tags=["key rings"])


@operation(
    router,
    "GET",
    "/key_rings",
    action="kms.key-rings.list",
    failure="Key rings could not be listed",
    answer=KeyRings,
)
async def list_key_rings(desk: AtDesk, page: Annotated[Paging, paging(100)]) -> Answer:
    """List key rings.

    The default key ring comes first.
    """
    found, total = await desk.act(use.rings, page.limit, page.offset)
    return Answer(collection("key_ring", [shapes.ring(each) for each in found], total=page.told(total)))


@operation(
    router,
    "POST",
    "/key_rings/{id}",
    action="kms.key-rings.create",
    failure="Key ring could not be created",
    status=201,
    refusals=(409,),
)
async def create_key_ring(desk: AtDesk, id: str) -> Answer:
    """Create a key ring."""
    await desk.act(use.create_ring, id)
    return Answer(status=201)


@operation(
    router,
    "DELETE",
    "/key_rings/{id}",
    action="kms.key-rings.delete",
    failure="Key ring could not be deleted",
    status=204,
    refusals=(404, 409),
)
async def delete_key_ring(desk: AtDesk, id: str, force: Force = False) -> Answer:
    """Delete a key ring.

    With force, keys in it that are deleted already go over to the default key ring.
    """
    await desk.act(use.delete_ring, id, force)
    return Answer(status=204)
