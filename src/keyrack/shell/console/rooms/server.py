"""``/server``: nodes, processes, addresses, certificate, key managers, copies and journal of the server itself."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain.rights import Right
from keyrack.ports.back_office import BackOfficeUnavailable, KeyManagerTold, Trial, WorkerHealth
from keyrack.service.office.certificates import alarm_due, days_left
from keyrack.shell.config.whole import ADDRESS_FILE, API_ADDRESS_FILE, WEB_ADDRESS_FILE
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.connecting_place import places_of
from keyrack.shell.console.rooms.overview.seen import ServerSeen, bounds, server_of
from keyrack.shell.kmip.taken import InForce, certificate_shown, in_force
from keyrack.shell.probe import address_of

room = Room()
PATIENCE: Final = 1.0
"""Seconds that the page waits to be told how the key managers do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One serving process."""

    health: WorkerHealth
    standing: Mapping[str, float] = field(default_factory=dict)
    """What it has told of itself, by metric."""

    @property
    def name(self) -> str:
        """As logs and metrics call it."""
        return f"kmip-{self.health.worker}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manager:
    """One configured key manager."""

    name: str
    type: str
    told: KeyManagerTold | None
    """How it does; ``None`` where nobody answers."""
    trial: Trial | None
    """The last real unwrap there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """An address at which this server is reached."""

    kind: str
    """``kmip``, ``web`` or ``key-manager``."""
    host: str
    port: int


@room.shows("/server")
async def show_server(call: Call) -> Response:
    """Everything, with what can be done with the certificate."""
    call.administration.require(Right.SERVER_READ)
    state = await _state(call)
    return call.show(
        "server/server.html", **state, **await certificate(call, state["server"]), listeners=_listeners(call)
    )


@room.refreshes("/live/server")
async def refresh_server(call: Call) -> Response:
    """What changes by itself."""
    call.administration.require(Right.SERVER_READ)
    return call.show("server/state.html", **await _state(call))


async def _state(call: Call) -> dict[str, Any]:
    server = await server_of(call)
    told = call.premises.sampler.standings
    return {
        "server": server,
        "processes": [Process(health=each, standing=told.get(f"kmip-{each.worker}", {})) for each in server.workers],
        "managers": await _managers(call, server),
        "bounds": bounds(call, set(call.config.key_managers)),
        "places": places_of(call.config, server.nodes, server.certificate.shown.names if server.certificate else ()),
    }


async def _managers(call: Call, server: ServerSeen) -> Sequence[Manager]:
    try:
        async with asyncio.timeout(PATIENCE):
            told = {each.name: each for each in await call.back_office.key_managers()}
    except (BackOfficeUnavailable, TimeoutError):
        told = {}
    return [
        Manager(name=name, type=table.type, told=told.get(name), trial=_last(server, name))
        for name, table in call.config.key_managers.items()
    ]


def _last(server: ServerSeen, name: str) -> Trial | None:
    trials = [trial for worker in server.workers for trial in worker.trials]
    tried = [each for each in trials if each.key_manager.partition("/")[0] == name]
    return max(tried, key=lambda each: (not each.told, each.at), default=None)


async def certificate(call: Call, server: ServerSeen) -> Mapping[str, Any]:
    """The KMIP listener's certificate, for the pages that show or replace it."""
    face = server.certificate
    if face is None:
        return {"face": None}
    return {
        "face": face,
        "days": days_left(face.shown, call.now),
        "alarm": alarm_due(face.shown, call.now),
        "force": await shown_by(call, face.shown.fingerprint, patience=0),
    }


async def shown_by(call: Call, fingerprint: str, *, patience: float) -> InForce:
    """How many serving processes show the certificate to clients."""
    return await in_force(call.config.run_directory, certificate_shown(fingerprint), patience=patience)


def _listeners(call: Call) -> Sequence[Listener]:
    """Those of this machine, where they really are."""
    config, run = call.config, call.config.run_directory
    wanted = [
        ("kmip", ADDRESS_FILE, config.kmip.host, config.kmip.port),
        ("web", WEB_ADDRESS_FILE, config.api.host, config.api.port),
    ]
    if config.key_manager_api.enabled:
        table = config.key_manager_api
        wanted.append(("key-manager", API_ADDRESS_FILE, table.host, table.port))
    found = [(kind, address_of(run / file, host, port)) for kind, file, host, port in wanted]
    return [Listener(kind=kind, host=host, port=port) for kind, (host, port) in found]
