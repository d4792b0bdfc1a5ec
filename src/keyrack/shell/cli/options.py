"""Options and openings that many commands share."""

import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from keyrack.shell.cli import completion

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.embedded.root_keys.unlock import Passphrase
    from keyrack.service.office.administration import Administrator
    from keyrack.shell.config.whole import Config
    from keyrack.shell.office import Office
    from keyrack.shell.sealed.openers import Question

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The configuration; else $KEYRACK_CONFIG, ./keyrack.toml, ~/.config/keyrack/keyrack.toml or "
        "/etc/keyrack/keyrack.toml.",
        show_default=False,
    ),
]
InstanceName = Annotated[
    str,
    typer.Argument(
        metavar="INSTANCE", help="Name of the instance.", show_default=False, autocompletion=completion.instance_names
    ),
]

NOBODY_LOGGED_IN = 2**32 - 1
"""What the kernel says of the processes of a container or of a service manager."""

Answer = TypeVar("Answer")


def in_office(
    config: Path | None,
    act: "Callable[[Office], Awaitable[Answer]]",
    *,
    root_keys: bool = False,
    catalog_path: "Callable[[Config], Path | None]" = lambda loaded: None,
) -> Answer:
    """Open the catalog of a deployment, act, and close it; the server may serve meanwhile.

    With ``root_keys`` the key managers are opened as well, which may ask for a passphrase. ``catalog_path`` tells a
    file in the place of the configured one, which is made where it is not there.
    """
    import asyncio

    from keyrack.shell.config.whole import find, load
    from keyrack.shell.office import open_office

    loaded = load(find(config))

    async def visit() -> Answer:
        async with AsyncExitStack() as stack:
            office = await stack.enter_async_context(
                open_office(
                    loaded,
                    administrator(),
                    root_keys=root_keys,
                    ask=ask_passphrase if sys.stdin.isatty() else None,
                    catalog_path=catalog_path(loaded),
                )
            )
            return await act(office)

    return asyncio.run(visit())


def administrator() -> "Administrator":
    """Who sits at this machine, as the journal names it."""
    from keyrack.service.office.administration import Administrator

    return Administrator(f"local-user-{account()}")


def account(login: Path = Path("/proc/self/loginuid")) -> str:
    """The account that logged in, also behind sudo and su; else the one whose process this is.

    The kernel knows both. What the environment says, anybody can say who wants to be two persons.
    """
    import pwd

    try:
        number = int(login.read_text())
    except (OSError, ValueError):
        number = NOBODY_LOGGED_IN
    if number == NOBODY_LOGGED_IN:
        number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def ask_passphrase(question: "Question") -> "Passphrase":
    """Ask at the terminal, without echo."""
    from keyrack.domain.secret import Secret
    from keyrack.embedded.root_keys.unlock import Passphrase

    return Passphrase(Secret(bytearray(getpass.getpass(f"{question}: ").encode())))


def instance_json(instance: "Instance") -> dict[str, object]:
    """An instance as JSON."""
    from dataclasses import asdict

    from keyrack.shell.cli.screen import instant

    former, credential = instance.former, instance.credential
    return {
        "identifier": instance.identifier,
        "name": instance.name,
        "description": instance.description,
        "status": str(instance.status),
        "reason": instance.reason,
        "key_manager": instance.key_manager or None,
        "root_key": instance.root_key or None,
        "storage": str(instance.storage),
        "hierarchy": str(instance.hierarchy),
        "moving_from": {"key_manager": former.key_manager, "root_key": former.root_key} if former else None,
        "sealed_at": instant(instance.sealed_at),
        "quotas": asdict(instance.quotas),
        "credential": {"username": credential.username, "required": credential.required} if credential else None,
        "dual_control_at": instant(instance.dual_control_at),
        "created_at": instant(instance.created_at),
    }
