"""KMIP adapters and their client certificates: who may keep keys here over KMIP, and under which root key.

An adapter is an instance of Keyrack: what is made here is served at once, and what ``keyrack instance`` makes is listed
here. ``kmip_objects.py`` has what clients keep.
"""

from typing import Annotated

from fastapi import APIRouter, Query

from keyrack.domain.instances import Instance, InstanceStatus
from keyrack.embedded import kmip
from keyrack.embedded.errors import AdapterNotFound
from keyrack.embedded.iam.rights import Right
from keyrack.service.office.adapters import Adapters
from keyrack.shell.rest.key_protect import kmip_resources as shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import Paging, operation, paging
from keyrack.shell.rest.key_protect.desk import AtDesk, Desk
from keyrack.shell.rest.key_protect.envelope import collection, vendor
from keyrack.shell.rest.key_protect.kmip_binding import ADAPTER, CERTIFICATE, adapters_for, refusing
from keyrack.shell.rest.key_protect.kmip_bodies import AddKmipClientCertificate, CreateKmipAdapter
from keyrack.shell.rest.key_protect.kmip_resources import KmipAdapterList, KmipCertificates

router = APIRouter(tags=["KMIP adapters"])

CrkId = Annotated[str | None, Query(description="Only adapters that use this root key, by identifier or alias.")]
AllowExpiring = Annotated[
    bool, Query(alias="allowExpiringKey", description="Whether the root key may have an expiration date.")
]


async def admitted(desk: Desk, right: Right) -> Adapters:
    """The adapters that a request is about, once its caller is known to have the right over them."""
    await desk.act(kmip.admit, right)
    return adapters_for(desk.premises, desk.call)


async def named(adapters: Adapters, name: str) -> Instance:
    """The adapter of this identifier or name; raises :class:`AdapterNotFound`."""
    with refusing(ADAPTER):
        return await adapters.adapter(name)


async def admitted_to(desk: Desk, right: Right, name: str) -> tuple[Adapters, Instance]:
    """What :func:`admitted` answers, and among it the adapter that a request is about, as :func:`named` finds it."""
    adapters = await admitted(desk, right)
    return adapters, await named(adapters, name)


@operation(
    router,
    "GET",
    "/kmip_adapters",
    action=Right.LIST_KMIP,
    failure="KMIP adapters could not be listed",
    answer=KmipAdapterList,
)
async def get_kmip_adapters(desk: AtDesk, page: Annotated[Paging, paging(100, 200)], crk_id: CrkId = None) -> Answer:
    """List KMIP adapters."""
    adapters = await admitted(desk, Right.LIST_KMIP)
    root_key = await desk.act(kmip.root_key_named, crk_id) if crk_id else None
    with refusing(ADAPTER):
        found = await adapters.all(root_key)
    told = [shapes.adapter(each) for each in found[page.offset : page.offset + page.limit]]
    return Answer(collection("kmip_adapter", told, total=page.told(len(found))))


@operation(
    router,
    "POST",
    "/kmip_adapters",
    action=Right.CREATE_KMIP,
    failure="KMIP adapter could not be created",
    body=CreateKmipAdapter,
    answer=KmipAdapterList,
    status=201,
    refusals=(404, 409, 413),
)
async def create_kmip_adapter(desk: AtDesk, allow_expiring: AllowExpiring = False) -> Answer:
    """Create a KMIP adapter.

    Its clients are served as soon as they have a certificate; their keys show as standard keys of the instance.
    """
    adapters = await admitted(desk, Right.CREATE_KMIP)
    wanted = (await desk.body(CreateKmipAdapter)).wanted()
    name = wanted.chosen_name()
    root_key = await desk.act(kmip.root_key_for_adapter, wanted.profile_data.crk_id, allow_expiring=allow_expiring)
    with refusing(ADAPTER):
        made = await adapters.create(name, root_key, description=wanted.description or "")
    return Answer(collection("kmip_adapter", [shapes.adapter(made)]), 201)


@operation(
    router,
    "GET",
    "/kmip_adapters/{id}",
    action=Right.READ_KMIP,
    failure="KMIP adapter could not be retrieved",
    answer=KmipAdapterList,
    refusals=(404,),
)
async def get_kmip_adapter(desk: AtDesk, id: str) -> Answer:
    """Retrieve a KMIP adapter, by identifier or name."""
    _, found = await admitted_to(desk, Right.READ_KMIP, id)
    return Answer(collection("kmip_adapter", [shapes.adapter(found)]))


