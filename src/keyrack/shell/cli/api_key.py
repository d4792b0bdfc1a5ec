"""``keyrack api-key``: what programs show, in the name of a person."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.person_desk import PersonName, RoleNames, api_key_json

if TYPE_CHECKING:
    from keyrack.shell.office import Office

app = typer.Typer(name="api-key", help="What programs show, in the name of a person.", no_args_is_help=True)

KeyNamed = Annotated[
    str, typer.Argument(metavar="API_KEY", help="Identifier of the API key, or its beginning, or its name.")
]


@app.command()
def create(
    person: PersonName,
    name: Annotated[str, typer.Argument(metavar="KEY_NAME", help="What it is for, for example monitoring.")],
    roles: RoleNames = None,
    days: Annotated[int, typer.Option(min=1, max=730, help="Days until it ends.")] = 365,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make an API key of a person's and print it, this one time.

    Without --role it has all roles of the person, as they are at each request.
    """

    async def act(office: "Office") -> tuple[dict[str, Any], str]:
        from keyrack.service.people import api_keys, persons

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, person)
        made, token = await api_keys.create(desk, book, who, name, roles=frozenset(roles or ()), days=days)
        return api_key_json(made, who.name), token

    made, token = in_office(config, act)
    if json:
        screen.as_json(made | {"api_key": token})
    else:
        screen.say(token)
    screen.note(f"API key {made['name']} of {made['person']}, until {made['expires_at']}.")
    screen.warn("it is shown this one time and kept nowhere: put it where the program alone reads it")


@app.command("list")
def list_all(
    person: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this person's.", show_default=False)
    ] = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="Also those that were revoked.")] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List API keys, without the keys."""

    async def look(office: "Office") -> list[dict[str, Any]]:
        from keyrack.service.people import api_keys, persons

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, person) if person else None
        owners = {each.identifier: each.name for each in await persons.people(desk, book, removed=True)}
        found = await api_keys.api_keys(desk, book, who)
        return [api_key_json(each, owners[each.person]) for each in found if revoked or each.revoked_at is None]

    found = in_office(config, look)
    if json:
        screen.as_json(found)
    elif not found:
        screen.note("No API key; make one with 'keyrack api-key create NAME KEY_NAME'.")
    else:
        rows = [
            (
                each["person"],
                each["name"],
                ", ".join(each["roles"] or ["all"]),
                "revoked" if each["revoked_at"] else screen.brief(each["expires_at"]),
                screen.brief(each["last_used_at"]),
                screen.shortened(each["identifier"]),
            )
            for each in found
        ]
        screen.table(("person", "name", "roles", "ends", "last used", "identifier"), rows)


@app.command()
def revoke(
    api_key: KeyNamed,
    person: Annotated[
        str | None, typer.Option("--person", metavar="NAME", help="Whose it is.", show_default=False)
    ] = None,
    yes: Yes = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Revoke an API key, at once and for good."""

    async def act(office: "Office") -> dict[str, Any]:
        from keyrack.service.people import api_keys, persons

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, person) if person else None
        found = await api_keys.api_key(desk, book, api_key, who)
        owner = await persons.person(desk, book, found.person)
        consent("revoke it", f"Revoke the API key {found.name} of {owner.name}, for good?", yes=yes)
        return api_key_json(await api_keys.revoke(desk, book, found), owner.name)

    gone = in_office(config, act)
    if json:
        screen.as_json(gone)
    else:
        screen.say(f"Revoked the API key {gone['name']} of {gone['person']}: it counts no more.")
