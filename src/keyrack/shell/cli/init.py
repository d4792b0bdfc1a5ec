"""``keyrack init``: a few questions, each with a default and an option; then ``keyrack serve`` runs what it made."""

import os
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.protection import KINDS, HsmOptions, Protection, chosen

if TYPE_CHECKING:
    from keyrack.shell.deployment import Made, Plan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(init)


def init(
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", metavar="DIR", help="Where everything is kept.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The configuration to write.", show_default=False),
    ] = None,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--name",
            metavar="HOST",
            help="Host name or address of the server certificate; may be repeated.",
            show_default=False,
        ),
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(metavar="ID", help="Name of the deployment.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "0.0.0.0",
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on.", show_default=False)] = None,
    protect: Annotated[
        Literal["key-file", "passphrase", "unseal", "hsm"] | None,
        typer.Option(help="What opens the keystore.", show_default=False),
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File whose first line is the passphrase; implies --protect passphrase."),
    ] = None,
    hsm: Annotated[
        Path | None,
        typer.Option(metavar="LIBRARY", help="PKCS#11 library of an HSM; implies --protect hsm.", show_default=False),
    ] = None,
    token: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Label of the HSM's token.", show_default=False)
    ] = None,
    pin_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File whose first line is the token's PIN.", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take options and defaults.")] = False,
    json: screen.Json = False,
) -> None:
    """Make a deployment, with a few questions.

    Configuration, keystore, certificates and catalog. Nothing is ever overwritten.
    """
    from keyrack.shell import deployment as room

    ask = not yes and sys.stdin.isatty()
    place = directory or Path(_ask(ask, "Directory", str(_home())))
    target = place.expanduser().absolute()
    listed = names or _list(_ask(ask, "Host names and addresses of this server", ",".join(room.own_names())))
    chosen_port = port if port is not None else _port(_ask(ask, "Port", "5696"))
    device = HsmOptions(library=hsm, token=token, pin_file=pin_file)
    kind = protect or _implied(passphrase_file, device) or _ask(ask, f"Open the keystore with {_or(KINDS)}", KINDS[0])
    protection = chosen(kind, target, passphrase_file, device, ask=ask)
    plan = room.Plan(
        deployment=deployment or _label(socket.gethostname()),
        directory=target,
        config=(config or _config(directory, target)).expanduser().absolute(),
        names=listed,
        host=host,
        port=chosen_port,
        unlock=protection.unlock,
        hsm=protection.hsm,
        opener=protection.opener,
    )
    _check(plan)
    try:
        made = room.make(plan)
    finally:
        protection.close()
    _print(plan, made, protection, json)


def _implied(passphrase_file: Path | None, device: HsmOptions) -> str | None:
    """What the options say without being asked for it."""
    if device.given():
        return "hsm"
    return "passphrase" if passphrase_file else None


def _or(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _ask(interactive: bool, question: str, default: str) -> str:
    return str(typer.prompt(question, default=default, err=True)) if interactive else default


def _home() -> Path:
    return Path("/var/lib/keyrack") if os.geteuid() == 0 else Path.home() / ".local/share/keyrack"


def _config(directory: Path | None, target: Path) -> Path:
    """Beside everything else, unless it is the usual directory: then where every command looks for it."""
    if directory is not None or target != _home():
        return target / "keyrack.toml"
    return Path("/etc/keyrack/keyrack.toml") if os.geteuid() == 0 else Path.home() / ".config/keyrack/keyrack.toml"


def _list(text: str) -> list[str]:
    return [name for name in re.split(r"[,\s]+", text) if name]


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65_535:
        return int(text)
    raise WrongUse(f"{text!r} is not a port; use a number from 1 to 65535, for KMIP it is 5696")


def _label(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.split(".", maxsplit=1)[0].lower()).strip("-")[:63] or "keyrack"


def _check(plan: "Plan") -> None:
    from keyrack.shell.config_key_managers import NAME

    if not re.fullmatch(NAME, plan.deployment):
        raise WrongUse(f"{plan.deployment!r} cannot be a deployment's name; use lower-case letters, digits and hyphens")
    for name in plan.names:
        if not re.fullmatch(r"[A-Za-z0-9.:_-]+", name):
            raise WrongUse(f"{name!r} is neither a host name nor an address; separate several with commas")
    if taken := plan.taken():
        verb = "is" if len(taken) == 1 else "are"
        raise Failed(
            f"{', '.join(str(path) for path in taken)} {verb} there already, and nothing is ever overwritten; "
            "use another --directory, or 'keyrack serve' to run what is there"
        )


def _print(plan: "Plan", made: "Made", protection: Protection, json: bool) -> None:
    from keyrack.shell.pki import spaced

    if json:
        screen.as_json(
            {
                "deployment": plan.deployment,
                "config": str(plan.config),
                "directory": str(plan.directory),
                "names": plan.certified,
                "host": plan.host,
                "port": plan.port,
                "server_certificate_sha256": made.server.fingerprint,
            }
        )
        return
    screen.say(f"Made deployment {plan.deployment}:")
    screen.pairs(
        [
            ("  configuration", plan.config),
            ("  catalog", plan.directory / "catalog.db"),
            ("  keystore", f"{plan.directory / 'keystore'}, opened by {protection.told}"),
            ("  certificates", plan.directory / "tls"),
            ("  server names", ", ".join(plan.certified)),
            ("  server SHA-256", spaced(made.server.fingerprint)),
        ]
    )
    screen.warn(protection.warning)
    screen.say()
    screen.say("Next:")
    option = "" if plan.config in _searched() else f" --config {plan.config}"
    screen.say(f"  keyrack serve{option}")
    screen.say(f"  keyrack instance create prod{option}")
    screen.say(f"  keyrack cert add prod vcenter.pem{option}")


def _searched() -> list[Path]:
    from keyrack.shell.config import candidates

    return [path.absolute() for path in candidates(os.environ)]
