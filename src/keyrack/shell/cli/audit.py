"""``keyrack audit``: the journals of the deployment and of its key managers, and whether anybody has changed them."""

import json as jsonlib
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import FAILED, OK, screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, ask_passphrase, in_office

if TYPE_CHECKING:
    from keyrack.domain.checkpoints import Head
    from keyrack.domain.instances import Instance
    from keyrack.embedded.house import House
    from keyrack.ports.catalog import JournalRecord
    from keyrack.service.journal.chain import Verdict
    from keyrack.shell.config import Config
    from keyrack.shell.office import Office

app = typer.Typer(name="audit", help="The journal: who did what.", no_args_is_help=True)

CatalogOnly = Annotated[
    bool, typer.Option("--catalog-only", help="Leave out what the key managers wrote; they need not open then.")
]

_PAGE = 2000
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@app.command()
def verify(
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Heads that 'audit verify --json' printed before: shows what was cut off since."
        ),
    ] = None,
    catalog_only: CatalogOnly = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """See whether the journal is as written.

    That of the catalog and those of the key managers. Exit code 0 when all are, 1 when not.
    """
    import asyncio

    from keyrack.service.journal.chain import verify as walk
    from keyrack.shell import journals

    checkpoints = _checkpoints(against)
    with _key_managers(config, none=catalog_only) as (houses, closed):
        verdicts = [journals.verify(name, house, checkpoints) for name, house in houses.items()]
        elsewhere = {journals.chain_of(name) for name in (*houses, *closed)}
    if catalog_only:
        elsewhere = {each.chain for each in checkpoints if each.chain.startswith(journals.chain_of(""))}

    async def look(office: "Office") -> "Verdict":
        kept = [each for each in checkpoints if each.chain not in elsewhere]
        records = _records(office, asyncio.get_running_loop())
        return await asyncio.to_thread(lambda: walk(records, kept))

    verdict = journals.together([in_office(config, look), *verdicts])
    if json:
        screen.as_json(_json(verdict, closed))
    else:
        _tell(verdict, closed, kept_elsewhere=against is not None)
    raise typer.Exit(FAILED if verdict.flaws or closed else OK)


def _tell(verdict: "Verdict", closed: Mapping[str, str], *, kept_elsewhere: bool) -> None:
    for flaw in verdict.flaws:
        screen.say(f"{screen.paint('✗', 'red')} {flaw.chain} {flaw.sequence}: {flaw.what}")
    for name, why in closed.items():
        screen.say(f"{screen.paint('✗', 'red')} the journal of the key manager {name!r} was not looked at: {why}")
    heads = ", ".join(f"{head.chain} {head.sequence}" for head in verdict.heads)
    records, chains = screen.count(verdict.records, "record"), screen.count(len(verdict.heads), "chain")
    told = f"{records} in {chains} ({heads or 'none'})"
    if verdict.flaws:
        screen.say(f"The journal is not as it was written: {screen.count(len(verdict.flaws), 'flaw')} in {told}.")
    elif closed:
        screen.say(f"What was looked at is as it was written: {told}. --catalog-only leaves the key managers out.")
    else:
        screen.say(f"{screen.paint('✓', 'green')} The journal is as it was written: {told}.")
        if not kept_elsewhere:
            screen.say("Keep what 'audit verify --json' prints elsewhere: --against it, a cut end shows too.")


@app.command("list")
def list_all(
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Only this instance's.")] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only what concerns this key or certificate.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many records, the last ones.")] = 20,
    catalog_only: CatalogOnly = False,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the last records.

    When, what, with which outcome, on which key, by whom and from where. Those of an instance have with them what was
    done with its root key.
    """

    async def look(office: "Office") -> "tuple[list[dict[str, Any]], Instance | None]":
        wanted = await office.administration.instance(instance) if instance else None
        found: deque[dict[str, Any]] = deque(maxlen=last)
        async for record in office.administration.journal():
            entry = _entry(record.chain, record)
            if (wanted is None or wanted.identifier == entry["instance"]) and _concerns(entry, key):
                found.append(entry)
        return list(found), wanted

    entries, wanted = in_office(config, look)
    with _key_managers(config, none=catalog_only) as (houses, closed):
        for name, house in houses.items():
            told = _told_by(name, house, wanted)
            entries += deque((entry for entry in told if _concerns(entry, key)), maxlen=last)
    for name, why in closed.items():
        screen.warn(f"what the key manager {name!r} wrote is missing here: {why}")
    entries = sorted(entries, key=lambda entry: int(entry["at"]))[-last:]
    if json:
        screen.as_json(entries)
        return
    columns = ("at", "action", "outcome", "target", "initiator", "address")
    rows = [
        [screen.brief(screen.instant(entry["at"] // 1000)), *(entry[column] for column in columns[1:])]
        for entry in entries
    ]
    screen.table(columns, [[_short(str(cell)) for cell in row] for row in rows])


def _concerns(entry: Mapping[str, Any], key: str | None) -> bool:
    return key is None or str(entry["target"]).startswith(key)


def _entry(chain: str, record: "JournalRecord") -> dict[str, Any]:
    return {"chain": chain, "sequence": record.sequence, **jsonlib.loads(record.text)}


def _told_by(name: str, house: "House", wanted: "Instance | None") -> Iterator[dict[str, Any]]:
    """The records of a key manager, or those about the root key of the instance that is wanted."""
    from keyrack.shell import journals

    if wanted is not None and wanted.key_manager.partition("/")[0] != name:
        return
    with house.reading() as reading:
        for record in journals.records(reading):
            entry = _entry(journals.chain_of(name), record)
            if wanted is None or entry["target"] == wanted.root_key:
                yield entry


@contextmanager
def _key_managers(config: Path | None, *, none: bool) -> "Iterator[tuple[dict[str, House], dict[str, str]]]":
    """The embedded key managers that open, by name, and why the others do not; all of them left out with ``none``."""
    from keyrack.shell.config import find, load
    from keyrack.shell.config_problems import ConfigError
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


def _short(cell: str) -> str:
    # A fingerprint is told by its beginning, as everywhere else; --json has the whole of it.
    start = cell.removeprefix("CertificateID-")
    if len(start) == 64:
        return start[:16]
    return (screen.shortened(cell) or "") if _UUID.fullmatch(cell) else cell


def _records(office: "Office", loop: Any) -> "Iterator[JournalRecord]":
    """The journal page by page, for a walk in another thread: however long it is, one page is in memory."""
    import asyncio

    after = 0
    while page := asyncio.run_coroutine_threadsafe(office.catalog.journal(after, _PAGE), loop).result():
        yield from page
        after = page[-1].number


def _checkpoints(file: Path | None) -> "list[Head]":
    from keyrack.domain.checkpoints import Head

    if file is None:
        return []
    try:
        heads = jsonlib.loads(file.read_text(encoding="utf-8"))["heads"]
        return [Head(head["chain"], int(head["sequence"]), bytes.fromhex(head["hash"])) for head in heads]
    except (ValueError, KeyError, TypeError):
        raise WrongUse(f"{file} does not hold heads; make it with 'keyrack audit verify --json > FILE'") from None


def _json(verdict: "Verdict", closed: Mapping[str, str]) -> dict[str, Any]:
    return {
        "sound": not verdict.flaws and not closed,
        "records": verdict.records,
        "heads": [{"chain": h.chain, "sequence": h.sequence, "hash": h.hash.hex()} for h in verdict.heads],
        "flaws": [{"chain": f.chain, "sequence": f.sequence, "what": f.what} for f in verdict.flaws],
        "not_looked_at": [{"key_manager": name, "why": why} for name, why in closed.items()],
    }
