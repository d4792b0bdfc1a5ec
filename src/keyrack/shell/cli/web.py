"""``keyrack web``: serve the administration API alone, as a service of its own."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.options import ConfigFile

if TYPE_CHECKING:
    from keyrack.shell.rest.serving import Open


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(web)


def web(
    config: ConfigFile = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port instead of the configured one; 0 takes a free one.")
    ] = None,
    json: screen.Json = False,
) -> None:
    """Serve the administration API alone, without KMIP.

    Until told to stop: SIGTERM ends it gracefully, SIGHUP reads the certificate again. 'keyrack serve' starts it by
    itself where api.enabled is set; write api.start = false where this command does.
    """
    import os

    from keyrack.shell import telemetry
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.web.process import serve

    environ = dict(os.environ) | ({"KEYRACK_API__PORT": str(port)} if port is not None else {})
    loaded = load(find(config), environ)
    telemetry.configure(loaded.log.level, loaded.log.format)
    raise typer.Exit(serve(loaded, lambda opened: _show(opened, json)))


def _show(opened: "Open", json: bool) -> None:
    if json:
        screen.as_json({"ready": True, "address": opened.address})
    else:
        screen.say(f"Keyrack serves the administration API on https://{opened.address}/api/v1")
    sys.stdout.flush()
