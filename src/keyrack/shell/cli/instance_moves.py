"""``keyrack instance storage set`` and ``change-root-key``: where the keys of an instance are kept, and wrapped."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from keyrack.shell.cli import UNHEALTHY, screen
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office, instance_json
from keyrack.shell.cli.walking import Rate, ground_of, interruptible, tell_failures, tell_leftovers

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.service.moves.completion import Completed
    from keyrack.service.moves.walk import Report
    from keyrack.shell.office import Office

storage = typer.Typer(name="storage", help="Where wrapped keys are kept.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(storage)
    app.command("change-root-key")(change_root_key)


@storage.command("set")
def set_storage(
    instance: InstanceName,
    where: Annotated[
        Literal["key_manager", "catalog"],
        typer.Argument(
            metavar="key_manager|catalog", help="In the key manager too, as standard keys; or in the catalog alone."
        ),
    ],
    keep_standard_keys: Annotated[
        bool,
        typer.Option(
            "--keep-standard-keys",
            help="To catalog: leave the standard keys in the key manager, where nobody looks after them any more.",
        ),
    ] = False,
    rate: Rate = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Keep wrapped keys in the key manager too, or in the catalog alone.

    New keys follow at once, then those that are there. Clients go on meanwhile; broken off, the same command goes on
    where it was.
    """
    from keyrack.domain.instances import Storage
    from keyrack.service.moves import storage as service

    wanted = Storage(where)

    async def act(office: "Office", found: "Instance", report: "Report") -> "Completed":
        return await service.set_storage(
            ground_of(office), found, wanted, keep_standard_keys=keep_standard_keys, rate=rate, report=report
        )

    completed = _completed(config, instance, "Keeping keys elsewhere", act)
    place = "the key manager too, as standard keys" if wanted is Storage.KEY_MANAGER else "the catalog alone"
    name, changed = completed.instance.name, screen.count(completed.outcome.changed, "key")
    told = [f"{name} keeps its keys in {place}: {changed} changed."]
    if wanted is Storage.CATALOG:
        told.append("To delete a standard key revokes nothing any more; to disable the root key still does.")
        if keep_standard_keys:
            told.append("The standard keys stay in the key manager, of no use; delete them there when you like.")
    _tell(completed, told, json=json)


def change_root_key(
    instance: InstanceName,
    root_key: Annotated[
        str, typer.Option(metavar="ID", help="Identifier of the root key that is to wrap its keys.", show_default=False)
    ],
    key_manager: Annotated[
        str | None, typer.Option(metavar="NAME", help="The key manager that has it; the instance's own without it.")
    ] = None,
    rate: Rate = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Move the keys of an instance to another root key, in this key manager or in another.

    The new root key is tried first. New keys are wrapped by it at once, then those that are there; all open all the
    time. Broken off, the same command goes on where it was; with the former root key it goes back.
    """
    from keyrack.service.moves import moving

    async def act(office: "Office", found: "Instance", report: "Report") -> "Completed":
        ground = ground_of(office)
        return await moving.change_root_key(
            ground, found, root_key, key_manager=key_manager, rate=rate, report=report, book=office.catalog
        )

    completed = _completed(config, instance, "Moving keys", act)
    at, changed = completed.instance, screen.count(completed.outcome.changed, "key")
    told = [
        f"Root key {at.root_key} of {at.key_manager} wraps the keys of {at.name}: {changed} moved.",
        "The former root key is not needed any more, neither for keys nor for new ones; backups of the catalog from "
        "before still need it.",
    ]
    _tell(completed, told, json=json)


def _completed(
    config: Any,
    instance: str,
    what: str,
    act: "Callable[[Office, Instance, Report], Awaitable[Completed]]",
) -> "Completed":
    from keyrack.shell.cli.progress import watched

    async def visit(office: "Office") -> "Completed":
        found = await office.administration.instance(instance)
        with watched(what) as (report,):
            return await act(office, found, report)

    with interruptible():
        return in_office(config, visit, root_keys=True)


def _tell(completed: "Completed", told: list[str], *, json: bool) -> None:
    if json:
        screen.as_json(_json(completed))
    elif completed.left:
        name, done = completed.instance.name, completed.outcome.changed
        screen.say(f"{name}: {screen.count(done, 'key')} done, {len(completed.left)} left:")
        tell_failures(completed.left)
        if completed.outcome.stopped:
            screen.say("  It has stopped, since the key manager failed again and again.")
        screen.say("Every key opens as it did before; run the same command again when that is mended.")
        tell_leftovers(completed.leftovers)
    else:
        for line in told:
            screen.say(line)
        tell_leftovers(completed.leftovers)
    if completed.left:
        raise typer.Exit(UNHEALTHY)


def _json(completed: "Completed") -> dict[str, Any]:
    return instance_json(completed.instance) | {
        "changed": completed.outcome.changed,
        "left": [{"key": identifier, "why": why} for identifier, why in completed.left],
        "stopped": completed.outcome.stopped,
        "standard_keys_left": completed.leftovers,
    }
