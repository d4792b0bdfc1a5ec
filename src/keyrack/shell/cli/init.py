"""``keyrack init``: a few questions, each with a default and an option; then ``keyrack serve`` runs what it made."""

import os
import re
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse

if TYPE_CHECKING:
    from keyrack.embedded.root_keys.unlock import KeyFile, Passphrase
    from keyrack.shell.deployment import Made, Plan

LEAST_PASSPHRASE = 12
VARIABLE = "KEYRACK_PASSPHRASE"


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
        Literal["key-file", "passphrase"] | None, typer.Option(help="What opens the keystore.", show_default=False)
    ] = None,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File whose first line is the passphrase; implies --protect passphrase."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take options and defaults.")] = False,
    json: screen.Json = False,
) -> None:
    """Make a deployment, with a few questions.

    Configuration, keystore, certificates and catalog. Nothing is ever overwritten.
    """
    from keyrack.shell import deployment as room

    ask = not yes and sys.stdin.isatty()
    chosen = directory or Path(_ask(ask, "Directory", str(_home())))
    target = chosen.expanduser().absolute()
    listed = names or _list(_ask(ask, "Host names and addresses of this server", ",".join(room.own_names())))
    chosen_port = port if port is not None else _port(_ask(ask, "Port", "5696"))
    kind = protect or (
        "passphrase" if passphrase_file else _ask(ask, "Open the keystore with key-file or passphrase", "key-file")
    )
    unlock, opener = _unlock(kind, target, passphrase_file, ask)
    plan = room.Plan(
        deployment=deployment or _label(socket.gethostname()),
        directory=target,
        config=(config or _config(directory, target)).expanduser().absolute(),
        names=listed,
        host=host,
        port=chosen_port,
        unlock=unlock,
        opener=opener,
    )
    _check(plan)
    _print(plan, room.make(plan), kind, json)


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


def _unlock(kind: str, directory: Path, file: Path | None, ask: bool) -> "tuple[str, KeyFile | Passphrase]":
    """The table ``unlock`` of the configuration, and what makes the keystore with it."""
    from keyrack.domain.secret import Secret
    from keyrack.embedded.root_keys.unlock import KeyFile, Passphrase
    from keyrack.shell.openers import first_line

    if kind == "key-file":
        return '{ key_file = "keystore.key" }', KeyFile(directory / "keystore.key")
    if kind != "passphrase":
        raise WrongUse(f"{kind!r} does not open a keystore; use key-file or passphrase")
    if file is not None:
        return f'{{ passphrase_file = "{file.expanduser().absolute()}" }}', Passphrase(
            Secret(_strong(first_line(file)))
        )
    table = f'{{ passphrase_environment = "{VARIABLE}" }}'
    if VARIABLE in os.environ:
        return table, Passphrase(Secret(_strong(bytearray(os.environ[VARIABLE].encode()))))
    if not ask:
        raise WrongUse(f"there is no passphrase; set ${VARIABLE} or use --passphrase-file FILE")
    given = typer.prompt(
        f"Passphrase, at least {LEAST_PASSPHRASE} characters", hide_input=True, confirmation_prompt=True, err=True
    )
    return table, Passphrase(Secret(_strong(bytearray(given.encode()))))


def _strong(passphrase: bytearray) -> bytearray:
    if len(passphrase) < LEAST_PASSPHRASE:
        raise WrongUse(f"the passphrase is too short; use at least {LEAST_PASSPHRASE} characters")
    return passphrase


def _check(plan: "Plan") -> None:
    from keyrack.shell.config_key_managers import NAME

    if not re.fullmatch(NAME, plan.deployment):
        raise WrongUse(f"{plan.deployment!r} cannot be a deployment's name; use lower-case letters, digits and hyphens")
    for name in plan.names:
        if not re.fullmatch(r"[A-Za-z0-9.:_-]+", name):
            raise WrongUse(f"{name!r} is neither a host name nor an address; separate several with commas")
    if taken := plan.taken():
        raise Failed(
            f"{', '.join(str(path) for path in taken)} is there already, and nothing is ever overwritten; "
            "use another --directory, or 'keyrack serve' to run what is there"
        )


def _print(plan: "Plan", made: "Made", kind: str, json: bool) -> None:
    from keyrack.shell.pki import spaced

    if json:
        screen.as_json(
            {
                "deployment": plan.deployment,
                "config": str(plan.config),
                "directory": str(plan.directory),
                "names": list(plan.names),
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
            ("  keystore", f"{plan.directory / 'keystore'}, opened by " + _opened_by(plan, kind)),
            ("  certificates", plan.directory / "tls"),
            ("  server names", ", ".join(plan.names)),
            ("  server SHA-256", spaced(made.server.fingerprint)),
        ]
    )
    if kind == "key-file":
        screen.warn(
            "whoever has the keystore and its key file has every key; keep a copy of both, apart from each other"
        )
    else:
        screen.warn("without the passphrase every key is lost; keep it where the keystore is not")
    screen.say()
    screen.say("Next:")
    option = "" if plan.config in _searched() else f" --config {plan.config}"
    screen.say(f"  keyrack serve{option}")
    screen.say(f"  keyrack instance create prod{option}")
    screen.say(f"  keyrack cert add prod vcenter.pem{option}")


def _opened_by(plan: "Plan", kind: str) -> str:
    return str(plan.directory / "keystore.key") if kind == "key-file" else "a passphrase"


def _searched() -> list[Path]:
    from keyrack.shell.config import candidates

    return [path.absolute() for path in candidates(os.environ)]
