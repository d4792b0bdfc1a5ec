"""``keyrack instance configure``, ``activate``, ``deactivate``, ``rename``, ``describe`` and ``remove``."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import Confirm, Yes, confirmed, consent
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office, instance_json

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance, Storage
    from keyrack.shell.office import Office

KeyManagerName = Annotated[
    str | None, typer.Option(metavar="NAME", help="The key manager, if more than one is configured.")
]
RootKey = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Identifier of a root key of the key manager; a terminal shows which there are.",
        show_default=False,
    ),
]
StorageName = Annotated[
    Literal["catalog", "key_manager"] | None,
    typer.Option(
        help="Keep wrapped keys in the catalog alone, or in the key manager as standard keys too. Without it: "
        "key_manager with IBM's, catalog with an embedded one.",
        show_default=False,
    ),
]
HierarchyName = Annotated[
    Literal["direct", "two-level"] | None,
    typer.Option(
        help="The root key wraps each key; or it wraps one wrapping key, which wraps each key and is unwrapped "
        "once: for thousands of keys, or a slow key manager. Without it: direct.",
        show_default=False,
    ),
]
_STATES: Mapping[int, str] = {0: "not active yet", 1: "active", 2: "disabled", 3: "expired", 5: "deleted"}
_NEW = "new"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (status, configure, activate, deactivate, rename, describe, remove):
        app.command()(command)


def status(instance: InstanceName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Tell where an instance is, and why.

    It is Installing, Inactive, Configuring, Installed or Removing; only an installed one serves keys.
    """
    found = in_office(config, lambda office: office.administration.instance(instance))
    if json:
        told = instance_json(found)
        screen.as_json({name: told[name] for name in ("identifier", "name", "status", "reason", "sealed_at")})
        return
    sealed = f", and sealed since {screen.moment(found.sealed_at)}" if found.sealed_at is not None else ""
    screen.say(screen.printable(f"{found.name} is {found.status}{sealed}{_because(found)}."))
    if not found.configured:
        screen.note(f"'keyrack instance configure {found.name}' gives it one, and a root key.")


def _because(found: "Instance") -> str:
    return f": {found.reason}" if found.reason else ""


