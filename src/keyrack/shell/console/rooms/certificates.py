"""``/instances/{instance}/certificates``: who is let in to an instance, by which way, and for how long."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.ports.journal import JournalQuery
from keyrack.service.journal.naming import entry_of
from keyrack.service.office import admissions, authorities
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.certificates_shown import Look, looked, own_authority, uses_in
from keyrack.shell.console.rooms.instances import framed
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.kmip.taken import InForce, generation_taken, in_force

room = Room()
DAY: Final = 24 * 3600
RECORDS: Final = 100
"""Of the last requests with a certificate, how many are looked at."""

tells(
    {
        "certificate-added": mark("The certificate is trusted, and counts now."),
        "certificate-signed": mark("The request is signed, and its certificate is trusted. Hand it to vCenter now."),
        "certificate-removed": mark("The certificate is trusted no more; its connections are closed."),
        "certificate-barred": mark("The certificate is barred: no authority of this instance lets it in."),
        "certificate-unbarred": mark("The certificate is barred no more."),
    }
)


@room.shows("/instances/{instance}/certificates")
async def show_certificates(call: Call) -> Response:
    """Everybody who is let in, and the ways to let in more."""
    instance = await framed(call)
    return call.show("certificates/list.html", instance=instance, tab="certificates", **await _listed(call, instance))


@room.refreshes("/live/instances/{instance}/certificates")
async def refresh_certificates(call: Call) -> Response:
    """The same lists, as they are now."""
    instance = await framed(call)
    return call.show("certificates/table.html", instance=instance, **await _listed(call, instance))


async def _listed(call: Call, instance: Instance) -> Mapping[str, Any]:
    pinned, admitted = await admissions.listed(call.administration, call.catalog, instance)
    held = await authorities.trusted(call.administration, instance)
    own = own_authority(call.config)
    return {
        "looks": [looked(each, call.now, own) for each in sorted(pinned, key=lambda each: each.added_at)],
        "admitted": admitted,
        "authorities": held,
        "named": {each.fingerprint: each.name for each in held},
        "barred": [fingerprint for _, fingerprint in await call.catalog.barred(instance.identifier)],
        "uses": await uses_in(call.catalog).of(call.catalog, instance.identifier),
        "force": await force_now(call),
        "nodes": len(await call.catalog.nodes()),
        "quota": instance.quotas.certificates,
    }


@room.shows("/instances/{instance}/certificates/{certificate}")
async def show_certificate(call: Call) -> Response:
    """Everything about one client certificate, and what to do with it next."""
    instance, look = await found(call)
    uses = await uses_in(call.catalog).of(call.catalog, instance.identifier)
    return call.show(
        "certificates/certificate.html",
        instance=instance,
        tab="certificates",
        look=look,
        force=await force_now(call),
        nodes=len(await call.catalog.nodes()),
        uses=uses,
        users=await users_of(call, instance, look.certificate.fingerprint, uses),
    )


@room.shows("/instances/{instance}/certificates/{certificate}/pem")
async def download_certificate(call: Call) -> Response:
    """The certificate as a file; it is no secret."""
    _, look = await found(call)
    return as_file(look.pem.encode(), f"{look.certificate.name}.pem", "application/x-pem-file")


async def found(call: Call) -> tuple[Instance, Look]:
    """The instance and the certificate that the address names."""
    instance = await framed(call)
    kept = await admissions.find(call.administration, instance, call.path["certificate"])
    return instance, looked(kept, call.now, own_authority(call.config))


async def force_now(call: Call) -> InForce:
    """In how many serving processes here the last change of trust is in force, without waiting for the others."""
    generation = await call.catalog.generation()
    return await in_force(call.config.run_directory, generation_taken(generation), patience=0)


async def users_of(
    call: Call, instance: Instance, fingerprint: str, uses: Mapping[str, int] | None
) -> Sequence[Mapping[str, Any]]:
    """From which addresses a certificate was used in the day of its last use, the last one first, and for which keys;
    for whoever may read the journal. Without a last use nothing is searched: the journal may be long."""
    last = (uses or {}).get(fingerprint)
    if last is None or not call.may(Right.JOURNAL_READ, instance.identifier):
        return ()
    query = JournalQuery(
        since=(last - DAY) * 1000, instances={instance.identifier}, initiator=f"CertificateID-{fingerprint}"
    )
    seen: dict[str, dict[str, Any]] = {}
    for record in (await call.catalog.find(query, limit=RECORDS)).records:
        entry = entry_of(record)
        address = entry.address.rpartition(":")[0].strip("[]")
        known = seen.setdefault(address, {"address": address, "at": entry.at // 1000, "keys": []})
        if entry.action == "Get" and entry.target and entry.target not in known["keys"]:
            known["keys"].append(entry.target)
    return list(seen.values())


def as_file(content: bytes, name: str, media: str) -> Response:
    """An answer that a browser keeps as a file, and in no cache; the name has letters, digits and few signs."""
    safe = "".join(each if each.isascii() and (each.isalnum() or each in "._-") else "-" for each in name)
    headers = {
        "content-disposition": f'attachment; filename="{safe}"',
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    return Response(content, media_type=media, headers=headers)
