"""Aliases: other names of keys."""

from fastapi import APIRouter

from keyrack.embedded import aliases as use
from keyrack.embedded.call import Call
from keyrack.embedded.house import House
from keyrack.embedded.keys import Alias, Key
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import operation
from keyrack.shell.rest.key_protect.desk import AtDesk
from keyrack.shell.rest.key_protect.envelope import collection
from keyrack.shell.rest.key_protect.resources import Aliases

router = APIRouter(tags=["aliases"])


def _created(house: House, call: Call, name: str, alias: str) -> tuple[Key, Alias]:
    made = use.create_alias(house, call, name, alias)
    with house.reading() as reading:
        return reading.key(call.instance, alias), made


@operation(
    router,
    "POST",
    "/keys/{id}/aliases/{alias}",
    action="kms.secrets-alias.create",
    failure="Alias could not be created",
    status=201,
    answer=Aliases,
    refusals=(404, 409, 410),
)
async def create_key_alias(desk: AtDesk, id: str, alias: str) -> Answer:
    """Create an alias."""
    key, made = await desk.act(_created, id, alias)
    return Answer(collection("alias", [shapes.alias(key, made)]), 201)


@operation(
    router,
    "DELETE",
    "/keys/{id}/aliases/{alias}",
    action="kms.secrets-alias.delete",
    failure="Alias could not be deleted",
    status=204,
    refusals=(404, 409, 410),
)
async def delete_key_alias(desk: AtDesk, id: str, alias: str) -> Answer:
    """Delete an alias."""
    await desk.act(use.delete_alias, id, alias)
    return Answer(status=204)
