"""``/instances``: the instances of a deployment."""

from typing import Annotated

from fastapi import Response
from pydantic import Field

from keyrack.domain.instances import Instance
from keyrack.shell.rest.v1.callers import Caller
from keyrack.shell.rest.v1.etags import etag_of
from keyrack.shell.rest.v1.models import InstanceName, Instant, Resource, instant, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.routing import noun

router = noun("instances")


class InstanceShown(Resource):
    """An instance: a tenant with its root key, client certificates and keys."""

    identifier: str
    name: str
    description: str
    status: Annotated[str, Field(description="Installing, Inactive, Configuring, Installed or Removing.")]
    reason: Annotated[str, Field(description="Why it has its status; empty where nothing is to be said.")]
    key_manager: str
    root_key: str
    storage: str
    hierarchy: str
    sealed_at: Instant | None
    created_at: Instant
    created_by: str


def shown(instance: Instance) -> InstanceShown:
    """An instance as it is answered."""
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
        sealed_at=instant(instance.sealed_at),
        created_at=since(instance.created_at),
        created_by=instance.created_by,
    )


@router.get("/instances")
async def list_instances(caller: Caller, page: Paging) -> Listing[InstanceShown]:
    """List the instances that you may see, by name."""
    found = await caller.administration.instances()
    return page.of(found, lambda each: (each.name, each.identifier), shown)


@router.get("/instances/{instance}")
async def show_instance(caller: Caller, instance: InstanceName, response: Response) -> InstanceShown:
    """Show one instance."""
    found = await caller.administration.instance(instance)
    response.headers["etag"] = etag_of(found)
    return shown(found)
