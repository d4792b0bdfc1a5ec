"""``/key-managers/{key_manager}/root-keys``: what wraps the keys of instances, and what is done with it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response

from keyrack.domain.rights import Right
from keyrack.service.office.refusals import NotThere, Refused
from keyrack.service.office.root_keys import users_of
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.key_managers import KeyManagerName
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.premises import Keeper
from keyrack.shell.rest.v1.root_key_shapes import (
    STATES,
    Looked,
    Rewrap,
    RewrapWanted,
    RootKeyAct,
    RootKeyNew,
    RootKeyPolicies,
    RootKeyShown,
    RootKeyWhole,
    listed,
    rewrap_of,
    whole,
)
from keyrack.shell.rest.v1.routing import noun

router = noun("root-keys")

StateName = Literal["Pre-activation", "Active", "Suspended", "Deactivated", "Destroyed"]
RootKeyName = Annotated[
    str,
    Path(alias="root_key", min_length=1, max_length=100, description="Identifier of the root key, its alias or name."),
]


async def look(caller: Visit, key_manager: str) -> Sequence[Looked]:
    """All root keys of a key manager, oldest first."""
    caller.administration.require(Right.KEY_MANAGER_READ)
    found = await caller.back_office.root_keys(key_manager)
    users = await users_of(caller.administration, caller.catalog, key_manager, found)
    return [Looked(each, users[each.identifier]) for each in found]


async def look_at(caller: Visit, key_manager: str, word: str) -> Looked:
    """The root key of this identifier, alias or name; raises ``NotThere``, and ``Refused`` where several have it."""
    caller.administration.require(Right.KEY_MANAGER_READ)
    found = await caller.back_office.root_keys(key_manager)
    those = (
        [each for each in found if each.identifier == word]
        or [each for each in found if each.details is not None and word in each.details.aliases]
        or [each for each in found if each.name == word]
    )
    if not those:
        raise NotThere(f"there is no root key {word!r}")
    if len(those) > 1:
        raise Refused(f"{len(those)} root keys are called {word!r}; name one by its identifier")
    users = await users_of(caller.administration, caller.catalog, key_manager, those)
    return Looked(those[0], users[those[0].identifier])


async def act(caller: Visit, name: str, key_manager: str, root_key: str, **arguments: Any) -> Mapping[str, Any]:
    """Have a serving process do an act on a root key; it looks at the rights again."""
    wanted = {"key_manager": key_manager, "root_key": root_key, **arguments}
    return await caller.back_office.act(caller.on_behalf, f"root-key.{name}", wanted)


@router.get("/key-managers/{key_manager}/root-keys")
async def list_root_keys(
    caller: Caller,
    key_manager: KeyManagerName,
    page: Paging,
    state: Annotated[list[StateName] | None, Query(description="Only in these states.")] = None,
) -> Listing[RootKeyShown]:
    """List the root keys of a key manager, as it lists them now, and whose keys they wrap.

    An instance is configured with one that is Active.
    """
    found = [each for each in await look(caller, key_manager) if state is None or STATES.get(each.told.state) in state]
    return page.of(found, lambda each: (each.told.created_at, each.told.identifier), listed)


@router.post("/key-managers/{key_manager}/root-keys", status_code=201)
async def create_root_key(
    caller: Caller, key_manager: KeyManagerName, body: RootKeyNew, response: Response
) -> RootKeyWhole:
    """Make a root key; it is usable at once."""
    caller.administration.require(Right.ROOT_KEY_CREATE)
    wanted = {
        "key_manager": key_manager,
        "name": body.name,
        "description": body.description,
        "expires_at": int(body.expires_at.timestamp()) if body.expires_at is not None else None,
        "rotate_every_months": body.rotate_every_months,
        "dual_authorisation": body.dual_authorisation,
    }
    done = await caller.back_office.act(caller.on_behalf, "root-key.create", wanted)
    response.headers["location"] = f"/api/v1/key-managers/{key_manager}/root-keys/{done['root_key']}"
    return whole(await look_at(caller, key_manager, str(done["root_key"])))


@router.get("/key-managers/{key_manager}/root-keys/{root_key}")
async def show_root_key(caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName) -> RootKeyWhole:
    """Show one root key: its versions, its policies, and whose keys it wraps."""
    return whole(await look_at(caller, key_manager, root_key))


@router.patch("/key-managers/{key_manager}/root-keys/{root_key}/policies")
async def set_root_key_policies(
    caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName, body: RootKeyPolicies
) -> RootKeyWhole:
    """Set when a root key is rotated by itself, and that it takes two people to delete it."""
    caller.administration.require(Right.ROOT_KEY_POLICY)
    return await _acted(caller, "policy", key_manager, root_key, **body.model_dump())


@router.post("/key-managers/{key_manager}/root-keys/{root_key}/rotate")
async def rotate_root_key(caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName) -> RootKeyWhole:
    """Give a root key another version, which wraps from now on; keys under older ones begin to be rewrapped."""
    caller.administration.require(Right.ROOT_KEY_ROTATE)
    return await _acted(caller, "rotate", key_manager, root_key)


@router.post("/key-managers/{key_manager}/root-keys/{root_key}/disable")
async def disable_root_key(
    caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName, body: RootKeyAct | None = None
) -> RootKeyWhole:
    """Disable a root key: no key under it is handed out until it is enabled."""
    caller.administration.require(Right.ROOT_KEY_DISABLE)
    return await _acted(caller, "disable", key_manager, root_key, confirmation=body.confirmation if body else None)


@router.post("/key-managers/{key_manager}/root-keys/{root_key}/enable")
async def enable_root_key(caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName) -> RootKeyWhole:
    """Enable a disabled root key; from 30 seconds after it was disabled."""
    caller.administration.require(Right.ROOT_KEY_RESTORE)
    return await _acted(caller, "enable", key_manager, root_key)


@router.post("/key-managers/{key_manager}/root-keys/{root_key}/delete")
async def delete_root_key(
    caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName, body: RootKeyAct | None = None
) -> RootKeyWhole:
    """Delete a root key; for 30 days it can be restored.

    Under dual authorisation the first of two people sets it for deletion by this, and the other one deletes it within
    seven days.
    """
    caller.administration.require(Right.ROOT_KEY_DELETE)
    return await _acted(caller, "delete", key_manager, root_key, confirmation=body.confirmation if body else None)


@router.post("/key-managers/{key_manager}/root-keys/{root_key}/unset-for-deletion")
async def unset_root_key_for_deletion(
    caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName
) -> RootKeyWhole:
    """Take back that a root key is to be deleted, whoever of the two has wanted it."""
    caller.administration.require(Right.ROOT_KEY_DELETE)
    return await _acted(caller, "unset-for-deletion", key_manager, root_key)


@router.post("/key-managers/{key_manager}/root-keys/{root_key}/restore")
async def restore_root_key(caller: Caller, key_manager: KeyManagerName, root_key: RootKeyName) -> RootKeyWhole:
    """Restore a deleted root key with all its versions; from 30 seconds to 30 days after it was deleted."""
    caller.administration.require(Right.ROOT_KEY_RESTORE)
    return await _acted(caller, "restore", key_manager, root_key)


@router.post("/key-managers/{key_manager}/root-keys/{root_key}/rewrap", status_code=202)
async def begin_rewrap(
    caller: Caller, keeper: Keeper, key_manager: KeyManagerName, root_key: RootKeyName, body: RewrapWanted | None = None
) -> Rewrap:
    """Begin to wrap keys under older versions by the newest one, or go on with it.

    A serving process does it, whoever looks. After a rotation it begins by itself.
    """
    caller.administration.require(Right.ROOT_KEY_ROTATE)
    await act(caller, "rewrap", key_manager, root_key, rate=(body or RewrapWanted()).rate)
    return rewrap_of(await look_at(caller, key_manager, root_key), keeper.paces, keeper.clock() / 1000)


@router.get("/key-managers/{key_manager}/root-keys/{root_key}/rewrap")
async def show_rewrap(caller: Caller, keeper: Keeper, key_manager: KeyManagerName, root_key: RootKeyName) -> Rewrap:
    """Show how far a rewrap is, with its pace."""
    return rewrap_of(await look_at(caller, key_manager, root_key), keeper.paces, keeper.clock() / 1000)


async def _acted(caller: Visit, name: str, key_manager: str, root_key: str, **arguments: Any) -> RootKeyWhole:
    done = await act(caller, name, key_manager, root_key, **arguments)
    return whole(await look_at(caller, key_manager, str(done["root_key"])))
