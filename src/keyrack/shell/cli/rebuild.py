"""``keyrack rebuild``: a lost catalog from the key managers' copies, or lost standard keys from the catalog's."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, copies, screen
from keyrack.shell.cli.consent import Yes
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.progress import watched
from keyrack.shell.cli.rebuild_standard_keys import from_catalog as put_again
from keyrack.shell.cli.repair import mend

if TYPE_CHECKING:
    from keyrack.service.copies.rebuild import Rebuilt
    from keyrack.shell.office import Office

STATES = (
    "Every key is Active since it was made, under the name that it was given then: what happened to it later, that it "
    "was deactivated or destroyed too, stood in the catalog alone."
)


STATES_KNOWN = (
    "Each key is in the state that was kept beside the catalog; what is destroyed stays so. Labels and later "
    "attributes stood in the catalog alone."
)
READ_ONLY = (
    "not everything of the lost catalog is accounted for: a server will begin in rollback mode, read-only, until "
    "'keyrack backup agree'"
)


KeyManagerName = Annotated[str | None, typer.Option(metavar="NAME", help="From this key manager alone.")]
RootKeyName = Annotated[str | None, typer.Option(metavar="ID", help="Only what this root key has wrapped.")]
NewName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name of the instance that is made again; else kmip-….")
]
Anew = Annotated[
    bool, typer.Option("--authenticate-anew", help="Accept keys of another integrity root beside those of this one.")
]
Repair = Annotated[
    bool, typer.Option("--repair", help="Mend keys that the catalog has, and that are spoilt there, instead.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(rebuild)


def rebuild(
    from_key_manager: Annotated[
        bool, typer.Option("--from-key-manager", help="Enter into the catalog what the key managers have and it lacks.")
    ] = False,
    from_catalog: Annotated[
        str | None,
        typer.Option(metavar="INSTANCE", help="Put an instance's standard keys again that are missing or spoilt."),
    ] = None,
    key_manager: KeyManagerName = None,
    root_key: RootKeyName = None,
    instance_name: NewName = None,
    quick: Annotated[bool, typer.Option("--quick", help="Trust the MACs, and open no key.")] = False,
    authenticate_anew: Anew = False,
    repair: Repair = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    rate: Annotated[float | None, typer.Option(min=0.1, metavar="N", help="Keys in a second, at most.")] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make one copy of wrapped keys again from the other.

    Nothing that is there is overwritten; broken off, the same command goes on. Exit code 3 when something could not be
    made again.
    """
    if from_key_manager == (from_catalog is not None):
        raise WrongUse("say either --from-key-manager, or --from-catalog INSTANCE")
    if from_catalog is not None:
        given: Mapping[str, object] = {
            "--key-manager": key_manager,
            "--root-key": root_key,
            "--instance-name": instance_name,
            "--quick": quick,
            "--authenticate-anew": authenticate_anew,
            "--repair": repair,
        }
        if wrong := [option for option, value in given.items() if value]:
            raise WrongUse(f"{wrong[0]} goes with --from-key-manager, not with --from-catalog")
        put_again(from_catalog, rate, config, dry_run=dry_run, yes=yes, json=json)
        return
    if repair:
        mend(key_manager, rate, config, accepts_any_mac=authenticate_anew, dry_run=dry_run, json=json)
        return
    from keyrack.service.copies.rebuild import Wishes

    wishes = Wishes(
        root_key=root_key,
        instance_name=instance_name,
        quick=quick,
        authenticate_anew=authenticate_anew,
        dry_run=dry_run,
    )
    _from_key_manager(wishes, key_manager, rate, config, json=json)


def _from_key_manager(
    wishes: Any, key_manager: str | None, rate: float | None, config: Path | None, *, json: bool
) -> None:
    from keyrack.service.copies.rebuild import Rebuild
    from keyrack.service.recovery.agreement import known
    from keyrack.service.recovery.later import Later
    from keyrack.shell.nodes.rolled_back import begin_anew, history_of
    from keyrack.shell.rebuilding import catalog_to_fill, searched

    history: Later | None = None
    goes_on = True

    async def act(office: "Office") -> "Rebuilt":
        nonlocal history, goes_on
        history = await history_of(office.config, office.catalog)
        work = Rebuild(
            office.catalog,
            office.administration,
            office.vault,
            searched(office.key_managers, key_manager),
            deployment=office.config.deployment.id,
            wishes=wishes if history is None else known(history, wishes),
        )
        with watched("Reading standard keys", "Entering keys") as (reading, entering):
            rebuilt = await work.run(reading=reading, entering=entering, rate=rate)
        if history is not None and rebuilt.keys and not wishes.dry_run:
            entry = office.administration.entry("journal.accept", "", "", {"keys": rebuilt.keys, "why": "rebuilt"})
            well = not (rebuilt.failures or rebuilt.stopped)
            goes_on = well and await begin_anew(office.config, office.catalog, history, entry)
        return rebuilt

    with catalog_to_fill(dry_run=wishes.dry_run) as path:
        rebuilt = in_office(config, act, root_keys=True, catalog_path=path)
    well = not (rebuilt.failures or rebuilt.stopped or _unwell(rebuilt))
    if well and not (rebuilt.keys or rebuilt.there or rebuilt.instances):
        raise Failed(_nothing(rebuilt))
    if json:
        told = {"states_known": history is not None, "rollback_mode": not goes_on}
        screen.as_json(_rebuilt_json(rebuilt, dry_run=wishes.dry_run) | told)
    else:
        _tell(rebuilt, STATES if history is None else STATES_KNOWN, "would be " if wishes.dry_run else "")
        if not goes_on:
            screen.warn(READ_ONLY)
        _next(rebuilt, config, dry_run=wishes.dry_run)
    raise typer.Exit(OK if well else UNHEALTHY)


