"""``/seen``: certificates that knocked and are not trusted; one is looked at, then trusted for an instance."""

from collections.abc import Sequence
from urllib.parse import quote

from starlette.responses import Response

from keyrack.domain.instances import Instance, SeenCertificate
from keyrack.domain.rights import Right
from keyrack.service.office import admissions, authorities
from keyrack.service.office.refusals import Refused
from keyrack.shell.console.calls import Call, Room, local
from keyrack.shell.console.rooms.certificates_added import beside
from keyrack.shell.console.rooms.certificates_shown import Look, looked, own_authority
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.certificates import taken

room = Room()
MOST = 100
"""Certificates on the page; the catalog keeps the last 500."""

tells({"seen-trusted": mark("The certificate is trusted, and counts now.")})


@room.shows("/seen")
async def show_seen(call: Call) -> Response:
    """Who knocked, the last one first."""
    found = await authorities.seen(call.administration, call.catalog)
    return call.show("seen/seen.html", found=found[:MOST], more=max(0, len(found) - MOST))


@room.refreshes("/live/seen")
async def refresh_seen(call: Call) -> Response:
    """The same, as it is now."""
    found = await authorities.seen(call.administration, call.catalog)
    return call.show("seen/table.html", found=found[:MOST], more=max(0, len(found) - MOST))


@room.shows("/seen/{certificate}")
async def show_knocked(call: Call) -> Response:
    """What it is, and for which instance it could be trusted."""
    knocked = await authorities.find_seen(call.administration, call.catalog, call.path["certificate"])
    instances = await _open_instances(call)
    look, refused = None, ""
    try:
        look = _look(call, knocked, instances[0] if instances else None)
    except Refused as error:  # too large to be kept, or of a kind that nobody can trust: the page says so
        refused = error.told
    choices = [(each.identifier, each.name) for each in instances]
    return call.show("seen/knocked.html", knocked=knocked, look=look, refused=refused, choices=choices)


@room.does("/seen/{certificate}", again=show_knocked)
async def trust(call: Call) -> Response:
    """Trust it for the chosen instance, as if it had been handed over."""
    with beside("instance"):
        instance = await call.administration.instance(call.typed.get("instance"))
        call.administration.require(Right.CERTIFICATE_ADD, instance.identifier)
        knocked = await authorities.find_seen(call.administration, call.catalog, call.path["certificate"])
        offered = authorities.offered_of(knocked, instance, call.now)
        added = await admissions.add(call.administration, offered.certificate)
    await taken(call.known, call.premises)
    back = local(call.typed.get("next")) if call.typed.get("next") else ""
    return call.go(back or f"/instances/{quote(instance.name)}/certificates/{added.fingerprint}", done="seen-trusted")


def _look(call: Call, knocked: SeenCertificate, instance: Instance | None) -> Look | None:
    if instance is None:
        return None
    offered = authorities.offered_of(knocked, instance, call.now)
    return looked(offered.certificate, call.now, own_authority(call.config))


async def _open_instances(call: Call) -> Sequence[Instance]:
    """To which whoever asks may let clients in."""
    held = await call.administration.instances()
    return [each for each in held if call.may(Right.CERTIFICATE_ADD, each.identifier)]