@operation(
    router,
    "DELETE",
    "/kmip_adapters/{id}",
    action=Right.DELETE_KMIP,
    failure="KMIP adapter could not be deleted",
    status=204,
    refusals=(404, 409),
)
async def delete_kmip_adapter(desk: AtDesk, id: str) -> Answer:
    """Delete a KMIP adapter with its client certificates.

    It must not have objects that are not destroyed.
    """
    adapters, adapter = await admitted_to(desk, Right.DELETE_KMIP, id)
    with refusing(ADAPTER):
        await adapters.remove(adapter)
    return Answer(status=204)


@operation(
    router,
    "GET",
    "/kmip_adapters/{adapter_id}/certificates",
    action=Right.LIST_KMIP,
    failure="KMIP Client Certificates could not be listed",
    answer=KmipCertificates,
    refusals=(404,),
)
async def get_kmip_client_certificates(
    desk: AtDesk, adapter_id: str, page: Annotated[Paging, paging(100, 200)]
) -> Answer:
    """List the client certificates of a KMIP adapter."""
    adapters, adapter = await admitted_to(desk, Right.LIST_KMIP, adapter_id)
    with refusing(CERTIFICATE):
        found = await adapters.certificates(adapter)
    told = [shapes.certificate(each, whole=False) for each in found[page.offset : page.offset + page.limit]]
    return Answer(collection("kmip_client_certificate", told, total=page.told(len(found))))


@operation(
    router,
    "POST",
    "/kmip_adapters/{adapter_id}/certificates",
    action=Right.CREATE_KMIP,
    failure="KMIP Client Certificate could not be added",
    body=AddKmipClientCertificate,
    answer=KmipCertificates,
    status=201,
    media=vendor("kmip_client_certificate"),
    refusals=(404, 409, 413),
)
async def add_kmip_client_certificate(desk: AtDesk, adapter_id: str) -> Answer:
    """Add a client certificate to a KMIP adapter.

    It counts within a second. Its content must be new to the whole deployment.
    """
    adapters = await admitted(desk, Right.CREATE_KMIP)
    wanted = (await desk.body(AddKmipClientCertificate)).wanted()
    adapter = await named(adapters, adapter_id)
    if adapter.status is InstanceStatus.REMOVING:
        raise AdapterNotFound(f"The KMIP adapter {adapter.name!r} is being deleted")
    offered = wanted.offered(adapter.identifier, adapters.now)
    with refusing(CERTIFICATE):
        added = await adapters.add_certificate(offered)
    kind = "kmip_client_certificate"
    return Answer(collection(kind, [shapes.certificate(added, whole=True)]), 201, vendor(kind))


@operation(
    router,
    "GET",
    "/kmip_adapters/{adapter_id}/certificates/{id}",
    action=Right.READ_KMIP,
    failure="KMIP Client Certificate could not be retrieved",
    answer=KmipCertificates,
    refusals=(404,),
)
async def get_kmip_client_certificate(desk: AtDesk, adapter_id: str, id: str) -> Answer:
    """Retrieve a client certificate of a KMIP adapter, by identifier or name."""
    adapters, adapter = await admitted_to(desk, Right.READ_KMIP, adapter_id)
    with refusing(CERTIFICATE):
        found = await adapters.certificate(adapter, id)
    return Answer(collection("kmip_client_certificate", [shapes.certificate(found, whole=True)]))


@operation(
    router,
    "DELETE",
    "/kmip_adapters/{adapter_id}/certificates/{id}",
    action=Right.DELETE_KMIP,
    failure="KMIP Client Certificate could not be deleted",
    status=204,
    refusals=(404,),
)
async def delete_kmip_client_certificate(desk: AtDesk, adapter_id: str, id: str) -> Answer:
    """Delete a client certificate from a KMIP adapter.

    The next request of its client is refused, on open connections too.
    """
    adapters, adapter = await admitted_to(desk, Right.DELETE_KMIP, adapter_id)
    with refusing(CERTIFICATE):
        await adapters.remove_certificate(await adapters.certificate(adapter, id))
    return Answer(status=204)
