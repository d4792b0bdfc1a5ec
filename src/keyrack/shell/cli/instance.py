"""``keyrack instance``: create an instance, list all, show one."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import adopt, instance_life, instance_moves, instance_rules, instance_seals, screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.instance_life import HierarchyName, KeyManagerName, StorageName, usual_storage
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office, instance_json

if TYPE_CHECKING:
    from keyrack.service.office import installing
    from keyrack.shell.office import Office

app = typer.Typer(name="instance", help="Instances, each with its root key.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Name of the new instance, for example prod; else it gets kmip-xx."),
    ] = None,
    root_key: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Identifier of a root key of the key manager; a new one is made without it."),
    ] = None,
    key_manager: KeyManagerName = None,
    storage: StorageName = None,
    hierarchy: HierarchyName = None,
    description: Annotated[str, typer.Option(metavar="TEXT", help="What it is for.", show_default=False)] = "",
    later: Annotated[
        bool, typer.Option("--later", help="Without key manager and root key: 'instance configure' gives them.")
    ] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Create an instance; it is usable at once.

    Before it serves, its root key wraps and unwraps something.
    """
    from keyrack.domain.instances import Hierarchy, Storage
    from keyrack.service.office import installing

    if later and (root_key, key_manager, storage, hierarchy) != (None, None, None, None):
        raise WrongUse("--later makes an instance without a home: give that to 'keyrack instance configure'")

    def wanted(office: "Office") -> "installing.Wanted":
        return installing.Wanted(
            key_manager=key_manager,
            root_key=root_key,
            storage=Storage(storage) if storage else usual_storage(office, key_manager),
            hierarchy=Hierarchy(hierarchy) if hierarchy else None,
        )

    made = in_office(
        config,
        lambda office: installing.create(
            office.administration, name, None if later else wanted(office), description=description
        ),
        root_keys=not later,
    )
    if json:
        screen.as_json(instance_json(made))
        return
    screen.say(f"Instance {made.name} is {made.status}.")
    option = f" --config {config}" if config else ""
    if later:
        screen.say("Next, give it a key manager and a root key; the terminal shows which there are:")
        screen.say(f"  keyrack instance configure {made.name}{option}")
        return
    screen.pairs(
        [
            ("identifier", made.identifier),
            ("key manager", made.key_manager),
            ("root key", made.root_key),
            ("storage", made.storage),
            ("hierarchy", made.hierarchy),
        ]
    )
    screen.say()
    screen.say("Next, let a client in, by the certificate that vCenter shows, or by a pair that is made here:")
    screen.say(f"  keyrack cert add {made.name} FILE{option}")
    screen.say(f"  keyrack cert issue {made.name} --out DIR{option}")


@app.command("list")
def list_all(config: ConfigFile = None, json: screen.Json = False) -> None:
    """List all instances."""
    from collections import Counter

    async def look(office: "Office") -> list[dict[str, object]]:
        held = Counter(certificate.instance for certificate in await office.administration.certificates())
        return [
            instance_json(instance) | {"certificates": held[instance.identifier]}
            for instance in await office.administration.instances()
        ]

    found = in_office(config, look)
    if json:
        screen.as_json(found)
    elif not found:
        screen.note("No instance yet; create one with 'keyrack instance create NAME'.")
    else:
        columns = ("name", "status", "key_manager", "root_key", "storage", "certificates", "created_at")
        cells = [
            row
            | {
                "status": f"{row['status']}, sealed" if row["sealed_at"] else row["status"],
                "created_at": screen.brief(str(row["created_at"])),
            }
            for row in found
        ]
        screen.table(
            [c.replace("_", " ") for c in columns],
            [[row[column] for column in columns] for row in cells],
            spare=("storage", "created at", "key manager"),
        )
        for row in found:
            if row["reason"]:
                screen.note(screen.printable(f"{row['name']}: {row['reason']}"))


@app.command()
def show(instance: InstanceName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Show one instance: root key, certificates, keys by state."""
    from collections import Counter

    async def look(office: "Office") -> dict[str, Any]:
        found = await office.administration.instance(instance)
        certificates = await office.administration.certificates(found)
        states = Counter(key.state.title for key in await office.administration.keys(found))
        return instance_json(found) | {
            "usage": await instance_rules.usage(office, found.identifier),
            "certificates": [{"fingerprint": c.fingerprint, "subject": c.subject} for c in certificates],
            "keys": dict(states),
            **await _care(office, found.identifier),
        }

    found = in_office(config, look)
    if json:
        screen.as_json(found)
        return
    screen.pairs(_rows(found))
    if found["trouble"] is not None:
        screen.note("Its root key cannot be used; 'keyrack doctor' says why, and what to do.")


def _rows(found: dict[str, Any]) -> list[tuple[str, Any]]:
    """What JSON tells of an instance, for people: what is not there is left out."""
    certificates, keys, used, quotas = (found.pop(each) for each in ("certificates", "keys", "usage", "quotas"))
    if former := found["moving_from"]:
        found["moving_from"] = f"{former['root_key']} of {former['key_manager']}"
    if credential := found["credential"]:
        found["credential"] = f"{credential['username']}, {'required' if credential['required'] else 'if it is sent'}"
    rows = [(name.replace("_", " "), value) for name, value in found.items() if value not in (None, "")]
    rows += instance_rules.quota_rows(quotas, used)
    rows.append(("keys", ", ".join(f"{count} {state}" for state, count in keys.items()) or "none"))
    rows += [("certificate", f"{each['fingerprint'][:16]}  {each['subject']}") for each in certificates]
    return rows if certificates else [*rows, ("certificates", "none")]


async def _care(office: "Office", identifier: str) -> dict[str, object]:
    """What the server has found out of the instance, and what is still to be deleted in its key manager."""
    found = (await office.catalog.validations()).get(identifier)
    leftovers = await office.catalog.leftovers(identifier)
    return {
        "validated_at": screen.instant(found.at) if found else None,
        "trouble": (found.reason or None) if found else None,
        "withheld": found.withheld if found else 0,
        "behind_a_rotation": found.behind if found else 0,
        "unknown_standard_keys": found.strangers if found else 0,
        "standard_keys_to_delete": len(leftovers),
    }


# What is done first stands first in the help.
instance_life.register(app)
instance_rules.register(app)
instance_seals.register(app)
instance_moves.register(app)
adopt.register(app)
