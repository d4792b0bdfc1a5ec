"""``keyrack serve``: serve KMIP until told to stop."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.options import ConfigFile, ask_passphrase

if TYPE_CHECKING:
    from keyrack.shell.serving import Ready


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(
    config: ConfigFile = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port instead of the configured one; 0 takes a free one.")
    ] = None,
    json: screen.Json = False,
) -> None:
    """Serve KMIP until told to stop.

    And the administration API, in a process of its own, where api.enabled is set; and the Key Protect API, where
    key_manager_api.enabled is. SIGTERM ends it gracefully, SIGHUP reads the server certificate again.
    """
    import os

    from keyrack.shell import telemetry
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.serving import serve as run

    environ = dict(os.environ) | ({"KEYRACK_KMIP__PORT": str(port)} if port is not None else {})
    file = find(config)
    loaded = load(file, environ)
    telemetry.configure(loaded.log.level, loaded.log.format)
    ask = ask_passphrase if sys.stdin.isatty() else None
    raise typer.Exit(run(loaded, lambda ready: _show(ready, json), ask, file=file.absolute()))


def _show(ready: "Ready", json: bool) -> None:
    from keyrack.shell.pki import spaced

    if json:
        screen.as_json(
            {
                "ready": True,
                "address": ready.address,
                "server_certificate_sha256": ready.fingerprint,
                "client_certificates": ready.certificates,
                "key_manager_api": ready.key_manager_api,
                "administration_api": ready.administration_api,
            }
        )
    else:
        screen.say(f"Keyrack serves KMIP on {ready.address}")
        if ready.administration_api and not ready.administration_api.endswith(":0"):
            screen.say(f"and the administration API on https://{ready.administration_api}/api/v1")
        if ready.key_manager_api:
            screen.say(f"and the Key Protect API on https://{ready.key_manager_api}")
        screen.say(f"server certificate SHA-256 {spaced(ready.fingerprint)}")
        if not ready.certificates:
            screen.say("no client certificate is in force yet: keyrack cert add INSTANCE FILE")
    sys.stdout.flush()
