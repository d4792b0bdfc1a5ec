"""``keyrack iam``: service IDs, their API keys, and the roles that they are granted in the embedded key manager."""

from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.embedded.iam.rights import MATRIX, WHOLE_INSTANCE, Right, Role
from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Yes, consent
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.iam_desk import (
    AllInstances,
    InstanceOf,
    KeyManagerName,
    KeyName,
    KeyRingName,
    NewServiceId,
    RoleName,
    RoleNames,
    Scope,
    ServiceIdName,
    api_key_json,
    at_desk,
    instance_names,
    over,
    service_id_json,
)
from keyrack.shell.cli.options import ConfigFile

if TYPE_CHECKING:
    from keyrack.embedded.iam.records import ServiceId

app = typer.Typer(name="iam", help="Who may use the key manager's API, and for what.", no_args_is_help=True)
service_id_app = typer.Typer(name="service-id", help="Identities of programs.", no_args_is_help=True)
api_key_app = typer.Typer(name="api-key", help="What programs show to get a token.", no_args_is_help=True)
app.add_typer(service_id_app)
app.add_typer(api_key_app)


@service_id_app.command("create")
def create_service_id(
    name: NewServiceId,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.", show_default=False)] = "",
    roles: RoleNames = None,
    instance: InstanceOf = None,
    all_instances: AllInstances = False,
    key_ring: KeyRingName = None,
    key: KeyName = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a service ID, with roles or without."""
    from keyrack.embedded.iam import service_ids

    scope = Scope(instance, all_instances, key_ring, key)
    if not roles and scope != Scope(None, False, None, None):
        raise WrongUse("nothing says which role is granted there; add --role, as 'keyrack iam roles' shows them")
    with at_desk(config, key_manager) as (house, caller):
        grants = scope.grants(house, roles) if roles else []
        made = service_ids.create_service_id(house, caller, name, description, grants)
        names = instance_names(house)
    if json:
        screen.as_json(service_id_json(made, names))
        return
    screen.say(f"Service ID {made.name} is made.")
    rows = [("identifier", made.identifier), *((f"{each.role}", over(each, names)) for each in made.grants)]
    screen.pairs(rows)
    if not grants:
        screen.warn(f"it may do nothing yet; grant it a role with 'keyrack iam grant {made.name} --role Reader'")
    screen.say()
    screen.say("Next, an API key for it:")
    screen.say(f"  keyrack iam api-key create {made.name}" + (f" --config {config}" if config else ""))


@service_id_app.command("list")
def list_service_ids(key_manager: KeyManagerName = None, config: ConfigFile = None, json: screen.Json = False) -> None:
    """List the service IDs: a line for each role that they are granted."""
    from keyrack.embedded.iam import service_ids

    with at_desk(config, key_manager) as (house, _):
        found = sorted(service_ids.service_ids(house), key=lambda each: each.name)
        names = instance_names(house)
    if json:
        screen.as_json([service_id_json(each, names) for each in found])
    elif not found:
        screen.note("No service ID yet; make one with 'keyrack iam service-id create NAME --role ROLE'.")
    else:
        rows = [
            (each.name, grant and grant.role, grant and over(grant, names), len(each.api_keys), each.identifier)
            for each in found
            for grant in (each.grants or (None,))
        ]
        screen.table(("name", "role", "over", "api keys", "identifier"), rows)


@service_id_app.command("delete")
def delete_service_id(
    service_id: ServiceIdName,
    yes: Yes = False,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Delete a service ID with its roles and its API keys, at once."""
    from keyrack.embedded.iam import service_ids

    with at_desk(config, key_manager) as (house, caller):
        with house.reading() as reading:
            found = service_ids.named(reading, service_id)
        keys = screen.count(len(found.api_keys), "API key")
        consent("delete it", f"Delete the service ID {found.name} with {keys}?", yes=yes)
        service_ids.delete_service_id(house, caller, found.identifier)
    if json:
        screen.as_json({"identifier": found.identifier, "name": found.name, "deleted": True})
    else:
        screen.say(f"Deleted {found.name}: its API keys and its tokens count no more.")


@api_key_app.command("create")
def create_api_key(
    service_id: ServiceIdName,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the API key; 'key-1' and so on without it.")
    ] = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make an API key and print it, this one time."""
    from keyrack.embedded.iam import service_ids

    with at_desk(config, key_manager) as (house, caller):
        with house.reading() as reading:
            found = service_ids.named(reading, service_id)
        made, key = service_ids.create_api_key(house, caller, found.identifier, name or _free_name(found))
    with key:
        text = key.reveal().decode()
        if json:
            screen.as_json(api_key_json(found, made) | {"api_key": text})
        else:
            screen.say(text)
    screen.note(f"API key {made.name} of {found.name}, {made.identifier}.")
    screen.warn("it is shown this one time and kept nowhere: put it where the program alone reads it")


@api_key_app.command("list")
def list_api_keys(
    service_id: Annotated[
        str | None, typer.Argument(metavar="[SERVICE_ID]", help="Only this one's.", show_default=False)
    ] = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List API keys, without the keys."""
    from keyrack.embedded.iam import service_ids

    with at_desk(config, key_manager) as (house, _), house.reading() as reading:
        owners = [service_ids.named(reading, service_id)] if service_id else reading.service_ids()
    owners.sort(key=lambda each: each.name)
    found = [(owner, key) for owner in owners for key in owner.api_keys]
    if json:
        screen.as_json([api_key_json(owner, key) for owner, key in found])
    elif not found:
        screen.note("No API key yet; make one with 'keyrack iam api-key create SERVICE_ID'.")
    else:
        screen.table(
            ("service id", "name", "created", "identifier"),
            [(owner.name, key.name, screen.moment(key.created_at), key.identifier) for owner, key in found],
        )


@api_key_app.command("delete")
def delete_api_key(
    service_id: ServiceIdName,
    api_key: Annotated[
        str, typer.Argument(metavar="API_KEY", help="Name or identifier of the API key.", show_default=False)
    ],
    yes: Yes = False,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Delete an API key, at once.

    Tokens that were given for it count no more.
    """
    from keyrack.embedded.iam import service_ids

    with at_desk(config, key_manager) as (house, caller):
        with house.reading() as reading:
            found = service_ids.named(reading, service_id)
        chosen = service_ids.api_key_named(found, api_key)
        consent("delete it", f"Delete the API key {chosen.name} of {found.name}?", yes=yes)
        gone = service_ids.remove_api_key(house, caller, found.identifier, chosen.identifier)
    if json:
        screen.as_json(api_key_json(found, gone) | {"deleted": True})
    else:
        screen.say(f"Deleted the API key {gone.name} of {found.name}: it and its tokens count no more.")


@app.command()
def grant(
    service_id: ServiceIdName,
    role: RoleName,
    instance: InstanceOf = None,
    all_instances: AllInstances = False,
    key_ring: KeyRingName = None,
    key: KeyName = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Grant a role; it counts at the next request."""
    from keyrack.embedded.iam import service_ids

    with at_desk(config, key_manager) as (house, caller):
        [wanted] = Scope(instance, all_instances, key_ring, key).grants(house, [role])
        changed = service_ids.grant(house, caller, service_id, wanted)
        names = instance_names(house)
    if json:
        screen.as_json(service_id_json(changed, names))
    else:
        screen.say(f"{changed.name} is {role} over {over(wanted, names)}.")


@app.command()
def revoke(
    service_id: ServiceIdName,
    role: RoleName,
    instance: InstanceOf = None,
    all_instances: AllInstances = False,
    key_ring: KeyRingName = None,
    key: KeyName = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Take a role back; it counts at the next request.

    It has to be granted over exactly what is named.
    """
    from keyrack.embedded.iam import service_ids

    with at_desk(config, key_manager) as (house, caller):
        [unwanted] = Scope(instance, all_instances, key_ring, key).grants(house, [role], there=False)
        changed = service_ids.revoke(house, caller, service_id, unwanted)
        names = instance_names(house)
    if json:
        screen.as_json(service_id_json(changed, names))
        return
    screen.say(f"{changed.name} is no longer {role} over {over(unwanted, names)}.")
    for each in changed.grants:
        screen.say(f"It still is {each.role} over {over(each, names)}.")


@app.command("rotate-signing-key")
def rotate_signing_key(
    key_manager: KeyManagerName = None, config: ConfigFile = None, json: screen.Json = False
) -> None:
    """Sign tokens with a new key from now on.

    For when the old one may be known to somebody: what that one signs counts for an hour and a minute more.
    """
    from keyrack.embedded.iam import signing

    with at_desk(config, key_manager) as (house, caller):
        signing.rotate_signing_key(house, caller)
        kid, over = str(signing.signing_key(house).kid), screen.instant(house.now + signing.LIFETIME + signing.MARGIN)
    if json:
        screen.as_json({"kid": kid, "older_tokens_are_over_at": over})
    else:
        screen.say(f"Tokens are signed with the new key {kid} from now on.")
        screen.say(f"Those that are given already count until they are over, until {over} at the latest.")


@app.command()
def roles(json: screen.Json = False) -> None:
    """Show which role gives which right."""
    if json:
        screen.as_json({role: [right for right in Right if right in MATRIX[role]] for role in Role})
        return
    screen.table(
        ("right", *Role),
        [(_marked(right), *("yes" if right in MATRIX[role] else "" for role in Role)) for right in Right],
    )
    screen.say("* over a key manager instance as a whole: a role over a key ring or a key does not give it")


def _marked(right: Right) -> str:
    return f"{right} *" if right in WHOLE_INSTANCE else right.value


def _free_name(owner: "ServiceId") -> str:
    taken = {each.name for each in owner.api_keys}
    return next(name for number in range(1, len(taken) + 2) if (name := f"key-{number}") not in taken)
