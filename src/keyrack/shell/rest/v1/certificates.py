"""``/instances/{instance}/certificates``: client certificates, and the four ways that they come in by."""

from typing import Annotated, Any, Literal

from fastapi import Path, Query, Response
from pydantic import Field

from keyrack.domain.instances import ClientCertificate, Instance
from keyrack.domain.rights import Right
from keyrack.service.office import admissions, authorities
from keyrack.service.office.certificates import alarm_due, days_left, read
from keyrack.service.office.client_removal import take_away
from keyrack.service.office.refusals import Unusable
from keyrack.service.office.requests import read_request
from keyrack.service.office.rotation import Used, standing
from keyrack.shell.kmip.taken import InForce, generation_taken, in_force
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.etags import IfMatch, etag_of
from keyrack.shell.rest.v1.models import Body, Confirmation, InstanceName, Instant, Resource, Whole, instant, since
from keyrack.shell.rest.v1.pages import Listing, Paging
from keyrack.shell.rest.v1.premises import Keeper, Premises
from keyrack.shell.rest.v1.routing import OnceShown, noun

router = noun("certificates")

Fingerprint = Annotated[
    str,
    Path(
        alias="certificate",
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of its DER form: 64 lower-case hexadecimal digits.",
    ),
]
DryRun = Annotated[bool, Query(description="Only show what it would be; change nothing.")]
Material = Annotated[str, Field(min_length=1, max_length=100_000, description="In PEM.")]
Days = Annotated[Whole, Field(ge=1, le=7300, description="How long it is valid.")]


class TakenBy(Resource):
    """In how many serving processes a change is in force, and after how many seconds."""

    processes: int
    of: int
    seconds: float


class CertificateShown(Resource):
    """A client certificate that may use every key of its instance."""

    fingerprint: str
    name: str
    subject: str
    not_before: Instant
    not_after: Instant
    days_left: int
    alarm: Annotated[int | None, Field(description="The threshold of days that is reached: 90, 30, 7 or 0.")]
    added_at: Instant
    added_by: str
    remarks: list[str] = []
    in_force: TakenBy | None = None


class CertificateNew(Body):
    """A certificate to add."""

    pem: Material
    name: Annotated[str | None, Field(min_length=1, max_length=40)] = None


class KnockedTrust(Body):
    """A certificate that knocked, to be trusted."""

    fingerprint: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="Whole, as vCenter shows it: anybody can knock.")
    ]


class CertificateWish(Body):
    """A certificate and key to make. The key is in this answer, and nowhere else."""

    name: Annotated[str | None, Field(min_length=1, max_length=64, description="Common name.")] = None
    days: Days = 3650
    form: Literal["pem", "pkcs12"] = "pem"
    password: Annotated[str | None, Field(min_length=8, max_length=200, description="Of the PKCS #12 file.")] = None


class CertificateIssued(Resource):
    """A certificate with its key, shown once."""

    fingerprint: str
    certificate: str | None = None
    private_key: str | None = None
    issuer: str | None = None
    pkcs12: Annotated[str | None, Field(description="In Base64.")] = None
    in_force: TakenBy


class SigningRequest(Body):
    """A signing request."""

    request: Material
    days: Days = 3650


class SigningShown(Resource):
    """What a request asks for, and the certificate that it got."""

    subject: str
    key: str
    alternative_names: list[str]
    remarks: list[str]
    fingerprint: str | None = None
    certificate: str | None = None
    issuer: str | None = None
    in_force: TakenBy | None = None


class CertificateUse(Resource):
    """A certificate in a rotation."""

    fingerprint: str
    subject: str
    not_after: Instant
    added_at: Instant
    last_use: Instant | None


class RotationShown(Resource):
    """Where the rotation of an instance's certificate stands; read from the certificates and their last uses."""

    step: Annotated[str, Field(description="add, wait or remove: what is to be done next.")]
    new: CertificateUse | None
    old: list[CertificateUse]
    old_still_used: list[str]


@router.get("/instances/{instance}/certificates")
async def list_certificates(caller: Caller, instance: InstanceName, page: Paging) -> Listing[CertificateShown]:
    """List the client certificates of an instance, oldest first."""
    found = await caller.administration.instance(instance)
    pinned, _ = await admissions.listed(caller.administration, caller.catalog, found)
    return page.of(pinned, lambda each: (each.added_at, each.fingerprint), lambda each: shown(each, caller.now))


@router.post("/instances/{instance}/certificates", status_code=201)
async def add_certificate(
    caller: Caller,
    keeper: Keeper,
    instance: InstanceName,
    *,
    body: CertificateNew,
    response: Response,
    dry_run: DryRun = False,
) -> CertificateShown:
    """Add a client certificate: vCenter's own, pasted or dropped."""
    found = await _where_added(caller, instance)
    offered = read(body.pem.encode(), instance=found.identifier, at=caller.now, name=body.name or "")
    if dry_run:
        response.status_code = 200
        return shown(offered.certificate, caller.now, list(offered.remarks))
    added = await admissions.add(caller.administration, offered.certificate)
    _created(response, found, added)
    return shown(added, caller.now, list(offered.remarks), await taken(caller, keeper))


@router.post("/instances/{instance}/certificates/trust", status_code=201)
async def trust_seen_certificate(
    caller: Caller, keeper: Keeper, instance: InstanceName, body: KnockedTrust, response: Response
) -> CertificateShown:
    """Trust a certificate that knocked."""
    found = await _where_added(caller, instance)
    knocked = await authorities.find_seen(caller.administration, caller.catalog, body.fingerprint)
    added = await authorities.trust_seen(caller.administration, found, knocked)
    _created(response, found, added)
    return shown(added, caller.now, [], await taken(caller, keeper))


