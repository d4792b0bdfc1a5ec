"""``keyrack key-manager``: those that are configured, and the embedded one's own API and instances."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import key_manager_check, screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.iam_desk import KeyManagerName, at_desk
from keyrack.shell.cli.options import ConfigFile, account, ask_passphrase

if TYPE_CHECKING:
    from keyrack.embedded.instances import KeyManagerInstance
    from keyrack.shell.rest.serving import Open

app = typer.Typer(
    name="key-manager", help="Key managers, and the embedded one's own API and instances.", no_args_is_help=True
)
instance_app = typer.Typer(name="instance", help="Tenants of the embedded key manager.", no_args_is_help=True)
app.command("list")(key_manager_check.list_all)
app.command("check")(key_manager_check.check)
app.add_typer(instance_app)


@app.command()
def serve(
    config: ConfigFile = None,
    key_manager: KeyManagerName = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port instead of the configured one; 0 takes a free one.")
    ] = None,
    json: screen.Json = False,
) -> None:
    """Serve the Key Protect API alone, without KMIP.

    Until told to stop: SIGTERM ends it gracefully, SIGHUP reads the certificate again. Beside KMIP, 'keyrack serve'
    does it where key_manager_api.enabled is set.
    """
    import os

    from keyrack.shell import telemetry
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.rest.key_manager_api import serve as run

    environ = dict(os.environ) | ({"KEYRACK_KEY_MANAGER_API__PORT": str(port)} if port is not None else {})
    loaded = load(find(config), environ)
    telemetry.configure(loaded.log.level, loaded.log.format)
    ask = ask_passphrase if sys.stdin.isatty() else None
    raise typer.Exit(run(loaded, lambda opened: _show(opened, json), key_manager=key_manager, ask=ask))


@instance_app.command("create")
def create_instance(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new instance.", show_default=False)],
    identifier: Annotated[
        str | None, typer.Option("--id", metavar="UUID", help="Its identifier; without it a new one.")
    ] = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a key manager instance: what clients name in the header Bluemix-Instance."""
    from keyrack.embedded import tenancy

    with at_desk(config, key_manager) as (house, caller):
        made = tenancy.create_instance(house, caller, name, identifier)
    if json:
        screen.as_json(_as_json(made))
        return
    screen.say(f"Key manager instance {made.name} is made.")
    screen.pairs([("identifier", made.identifier)])
    screen.say()
    screen.say("Next, somebody who may use it:")
    screen.say(f"  keyrack iam service-id create NAME --role Manager --instance {made.name}")


@instance_app.command("list")
def list_instances(key_manager: KeyManagerName = None, config: ConfigFile = None, json: screen.Json = False) -> None:
    """List the key manager instances, oldest first."""
    from keyrack.embedded import tenancy

    with at_desk(config, key_manager) as (house, _):
        found = tenancy.instances(house)
    if json:
        screen.as_json([_as_json(each) for each in found])
        return
    rows = [
        [each.name, each.identifier, screen.brief(screen.instant(each.created_at)), each.created_by] for each in found
    ]
    screen.table(["name", "identifier", "created", "by"], rows)


@app.command()
def accept(
    key_manager: KeyManagerName = None, config: ConfigFile = None, yes: Yes = False, json: screen.Json = False
) -> None:
    """Accept a backup of its database that was put back.

    The database as it is counts as the newest one from then on. What was changed after that backup is gone, removed
    API keys and deleted keys come back.
    """
    from keyrack.shell.accepting import accept as run
    from keyrack.shell.config.whole import find, load

    consent(
        "accept it",
        "Everything that was changed after this copy was made is lost, and what was removed since is back. Go on?",
        yes=yes,
    )
    ask = ask_passphrase if sys.stdin.isatty() else None
    revision = run(load(find(config)), key_manager, f"local-user-{account()}", ask)
    if json:
        screen.as_json({"accepted": True, "change": revision})
        return
    screen.say(f"The key manager's database is accepted as it is, at change {revision}.")


def _show(opened: "Open", json: bool) -> None:
    if json:
        screen.as_json({"ready": True, "address": opened.address})
    else:
        screen.say(f"Keyrack serves the Key Protect API on https://{opened.address}")
    sys.stdout.flush()


def _as_json(instance: "KeyManagerInstance") -> dict[str, object]:
    return {
        "identifier": instance.identifier,
        "name": instance.name,
        "created_at": screen.instant(instance.created_at),
        "created_by": instance.created_by,
    }
