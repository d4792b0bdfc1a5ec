"""KMIP adapters, certificates and objects in answers: described as in :mod:`resources`, and built from records."""

import ssl
from typing import Any, Final

from pydantic import Field

from keyrack.domain.instances import ClientCertificate, Instance, identifier_of
from keyrack.ports.catalog import CERTIFICATE_ID, Author, Listed
from keyrack.shell.rest.key_protect.kmip_bodies import PROFILE
from keyrack.shell.rest.key_protect.resources import CollectionMetadata, Instant, Resource, SnakeResource
from keyrack.shell.rest.key_protect.shapes import instant

NOBODY: Final = "00000000-0000-0000-0000-000000000000"
"""In the place of a certificate where the creator is unknown: IBM's clients do without this field in no object."""


class ProfileDataResource(SnakeResource):
    """What the profile native_1.0 needs."""

    crk_id: str


class KmipAdapterResource(SnakeResource):
    """A KMIP adapter."""

    id: str
    name: str
    description: str | None = None
    profile: str
    profile_data: ProfileDataResource
    created_at: Instant
    created_by: str
    updated_at: Instant
    updated_by: str


class KmipAdapterList(Resource):
    """A page of KMIP adapters; without ``resources`` where there are none."""

    metadata: CollectionMetadata
    resources: list[KmipAdapterResource] | None = None


class KmipCertificateResource(SnakeResource):
    """A client certificate; ``certificate`` where it was asked for alone."""

    id: str
    name: str
    certificate: str | None = None
    created_at: Instant
    created_by: str


class KmipCertificates(Resource):
    """Client certificates; without ``resources`` where there are none."""

    metadata: CollectionMetadata
    resources: list[KmipCertificateResource] | None = None


class KmipObjectResource(SnakeResource):
    """An object that clients keep here, without its material."""

    id: str
    kmip_object_type: int
    state: int = Field(ge=1, le=6)
    created_at: Instant
    created_by_kmip_client_cert_id: str
    created_by: str | None = None
    updated_at: Instant
    updated_by_kmip_client_cert_id: str | None = None
    updated_by: str | None = None
    destroyed_at: Instant | None = None
    destroyed_by_kmip_client_cert_id: str | None = None
    destroyed_by: str | None = None
    recoverable: bool


class KmipObjects(Resource):
    """Objects; without ``resources`` where there are none."""

    metadata: CollectionMetadata
    resources: list[KmipObjectResource] | None = None


def adapter(told: Instance) -> dict[str, Any]:
    """A KMIP adapter."""
    description = {"description": told.description} if told.description else {}
    return {
        "id": told.identifier,
        "name": told.name,
        **description,
        "profile": PROFILE,
        "profile_data": {"crk_id": told.root_key},
        "created_at": instant(told.created_at),
        "created_by": told.created_by,
        "updated_at": instant(told.created_at if told.updated_at is None else told.updated_at),
        "updated_by": told.updated_by or told.created_by,
    }


def certificate(told: ClientCertificate, *, whole: bool) -> dict[str, Any]:
    """A client certificate; ``whole`` with its PEM."""
    pem = {"certificate": ssl.DER_cert_to_PEM_cert(told.der)} if whole else {}
    return {
        "id": told.identifier,
        "name": told.name,
        **pem,
        "created_at": instant(told.added_at),
        "created_by": told.added_by,
    }


def kmip_object(told: Listed) -> dict[str, Any]:
    """An object in the state that it is told to be in."""
    managed = told.managed
    created = managed.value("Initial Date") or 0
    answer: dict[str, Any] = {
        "id": managed.unique_identifier,
        "kmip_object_type": int(managed.object_type),
        "state": int(managed.state),
        "created_at": instant(created),
        "created_by_kmip_client_cert_id": NOBODY,
        **_by("created", told.created_by),
        "updated_at": instant(managed.value("Last Change Date") or created),
        **_by("updated", told.changed_by),
    }
    if told.destroyed_by is not None:
        answer["destroyed_at"] = instant(managed.value("Destroy Date") or 0)
        answer |= _by("destroyed", told.destroyed_by)
    return answer | {"recoverable": False}


def _by(act: str, author: Author) -> dict[str, str]:
    """Who did it: a certificate and who has added it, or somebody who needs none."""
    if not author.initiator.startswith(CERTIFICATE_ID):
        return {f"{act}_by": author.initiator} if author.initiator else {}
    told = {f"{act}_by_kmip_client_cert_id": identifier_of(author.initiator.removeprefix(CERTIFICATE_ID))}
    return told | ({f"{act}_by": author.admitted_by} if author.admitted_by else {})
