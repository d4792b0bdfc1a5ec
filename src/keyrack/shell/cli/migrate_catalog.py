"""``keyrack migrate-catalog``: a running installation moves from SQLite into PostgreSQL; nothing is lost on the way."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.database import check_url
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile, administrator
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.shell.config.whole import Config
    from keyrack.shell.nodes.catalog_moving import Done, Forecast, Order

QUESTION = (
    "Servers go on while it is copied. Then they refuse every request for a moment, and for good until they are "
    "started again over PostgreSQL. Go on?"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate-catalog")(migrate_catalog)


def migrate_catalog(
    to: Annotated[
        str,
        typer.Option(metavar="URL", help="The prepared database: postgresql://keyrack@HOST/DB?sslmode=verify-full."),
    ],
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the role's password; else PGPASSFILE.", show_default=False),
    ] = None,
    no_config: Annotated[
        bool, typer.Option("--no-config", help="Leave the configuration as it is, and print the lines to change.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up a move that has not ended: SQLite takes changes again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be moved, and move nothing.")] = False,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Move the catalog and its journal from SQLite into a prepared PostgreSQL database.

    While servers serve everything is copied and compared row by row; then SQLite is closed to every change, the rest is
    copied, and the configuration names the new place. Broken off anywhere, the same command goes on.
    """
    from keyrack.shell.config.catalog import POSTGRES
    from keyrack.shell.config.whole import find, load

    if abandon and dry_run:
        raise WrongUse("say either --abandon or --dry-run")
    if not to.startswith(POSTGRES):
        raise WrongUse("--to is postgresql://ROLE@HOST/DATABASE; the way back to SQLite is in docs/postgresql.md")
    check_url(to, "--to", "keyrack")
    password_file = password_file and password_file.expanduser().absolute()
    file = find(config)
    loaded = load(file)
    if abandon:
        consent("give the move up", "Give the move up, and go on with SQLite?", yes=yes)
        _abandon(loaded, to, password_file, json=json)
        return
    if dry_run:
        _forecast(_run_forecast(_order(loaded, to, password_file)), json=json)
        return
    consent("move the catalog", QUESTION, yes=yes)
    done = _move(loaded, to, password_file)
    changed = None if no_config else _rewritten(file, to, password_file)
    if json:
        screen.as_json(_json(done, changed))
        return
    _told(done)
    _next(file, changed, to, password_file, config)


def _order(loaded: "Config", to: str, password_file: Path | None, **reports: Any) -> "Order":
    try:
        from keyrack.adapters.catalogs.postgres.connecting import Place, password_in
        from keyrack.shell.nodes.catalog_moving import Order
    except ImportError:
        raise Failed("the driver for PostgreSQL is not installed: pip install 'keyrack[postgres]'") from None

    password = None if password_file is None else password_in(loaded.path(password_file))
    return Order(
        config=loaded,
        place=Place(to, "keyrack", password),
        standby=loaded.catalog.standby,
        administrator=administrator(),
        **reports,
    )


def _run_forecast(order: "Order") -> "Forecast":
    import asyncio

    from keyrack.shell.nodes.catalog_moving import forecast

    return asyncio.run(forecast(order))


def _move(loaded: "Config", to: str, password_file: Path | None) -> "Done":
    import asyncio

    from keyrack.shell.nodes.catalog_moving import move

    with watched("Copying (rows)", "The rest, servers wait (rows)") as (copying, finishing):
        return asyncio.run(move(_order(loaded, to, password_file, copying=copying, finishing=finishing)))


def _abandon(loaded: "Config", to: str, password_file: Path | None, *, json: bool) -> None:
    import asyncio

    from keyrack.shell.nodes.catalog_moving import abandon

    asyncio.run(abandon(_order(loaded, to, password_file)))
    if json:
        screen.as_json({"abandoned": True})
        return
    screen.say("Given up: SQLite takes changes again, at once, from servers that run too.")
    screen.say("The database in PostgreSQL is of no use any more: drop it, and prepare another before the next move.")


def _rewritten(file: Path, to: str, password_file: Path | None) -> Path | None:
    """Where the old configuration is kept; ``None`` where it is for a person to change."""
    import os

    from keyrack.shell.config.rewriting import NotRewritten, rewrite

    if "KEYRACK_CATALOG__URL" in os.environ:
        screen.warn("KEYRACK_CATALOG__URL is set, and counts before the configuration: change it where it is set")
    try:
        return rewrite(file, to, password_file)
    except (NotRewritten, OSError) as error:
        screen.warn(f"{file} is not changed: {error}")
        return None


def _forecast(found: "Forecast", *, json: bool) -> None:
    if json:
        screen.as_json({"dry_run": True, "goes_on": found.goes_on, "tables": dict(found.tables)})
        return
    screen.table(("table", "rows"), [(name, f"{rows:,}") for name, rows in found.tables.items() if rows])
    screen.say("A move is under way already, and would go on." if found.goes_on else "Nothing is moved yet.")


def _told(done: "Done") -> None:
    if done.before:
        screen.say(f"{screen.mark('ok')} moved already, to the end")
        return
    rows = sum(each.here.rows for each in done.tables.values())
    screen.say(f"{screen.mark('ok')} {screen.count(len(done.tables), 'table')} with {rows:,} rows are the same there")
    screen.say(f"{screen.mark('ok')} the journal's chains hold there: {done.records:,} records were walked")
    if done.flaws:
        screen.warn(f"the journal had {screen.count(done.flaws, 'flaw')} before: 'keyrack audit verify' tells which")
    screen.say(f"{screen.mark('ok')} nothing could be changed for {done.pause:.1f} s")


def _next(file: Path, kept: Path | None, to: str, password_file: Path | None, config: Path | None) -> None:
    from keyrack.shell.config.rewriting import catalog_lines

    option = f" --config {config}" if config else ""
    screen.say()
    if kept is None:
        screen.say(f"Write into {file}, below [catalog]:")
        for line in catalog_lines(to, password_file).values():
            screen.say(f"  {line}")
    else:
        screen.say(f"{file} names the new place; the old one is {kept.name} beside it.")
    screen.say("Next, start the servers of this node again: until then they refuse every request.")
    screen.say(f"  systemctl restart keyrack   (or stop 'keyrack serve', and start it again{option})")
    screen.say(f"  keyrack doctor{option}")
    screen.say(f"  keyrack audit verify{option}")


def _json(done: "Done", kept: Path | None) -> dict[str, Any]:
    return {
        "moved": True,
        "before": done.before,
        "tables": {
            name: {"rows": each.here.rows, "sha256": each.here.hex, "sha256_there": each.there.hex}
            for name, each in done.tables.items()
        },
        "journal_records": done.records,
        "journal_flaws": done.flaws,
        "pause_seconds": round(done.pause, 3),
        "configuration_kept": None if kept is None else str(kept),
    }
