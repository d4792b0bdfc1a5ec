"""``keyrack instance seal`` and ``unseal``: nobody gets a key of the instance, from now on and in no process."""

from typing import TYPE_CHECKING

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Confirm, Yes, confirmed, consent
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office, instance_json

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.shell.office import Office

_HOSTS = "A running ESXi host keeps the keys that it holds until it restarts."


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(seal)
    app.command()(unseal)


def seal(instance: InstanceName, confirm: Confirm = None, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Seal an instance: no client gets or makes a key of it any more.

    It counts when the command has answered, in every process and on open connections; within a second no process has a
    key of it in memory. Nothing is changed in the key manager.
    """
    from keyrack.service.office import seals

    async def act(office: "Office") -> "tuple[Instance, bool]":
        return await confirmed(
            lambda words: seals.seal(office.administration, office.catalog, instance, confirmation=words), confirm
        )

    sealed, new = in_office(config, act)
    if json:
        screen.as_json(instance_json(sealed) | {"changed": new})
        return
    since = screen.moment(sealed.sealed_at)
    screen.say(f"{sealed.name} is sealed since {since}." if new else f"{sealed.name} was sealed already, at {since}.")
    screen.say(_HOSTS)
    screen.say(f"'keyrack instance unseal {sealed.name}' takes it into use again.")


def unseal(instance: InstanceName, yes: Yes = False, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Unseal an instance: its clients get its keys again, within a second."""
    from keyrack.service.office import seals

    async def act(office: "Office") -> "tuple[Instance, bool]":
        found = await office.administration.instance(instance)
        if found.sealed_at is not None:
            question = f"Unseal {found.name}, sealed since {screen.moment(found.sealed_at)}? Its clients get its keys."
            consent("unseal it", question, yes=yes)
        return await seals.unseal(office.administration, found.identifier)

    found, new = in_office(config, act)
    if json:
        screen.as_json(instance_json(found) | {"changed": new})
        return
    screen.say(f"{found.name} is unsealed." if new else f"{found.name} was not sealed.")
