"""What a new deployment is to be, before anything of it is made: where it lies unless somebody says, what cannot be.

``keyrack init`` and the wizard of the first start ask for the same, take the same where nothing is said, and refuse the
same. What is refused is an :class:`Unusable` that names the field of :class:`~keyrack.shell.deployment.Plan`.
"""

import ipaddress
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from keyrack.service.office.refusals import Unusable
from keyrack.shell.config.catalog import POSTGRES, CatalogTable
from keyrack.shell.config.key_managers import NAME
from keyrack.shell.config.whole import candidates

if TYPE_CHECKING:
    from keyrack.shell.deployment import Plan

KMIP_PORT = 5696
API_PORT = 8443


def home() -> Path:
    """Where everything is kept, unless somebody names another directory."""
    return Path("/var/lib/keyrack") if os.geteuid() == 0 else Path.home() / ".local/share/keyrack"


def config_in(directory: Path, *, named: bool = False) -> Path:
    """The configuration of a deployment in this directory: beside everything else, unless it is the usual directory
    and nobody has named it. Then where every command looks for it.
    """
    if named or directory != home():
        return directory / "keyrack.toml"
    return Path("/etc/keyrack/keyrack.toml") if os.geteuid() == 0 else Path.home() / ".config/keyrack/keyrack.toml"


def searched() -> list[Path]:
    """Where commands look for a configuration that nobody has named."""
    return [path.absolute() for path in candidates(os.environ)]


def label(text: str) -> str:
    """The name of a deployment on the machine of this name."""
    return re.sub(r"[^a-z0-9]+", "-", text.split(".", maxsplit=1)[0].lower()).strip("-")[:63] or "keyrack"


def label_of_machine() -> str:
    """The same of this machine."""
    return label(socket.gethostname())


def listed(text: str) -> list[str]:
    """What somebody has written one after the other, with commas or blanks between."""
    return [name for name in re.split(r"[,\s]+", text) if name]


def port_of(text: str) -> int:
    """A port that somebody has typed; raises :class:`Unusable`, of whichever field it is."""
    if text.isdecimal() and int(text) <= 65_535:
        return int(text)
    raise Unusable(f"{text!r} is not a port", hint=f"use a number from 1 to 65535, for KMIP it is {KMIP_PORT}")


def check(plan: "Plan") -> None:
    """Raise :class:`Unusable` for the first thing that cannot be; the names of people are another room's."""
    check_deployment(plan.deployment)
    if plan.catalog_url:
        check_postgres(plan.catalog_url)
    check_host(plan.host, "host")
    check_host(plan.api_host, "api_host")
    if plan.api_port and plan.api_port == plan.port:
        told = f"KMIP and the administration API cannot share port {plan.port}"
        raise Unusable(told, hint="choose another for one of them", field="api_port")
    check_names(plan.names)


def check_deployment(name: str) -> None:
    """Raise :class:`Unusable` for what cannot be a deployment's name."""
    if not re.fullmatch(NAME, name):
        raise Unusable(
            f"{name!r} cannot be a deployment's name",
            hint="use lower-case letters, digits and hyphens",
            field="deployment",
        )


def check_names(names: Sequence[str]) -> None:
    """Raise :class:`Unusable` for what no certificate can be made for."""
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9.:_-]+", name):
            raise Unusable(
                f"{name!r} is neither a host name nor an address", hint="separate several with commas", field="names"
            )


def check_host(host: str, field: str) -> None:
    """Raise :class:`Unusable` for what cannot be listened on: a name has a letter in its last part."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if not re.fullmatch(r"([A-Za-z0-9-]+\.)*[A-Za-z0-9-]*[A-Za-z][A-Za-z0-9-]*", host):
            raise Unusable(
                f"{host!r} is neither an address nor a host name", hint="0.0.0.0 listens on all", field=field
            ) from None


def check_postgres(url: str, role: str = "keyrack") -> None:
    """Raise :class:`Unusable` for what is no URL of a PostgreSQL database, and for one with a password in it."""
    instead = f"write postgresql://{role}@HOST/DATABASE"
    if not url.startswith(POSTGRES):
        raise Unusable("it names no PostgreSQL database", hint=instead, field="catalog_url")
    try:
        CatalogTable(url=url)
    except ValidationError as error:
        raise Unusable(error.errors()[0]["msg"], hint=instead, field="catalog_url") from None
