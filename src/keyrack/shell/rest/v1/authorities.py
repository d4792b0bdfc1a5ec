"""``/instances/{instance}/authorities``: trusted authorities, whom they have let in, and who is barred."""

from typing import Annotated

from fastapi import Path, Response
from pydantic import Field

from keyrack.domain.instances import SeenCertificate, TrustedAuthority
from keyrack.domain.patterns import LONGEST_PATTERN
from keyrack.domain.rights import Right
from keyrack.service.office import admissions, authorities, client_removal
from keyrack.service.office.authorities import Terms, read_authority
from keyrack.shell.pki import fingerprint_of_file
from keyrack.shell.rest.v1.callers import Caller
from keyrack.shell.rest.v1.certificates import DryRun, Fingerprint, Material, TakenBy, taken
from keyrack.shell.rest.v1.etags import IfMatch, etag_of
from keyrack.shell.rest.v1.models import Body, Confirmation, InstanceName, Instant, Resource, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.premises import Keeper, Premises
from keyrack.shell.rest.v1.routing import noun

router = noun("authorities")

AuthorityName = Annotated[
    str,
    Path(alias="authority", min_length=1, max_length=100, description="Name, or SHA-256 of its DER form."),
]
Pattern = Annotated[str, Field(max_length=LONGEST_PATTERN, description="`*` stands for any characters; empty: all.")]


class AuthorityShown(Resource):
    """A certificate authority whose clients are let in."""

    fingerprint: str
    name: str
    subject: str
    subject_pattern: str
    san_pattern: str
    not_before: Instant
    not_after: Instant
    added_at: Instant
    added_by: str
    admits: Annotated[str | None, Field(description="Whom it lets in; told where it is added.")] = None
    remarks: list[str] = []
    in_force: TakenBy | None = None


class AuthorityNew(Body):
    """An authority to trust."""

    pem: Material
    name: Annotated[str, Field(max_length=100)] = ""
    subject_pattern: Pattern = ""
    san_pattern: Pattern = ""


class AdmittedShown(Resource):
    """A certificate that an authority has let in."""

    fingerprint: str
    subject: str
    authority: str
    address: str
    first_at: Instant
    last_at: Instant
    count: int


class BarredShown(Resource):
    """Whether a certificate is barred from coming in by an authority."""

    fingerprint: str
    barred: bool
    in_force: TakenBy


@router.get("/instances/{instance}/authorities")
async def list_authorities(caller: Caller, instance: InstanceName, page: Paging) -> Listing[AuthorityShown]:
    """List the trusted authorities of an instance, oldest first."""
    found = await caller.administration.instance(instance)
    held = await authorities.trusted(caller.administration, found)
    return page.of(held, lambda each: each.number, shown)


@router.post("/instances/{instance}/authorities", status_code=201)
async def add_authority(
    caller: Caller,
    keeper: Keeper,
    instance: InstanceName,
    *,
    body: AuthorityNew,
    response: Response,
    dry_run: DryRun = False,
) -> AuthorityShown:
    """Trust a certificate authority, whose clients are let in from now on."""
    found = await caller.administration.instance(instance)
    caller.administration.require(Right.AUTHORITY_CHANGE, found.identifier)
    terms = Terms(subject_pattern=body.subject_pattern, san_pattern=body.san_pattern, name=body.name)
    offered = read_authority(body.pem.encode(), found, terms, at=caller.now, own=_own(keeper))
    told = {"admits": offered.admits, "remarks": list(offered.remarks)}
    if dry_run:
        response.status_code = 200
        return shown(offered.authority).model_copy(update=told)
    added = await authorities.trust(caller.administration, offered.authority)
    response.headers["location"] = f"/api/v1/instances/{found.identifier}/authorities/{added.fingerprint}"
    response.headers["etag"] = etag_of(added)
    return shown(added).model_copy(update={**told, "in_force": await taken(caller, keeper)})


@router.get("/instances/{instance}/authorities/{authority}")
async def show_authority(
    caller: Caller, instance: InstanceName, authority: AuthorityName, response: Response
) -> AuthorityShown:
    """Show one trusted authority."""
    found = await caller.administration.instance(instance)
    held = await authorities.find_authority(caller.administration, found, authority)
    response.headers["etag"] = etag_of(held)
    return shown(held)


@router.delete("/instances/{instance}/authorities/{authority}", status_code=204)
async def remove_authority(
    caller: Caller,
    keeper: Keeper,
    instance: InstanceName,
    *,
    authority: AuthorityName,
    seen: IfMatch,
    confirmation: Confirmation = None,
) -> None:
    """Let in nobody by an authority any more, at once."""
    found = await caller.administration.instance(instance)
    held = await authorities.find_authority(caller.administration, found, authority)
    seen.holds(etag_of(held))
    await client_removal.distrust(caller.administration, caller.catalog, found, held, confirmation=confirmation)
    await taken(caller, keeper)


@router.get("/instances/{instance}/admitted-certificates")
async def list_admitted_certificates(caller: Caller, instance: InstanceName, page: Paging) -> Listing[AdmittedShown]:
    """List the certificates that authorities of an instance have let in."""
    found = await caller.administration.instance(instance)
    _, admitted = await admissions.listed(caller.administration, caller.catalog, found)
    return page.of(sorted(admitted, key=lambda each: each.fingerprint), lambda each: each.fingerprint, _admitted)


@router.post("/instances/{instance}/admitted-certificates/{certificate}/bar")
async def bar_certificate(
    caller: Caller, keeper: Keeper, instance: InstanceName, certificate: Fingerprint
) -> BarredShown:
    """Let no authority of an instance let in a certificate any more."""
    found = await caller.administration.instance(instance)
    await admissions.bar(caller.administration, found, certificate)
    return BarredShown(fingerprint=certificate, barred=True, in_force=await taken(caller, keeper))


@router.post("/instances/{instance}/admitted-certificates/{certificate}/unbar")
async def unbar_certificate(
    caller: Caller, keeper: Keeper, instance: InstanceName, certificate: Fingerprint
) -> BarredShown:
    """Let authorities of an instance let in a certificate again."""
    found = await caller.administration.instance(instance)
    await admissions.unbar(caller.administration, caller.catalog, found, certificate)
    return BarredShown(fingerprint=certificate, barred=False, in_force=await taken(caller, keeper))


def shown(authority: TrustedAuthority) -> AuthorityShown:
    """An authority, as it is answered."""
    return AuthorityShown(
        fingerprint=authority.fingerprint,
        name=authority.name,
        subject=authority.subject,
        subject_pattern=authority.subject_pattern,
        san_pattern=authority.san_pattern,
        not_before=since(authority.not_before),
        not_after=since(authority.not_after),
        added_at=since(authority.added_at),
        added_by=authority.added_by,
    )


def _admitted(seen: SeenCertificate) -> AdmittedShown:
    return AdmittedShown(
        fingerprint=seen.fingerprint,
        subject=seen.subject,
        authority=seen.authority,
        address=seen.address,
        first_at=since(seen.first_at),
        last_at=since(seen.last_at),
        count=seen.count,
    )


def _own(keeper: Premises) -> str:
    """Fingerprint of the deployment's own authority, which nobody trusts as a whole."""
    if keeper.config is None:
        return ""
    try:
        return fingerprint_of_file(keeper.config.directory / "tls/ca.pem")
    except (OSError, ValueError):
        return ""
