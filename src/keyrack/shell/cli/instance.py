"""``keyrack instance``: create an instance, list all, show one."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyrack.shell.cli import adopt, instance_moves, instance_seals, screen
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office, instance_json

if TYPE_CHECKING:
    from keyrack.domain.instances import Storage
    from keyrack.shell.office import Office

app = typer.Typer(name="instance", help="Instances, each with its root key.", no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new instance, for example prod.")],
    root_key: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Identifier of a root key of the key manager; a new one is made without it."),
    ] = None,
    key_manager: Annotated[
        str | None, typer.Option(metavar="NAME", help="The key manager, if more than one is configured.")
    ] = None,
    storage: Annotated[
        Literal["catalog", "key_manager"] | None,
        typer.Option(
            help="Keep wrapped keys in the catalog alone, or in the key manager as standard keys too. Without it: "
            "key_manager with IBM's, catalog with an embedded one.",
            show_default=False,
        ),
    ] = None,
    hierarchy: Annotated[
        Literal["direct", "two-level"],
        typer.Option(
            help="The root key wraps each key; or it wraps one wrapping key, which wraps each key and is unwrapped "
            "once: for thousands of keys, or a slow key manager."
        ),
    ] = "direct",
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Create an instance; it is usable at once.

    Before anything is written, its root key wraps and unwraps something.
    """
    from keyrack.domain.instances import Hierarchy

    made = in_office(
        config,
        lambda office: office.administration.create_instance(
            name,
            key_manager=key_manager,
            root_key=root_key,
            storage=_storage(office, key_manager, storage),
            hierarchy=Hierarchy(hierarchy),
        ),
        root_keys=True,
    )
    if json:
        screen.as_json(instance_json(made))
        return
    screen.say(f"Instance {made.name} is {made.status}.")
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
    option = f" --config {config}" if config else ""
    screen.say("Next, let a client in, by the certificate that vCenter shows, or by a pair that is made here:")
    screen.say(f"  keyrack cert add {made.name} FILE{option}")
    screen.say(f"  keyrack cert issue {made.name} --out DIR{option}")


def _storage(office: "Office", key_manager: str | None, wanted: str | None) -> "Storage":
    """Where wrapped keys are kept if nobody says it: in IBM's key managers the customer wants to see them."""
    from keyrack.domain.instances import Storage

    if wanted is not None:
        return Storage(wanted)
    of_ibm, every = office.config.of_ibm, list(office.config.key_managers)
    name = key_manager or (every[0] if len(every) == 1 else None)
    return Storage.KEY_MANAGER if name in of_ibm else Storage.CATALOG


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
        screen.table([c.replace("_", " ") for c in columns], [[row[column] for column in columns] for row in cells])


@app.command()
def show(instance: InstanceName, config: ConfigFile = None, json: screen.Json = False) -> None:
    """Show one instance: root key, certificates, keys by state."""
    from collections import Counter

    async def look(office: "Office") -> dict[str, object]:
        found = await office.administration.instance(instance)
        certificates = await office.administration.certificates(found)
        states = Counter(key.state.title for key in await office.administration.keys(found))
        return instance_json(found) | {
            "certificates": [{"fingerprint": c.fingerprint, "subject": c.subject} for c in certificates],
            "keys": dict(states),
            **await _care(office, found.identifier),
        }

    found = in_office(config, look)
    if json:
        screen.as_json(found)
        return
    certificates, keys = found.pop("certificates"), found.pop("keys")
    assert isinstance(certificates, list)
    assert isinstance(keys, dict)
    if isinstance(former := found["moving_from"], dict):
        found["moving_from"] = f"{former['root_key']} of {former['key_manager']}"
    rows = [(name.replace("_", " "), value) for name, value in found.items() if value is not None]
    rows.append(("keys", ", ".join(f"{count} {state}" for state, count in keys.items()) or "none"))
    rows += [("certificate", f"{c['fingerprint'][:16]}  {c['subject']}") for c in certificates] or [
        ("certificates", "none")
    ]
    screen.pairs(rows)
    if "trouble" in dict(rows):
        screen.note("Its root key cannot be used; 'keyrack doctor' says why, and what to do.")


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
instance_seals.register(app)
instance_moves.register(app)
adopt.register(app)