def _unwell(rebuilt: "Rebuilt") -> bool:
    from keyrack.service.copies.strangers import HARMLESS

    return any(each.kind not in HARMLESS for each in rebuilt.strangers)


def _nothing(rebuilt: "Rebuilt") -> str:
    """Why there is nothing to be made again, and what may be meant instead."""
    foreign = Counter(each.deployment for each in rebuilt.strangers if each.deployment)
    if not foreign:
        return (
            "the key managers have no standard key of Keyrack's; look whether the right key manager, instance and key "
            "ring are configured, and with 'keyrack key-manager check' whether it lists them"
        )
    told = ", ".join(f"{deployment} ({screen.count(number, 'key')})" for deployment, number in foreign.items())
    return (
        f"every wrapped key there is of another deployment: {told}. If this is that deployment, set up anew, write its "
        "name as id below [deployment] into the configuration, and say this again. If both are to live, make an "
        "instance on the same root key and take the keys over: keyrack instance adopt INSTANCE"
    )


def _tell(rebuilt: "Rebuilt", states: str, would: str) -> None:
    for instance in rebuilt.instances:
        number = rebuilt.by_instance.get(instance.identifier, 0)
        home = f"on root key {instance.root_key} of {instance.key_manager}"
        made = f", made again {home}" if instance.identifier in rebuilt.made else ""
        screen.say(f"{screen.mark('ok')} {instance.name}{made}: {screen.count(number, 'key')} {would}entered")
    if rebuilt.there:
        screen.say(f"{screen.mark('ok')} {screen.count(rebuilt.there, 'standard key')} of keys that are there already")
    if rebuilt.anew:
        anew = screen.count(rebuilt.anew, "key")
        screen.say(f"{screen.mark('warning')} {anew} authenticated with the new integrity root, each after it opened")
    for uid, lost in rebuilt.nameless[: copies.MOST_LINES]:
        screen.say(f"{screen.mark('warning')} {uid} has lost the name {screen.printable(lost)!r}: another key has it")
    copies.failures(rebuilt.failures)
    copies.strangers(rebuilt.strangers)
    if rebuilt.stopped:
        screen.warn("too much failed in a row, and the rest was not tried; say it again when that is mended")
    if rebuilt.keys:
        screen.say(states)


def _next(rebuilt: "Rebuilt", config: Path | None, *, dry_run: bool) -> None:
    made = [each for each in rebuilt.instances if each.identifier in rebuilt.made]
    if not made or dry_run:
        return
    option = f" --config {config}" if config else ""
    screen.say()
    screen.say("Next, let the clients in again: their certificates stood in the catalog alone.")
    for instance in made:
        screen.say(f"  keyrack cert add {instance.name} FILE{option}")
    screen.say(f"  keyrack verify{option}")
    screen.say(f"  keyrack serve{option}")


def _rebuilt_json(rebuilt: "Rebuilt", *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "keys": rebuilt.keys,
        "there": rebuilt.there,
        "authenticated_anew": rebuilt.anew,
        "instances": [
            {
                "identifier": each.identifier,
                "name": each.name,
                "key_manager": each.key_manager,
                "root_key": each.root_key,
                "hierarchy": str(each.hierarchy),
                "made": each.identifier in rebuilt.made,
                "keys": rebuilt.by_instance.get(each.identifier, 0),
            }
            for each in rebuilt.instances
        ],
        "nameless": [{"unique_identifier": uid, "name": name} for uid, name in rebuilt.nameless],
        "failures": copies.failures_json(rebuilt.failures),
        "strangers": copies.strangers_json(rebuilt.strangers),
        "stopped": rebuilt.stopped,
    }
