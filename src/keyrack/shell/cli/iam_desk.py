"""What the commands of ``keyrack iam`` share: options, the open key manager, and how grants and API keys are told."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.embedded.iam.rights import Role
from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import account, ask_passphrase

if TYPE_CHECKING:
    from keyrack.embedded.call import Caller
    from keyrack.embedded.house import House
    from keyrack.embedded.iam.records import ApiKey, Grant, ServiceId

NewServiceId = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the new service ID, for example backup.", show_default=False)
]
ServiceIdName = Annotated[
    str, typer.Argument(metavar="SERVICE_ID", help="Name or identifier of the service ID.", show_default=False)
]
KeyManagerName = Annotated[
    str | None, typer.Option("--key-manager", metavar="NAME", help="The key manager, if more than one is configured.")
]


def _role(text: str) -> Role:
    for role in Role:
        if role.lower() == text.lower():
            return role
    raise WrongUse(f"there is no role {text!r}; 'keyrack iam roles' shows {', '.join(Role)}")


RoleName = Annotated[
    Role, typer.Option("--role", metavar="ROLE", parser=_role, help=f"{', '.join(Role)}; see 'keyrack iam roles'.")
]
RoleNames = Annotated[
    list[Role] | None,
    typer.Option("--role", metavar="ROLE", parser=_role, help=f"A role to grant: {', '.join(Role)}; may be repeated."),
]
InstanceOf = Annotated[
    str | None,
    typer.Option("--instance", metavar="NAME", help="The key manager instance; without it the first one is meant."),
]
AllInstances = Annotated[
    bool, typer.Option("--all-instances", help="Over every key manager instance, also those that are made later.")
]
KeyRingName = Annotated[str | None, typer.Option("--key-ring", metavar="RING", help="Over this key ring alone.")]
KeyName = Annotated[str | None, typer.Option("--key", metavar="KEY", help="Over this key alone: identifier or alias.")]


@dataclass(frozen=True, slots=True)
class Scope:
    """What the options say a grant is over."""

    instance: str | None
    all_instances: bool
    ring: str | None
    key: str | None

    def grants(self, house: "House", roles: Sequence[Role], *, there: bool = True) -> "list[Grant]":
        """The grants that are meant; a key that need not be ``there`` may be gone."""
        from keyrack.embedded.errors import KeyNotFound
        from keyrack.embedded.iam.records import Grant
        from keyrack.embedded.tenancy import instance_named, instances

        if self.all_instances:
            if self.instance or self.ring or self.key:
                raise WrongUse("--all-instances is over everything: leave --instance, --key-ring and --key out")
            return [Grant(role=role) for role in roles]
        instance = instance_named(house, self.instance) if self.instance else next(iter(instances(house)), None)
        if instance is None:
            raise Failed("there is no key manager instance yet; say --all-instances, or make one first")
        key = self.key
        if key is not None:
            try:
                with house.reading() as reading:
                    key = reading.key(instance.identifier, key).identifier
            except KeyNotFound:
                if there:
                    raise
        return [Grant(role=role, instance=instance.identifier, ring=self.ring, key=key) for role in roles]


@contextmanager
def at_desk(config: Path | None, key_manager: str | None) -> "Iterator[tuple[House, Caller]]":
    """Open the key manager; a server may serve meanwhile, and what is changed counts there at once."""
    import sqlite3

    from keyrack.embedded.call import Caller
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.office import open_house_of

    house = open_house_of(load(find(config)), key_manager, ask_passphrase if sys.stdin.isatty() else None)
    try:
        yield house, Caller(identity=f"local-user-{account()}")
    except sqlite3.Error as error:
        raise Failed(f"the key manager's database fails: {error}; nothing was changed, try again") from error
    finally:
        house.close()


def instance_names(house: "House") -> Mapping[str, str]:
    """The names of the key manager instances by their identifiers."""
    from keyrack.embedded.tenancy import instances

    return {each.identifier: each.name for each in instances(house)}


def over(grant: "Grant", names: Mapping[str, str]) -> str:
    """What a grant is over, in words."""
    if grant.instance is None:
        return "every key manager instance"
    instance = names.get(grant.instance, grant.instance)
    if grant.ring is not None:
        return f"key ring {grant.ring} of {instance}"
    return f"key {grant.key} of {instance}" if grant.key is not None else f"key manager instance {instance}"


def service_id_json(service_id: "ServiceId", names: Mapping[str, str]) -> dict[str, object]:
    """A service ID as JSON."""
    return {
        "identifier": service_id.identifier,
        "name": service_id.name,
        "description": service_id.description,
        "created_at": screen.instant(service_id.created_at),
        "created_by": service_id.created_by,
        "grants": [
            {
                "role": each.role,
                "instance": each.instance,
                "instance_name": names.get(each.instance or ""),
                "key_ring": each.ring,
                "key": each.key,
            }
            for each in service_id.grants
        ],
        "api_keys": len(service_id.api_keys),
    }


def api_key_json(owner: "ServiceId", api_key: "ApiKey") -> dict[str, object]:
    """An API key as JSON, without the key."""
    return {
        "identifier": api_key.identifier,
        "name": api_key.name,
        "service_id": owner.identifier,
        "service_id_name": owner.name,
        "created_at": screen.instant(api_key.created_at),
        "created_by": api_key.created_by,
    }
