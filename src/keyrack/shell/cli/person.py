"""``keyrack person``: people who administer, their roles, and how they get in."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.person_desk import (
    OverInstance,
    PersonName,
    RoleName,
    RoleNames,
    config_option,
    instance_names,
    person_json,
    roles_told,
    show_link,
)
from keyrack.shell.cli.typed import PasswordFile, new_password

if TYPE_CHECKING:
    from keyrack.domain.people import Person
    from keyrack.shell.office import Office

app = typer.Typer(name="person", help="People who administer, and their roles.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What is typed at log-in, and stands in the journal.")],
    roles: RoleNames = None,
    instance: OverInstance = None,
    display: Annotated[str, typer.Option(metavar="TEXT", help="The person's full name.", show_default=False)] = "",
    subject: Annotated[
        str | None,
        typer.Option(metavar="SUB", help="For log-in by OpenID Connect: 'sub' of the tokens.", show_default=False),
    ] = None,
    issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="Issuer of the tokens; else the configured one.")
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Add a person, and print the link with which that person sets a password, once."""
    if instance and not roles:
        raise WrongUse("nothing says which role is granted there; add --role")
    if issuer and not subject:
        raise WrongUse("--issuer goes with --subject, which says who is meant there")

    async def enter(office: "Office") -> tuple["Person", str | None, dict[str, Any]]:
        from keyrack.domain.people import LOCAL
        from keyrack.service.people import letting_in, persons
        from keyrack.shell.links import set_password_link

        desk, book = office.administration, office.catalog
        grants = [await persons.grant_over(desk, role, instance) for role in roles or ()]
        source = (issuer or _issuer(office)) if subject else LOCAL
        made = await persons.add(desk, book, name, grants, source=source, subject=subject or "", display=display)
        link = None if subject else set_password_link(office.config, await letting_in.invite(desk, book, made))
        told = person_json(made, await instance_names(office))
        if link and not json:
            screen.say(f"Added {made.name}: {roles_told(told['roles']) or 'no role yet'}.")
            show_link(office.config, made.name, link, config_option(config))
        return made, link, told

    made, link, told = in_office(config, enter)
    if json:
        screen.as_json(told | {"link": link})
        return
    if not link:
        screen.say(f"Added {made.name}: {roles_told(told['roles']) or 'no role yet'}; logs in at {made.source}.")
    if not made.grants:
        option = config_option(config)
        screen.warn(f"{made.name} may do nothing yet: keyrack person grant {made.name} viewer{option}")


def _issuer(office: "Office") -> str:
    oidc = office.config.api.oidc
    if oidc is None:
        raise WrongUse("no issuer is configured in [api.oidc]; name one with --issuer URL")
    return oidc.issuer


