"""All commands of ``keyrack``, by name; each one's module is imported when it runs."""

from functools import cache
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="keyrack",
    help="The key management server for VMware vSphere and vSAN encryption.",
    no_args_is_help=True,
    add_completion=False,  # its two options; the command 'completion' says more
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


@cache  # Each room registers itself once, however often a process runs a command.
def command() -> Any:
    """The whole command line, with every room's commands in it."""
    from typer._completion_classes import completion_init

    from keyrack.shell.cli import (
        api_key,
        approval,
        audit,
        authority,
        cert,
        completion,
        demo,
        doctor,
        iam,
        init,
        instance,
        key,
        key_manager,
        keystore,
        person,
        rebuild,
        root_key,
        serve,
        server_certificate,
        session,
        status,
        unseal,
        verify,
        web,
    )

    for room in (demo, init, serve, web, unseal, status, doctor, verify, rebuild, completion):
        room.register(app)
    for room in (
        instance,
        cert,
        authority,
        server_certificate,
        key,
        approval,
        root_key,
        iam,
        key_manager,
        keystore,
        audit,
        person,
        api_key,
        session,
    ):
        app.add_typer(room.app)
    completion_init()
    return typer.main.get_command(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"keyrack {version('keyrack')}")
        raise typer.Exit


@app.callback()
def keyrack(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
) -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong use or configuration, 3 unhealthy."""
