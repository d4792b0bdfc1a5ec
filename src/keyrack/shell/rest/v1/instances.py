"""``/instances``: the instances of a deployment, from the first to the last of what becomes of one."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import Field

from keyrack.domain.instances import Instance, Storage
from keyrack.domain.rights import Right
from keyrack.service.office import installing, instances, safe_removal, seals
from keyrack.service.office.refusals import Unusable
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.etags import IfMatch, etag_of
from keyrack.shell.rest.v1.models import Body, Flag, Identifier, InstanceName, Instant, Resource, given, instant, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.routing import noun

router = noun("instances")

NewName = Annotated[str, Field(min_length=1, max_length=63, description="Unique; letters, digits, '.', '_' and '-'.")]
Description = Annotated[str, Field(max_length=installing.LONGEST_DESCRIPTION, description="What it is for.")]
Storages = Literal["catalog", "key_manager"]
Hierarchies = Literal["direct", "two-level"]


class InstanceShown(Resource):
    """An instance: a tenant with its root key, client certificates and keys."""

    identifier: str
    name: str
    description: str
    status: Annotated[str, Field(description="Installing, Inactive, Configuring, Installed or Removing.")]
    reason: Annotated[str, Field(description="Why it has its status; empty where nothing is to be said.")]
    key_manager: Annotated[str, Field(description="Empty until it is configured.")]
    root_key: str
    storage: str
    hierarchy: str
    moving_from: Annotated[dict[str, str] | None, Field(description="Where its keys come from while they move.")]
    sealed_at: Instant | None
    dual_control_at: Annotated[Instant | None, Field(description="Since when two people must want what ends keys.")]
    created_at: Instant
    created_by: str


class HomeWanted(Body):
    """The key manager and root key that an instance is to have; the root key is proved first."""

    key_manager: Annotated[
        Identifier | None, Field(description="Its configured name; not needed for the only one.")
    ] = None
    root_key: Annotated[Identifier | None, Field(description="Of those that `/key-managers/{key-manager}` lists.")] = (
        None
    )
    new_root_key: Annotated[Flag, Field(description="Have the key manager make one.")] = False
    storage: Storages | None = None
    hierarchy: Hierarchies | None = None


class InstanceNew(HomeWanted):
    """An instance to make: usable at once with a root key, else Inactive until it is configured."""

    name: NewName | None = None
    description: Description = ""


class InstanceChange(Body):
    """What changes of an instance; what is not sent stays as it is."""

    name: NewName | None = None
    description: Description | None = None


class InstanceAct(Body):
    """An act on an instance."""

    confirmation: Annotated[str | None, Field(max_length=200, description="The words that were asked for.")] = None


class Deactivation(InstanceAct):
    """Takes an instance out of service."""

    why: Annotated[str, Field(max_length=instances.LONGEST_WHY, description="For those who look at it later.")] = ""


def shown(instance: Instance) -> InstanceShown:
    """An instance as it is answered."""
    former = instance.former
    return InstanceShown(
        identifier=instance.identifier,
        name=instance.name,
        description=instance.description,
        status=str(instance.status),
        reason=instance.reason,
        key_manager=instance.key_manager,
        root_key=instance.root_key,
        storage=str(instance.storage),
        hierarchy=str(instance.hierarchy),
        moving_from={"key_manager": former.key_manager, "root_key": former.root_key} if former else None,
        sealed_at=instant(instance.sealed_at),
        dual_control_at=instant(instance.dual_control_at),
        created_at=since(instance.created_at),
        created_by=instance.created_by,
    )


def tag_of(instance: Instance) -> str:
    """Of everything but who touched it last: a certificate that was added is no other instance."""
    return etag_of(replace(instance, updated_at=None, updated_by=""))


def answered(instance: Instance, response: Response) -> InstanceShown:
    """The instance, with its tag."""
    response.headers["etag"] = tag_of(instance)
    return shown(instance)


@router.get("/instances")
async def list_instances(caller: Caller, page: Paging) -> Listing[InstanceShown]:
    """List the instances that you may see, by name."""
    found = await caller.administration.instances()
    return page.of(found, lambda each: (each.name, each.identifier), shown)


@router.post("/instances", status_code=201)
async def create_instance(caller: Caller, body: InstanceNew, response: Response) -> InstanceShown:
    """Make an instance; with a root key it is usable at once."""
    caller.administration.require(Right.INSTANCE_CREATE)
    if _names_home(body):
        arguments = {"name": body.name, "description": body.description, **await _home(caller, body)}
        done = await caller.back_office.act(caller.on_behalf, "instance.create", arguments)
        made = await caller.administration.instance(str(done["instance"]))
    else:
        made = await installing.create(caller.administration, body.name, None, description=body.description)
    response.headers["location"] = f"/api/v1/instances/{made.identifier}"
    return answered(made, response)


def _names_home(body: HomeWanted) -> bool:
    return bool(body.key_manager or body.root_key or body.new_root_key or body.storage or body.hierarchy)


async def _home(caller: Visit, body: HomeWanted) -> Mapping[str, Any]:
    """What is wanted, with the storage that is usual for the key manager; raises ``Unusable``."""
    if (body.root_key is None) != body.new_root_key:
        raise Unusable("name a root key, or have one made with new_root_key: one of them", field="root_key")
    storage = body.storage
    if storage is None:
        known = {each.name: each for each in await caller.back_office.key_managers()}
        name = body.key_manager or (next(iter(known)) if len(known) == 1 else "")
        # In IBM's key managers the customer wants to see the keys.
        ours = name not in known or known[name].type == "embedded"
        storage = "catalog" if ours else "key_manager"
    return {
        "key_manager": body.key_manager,
        "root_key": body.root_key,
        "storage": str(Storage(storage)),
        "hierarchy": body.hierarchy,
    }


@router.get("/instances/{instance}")
async def show_instance(caller: Caller, instance: InstanceName, response: Response) -> InstanceShown:
    """Show one instance."""
    return answered(await caller.administration.instance(instance), response)


@router.patch("/instances/{instance}")
async def change_instance(
    caller: Caller, instance: InstanceName, seen: IfMatch, body: InstanceChange, response: Response
) -> InstanceShown:
    """Rename or describe an instance."""
    found = await caller.administration.instance(instance)
    seen.holds(tag_of(found))
    wanted = given(body)
    for field, value in wanted.items():
        if value is None:
            raise Unusable(f"{field} is text, and null is none", field=field)
    if "name" in wanted:
        found, _ = await instances.rename(caller.administration, found.identifier, wanted["name"], seen=found)
    if "description" in wanted:
        text = wanted["description"]
        found, _ = await instances.describe(caller.administration, found.identifier, text, seen=found)
    return answered(found, response)


@router.delete("/instances/{instance}", status_code=204)
async def remove_instance(caller: Caller, instance: InstanceName, seen: IfMatch) -> None:
    """Remove a deactivated instance on which nothing hangs; what is in the way is listed."""
    found = await caller.administration.instance(instance)
    seen.holds(tag_of(found))
    await safe_removal.remove(caller.administration, caller.catalog, found.identifier, seen=found)


@router.post("/instances/{instance}/configure")
async def configure_instance(
    caller: Caller, instance: InstanceName, body: HomeWanted, response: Response
) -> InstanceShown:
    """Give an instance its key manager and root key, which is proved first."""
    found = await caller.administration.instance(instance)
    caller.administration.require(Right.INSTANCE_CHANGE, found.identifier)
    arguments = {"instance": found.identifier}
    if found.configured and not _names_home(body):
        done = await caller.back_office.act(caller.on_behalf, "instance.configure", arguments)
    else:
        home = {**await _home(caller, body)}
        if found.configured and body.storage is None:
            home["storage"] = None  # It keeps the one that it has.
        done = await caller.back_office.act(caller.on_behalf, "instance.configure", {**arguments, **home})
    return answered(await caller.administration.instance(str(done["instance"])), response)


@router.post("/instances/{instance}/activate")
async def activate_instance(caller: Caller, instance: InstanceName, response: Response) -> InstanceShown:
    """Put a deactivated instance into service again."""
    found, _ = await instances.activate(caller.administration, instance)
    return answered(found, response)


@router.post("/instances/{instance}/deactivate")
async def deactivate_instance(
    caller: Caller, instance: InstanceName, response: Response, body: Deactivation | None = None
) -> InstanceShown:
    """Take an instance out of service; nothing of it is lost."""
    told = body or Deactivation()
    found, _ = await instances.deactivate(
        caller.administration, caller.catalog, instance, why=told.why, confirmation=told.confirmation
    )
    return answered(found, response)


@router.post("/instances/{instance}/seal")
async def seal_instance(
    caller: Caller, instance: InstanceName, response: Response, body: InstanceAct | None = None
) -> InstanceShown:
    """Keep every key of an instance from everybody, within a second, until it is unsealed."""
    confirmation = body.confirmation if body is not None else None
    found, _ = await seals.seal(caller.administration, caller.catalog, instance, confirmation=confirmation)
    return answered(found, response)


@router.post("/instances/{instance}/unseal")
async def unseal_instance(caller: Caller, instance: InstanceName, response: Response) -> InstanceShown:
    """Give the keys of a sealed instance to its clients again."""
    found, _ = await seals.unseal(caller.administration, instance)
    return answered(found, response)
