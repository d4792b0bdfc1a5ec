"""``keyrack instance adopt``: an instance takes over the keys of another Keyrack that lie in its key manager."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, copies, screen
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.service.copies.adopt import Adopted
    from keyrack.shell.office import Office


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(adopt)


def adopt(
    instance: InstanceName,
    from_deployment: Annotated[
        str | None, typer.Option(metavar="ID", help="The deployment that made them.", show_default=False)
    ] = None,
    from_instance: Annotated[
        str | None, typer.Option(metavar="ID", help="The instance there, by its identifier.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Open them, and take none over.")] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.1, metavar="N", help="Keys in a second, at most.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Take over keys that another Keyrack has put into the key manager.

    They must be under the same root key. They keep their Unique Identifiers, by which vCenter asks for them. What
    the other one has there stays as it is. Broken off, the same command goes on. Exit code 3 when a key could not
    be taken over.
    """
    from keyrack.service.copies.adopt import Adoption, Wishes

    async def act(office: "Office") -> "Adopted":
        work = Adoption(
            office.catalog,
            office.administration,
            office.vault,
            office.key_managers,
            await office.administration.instance(instance),
            deployment=office.config.deployment.id,
            wishes=Wishes(deployment=from_deployment, instance=from_instance, dry_run=dry_run),
        )
        with watched("Reading standard keys", "Taking keys over") as (reading, adopting):
            return await work.run(reading=reading, adopting=adopting, rate=rate)

    adopted = in_office(config, act, root_keys=True)
    if json:
        screen.as_json(_json(adopted, dry_run=dry_run))
    else:
        _tell(adopted, instance, config, dry_run=dry_run)
    raise typer.Exit(UNHEALTHY if adopted.failures or adopted.stopped else OK)


def _tell(adopted: "Adopted", instance: str, config: Path | None, *, dry_run: bool) -> None:
    number = screen.count(adopted.keys, "key")
    screen.say(f"From {screen.printable(str(adopted.source))}:")
    screen.say(f"{screen.mark('ok')} {number} {'can be' if dry_run else ''} taken over".replace("  ", " "))
    if adopted.there:
        screen.say(f"{screen.mark('ok')} {screen.count(len(adopted.there), 'key')} skipped: here already")
        copies.listed(adopted.there, lambda each: f"{each[0]}  in {each[1]}")
    for uid, name in adopted.nameless[: copies.MOST_LINES]:
        screen.say(f"{screen.mark('warning')} {uid} came without its name {screen.printable(name)!r}: a key has it")
    copies.failures(adopted.failures)
    if adopted.stopped:
        screen.warn("too much failed in a row, and the rest was not tried; say it again when that is mended")
    if adopted.keys and not dry_run:
        screen.say("Each is Active since it was made: its state there, and what it was called later, stay there.")
        screen.say()
        screen.say("Next, let the clients in that use them:")
        screen.say(f"  keyrack cert add {instance} FILE{f' --config {config}' if config else ''}")


def _json(adopted: "Adopted", *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "from_deployment": adopted.source.deployment,
        "from_instance": adopted.source.instance,
        "keys": adopted.keys,
        "there": [{"unique_identifier": uid, "instance": name} for uid, name in adopted.there],
        "nameless": [{"unique_identifier": uid, "name": name} for uid, name in adopted.nameless],
        "failures": copies.failures_json(adopted.failures),
        "stopped": adopted.stopped,
    }
