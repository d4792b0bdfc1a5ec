"""All commands of ``keyrack``, by name; each one's module is imported when it runs."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Final

import typer

SINGLE: Final = (
    "demo",
    "init",
    "setup",
    "serve",
    "web",
    "unseal",
    "status",
    "doctor",
    "verify",
    "rebuild",
    "migrate-catalog",
    "completion",
)
"""Commands, in the order of the help; each is registered by the module of its name."""
GROUPS: Final = (
    "instance",
    "cert",
    "authority",
    "server-certificate",
    "key",
    "approval",
    "root-key",
    "iam",
    "key-manager",
    "keystore",
    "audit",
    "node",
    "database",
    "backup",
    "recover",
    "person",
    "api-key",
    "session",
)
"""Commands with commands of their own: the ``app`` of the module of each one's name."""


@cache  # Each room registers itself once, however often a process runs a command.
def command() -> Any:
    """The whole command line, with every room's commands in it."""
    from typer._completion_classes import completion_init

    completion_init()
    return _with(*SINGLE, *GROUPS)


def command_for(words: Sequence[str]) -> Any:
    """What a command line needs of it: one room alone where the first word names one, and else all.

    To import and build all rooms takes longer than most commands do.
    """
    return _alone(words[0]) if words and words[0] in {*SINGLE, *GROUPS} else command()


@cache
def _alone(room: str) -> Any:
    return _with(room)


def _with(*rooms: str) -> Any:
    app = typer.Typer(
        name="keyrack",
        help="The key management server for VMware vSphere and vSAN encryption.",
        no_args_is_help=True,
        add_completion=False,  # its two options; the command 'completion' says more
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(keyrack)
    for room in rooms:
        module = import_module(f"keyrack.shell.cli.{room.replace('-', '_')}")
        if room in GROUPS:
            app.add_typer(module.app)
        else:
            module.register(app)
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"keyrack {version('keyrack')}")
        raise typer.Exit


def keyrack(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 unhealthy."""
