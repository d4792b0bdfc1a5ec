"""``keyrack audit``: the journals of the deployment and of its key managers, and whether anybody has changed them."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import audit_keeping, audit_reading, audit_verifying, screen
from keyrack.shell.cli.audit_options import OfKey, show
from keyrack.shell.cli.options import ConfigFile, ask_passphrase, in_office

if TYPE_CHECKING:
    from keyrack.domain.instances import Instance
    from keyrack.embedded.house import House
    from keyrack.shell.config.whole import Config
    from keyrack.shell.office import Office

app = typer.Typer(name="audit", help="The journal: who did what, and the proof of it.", no_args_is_help=True)

CatalogOnly = Annotated[
    bool, typer.Option("--catalog-only", help="Leave out what the key managers wrote; they need not open then.")
]


@app.command()
def verify(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="An exported journal, in the place of the deployment's.", show_default=False
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What was kept elsewhere: exported checkpoints, or heads that 'audit verify --json' printed.",
        ),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The public key that has to have signed the checkpoints.")
    ] = None,
    catalog_only: CatalogOnly = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """See whether the journal is as written.

    That of the catalog, by its chains and its signed checkpoints, and those of the key managers; or an exported one.
    Exit code 0 when all are, 1 when not.
    """
    if file is not None:
        raise typer.Exit(audit_verifying.of_export(file, key, json=json))
    evidence = audit_verifying.gathered(against, key)
    with key_managers(config, none=catalog_only) as (houses, closed):
        elsewhere, others = audit_verifying.of_key_managers(houses, closed, evidence, catalog_only=catalog_only)
    raise typer.Exit(audit_verifying.of_deployment(config, evidence, others, elsewhere, closed, json=json))


@app.command("list")
def list_all(
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Only this instance's.")] = None,
    key: OfKey = None,
    last: Annotated[int, typer.Option(min=1, help="How many records, the last ones.")] = 20,
    catalog_only: CatalogOnly = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the last records.

    When, what, with which outcome, on which key, by whom and from where. Those of an instance have with them what was
    done with its root key.
    """

    async def look(office: "Office") -> "tuple[list[Mapping[str, Any]], Instance | None]":
        from keyrack.service.journal.reading import Wanted, search

        desk, found, before = office.administration, list[Mapping[str, Any]](), None
        wanted = await desk.instance(instance) if instance else None
        while len(found) < last:
            page = await search(
                desk,
                office.catalog,
                Wanted(instance=instance or "", key=key or ""),
                before=before,
                limit=last - len(found),
            )
            found += page.events
            before = page.before
            if before is None:
                break
        return found, wanted

    events, wanted = in_office(config, look)
    with key_managers(config, none=catalog_only) as (houses, closed):
        for name, house in houses.items():
            events += _told_by(name, house, wanted, key, last)
    for name, why in closed.items():
        screen.warn(f"what the key manager {name!r} wrote is missing here: {why}")
    show(sorted(events, key=lambda event: str(event["eventTime"]))[-last:], json=json)


def _told_by(
    name: str, house: "House", wanted: "Instance | None", key: str | None, last: int
) -> "Iterator[Mapping[str, Any]]":
    """The last events of a key manager, or of those about the root key of the instance that is wanted."""
    from collections import deque

    from keyrack.domain import cadf
    from keyrack.domain.cadf import Place
    from keyrack.service.journal.naming import entry_of
    from keyrack.shell import journals

    if wanted is not None and wanted.key_manager.partition("/")[0] != name:
        return
    found: deque[Mapping[str, Any]] = deque(maxlen=last)
    with house.reading() as reading:
        for record in journals.records(reading):
            entry = entry_of(record)
            if (wanted is None or entry.target == wanted.root_key) and entry.target.startswith(key or ""):
                place = Place(journals.chain_of(name), record.sequence, record.hash, record.number)
                found.append(cadf.event(entry, place))
    yield from found


@contextmanager
def key_managers(config: Path | None, *, none: bool) -> "Iterator[tuple[dict[str, House], dict[str, str]]]":
    """The embedded key managers that open, by name, and why the others do not; all of them left out with ``none``."""
    from keyrack.shell.config.problems import ConfigError
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.office import open_house_of

    loaded: Config = load(find(config))
    opened: dict[str, House] = {}
    closed: dict[str, str] = {}
    try:
        for name in () if none else loaded.embedded:
            try:
                opened[name] = open_house_of(loaded, name, ask_passphrase if sys.stdin.isatty() else None)
            except ConfigError as error:
                closed[name] = "; ".join(problem.why for problem in error.problems)
        yield opened, closed
    finally:
        for house in opened.values():
            house.close()


audit_reading.register(app)
audit_keeping.register(app)