def configure(
    instance: InstanceName,
    root_key: RootKey = None,
    new_root_key: Annotated[bool, typer.Option("--new-root-key", help="Have the key manager make a new one.")] = False,
    key_manager: KeyManagerName = None,
    storage: StorageName = None,
    hierarchy: HierarchyName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Give an instance its key manager and root key, and put it into service.

    The root key is proved first, while the instance is Configuring; where it is not, the instance is Inactive, and says
    why.
    """
    from keyrack.domain.instances import Hierarchy, Storage
    from keyrack.service.office import installing

    if root_key is not None and new_root_key:
        raise WrongUse("name a root key with --root-key, or have one made with --new-root-key, not both")

    async def act(office: "Office") -> "Instance":
        found = await office.administration.instance(instance)
        name = key_manager or (found.key_manager if found.configured else None) or only(office)
        wanted = root_key or (found.root_key if found.configured and not new_root_key else None)
        if wanted is None and not new_root_key:
            wanted = await picked(office, name)
        where = Storage(storage) if storage else None if found.configured else usual_storage(office, name)
        return await installing.configure(
            office.administration,
            found.identifier,
            installing.Wanted(
                key_manager=name,
                root_key=wanted,
                storage=where,
                hierarchy=Hierarchy(hierarchy) if hierarchy else None,
            ),
        )

    made = in_office(config, act, root_keys=True)
    if json:
        screen.as_json(instance_json(made))
        return
    screen.say(f"Instance {made.name} is {made.status}: root key {made.root_key} of {made.key_manager} wraps its keys.")


def only(office: "Office") -> str | None:
    """The one key manager that there is."""
    every = list(office.config.key_managers)
    return every[0] if len(every) == 1 else None


def usual_storage(office: "Office", key_manager: str | None) -> "Storage":
    """Where wrapped keys are kept if nobody says it: in IBM's key managers the customer wants to see them."""
    from keyrack.domain.instances import Storage

    return Storage.KEY_MANAGER if (key_manager or only(office)) in office.config.of_ibm else Storage.CATALOG


async def picked(office: "Office", key_manager: str | None) -> str | None:
    """The root key that a person picks from those that the key manager lists now; ``None`` for a new one."""
    from keyrack.ports.key_manager import RootKeyAdministration

    manager = office.key_managers.get(key_manager) if key_manager else None
    if key_manager is None or manager is None:
        known = ", ".join(office.config.key_managers)
        raise WrongUse(f"there is more than one key manager ({known}); name one with --key-manager")
    listed = await manager.list_root_keys() if isinstance(manager, RootKeyAdministration) else ()
    if not sys.stdin.isatty():
        told = "; ".join(f"{each.identifier} ({each.name})" for each in listed if each.state == 1)
        raise WrongUse(
            "say which root key: --root-key ID, or --new-root-key. "
            + (f"Key manager {key_manager!r} has: {told}" if told else f"Key manager {key_manager!r} has none")
        )
    screen.note(f"Root keys of {key_manager}:")
    for number, each in enumerate(listed, 1):
        state = _STATES.get(each.state, str(each.state))
        screen.note(f"  {number}  {each.identifier}  {screen.printable(each.name)}  {state}")
    screen.note(f"  {_NEW}  a new one is made")
    answer = typer.prompt("Which", default=_NEW if not listed else "1", err=True).strip()
    if answer == _NEW:
        return None
    if answer.isdecimal() and 1 <= int(answer) <= len(listed):
        return listed[int(answer) - 1].identifier
    raise WrongUse(f"{answer!r} is none of them. Nothing was changed")


def activate(instance: InstanceName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Put a deactivated instance into service again; its clients are served within a second."""
    from keyrack.service.office import instances

    found, new = in_office(config, lambda office: instances.activate(office.administration, instance))
    _tell(found, new, f"Instance {found.name} is {found.status}." if new else f"{found.name} is in service.", json=json)


def deactivate(
    instance: InstanceName,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for those who look at it later.", show_default=False)
    ] = "",
    confirm: Confirm = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Take an instance out of service: none of its clients is served, and nothing of it is lost.

    It counts when the command has answered; connections are closed within a second, in every process.
    """
    from keyrack.service.office import instances

    async def act(office: "Office") -> "tuple[Instance, bool]":
        return await confirmed(
            lambda words: instances.deactivate(
                office.administration, office.catalog, instance, why=reason, confirmation=words
            ),
            confirm,
        )

    found, new = in_office(config, act)
    told = f"Instance {found.name} is {found.status}{_because(found)}."
    _tell(found, new, told, f"'keyrack instance activate {found.name}' puts it into service again.", json=json)


def rename(
    instance: InstanceName,
    name: Annotated[str, typer.Argument(metavar="NEW-NAME", help="Its new name.", show_default=False)],
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Give an instance another name; its keys and clients stay as they are."""
    from keyrack.service.office import instances

    found, new = in_office(config, lambda office: instances.rename(office.administration, instance, name))
    _tell(found, new, f"It is called {found.name} now." if new else f"It is called {found.name} already.", json=json)


def describe(
    instance: InstanceName,
    description: Annotated[str, typer.Argument(metavar="TEXT", help="What it is for; '' for nothing.")],
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Say what an instance is for."""
    from keyrack.service.office import instances

    found, new = in_office(config, lambda office: instances.describe(office.administration, instance, description))
    _tell(found, new, f"{found.name}: {found.description or 'no description'}", json=json)


def remove(instance: InstanceName, yes: Yes = False, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Remove an instance on which nothing hangs any more; the journal keeps what it tells of it.

    In the safe order: deactivate it; destroy and purge its keys; remove its certificates and trusted authorities. What
    is still there is listed, and nothing of it is destroyed.
    """
    from keyrack.service.office import safe_removal

    async def act(office: "Office") -> "Instance":
        found = await office.administration.instance(instance)
        await safe_removal.check(office.catalog, found)
        consent("remove it", f"Remove instance {found.name}? Nothing hangs on it any more.", yes=yes)
        return await safe_removal.remove(office.administration, office.catalog, found.identifier)

    found = in_office(config, act)
    if json:
        screen.as_json({"identifier": found.identifier, "name": found.name, "removed": True})
        return
    screen.say(f"Instance {found.name} is removed.")


def _tell(found: "Instance", new: bool, *lines: str, json: bool) -> None:
    if json:
        screen.as_json(instance_json(found) | {"changed": new})
        return
    for line in lines:
        screen.say(screen.printable(line))
