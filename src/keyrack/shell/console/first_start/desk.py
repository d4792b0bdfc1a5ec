"""Everything that one wizard works with for as long as it runs."""

import asyncio
import ipaddress
import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrack.service.office.administration import Administrator
from keyrack.shell import planning
from keyrack.shell.console.first_start.draft import Draft
from keyrack.shell.console.first_start.guard import Guard
from keyrack.shell.deployment import Papers, own_names
from keyrack.shell.metrics.scrape import WebMeter
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.shell.rest.floodgate import Floodgate
from keyrack.shell.rest.v1.premises import BOUNDS

if TYPE_CHECKING:
    from keyrack.shell.console.first_start.making import Making

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
EVERYWHERE: Final = ("0.0.0.0", "::")
OWN_BOUNDS: Final = replace(
    BOUNDS, connections=64, connections_per_address=32, per_address=Rate(each_second=20, burst=200)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says of the wizard."""

    host: str = "127.0.0.1"
    port: int = planning.API_PORT
    directory: Path | None = None
    config: Path | None = None
    by: Administrator
    first_person: str
    """A name to begin with for the first administrator."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the wizard."""
        return is_loopback(self.host)


@dataclass(slots=True, kw_only=True)
class Desk:
    """One wizard."""

    asked: Asked
    names: list[str]
    """Names and addresses of this machine."""
    deployment: str
    papers: Papers
    """What the wizard shows, and the deployment shows afterwards if it has the same names."""
    draft: Draft
    guard: Guard = field(default_factory=Guard)
    port: int = 0
    """The one that the wizard listens on."""
    making: "Making | None" = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One form is worked on at a time."""
    handover: asyncio.Event = field(default_factory=asyncio.Event)
    """The browser has all that it needs to wait for the server."""
    bounds: Bounds = OWN_BOUNDS
    hosts: Collection[str] = ()
    meter: WebMeter = field(default_factory=WebMeter)
    addresses: Floodgate = field(default_factory=lambda: Floodgate(OWN_BOUNDS.per_address, time.monotonic))

    def config_for(self, directory: Path) -> Path:
        """Where the configuration is written for a deployment in this directory."""
        named = self.asked.directory is not None
        return (self.asked.config or planning.config_in(directory, named=named)).expanduser().absolute()


def certified(names: list[str]) -> list[str]:
    """What a server with these names has in its certificate."""
    return list(dict.fromkeys((*names, "localhost", "127.0.0.1")))


def names_of_machine(asked: Asked) -> list[str]:
    """By which others may know this machine; the address that the wizard was told to listen on is one."""
    own = own_names()
    return own if asked.is_local or asked.host in (*EVERYWHERE, *own) else [asked.host, *own]


def desk_of(asked: Asked, names: list[str], papers: Papers) -> Desk:
    """A wizard that knows nothing yet but what is usual."""
    directory = (asked.directory or planning.home()).expanduser().absolute()
    label = planning.label_of_machine()
    given = {
        "names": ", ".join(names),
        "deployment": label,
        "directory": str(directory),
        "host": "0.0.0.0",
        "port": str(planning.KMIP_PORT),
        "api_host": asked.host,
        "api_port": str(asked.port or planning.API_PORT),
        "catalog": "sqlite",
        "key_manager": "embedded",
        "protect": "key-file",
        "network": "private",
        "instance": "prod",
        "way": "password",
        "first_person": asked.first_person,
    }
    hosts = {each.lower().rstrip(".") for each in (*certified(names), *LOOPBACK)}
    return Desk(
        asked=asked,
        names=names,
        deployment=label,
        papers=papers,
        draft=Draft(given),
        hosts=hosts | ({asked.host} - set(EVERYWHERE)),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