@router.post("/instances/{instance}/certificates/issue", status_code=201, response_class=OnceShown)
async def issue_certificate(
    caller: Caller, keeper: Keeper, instance: InstanceName, body: CertificateWish
) -> CertificateIssued:
    """Make a certificate and key, and add it; the key is shown once and not kept."""
    found = await _where_added(caller, instance)
    if (body.form == "pkcs12") != (body.password is not None):
        raise Unusable("a PKCS #12 file has a password, and PEM has none", field="password")
    told = await caller.back_office.act(
        caller.on_behalf,
        "certificate.issue",
        {"instance": found.identifier, "name": body.name, "days": body.days, "password": body.password},
    )
    return CertificateIssued(fingerprint=told["fingerprint"], **told["files"], in_force=await taken(caller, keeper))


@router.post("/instances/{instance}/certificates/sign", status_code=201)
async def sign_certificate(
    caller: Caller,
    keeper: Keeper,
    instance: InstanceName,
    *,
    body: SigningRequest,
    response: Response,
    dry_run: DryRun = False,
) -> SigningShown:
    """Sign a certificate signing request, and add the certificate."""
    found = await _where_added(caller, instance)
    request = read_request(body.request.encode())
    names = [str(each.value) for each in request.alternative] if request.alternative is not None else []
    what: dict[str, Any] = {
        "subject": request.told,
        "key": request.key,
        "alternative_names": names,
        "remarks": list(request.remarks),
    }
    if dry_run:
        response.status_code = 200
        return SigningShown(**what)
    told = await caller.back_office.act(
        caller.on_behalf,
        "certificate.sign",
        {"instance": found.identifier, "request": body.request, "days": body.days},
    )
    files = told["files"]
    return SigningShown(
        **what,
        fingerprint=told["fingerprint"],
        certificate=files["certificate"],
        issuer=files["issuer"],
        in_force=await taken(caller, keeper),
    )


@router.get("/instances/{instance}/certificates/{certificate}")
async def show_certificate(
    caller: Caller, instance: InstanceName, certificate: Fingerprint, response: Response
) -> CertificateShown:
    """Show one client certificate."""
    found = await admissions.find(caller.administration, await caller.administration.instance(instance), certificate)
    response.headers["etag"] = etag_of(found)
    return shown(found, caller.now)


@router.delete("/instances/{instance}/certificates/{certificate}", status_code=204)
async def remove_certificate(
    caller: Caller,
    keeper: Keeper,
    instance: InstanceName,
    *,
    certificate: Fingerprint,
    seen: IfMatch,
    confirmation: Confirmation = None,
) -> None:
    """Remove a client certificate, at once; where an authority would let it in, it is barred."""
    found = await caller.administration.instance(instance)
    kept = await admissions.find(caller.administration, found, certificate)
    seen.holds(etag_of(kept))
    await take_away(caller.administration, caller.catalog, found, kept.fingerprint, confirmation=confirmation)
    await taken(caller, keeper)


@router.get("/instances/{instance}/rotation")
async def show_rotation(caller: Caller, instance: InstanceName) -> RotationShown:
    """Show where the rotation of an instance's certificate stands."""
    found = await caller.administration.instance(instance)
    pinned, _ = await admissions.listed(caller.administration, caller.catalog, found)
    uses, _ = await caller.catalog.last_uses(found.identifier)
    rotation = standing(pinned, uses)
    return RotationShown(
        step=str(rotation.step),
        new=_use(rotation.new) if rotation.new else None,
        old=[_use(each) for each in rotation.old],
        old_still_used=[each.certificate.fingerprint for each in rotation.still_used],
    )


async def taken(caller: Visit, keeper: Premises) -> TakenBy:
    """Wait, a moment, until every serving process has taken a change."""
    if keeper.config is None:
        return told_of(InForce(0, 0, 0.0))
    generation = await caller.catalog.generation()
    return told_of(await in_force(keeper.config.run_directory, generation_taken(generation)))


def told_of(found: InForce) -> TakenBy:
    """As it is answered."""
    return TakenBy(processes=found.processes, of=found.of, seconds=round(found.seconds, 3))


def shown(
    certificate: ClientCertificate, now: int, remarks: list[str] | None = None, by: TakenBy | None = None
) -> CertificateShown:
    """A certificate, as it is answered; ``now``: seconds since 1970."""
    return CertificateShown(
        fingerprint=certificate.fingerprint,
        name=certificate.name,
        subject=certificate.subject,
        not_before=since(certificate.not_before),
        not_after=since(certificate.not_after),
        days_left=days_left(certificate, now),
        alarm=alarm_due(certificate, now),
        added_at=since(certificate.added_at),
        added_by=certificate.added_by,
        remarks=remarks or [],
        in_force=by,
    )


async def _where_added(caller: Visit, name: str) -> Instance:
    """The instance, for who may add certificates to it: what nobody may add is not looked at either."""
    found = await caller.administration.instance(name)
    caller.administration.require(Right.CERTIFICATE_ADD, found.identifier)
    return found


def _created(response: Response, instance: Instance, added: ClientCertificate) -> None:
    response.headers["location"] = f"/api/v1/instances/{instance.identifier}/certificates/{added.fingerprint}"
    response.headers["etag"] = etag_of(added)


def _use(used: Used) -> CertificateUse:
    certificate = used.certificate
    return CertificateUse(
        fingerprint=certificate.fingerprint,
        subject=certificate.subject,
        not_after=since(certificate.not_after),
        added_at=since(certificate.added_at),
        last_use=instant(used.last_use),
    )
