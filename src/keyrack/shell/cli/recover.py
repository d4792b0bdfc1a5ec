"""``keyrack recover prove``: every key and every backup, opened for real. Exit code 3 where one does not open."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import OK, UNHEALTHY, screen
from keyrack.shell.cli.backup import _tell_backups, proved_json
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.service.copies.proving import Proved
    from keyrack.shell.office import Office

app = typer.Typer(name="recover", help="Whether everything can be had back.", no_args_is_help=True)


@app.command()
def prove(
    rate: Annotated[float, typer.Option(min=0.1, metavar="N", help="Keys that are opened in a second.")] = 100,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Prove that every key opens: from the catalog, from its key manager, and from each backup.

    What it opens it wipes at once, and nothing is changed; a server may serve meanwhile. The outcome is remembered, and
    'keyrack doctor' tells of it. Exit code 3 where a copy does not open.
    """

    has_own = True

    async def act(office: "Office") -> "Proved":
        nonlocal has_own
        from keyrack.shell.backups import archive
        from keyrack.shell.backups.proof import Watched, prove
        from keyrack.shell.vaulting import vault_of

        loaded = office.config
        has_own = loaded.catalog_path is not None
        backups = archive.those_of(loaded.path(loaded.backup.directory)) if has_own else []
        with watched("Opening keys", "Opening backups") as (living, within):
            return await prove(
                office.catalog,
                office.vault,
                office.key_managers,
                lambda catalog: vault_of(loaded, office.key_managers, catalog),
                backups,
                by=office.administration.administrator,
                rate=rate,
                watched=Watched(living=living, backups=within),
            )

    proved = in_office(config, act, root_keys=True)
    if json:
        screen.as_json(proved_json(proved))
    else:
        _tell(proved, has_own=has_own)
    raise typer.Exit(OK if proved.well else UNHEALTHY)


def _tell(proved: "Proved", *, has_own: bool) -> None:
    rows = [("keys", proved.keys), ("open from the catalog", proved.catalog)]
    rows += [("and from the key manager", proved.key_manager)]
    rows += [("kept in the catalog alone", proved.alone)] if proved.alone else []
    rows += [("withheld", proved.withheld)] if proved.withheld else []
    rows += [("destroyed", proved.destroyed)] if proved.destroyed else []
    screen.pairs([(name, f"{number:,}") for name, number in rows])
    _tell_backups(proved)
    if not proved.backups and has_own:
        screen.say(f"{screen.mark('warning')} there is no backup to prove; 'keyrack backup create' makes one")
    if proved.stopped:
        screen.warn("too much failed in a row, and not every key was looked at; run it again when that is mended")
    if proved.well:
        screen.say(screen.paint("Every copy of every key opens.", "green"))
