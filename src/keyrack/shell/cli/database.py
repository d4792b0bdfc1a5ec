"""``keyrack database``: the PostgreSQL database of several nodes, made ready by its owner and looked at by a server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from keyrack.shell.cli import OK, UNHEALTHY, screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from keyrack.shell.nodes.databases import Prepared

Answer = TypeVar("Answer")

app = typer.Typer(
    name="database", help="The PostgreSQL database of several nodes: made ready, upgraded, looked at.",
    no_args_is_help=True,
)  # fmt: skip

OwnerUrl = Annotated[
    str, typer.Option(metavar="URL", help="As its owner: postgresql://OWNER@HOST/DB?sslmode=verify-full.")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="File with the owner's password; else PGPASSFILE, or it is asked for.", show_default=False
    ),
]


@app.command()
def prepare(
    url: OwnerUrl,
    role: Annotated[str, typer.Option(metavar="NAME", help="The role of the servers.")] = "keyrack",
    create_role: Annotated[bool, typer.Option("--create-role", help="Make the role where it is not there.")] = False,
    role_password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File with the password that it is to get.", show_default=False),
    ] = None,
    password_file: PasswordFile = None,
    json: screen.Json = False,
) -> None:
    """Make the schema in an empty database, and let the servers' role do what they need and no more.

    Said again it mends what is amiss, and upgrades what is old. The servers' role may add to the journal, and neither
    change nor remove a record.
    """
    if role_password_file is not None and not create_role:
        raise WrongUse("--role-password-file goes with --create-role; ALTER ROLE changes the password of one that is")
    from keyrack.shell.nodes import databases

    check_url(url, "--url", "OWNER")
    place = databases.owner_of(url, password_file)
    password = databases.password_of_role(role_password_file)
    prepared = _run(databases.prepare(place, role, create=create_role, password=password))
    if json:
        screen.as_json(_json(prepared))
        return
    if prepared.made:
        screen.say(f"{screen.mark('ok')} role {role} made")
    _told(prepared)
    login, _, rest = url.partition("@")
    served = f"{login.partition('://')[0]}://{role}@{rest}"
    screen.say()
    screen.say("Next, on the first node; for a deployment that is new:")
    screen.say(f"  keyrack init --catalog '{served}'")
    screen.say("For one that runs over SQLite:")
    screen.say(f"  keyrack migrate-catalog --to '{served}'")


@app.command()
def upgrade(url: OwnerUrl, password_file: PasswordFile = None, json: screen.Json = False) -> None:
    """Bring the schema to this version of Keyrack, while nodes of the version before go on serving.

    First this, then node after node.
    """
    from keyrack.shell.nodes import databases

    check_url(url, "--url", "OWNER")
    prepared = _run(databases.upgrade(databases.owner_of(url, password_file)))
    if json:
        screen.as_json(_json(prepared))
        return
    _told(prepared)
    screen.say()
    screen.say("Next, update Keyrack on one node after the other, and on each:")
    screen.say("  keyrack database check")


@app.command()
def check(config: ConfigFile = None, json: screen.Json = False) -> None:
    """Look, as a server does when it starts, whether the configured database can be the catalog.

    Nothing is written. Exit code 3 where it cannot.
    """
    from keyrack.shell.config.whole import find, load

    loaded = load(find(config))
    if loaded.catalog_path is not None:
        raise Failed(
            f"the catalog is the SQLite file {loaded.catalog_path}: write a PostgreSQL database as catalog.url, or "
            "move it there with 'keyrack migrate-catalog'"
        )
    require_driver()
    from keyrack.adapters.catalogs.postgres.opening import look
    from keyrack.shell.catalogs import place_of

    place = place_of(loaded, f"{loaded.deployment.node}/check")
    found = _run(look(place, loaded.catalog.standby))
    well = not any(each.trouble for each in found)
    if json:
        screen.as_json(
            {
                "fit": well,
                "database": place.shown,
                "checks": [{"what": each.what, "trouble": each.trouble or None} for each in found],
            }
        )
        raise typer.Exit(OK if well else UNHEALTHY)
    for each in found:
        level = "failed" if each.trouble else "ok"
        screen.hanging(f"{screen.mark(level)} {each.what:<22} ", 25, each.trouble or "as it should be")
    screen.say()
    if well:
        screen.say(f"{place.shown} can be the catalog. Next: keyrack serve")
    else:
        screen.say(screen.paint("No server starts over it until that is mended.", "red"))
    raise typer.Exit(OK if well else UNHEALTHY)


def check_url(url: str, option: str, role: str) -> None:
    """Raise :class:`WrongUse` for what is no URL of a database, and for one with a password in it."""
    from keyrack.service.office.refusals import Unusable
    from keyrack.shell.planning import check_postgres

    try:
        check_postgres(url, role)
    except Unusable as error:
        raise WrongUse(f"{option}: {error}") from None
    require_driver()


def require_driver() -> None:
    """Raise :class:`Failed` where PostgreSQL cannot be spoken to."""
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        raise Failed("the driver for PostgreSQL is not installed: pip install 'keyrack[postgres]'") from None


def _run(work: "Coroutine[Any, Any, Answer]") -> Answer:
    import asyncio

    return asyncio.run(work)


def _told(prepared: "Prepared") -> None:
    number = prepared.schema.number
    done = f"brought to {number}" if prepared.steps else f"{number}, as this version of Keyrack wants it"
    screen.say(f"{screen.mark('ok')} schema {done}")
    screen.say(f"{screen.mark('ok')} {prepared.role} may do what servers need, and no more")


def _json(prepared: "Prepared") -> dict[str, Any]:
    return {
        "schema": prepared.schema.number,
        "oldest_reader": prepared.schema.least,
        "steps": prepared.steps,
        "role": prepared.role,
        "role_made": prepared.made,
    }