@app.command("list")
def list_all(
    removed: Annotated[bool, typer.Option("--removed", help="Also those who were removed.")] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List people and their roles."""

    async def look(office: "Office") -> list[dict[str, Any]]:
        from keyrack.service.people import persons

        names = await instance_names(office)
        found = await persons.people(office.administration, office.catalog, removed=removed)
        return [person_json(each, names) for each in found]

    found = in_office(config, look)
    if json:
        screen.as_json(found)
    elif not found:
        screen.note("Nobody yet; add somebody with 'keyrack person add NAME --role administrator'.")
    else:
        rows = [
            (each["name"], each["state"], roles_told(each["roles"]), screen.brief(each["last_login_at"]))
            for each in found
        ]
        screen.table(("name", "state", "roles", "last log-in"), rows)


@app.command()
def show(name: PersonName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Show one person: roles, API keys, log-ins, wrong attempts."""

    async def look(office: "Office") -> dict[str, Any]:
        from keyrack.service.people import api_keys, logins, persons
        from keyrack.service.people.throttle import waits_until

        desk, book = office.administration, office.catalog
        found = await persons.person(desk, book, name)
        keys = [each for each in await api_keys.api_keys(desk, book, found) if each.revoked_at is None]
        until = await waits_until(book, found.name)
        return person_json(found, await instance_names(office)) | {
            "api_keys": len(keys),
            "sessions": len(await logins.log_ins(desk, book, found)),
            "locked_until": screen.instant(until) if until > office.now else None,
        }

    found = in_office(config, look)
    if json:
        screen.as_json(found)
        return
    found["roles"] = roles_told(found["roles"]) or "none"
    screen.pairs([(key.replace("_", " "), value) for key, value in found.items() if value is not None])


@app.command()
def grant(
    name: PersonName,
    role: RoleName,
    instance: OverInstance = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Grant a role; log-ins of the person end, so that it counts at once."""

    async def act(office: "Office") -> dict[str, Any]:
        from keyrack.service.people import persons

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, name)
        changed = await persons.grant(desk, book, who, await persons.grant_over(desk, role, instance))
        return person_json(changed, await instance_names(office))

    _tell_roles(in_office(config, act), json)


@app.command()
def revoke(
    name: PersonName,
    role: RoleName,
    instance: OverInstance = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Take a role back; it counts at the next request.

    It has to be granted over exactly what is named.
    """

    async def act(office: "Office") -> dict[str, Any]:
        from keyrack.service.people import persons

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, name)
        changed = await persons.revoke(desk, book, who, await persons.grant_over(desk, role, instance))
        return person_json(changed, await instance_names(office))

    _tell_roles(in_office(config, act), json)


def _tell_roles(told: dict[str, Any], json: bool) -> None:
    if json:
        screen.as_json(told)
    else:
        screen.say(f"{told['name']} is now: {roles_told(told['roles']) or 'without a role'}.")


@app.command()
def disable(name: PersonName, yes: Yes = False, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Lock a person out, API keys too, until 'enable'."""
    consent("lock the person out", f"Lock {name} out, with all API keys, at once?", yes=yes)
    told = _standing(name, "disable", config)
    if json:
        screen.as_json(told)
    else:
        screen.say(f"{told['name']} is locked out: no log-in, no API key and no link counts any more.")


@app.command()
def enable(name: PersonName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Let a person in again who was locked out."""
    told = _standing(name, "enable", config)
    if json:
        screen.as_json(told)
    else:
        screen.say(f"{told['name']} may log in again; API keys that were not revoked count again.")


@app.command()
def remove(name: PersonName, yes: Yes = False, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Remove a person for good; the name is never given again."""
    consent("remove the person", f"Remove {name} for good? The name is never given again.", yes=yes)
    told = _standing(name, "remove", config)
    if json:
        screen.as_json(told)
    else:
        screen.say(f"{told['name']} is removed: without roles, password and API keys. The journal keeps the name.")


def _standing(name: str, act: str, config: ConfigFile) -> dict[str, Any]:
    async def change(office: "Office") -> dict[str, Any]:
        from keyrack.service.people import persons

        desk, book = office.administration, office.catalog
        acts = {"disable": persons.disable, "enable": persons.enable, "remove": persons.remove}
        changed = await acts[act](desk, book, await persons.person(desk, book, name))
        return person_json(changed, await instance_names(office))

    return in_office(config, change)


@app.command()
def invite(name: PersonName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Print a link with which a person sets a password, once.

    For somebody who has lost it, or a link that has ended. An older link counts no more.
    """

    async def act(office: "Office") -> tuple[str, str]:
        from keyrack.service.people import letting_in, persons
        from keyrack.shell.links import set_password_link

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, name)
        link = set_password_link(office.config, await letting_in.invite(desk, book, who))
        if not json:
            show_link(office.config, who.name, link, config_option(config))
        return who.name, link

    who, link = in_office(config, act)
    if json:
        screen.as_json({"name": who, "link": link})


@app.command()
def password(
    name: PersonName, password_file: PasswordFile = None, config: ConfigFile = None, json: screen.Json = False
) -> None:
    """Set a person's password here at the machine; all log-ins of the person end."""

    async def act(office: "Office") -> str:
        from keyrack.service.people import letting_in, persons
        from keyrack.service.people.passwords import Passwords

        desk, book = office.administration, office.catalog
        who = await persons.person(desk, book, name)
        text = new_password(password_file, who.name)
        return (await letting_in.set_password(desk, book, Passwords(), who, text)).name

    who = in_office(config, act)
    if json:
        screen.as_json({"name": who, "password": "set"})
    else:
        screen.say(f"The password of {who} is set; log-ins and links of before count no more.")
