"""``/connect``: the page that an administrator keeps open beside vSphere while a vCenter is connected."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote
from weakref import WeakKeyDictionary

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.ports.back_office import BackOfficeUnavailable
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office import authorities, connecting
from keyrack.service.office.connecting import Progress
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.connecting_place import face_of, places_of
from keyrack.shell.console.rooms.connecting_ticks import (
    QUIET,
    Counted,
    Watch,
    Watches,
    counted,
    explained,
    ticks_of,
)
from keyrack.shell.console.rooms.instances import framed

room = Room()
WAYS: Final = ("certificate", "request", "pair", "authority")
"""How the server is made to trust vCenter; the first is the one to choose."""
COUNTED_FOR: Final = 1.5
"""Seconds for which the numbers of the serving processes count: several pages ask, and they are asked once."""


@room.shows("/connect")
async def show_connect(call: Call) -> Response:
    """For which instance."""
    instances = await call.administration.instances()
    if chosen := call.typed.get("instance"):
        instance = await call.administration.instance(chosen)
        return call.go(f"/connect/{quote(instance.name)}")
    return call.show("connecting/choose.html", instances=instances)


@room.shows("/connect/{instance}")
async def show_connecting(call: Call) -> Response:
    """What to enter, what to compare, what to click next, and what has come of it."""
    instance = await framed(call)
    way = call.typed.get("way") if call.typed.get("way") in WAYS else WAYS[0]
    since = _since(call)
    if since is None:
        begun = await connecting.begin(call.administration, call.catalog, instance)
        return call.go(f"/connect/{quote(call.path['instance'])}?way={way}&since={begun.number}-{begun.at}")
    face = face_of(call.config)
    nodes = await call.catalog.nodes()
    return call.show(
        "connecting/connect.html",
        instance=instance,
        way=way,
        since=call.typed.get("since"),
        face=face,
        places=places_of(call.config, nodes, face.shown.names if face else ()),
        **await _standing(call, instance, since),
    )


@room.refreshes("/live/connect/{instance}")
async def refresh_connecting(call: Call) -> Response:
    """The ticks, as they are now."""
    instance = await framed(call)
    since = _since(call) or await connecting.begin(call.administration, call.catalog, instance)
    return call.show(
        "connecting/ticks.html",
        instance=instance,
        way=call.typed.get("way") if call.typed.get("way") in WAYS else WAYS[0],
        since=f"{since.number}-{since.at}",
        **await _standing(call, instance, since),
    )


async def _standing(call: Call, instance: Instance, since: Progress) -> Mapping[str, Any]:
    kept = _kept(call.catalog)
    key = (instance.identifier, f"{since.number}-{since.at}", call.administration.administrator.initiator)
    counts = await _counted(call, kept)
    watch = kept.watches.get(key) or Watch(since, counts)
    watch.progress = await connecting.follow(call.administration, call.catalog, instance, watch.progress)
    kept.watches.put(key, watch)
    came = counts.since(watch.before) if counts and watch.before else Counted()
    sees_strangers = call.may(Right.STRANGER_READ)
    seen = await authorities.seen(call.administration, call.catalog) if sees_strangers else ()
    knocked = connecting.knocked(seen, since.at)[:5]
    trusted = len(await call.catalog.certificates(instance.identifier))
    trusted += len(await call.catalog.authorities(instance.identifier))
    names = {each.identifier: each.name for each in await call.administration.instances()}
    return {
        "ticks": ticks_of(watch.progress, knocked, came.accepted, trusted=trusted),
        "progress": watch.progress,
        "knocked": knocked,
        "sees_strangers": sees_strangers,
        "trusted": trusted,
        "refusals": explained(came.refused),
        "elsewhere": sorted(names[each] for each in watch.progress.elsewhere if each in names),
        "quiet": not came.accepted and call.now - since.at > QUIET,
        "began": since.at,
    }


def _since(call: Call) -> Progress | None:
    """From where this page follows the journal, as its address says."""
    number, _, at = call.typed.get("since").partition("-")
    if not (number.isascii() and number.isdecimal() and at.isascii() and at.isdecimal() and len(number + at) < 40):
        return None
    return Progress(number=int(number), at=min(int(at), call.now))


# The numbers of the serving processes -----------------------------------------------------------------------------


@dataclass(slots=True)
class _Kept:
    """What this process keeps between two looks."""

    watches: Watches
    turn: asyncio.Lock
    counts: Counted | None = None
    until: float = 0.0


_KEPT: WeakKeyDictionary[WholeCatalog, _Kept] = WeakKeyDictionary()


def _kept(catalog: WholeCatalog) -> _Kept:
    return _KEPT.setdefault(catalog, _Kept(Watches(), asyncio.Lock()))


async def _counted(call: Call, kept: _Kept) -> Counted | None:
    """For whoever may see the server's health; ``None`` where nobody can say, and for everybody else."""
    if not call.may(Right.SERVER_READ):
        return None
    async with kept.turn:
        if time.monotonic() >= kept.until:
            try:
                kept.counts = counted(await call.back_office.metrics())
            except BackOfficeUnavailable:
                kept.counts = None
            kept.until = time.monotonic() + COUNTED_FOR
        return kept.counts
