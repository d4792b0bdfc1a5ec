"""``keyrack key-manager check`` and ``list``: what is configured, and whether it does what Keyrack will ask of it."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, administrator, ask_passphrase

if TYPE_CHECKING:
    from keyrack.ports.key_manager import Checked
    from keyrack.shell.config.whole import Config

_MARKS: Mapping[str, tuple[str, screen.Colour]] = {
    "well": ("✓", "green"),
    "remark": ("!", "yellow"),
    "failed": ("✗", "red"),
    "skipped": ("–", "dim"),
}
_WIDTH = 20
_COLUMNS = ("name", "type", "address", "instance", "key ring", "identity")


def check(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Its name in the configuration; without it all are.", show_default=False),
    ] = None,
    root_key: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="The root key to try; without it one that an instance uses, else the first active one.",
            show_default=False,
        ),
    ] = None,
    no_write: Annotated[
        bool, typer.Option("--no-write", help="Make no standard key to read, compare and delete.")
    ] = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Try out a key manager, step by step, with what Keyrack will ask of it.

    ✓ does, ! works and is worth knowing, ✗ has to be changed, – was left out. It asks nothing of the server. Exit code
    3 when something failed.
    """
    import asyncio

    from keyrack.shell.config.whole import find, load

    loaded = load(find(config))
    if name is not None and name not in loaded.key_managers:
        raise WrongUse(f"no key manager {name!r} is configured; use one of: {', '.join(loaded.key_managers)}")
    names = [name] if name is not None else list(loaded.key_managers)
    if root_key is not None and len(names) > 1:
        raise WrongUse(f"--root-key is one key manager's: name it as well, one of {', '.join(names)}")
    results = {each: asyncio.run(_checked(loaded, each, root_key, write=not no_write, json=json)) for each in names}
    failed = any(checked.verdict == "failed" for checks in results.values() for checked in checks)
    if json:
        screen.as_json({"ok": not failed, "key_managers": [_json(each, checks) for each, checks in results.items()]})
    raise typer.Exit(UNHEALTHY if failed else OK)


async def _checked(config: "Config", name: str, root_key: str | None, *, write: bool, json: bool) -> "list[Checked]":
    """Every step, told as it comes."""
    from keyrack.ports.key_manager import ChecksItself
    from keyrack.service.health.trial import trial
    from keyrack.shell.office import open_key_manager

    if not json:
        screen.say(f"{name}, {_described(config, name)}")
    manager = open_key_manager(config, name, ask_passphrase if sys.stdin.isatty() else None)
    checks: list[Checked] = []
    try:
        wanted = root_key or await _in_use(config, name)
        steps = (
            manager.check(wanted, write=write)
            if isinstance(manager, ChecksItself)
            else trial(manager, wanted, write=write)
        )
        async for checked in steps:
            checks.append(checked)
            if not json:
                mark, colour = _MARKS[checked.verdict]
                begin = f"  {screen.paint(mark, colour)} {checked.what:<{_WIDTH}} "
                screen.hanging(begin, _WIDTH + 5, checked.told)
                sys.stdout.flush()
    finally:
        await manager.close()
    return checks


async def _in_use(config: "Config", name: str) -> str | None:
    """The root key of an instance that uses this key manager, as far as there is a catalog to tell."""
    from keyrack.ports.catalog import CatalogUnavailable
    from keyrack.shell.config.problems import ConfigError
    from keyrack.shell.office import open_office

    try:
        async with open_office(config, administrator()) as office:
            instances = await office.administration.instances()
    except (ConfigError, CatalogUnavailable):
        return None
    return next((each.root_key for each in instances if each.key_manager == name), None)


def _json(name: str, checks: "Sequence[Checked]") -> dict[str, Any]:
    return {
        "name": name,
        "checks": [{"what": each.what, "verdict": str(each.verdict), "told": each.told} for each in checks],
    }


def list_all(config: ConfigFile = None, json: screen.Json = False) -> None:
    """List the configured key managers; nothing is asked of them."""
    from keyrack.shell.config.whole import find, load

    loaded = load(find(config))
    rows = [_row(loaded, name) for name in loaded.key_managers]
    if json:
        screen.as_json(rows)
    else:
        screen.table(_COLUMNS, [[row[column.replace(" ", "_")] for column in _COLUMNS] for row in rows])


def _row(config: "Config", name: str) -> dict[str, Any]:
    table = config.of_ibm.get(name)
    if table is not None:
        second = f"; deleting: {table.deleting.kind}" if table.deleting is not None else ""
        return {
            "name": name,
            "type": table.kind,
            "address": table.address,
            "instance": table.instance,
            "key_ring": table.key_ring,
            "identity": table.iam.kind + second,
        }
    embedded = config.embedded[name]
    return {
        "name": name,
        "type": "embedded",
        "address": str(config.path(embedded.keystore)),
        "instance": None,
        "key_ring": None,
        "identity": f"opened by {_opener(embedded.unlock.model_dump())}",
    }


def _opener(unlock: Mapping[str, Any]) -> str:
    return next(name.replace("_", " ") for name, value in unlock.items() if value not in (None, False))


def _described(config: "Config", name: str) -> str:
    row = _row(config, name)
    instance = f", instance {row['instance']}" if row["instance"] else ""
    return f"{row['type']} at {row['address']}{instance}"
