"""``/key-managers``: those that are configured, and the root keys that can be picked from them."""

from typing import Annotated

from fastapi import Path
from pydantic import Field

from keyrack.domain.rights import Right
from keyrack.ports.back_office import KeyManagerTold, RootKeyTold
from keyrack.service.office.refusals import NotThere
from keyrack.shell.rest.v1.callers import Caller
from keyrack.shell.rest.v1.models import Instant, Resource, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.routing import noun

router = noun("key-managers")

KeyManagerName = Annotated[
    str, Path(alias="key_manager", min_length=1, max_length=63, description="Configured name of the key manager.")
]
_STATES = {0: "Pre-activation", 1: "Active", 2: "Suspended", 3: "Deactivated", 5: "Destroyed"}


class KeyManagerShown(Resource):
    """A key manager, as it is configured and as it does."""

    name: str
    type: Annotated[str, Field(description="embedded, key_protect or hpcs.")]
    healthy: bool
    told: Annotated[str, Field(description="What is not well; empty where all is.")]


class RootKeyShown(Resource):
    """A customer root key, as its key manager tells of it now."""

    identifier: str
    name: str
    state: Annotated[str, Field(description="Pre-activation, Active, Suspended, Deactivated or Destroyed.")]
    version: Annotated[str, Field(description="Identifier of the version that wraps now.")]
    created_at: Instant


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


@router.get("/key-managers/{key_manager}/root-keys")
async def list_root_keys(caller: Caller, key_manager: KeyManagerName, page: Paging) -> Listing[RootKeyShown]:
    """List the root keys of a key manager, as it lists them now.

    An instance is configured with one that is Active.
    """
    caller.administration.require(Right.KEY_MANAGER_READ)
    found = await caller.back_office.root_keys(key_manager)
    return page.of(found, lambda each: (each.created_at, each.identifier), _root_key)


def _key_manager(told: KeyManagerTold) -> KeyManagerShown:
    return KeyManagerShown(name=told.name, type=told.type, healthy=told.healthy, told=told.told)


def _root_key(told: RootKeyTold) -> RootKeyShown:
    return RootKeyShown(
        identifier=told.identifier,
        name=told.name,
        state=_STATES.get(told.state, "Unknown"),
        version=told.version,
        created_at=since(told.created_at),
    )
