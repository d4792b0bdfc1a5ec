"""``keyrack key``: the keys of an instance, by the names that vCenter gave them. Never their material."""

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from keyrack.domain.objects import ManagedObject
    from keyrack.shell.office import Office
    from keyrack.spec.enumerations import State

app = typer.Typer(name="key", help="Keys: what an instance holds.", no_args_is_help=True)


@app.command("list")
def list_all(
    instance: InstanceName,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only keys in this state, for example active or pre-active.")
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the keys of an instance, oldest first."""
    wanted = _state(state)

    async def look(office: "Office") -> list[dict[str, Any]]:
        found = await office.administration.instance(instance)
        fetched = await office.administration.last_fetches(found)
        return [
            row_of(key, fetched.get(key.unique_identifier)) for key in await office.administration.keys(found, wanted)
        ]

    rows = in_office(config, look)
    if json:
        screen.as_json(rows)
    elif not rows:
        screen.note(f"{instance} has no key{' in this state' if state else ' yet; vCenter makes them'}.")
    else:
        screen.table(
            ("id", "state", "algorithm", "created", "name", "component", "identifier", "last fetch"),
            [_cells(row) for row in rows],
        )


@app.command()
def show(
    instance: InstanceName,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its Unique Identifier, or the beginning of it.")],
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Show one key with all its attributes.

    Its material is never shown.
    """

    async def look(office: "Office") -> tuple[dict[str, Any], dict[str, Any]]:
        found = await office.administration.instance(instance)
        managed = await office.administration.key(found, key)
        fetched = await office.administration.last_fetches(found)
        return row_of(managed, fetched.get(managed.unique_identifier)), _attributes(managed)

    row, attributes = in_office(config, look)
    if json:
        screen.as_json(row | {"attributes": attributes})
        return
    screen.pairs([(name.replace("_", " "), value) for name, value in row.items() if value is not None])
    screen.say()
    screen.pairs([(name, "; ".join(values)) for name, values in attributes.items()])


def _state(text: str | None) -> "State | None":
    from keyrack.spec.enumerations import State

    if text is None:
        return None
    wanted = text.replace("_", "-").replace(" ", "-").lower()
    named = {state.title.replace(" ", "-").lower(): state for state in State}
    if wanted not in named:
        raise WrongUse(f"{text!r} is not a state; use one of: {', '.join(named)}")
    return named[wanted]


def row_of(key: "ManagedObject", fetched: int | None) -> dict[str, Any]:
    """What is told of a key; ``fetched`` in seconds since 1970."""
    return {
        "unique_identifier": key.unique_identifier,
        "object_type": key.object_type.title,
        "state": key.state.title,
        "algorithm": _algorithm(key),
        "created_at": screen.instant(key.value("Initial Date")),
        "name": _custom(key, "x-Name") or _name(key),
        "component": _custom(key, "x-Component"),
        "identifier": _custom(key, "x-Identifier"),
        "last_fetch": screen.instant(fetched),
        "standard_key": key.standard_key,
        "withheld_since": screen.instant(key.withheld_at),
    }


def _cells(row: dict[str, Any]) -> list[Any]:
    return [
        screen.shortened(row["unique_identifier"]),
        f"{row['state']}, withheld" if row["withheld_since"] else row["state"],
        row["algorithm"],
        screen.brief(row["created_at"]),
        row["name"],
        row["component"],
        screen.shortened(row["identifier"]),
        screen.brief(row["last_fetch"]),
    ]


def _algorithm(key: "ManagedObject") -> str | None:
    algorithm, length = key.value("Cryptographic Algorithm"), key.value("Cryptographic Length")
    if algorithm is None:
        return None
    title = getattr(algorithm, "title", None)
    named = title if isinstance(title, str) else hex(algorithm)
    return f"{named}-{length}" if length else named


def _custom(key: "ManagedObject", name: str) -> str | None:
    value = key.value(name)
    return str(getattr(value, "value", value)) if value is not None else None


def _name(key: "ManagedObject") -> str | None:
    value = key.value("Name")
    return str(value.name_value) if value is not None else None


def _attributes(key: "ManagedObject") -> dict[str, list[str]]:
    return {name: [_told(name, indexed.value) for indexed in held] for name, held in sorted(key.attributes.items())}


def _told(name: str, value: Any) -> str:
    """A value for people: words for numbers, times for seconds, digits for bytes."""
    from keyrack.spec.attributes import ATTRIBUTES
    from keyrack.spec.enumerations import CryptographicUsageMask
    from keyrack.spec.types import CustomValue, DateTime

    if isinstance(value, CustomValue):
        return _plain(value.value)
    if name == "Cryptographic Usage Mask":
        return ", ".join(_words(mask.name) for mask in CryptographicUsageMask if value & mask) or "none"
    if name in ATTRIBUTES and ATTRIBUTES[name].type == DateTime:
        return screen.instant(value) or "-"
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(title := getattr(value, "title", None), str):
        return title
    if is_dataclass(value):
        parts = ((each.name, getattr(value, each.name)) for each in fields(value))
        return ", ".join(f"{name.replace('_', ' ')} {_plain(part)}" for name, part in parts if part is not None)
    return str(value)


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ").title()
