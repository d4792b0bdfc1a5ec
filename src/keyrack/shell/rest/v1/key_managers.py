"""``/key-managers``: those that are configured; their root keys are in a file of their own."""

from typing import Annotated

from fastapi import Path
from pydantic import Field

from keyrack.domain.rights import Right
from keyrack.ports.back_office import KeyManagerTold
from keyrack.service.office.refusals import NotThere
from keyrack.shell.rest.v1.callers import Caller
from keyrack.shell.rest.v1.models import Resource
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.routing import noun

router = noun("key-managers")

KeyManagerName = Annotated[
    str, Path(alias="key_manager", min_length=1, max_length=63, description="Configured name of the key manager.")
]


class KeyManagerShown(Resource):
    """A key manager, as it is configured and as it does."""

    name: str
    type: Annotated[str, Field(description="embedded, key_protect or hpcs.")]
    healthy: bool
    told: Annotated[str, Field(description="What is not well; empty where all is.")]


@router.get("/key-managers")
async def list_key_managers(caller: Caller, page: Paging) -> Listing[KeyManagerShown]:
    """List the key managers that are configured."""
    caller.administration.require(Right.KEY_MANAGER_READ)
    return page.of(await caller.back_office.key_managers(), lambda each: each.name, _key_manager)


@router.get("/key-managers/{key_manager}")
async def show_key_manager(caller: Caller, key_manager: KeyManagerName) -> KeyManagerShown:
    """Show one key manager."""
    caller.administration.require(Right.KEY_MANAGER_READ)
    for each in await caller.back_office.key_managers():
        if each.name == key_manager:
            return _key_manager(each)
    raise NotThere(f"no key manager {key_manager!r} is configured")


def _key_manager(told: KeyManagerTold) -> KeyManagerShown:
    return KeyManagerShown(name=told.name, type=told.type, healthy=told.healthy, told=told.told)
