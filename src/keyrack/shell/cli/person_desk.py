"""What the commands about people share: options, and how people, API keys and log-ins are told."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.domain.rights import Role
from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import WrongUse

if TYPE_CHECKING:
    from keyrack.domain.people import ApiKey, LoginSession, Person
    from keyrack.shell.config.whole import Config
    from keyrack.shell.office import Office


def _role(text: str) -> Role:
    wanted = text.lower().replace("_", "-")
    for role in Role:
        if role == wanted:
            return role
    raise WrongUse(f"there is no role {text!r}; use {', '.join(Role)}, which docs/rights.md explains")


ROLES = ", ".join(Role)
PersonName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the person.", show_default=False)]
RoleName = Annotated[Role, typer.Argument(metavar="ROLE", parser=_role, help=f"{ROLES}.", show_default=False)]
RoleNames = Annotated[
    list[Role] | None,
    typer.Option("--role", metavar="ROLE", parser=_role, help=f"{ROLES}; may be repeated.", show_default=False),
]
OverInstance = Annotated[
    str | None,
    typer.Option("--instance", metavar="NAME", help="Over this instance alone; else everywhere.", show_default=False),
]


async def instance_names(office: "Office") -> Mapping[str, str]:
    """Names of instances by their identifiers."""
    return {each.identifier: each.name for each in await office.catalog.instances()}


def person_json(person: "Person", names: Mapping[str, str]) -> dict[str, Any]:
    """A person as JSON; ``instance`` is ``null`` for a role everywhere."""
    return {
        "identifier": person.identifier,
        "name": person.name,
        "state": person.state,
        "source": person.source,
        "subject": person.subject or None,
        "display": person.display or None,
        "roles": [
            {"role": str(each.role), "instance": names.get(each.instance, each.instance) or None}
            for each in sorted(person.grants)
        ],
        "created_at": screen.instant(person.created_at),
        "created_by": person.created_by,
        "last_login_at": screen.instant(person.last_login_at),
        "disabled_at": screen.instant(person.disabled_at),
    }


def roles_told(roles: Sequence[Mapping[str, Any]]) -> str:
    """The ``roles`` of :func:`person_json` for people."""
    return ", ".join(f"{each['role']} of {each['instance']}" if each["instance"] else each["role"] for each in roles)


def api_key_json(key: "ApiKey", owner: str) -> dict[str, Any]:
    """An API key as JSON, without the key."""
    return {
        "identifier": key.identifier,
        "person": owner,
        "name": key.name,
        "roles": sorted(key.roles) or None,
        "created_at": screen.instant(key.created_at),
        "expires_at": screen.instant(key.expires_at),
        "last_used_at": screen.instant(key.last_used_at),
        "revoked_at": screen.instant(key.revoked_at),
    }


def session_json(session: "LoginSession", owner: str) -> dict[str, Any]:
    """A log-in as JSON; nobody logs in with its identifier."""
    from keyrack.service.people.logins import shown

    return {
        "identifier": shown(session),
        "person": owner,
        "address": session.address,
        "created_at": screen.instant(session.created_at),
        "last_seen_at": screen.instant(session.seen_at),
        "expires_at": screen.instant(session.expires_at),
    }


def show_link(config: "Config", name: str, link: str, option: str) -> None:
    """A one-time link, for people."""
    screen.say(f"With this link {name} sets a password, once, within 24 hours:")
    screen.say(f"  {link}")
    screen.say("Without a browser, at this machine:")
    screen.say(f"  keyrack person password {name}{option}")
    if not config.api.enabled:
        screen.warn("the administration API is off: write enabled = true into [api] before the link is used")


def config_option(config: Path | None) -> str:
    """The option that the next command needs as well."""
    return f" --config {config}" if config else ""
