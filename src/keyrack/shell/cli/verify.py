"""``keyrack verify``: are both copies of every key there, do they agree, and do they open? Exit code 3 where not."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, copies, screen
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.service.copies.verify import Disagreement, Verified
    from keyrack.shell.office import Office


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    instances: Annotated[
        list[str] | None, typer.Argument(metavar="INSTANCE", help="Names of instances; all of them without.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Compare the copies, and open none.")] = False,
    rate: Annotated[float, typer.Option(min=0.1, metavar="N", help="Keys that are looked at in a second.")] = 100,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Verify the wrapped keys: in the catalog, in the key manager, and that they open.

    Nothing is changed and nothing handed out; a server may serve meanwhile. Exit code 0 when every key is well, 3 when
    one is not.
    """
    from keyrack.service.copies.verify import Verification

    async def look(office: "Office") -> "Verified":
        chosen = [await office.administration.instance(name) for name in instances or ()]
        verification = Verification(
            office.catalog, office.vault, office.key_managers, deployment=office.config.deployment.id, quick=quick
        )
        with watched("Verifying keys") as (report,):
            return await verification.run(chosen or await office.administration.instances(), report=report, rate=rate)

    found = in_office(config, look, root_keys=True)
    if json:
        screen.as_json(_json(found))
    else:
        _tell(found)
    raise typer.Exit(OK if found.well else UNHEALTHY)


def _tell(found: "Verified") -> None:
    from keyrack.service.copies.verify import Flaw

    opened = "" if found.quick else ", and opens"
    rows = [("keys", found.keys), (f"well{opened}", found.agree)]
    rows += [("of them in the catalog alone", found.in_catalog_alone)] if found.in_catalog_alone else []
    rows += [("destroyed", found.destroyed)] if found.destroyed else []
    rows += [("not well", len(found.disagreements))]
    screen.pairs([(name, f"{number:,}") for name, number in rows])
    for flaw, those in copies.grouped(found.disagreements, lambda each: each.flaw).items():
        screen.say(f"{screen.mark('failed')} {screen.count(len(those), 'key')} {Flaw(flaw)}")
        copies.listed(those, _line)
        for advice in dict.fromkeys(each.advice for each in those):
            screen.say(f"  → {screen.printable(advice)}")
    copies.strangers(found.strangers)
    if found.leftovers:
        number = screen.count(len(found.leftovers), "standard key")
        screen.say(f"{screen.mark('ok')} {number} of former times to be deleted: the server does it, if it may")
    if found.stopped:
        screen.warn("too much failed in a row, and not every key was looked at; run it again when that is mended")
    if found.well:
        told = "agrees" if found.quick else "agrees and opens"
        screen.say(screen.paint(f"Every key {told}.", "green"))


def _line(each: "Disagreement") -> str:
    kind = " (wrapping key)" if each.is_wrapping_key else ""
    return f"{each.instance.name}  {each.unique_identifier}{kind}  {each.told}"


def _json(found: "Verified") -> dict[str, Any]:
    return {
        "well": found.well,
        "quick": found.quick,
        "keys": found.keys,
        "agree": found.agree,
        "in_catalog_alone": found.in_catalog_alone,
        "destroyed": found.destroyed,
        "stopped": found.stopped,
        "flaws": {str(flaw): number for flaw, number in found.flaws.items()},
        "disagreements": [
            {
                "instance": each.instance.name,
                "unique_identifier": each.unique_identifier,
                "wrapping_key": each.is_wrapping_key,
                "flaw": str(each.flaw),
                "told": each.told,
                "advice": each.advice,
            }
            for each in found.disagreements
        ],
        "strangers": copies.strangers_json(found.strangers),
        "leftovers": [
            {
                "key_manager": each.key_manager,
                "standard_key": each.standard_key,
                "unique_identifier": each.unique_identifier,
                "why": each.why,
                "at": screen.instant(each.at),
            }
            for each in found.leftovers
        ],
    }
