"""``keyrack session``: who is logged in, and how that ends."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.person_desk import PersonName, session_json

if TYPE_CHECKING:
    from keyrack.shell.office import Office

app = typer.Typer(name="session", help="Who is logged in.", no_args_is_help=True)


@app.command("list")
def list_all(
    person: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this person's.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the log-ins that stand."""

    async def look(office: "Office") -> list[dict[str, Any]]:
        from keyrack.service.people import logins, persons
        from keyrack.service.people.door import Ends

        desk, book, api = office.administration, office.catalog, office.config.api
        ends = Ends(api.session_minutes * 60, api.session_hours * 3600)
        people = [await persons.person(desk, book, person)] if person else await persons.people(desk, book)
        return [
            session_json(each, who.name) for who in people for each in await logins.log_ins(desk, book, who, ends=ends)
        ]

    found = in_office(config, look)
    if json:
        screen.as_json(found)
    elif not found:
        screen.note("Nobody is logged in.")
    else:
        columns = ("person", "address", "created_at", "last_seen_at", "identifier")
        rows = [[screen.brief(each[c]) if c.endswith("_at") else each[c] for c in columns] for each in found]
        screen.table(("person", "address", "since", "last seen", "identifier"), rows)


@app.command()
def end(
    person: PersonName,
    session: Annotated[
        str | None,
        typer.Argument(metavar="[SESSION]", help="Identifier, or its beginning; else all.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """End a log-in of a person, or all of them; it counts at the next request."""

    async def act(office: "Office") -> tuple[str, int]:
        from keyrack.service.people import logins, persons

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, person)
        return who.name, await logins.end_log_in(desk, book, who, session)

    name, ended = in_office(config, act)
    if json:
        screen.as_json({"person": name, "ended": ended})
    else:
        screen.say(f"Ended {screen.count(ended, 'log-in')} of {name}.")
