"""The end of a client certificate: replaced without a gap, removed at once, barred from coming in by an authority."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.service.office import admissions, impact
from keyrack.service.office.client_removal import take_away
from keyrack.service.office.impact import Impact
from keyrack.service.office.rotation import standing
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.certificates import found, users_of
from keyrack.shell.console.rooms.certificates_shown import Look, looked, own_authority, uses_in
from keyrack.shell.console.rooms.instances import framed
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.certificates import taken

room = Room()
PATIENCE: Final = 2.0
"""Seconds that a page waits for last uses where it decides by them."""


@room.shows("/instances/{instance}/certificates/replace")
async def show_replacing(call: Call) -> Response:
    """The steps: add the new one, see it used, remove the old ones."""
    instance = await framed(call)
    return call.show(
        "certificates/replace.html", instance=instance, tab="certificates", **await _standing(call, instance)
    )


@room.refreshes("/live/instances/{instance}/certificates/replace")
async def refresh_replacing(call: Call) -> Response:
    """Where that stands now."""
    instance = await framed(call)
    return call.show("certificates/standing.html", instance=instance, **await _standing(call, instance))


async def _standing(call: Call, instance: Instance) -> Mapping[str, Any]:
    pinned, _ = await admissions.listed(call.administration, call.catalog, instance)
    uses = await uses_in(call.catalog).of(call.catalog, instance.identifier, PATIENCE)
    rotation = standing(pinned, {fingerprint: at * 1000 for fingerprint, at in (uses or {}).items()})
    own = own_authority(call.config)
    looks = {each.fingerprint: looked(each, call.now, own) for each in pinned}
    still = {each.certificate.fingerprint for each in rotation.still_used}
    return {"rotation": rotation, "looks": looks, "still": still, "uses": uses}


@room.shows("/instances/{instance}/certificates/{certificate}/remove")
async def show_removing(call: Call) -> Response:
    """What stops when this certificate is trusted no more."""
    instance, look = await found(call)
    uses = await uses_in(call.catalog).of(call.catalog, instance.identifier, PATIENCE)
    pins, authorities = await _ways_in(call, instance)
    return call.show(
        "certificates/remove.html",
        instance=instance,
        tab="certificates",
        look=look,
        uses=uses,
        users=await users_of(call, instance, look.certificate.fingerprint, uses),
        others=pins - 1,
        authorities=authorities,
    )


@room.does("/instances/{instance}/certificates/{certificate}/remove", again=show_removing)
async def remove(call: Call) -> Response:
    """Remove it, once the instance's name is repeated."""
    instance, look = await found(call)
    call.administration.require(Right.CERTIFICATE_REMOVE, instance.identifier)
    words = call.typed.get("confirmation") or None
    pins, authorities = await _ways_in(call, instance)
    last = pins == 1 and not authorities
    if not last:
        # The use case asks for no words where another way in is left; whoever uses this one is stopped all the same.
        touched = await _touched(call, instance, look)
        impact.confirm_for(touched, instance, mark("whoever uses this certificate alone gets no key any more"), words)
    await take_away(call.administration, call.catalog, instance, look.certificate.fingerprint, confirmation=words)
    await taken(call.known, call.premises)
    return call.go(f"/instances/{quote(call.path['instance'])}/certificates", done="certificate-removed")


async def _ways_in(call: Call, instance: Instance) -> tuple[int, int]:
    pins = await call.catalog.certificates(instance.identifier)
    return len(pins), len(await call.catalog.authorities(instance.identifier))


async def _touched(call: Call, instance: Instance, look: Look) -> Impact:
    """The keys that were fetched last with this certificate."""
    uses = await uses_in(call.catalog).of(call.catalog, instance.identifier, PATIENCE)
    users = await users_of(call, instance, look.certificate.fingerprint, uses)
    keys: Sequence[str] = [key for each in users for key in each["keys"]]
    return impact.impact_of_rows(instance, await call.catalog.key_rows(instance.identifier, keys), call.now)


@room.shows("/instances/{instance}/admitted/{certificate}")
async def show_admitted(call: Call) -> Response:
    """A certificate that an authority has let in, or that is barred."""
    instance = await framed(call)
    _, admitted = await admissions.listed(call.administration, call.catalog, instance)
    fingerprint = call.path["certificate"]
    barred = (instance.identifier, fingerprint) in set(await call.catalog.barred(instance.identifier))
    return call.show(
        "certificates/admitted.html",
        instance=instance,
        tab="certificates",
        fingerprint=fingerprint,
        seen=next((each for each in admitted if each.fingerprint == fingerprint), None),
        barred=barred,
        named={each.fingerprint: each.name for each in await call.catalog.authorities(instance.identifier)},
    )


@room.does("/instances/{instance}/admitted/{certificate}/bar", again=show_admitted)
async def bar(call: Call) -> Response:
    """Let no authority of the instance let it in any more."""
    instance = await framed(call)
    call.administration.require(Right.CERTIFICATE_REMOVE, instance.identifier)
    told = mark("whoever uses this certificate gets no key any more")
    nothing = impact.impact_of_rows(instance, (), call.now)
    impact.confirm_for(nothing, instance, told, call.typed.get("confirmation") or None)
    await admissions.bar(call.administration, instance, call.path["certificate"])
    await taken(call.known, call.premises)
    return call.go(f"/instances/{quote(call.path['instance'])}/certificates", done="certificate-barred")


@room.does("/instances/{instance}/admitted/{certificate}/unbar", again=show_admitted)
async def unbar(call: Call) -> Response:
    """Let authorities let it in again."""
    instance = await framed(call)
    await admissions.unbar(call.administration, call.catalog, instance, call.path["certificate"])
    await taken(call.known, call.premises)
    return call.go(f"/instances/{quote(call.path['instance'])}/certificates", done="certificate-unbarred")
