"""``keyrack setup``: the first start in a browser; then the process goes over into ``keyrack serve``."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import account, administrator

if TYPE_CHECKING:
    from keyrack.shell.console.first_start.desk import Asked
    from keyrack.shell.console.first_start.serving import Ready


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(setup)


def setup(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address that the wizard listens on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")] = 8443,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--directory", "-d", metavar="DIR", help="Where everything is kept; the wizard asks.", show_default=False
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE", help="The configuration to write.", show_default=False),
    ] = None,
    json: screen.Json = False,
) -> None:
    """Make a deployment in a browser: four steps, each tried out, and then serve it.

    It prints a link that lets one browser in, once, within an hour. Nothing is made before the last step; Ctrl-C leaves
    nothing behind. Without a browser 'keyrack init' does the same.
    """
    from keyrack.service.office.refusals import Unusable
    from keyrack.shell import telemetry
    from keyrack.shell.console.first_start.desk import Asked
    from keyrack.shell.console.first_start.serving import Ended, run
    from keyrack.shell.first_person import name_of_account
    from keyrack.shell.planning import check_host

    try:
        check_host(host, "host")
    except Unusable as error:
        raise WrongUse(str(error)) from None
    _refuse_taken(directory, config)
    telemetry.configure("warning", "auto")
    asked = Asked(
        host=host,
        port=port,
        directory=directory,
        config=config,
        by=administrator(),
        first_person=name_of_account(account()),
    )
    try:
        made = run(asked, lambda ready: _show(ready, asked, json))
    except Ended as error:
        raise Failed(str(error)) from None
    _serve(made, json)


def _refuse_taken(directory: Path | None, config: Path | None) -> None:
    from keyrack.shell.planning import config_in, home

    place = (directory or home()).expanduser().absolute()
    file = (config or config_in(place, named=directory is not None)).expanduser().absolute()
    if file.exists():
        raise Failed(
            f"{file} is there already, and nothing is ever overwritten; 'keyrack serve --config {file}' runs it, and "
            "another --directory makes another deployment"
        )


def _show(ready: "Ready", asked: "Asked", json: bool) -> None:
    from keyrack.shell.pki import spaced

    if json:
        screen.as_json(
            {
                "ready": True,
                "address": ready.address,
                "link": ready.link,
                "certificate_sha256": ready.fingerprint,
            }
        )
        return
    lines = [
        "Open this link in a browser. It lets one browser in, once, within an hour:",
        f"  {ready.link}",
        "The browser will warn: nobody vouches for this server yet. The certificate that it shows must have",
        f"  SHA-256 {spaced(ready.fingerprint)}",
    ]
    if asked.is_local:
        lines.append("From another machine, open a tunnel first, and then the same link there:")
        lines.append(f"  ssh -L {ready.address}:{ready.address} THIS-MACHINE")
    else:
        screen.warn(
            f"the wizard listens on {ready.address}: everybody who reaches it can knock, and whoever has the link "
            "first makes this deployment. Compare the fingerprint before you type a password or an API key"
        )
    # At once: whoever reads it by a program may begin with the link.
    screen.say("\n".join([*lines, "Nothing is made before the last step; Ctrl-C leaves nothing behind."]))


def _serve(config: Path, json: bool) -> None:
    """Become ``keyrack serve``."""
    if not json:
        screen.say(f"The deployment is made. Now: keyrack serve --config {config}")
    sys.stdout.flush()
    words = ["serve", "--config", str(config), *(["--json"] if json else [])]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "keyrack", *words])
