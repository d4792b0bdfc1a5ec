"""``keyrack completion``: what a shell needs to complete commands, options and names of instances."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from keyrack.shell.config.whole import Config


class Shell(StrEnum):
    """A shell that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(completion)


def completion(
    shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.", show_default=False)], json: screen.Json = False
) -> None:
    """Print what a shell needs to complete keyrack's commands, options and instances.

    bash: keyrack completion bash > /etc/bash_completion.d/keyrack, or 'source <(keyrack completion bash)' for now.
    zsh: keyrack completion zsh > "${fpath[1]}/_keyrack". fish: keyrack completion fish >
    ~/.config/fish/completions/keyrack.fish. Then open another shell.
    """
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name="keyrack", complete_var="_KEYRACK_COMPLETE", shell=shell.value)
    if json:
        screen.as_json({"shell": shell.value, "script": script})
    else:
        screen.say(script)


def instance_names(context: typer.Context, incomplete: str) -> list[str]:
    """The instances whose names begin so. Whatever is wrong, a shell that completes hears nothing of it."""
    import sqlite3

    from keyrack.shell.config.whole import find, load

    try:
        loaded = load(find(context.params.get("config")))
        catalog = loaded.catalog_path
        if catalog is None:
            return [name for name in _names_in_postgres(loaded) if name.startswith(incomplete)]
        connection = sqlite3.connect(f"{catalog.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)
        try:
            rows = connection.execute("SELECT name FROM instance ORDER BY name LIMIT 1000").fetchall()
        finally:
            connection.close()
    except Exception:  # it is not the time to say what is wrong
        return []
    return [name for (name,) in rows if name.startswith(incomplete)]


def _names_in_postgres(config: "Config") -> list[str]:
    import asyncio

    from keyrack.adapters.catalogs.postgres.connecting import connect
    from keyrack.shell.catalogs import place_of

    async def names() -> list[str]:
        connection = await connect(place_of(config, f"{config.deployment.node}/completion"))
        try:
            return [row[0] for row in await connection.fetch("SELECT name FROM instance ORDER BY name LIMIT 1000")]
        finally:
            connection.terminate()

    return asyncio.run(asyncio.wait_for(names(), 1))
