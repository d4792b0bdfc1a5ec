"""``keyrack audit search``, ``follow`` and ``export``: the journal read by people and by their programs."""

import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.audit_options import (
    OfAction,
    OfInitiator,
    OfInstance,
    OfKey,
    OfOutcome,
    Since,
    Until,
    row,
    show,
    wanted_of,
)
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, in_office

if TYPE_CHECKING:
    from typing import TextIO

    from keyrack.service.journal.exporting import Order
    from keyrack.shell.office import Office

LOOK = 0.25
"""Seconds between two looks for what was written."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (search, follow, export):
        app.command()(command)


def search(
    text: Annotated[
        str, typer.Argument(metavar="[TEXT]", help="What stands anywhere in the record.", show_default=False)
    ] = "",
    since: Since = None,
    until: Until = None,
    instance: OfInstance = None,
    key: OfKey = None,
    action: OfAction = None,
    outcome: OfOutcome = None,
    initiator: OfInitiator = None,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="How many records at most.")] = 50,
    before: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Go on where the last page has ended.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Find records, newest first."""
    from keyrack.service.journal import reading

    wanted = wanted_of(
        {
            "since": since, "until": until, "instance": instance, "key": key, "action": action, "outcome": outcome,
            "initiator": initiator, "text": text,
        }
    )  # fmt: skip

    async def look(office: "Office") -> reading.Page:
        events: list[Mapping[str, Any]] = []
        at = before
        while len(events) < most:
            page = await reading.search(
                office.administration, office.catalog, wanted, before=at, limit=most - len(events)
            )
            events += page.events
            at = page.before
            if at is None:
                break
        return reading.Page(events, at)

    found = in_office(config, look)
    if not found.events and not json:
        screen.note("No such record; the journal has no attributes of keys: 'keyrack key list --name' finds by those.")
        return
    show(found.events, json=json)
    if found.before is not None and not json:
        screen.note(f"There are more: --before {found.before} goes on.")


def follow(
    since: Since = None,
    instance: OfInstance = None,
    key: OfKey = None,
    action: OfAction = None,
    outcome: OfOutcome = None,
    initiator: OfInitiator = None,
    after: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="From behind the record of this number; else from now on.")
    ] = None,
    cursor: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep there how far it was followed, and go on from there the next time."),
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Show records as they are written, until Ctrl-C; with --json one event a line."""
    import asyncio

    from keyrack.domain.cadf import line
    from keyrack.service.journal import reading

    wanted = wanted_of(
        {
            "since": since, "instance": instance, "key": key, "action": action, "outcome": outcome,
            "initiator": initiator,
        }
    )  # fmt: skip

    async def watch(office: "Office") -> None:
        at = _begin(cursor, after)
        if at is None:
            at = 0 if since is not None else await office.catalog.journal_end()
        while True:
            events, upto = await reading.follow(office.administration, office.catalog, wanted, at)
            for event in events:
                print(line(event) if json else "  ".join(screen.printable(cell) for cell in row(event)))
            sys.stdout.flush()
            if upto != at:
                at = upto
                _keep(cursor, at)
                continue
            await asyncio.sleep(LOOK)

    in_office(config, watch)


def _begin(cursor: Path | None, after: int | None) -> int | None:
    if cursor is None or not cursor.is_file():
        return after
    try:
        return int(cursor.read_text(encoding="ascii"))
    except ValueError:
        raise WrongUse(f"{cursor} does not say how far the journal was followed; name another file") from None


def _keep(cursor: Path | None, number: int) -> None:
    """Whole or not at all: whoever follows may be killed at any time."""
    if cursor is not None:
        new = cursor.with_name(f"{cursor.name}.new")
        new.write_text(f"{number}\n", encoding="ascii")
        new.replace(cursor)


def export(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to; else to standard output.")
    ] = None,
    form: Annotated[
        Literal["cadf", "raw", "csv"],
        typer.Option("--format", help="Events, records as they are kept, or a table whose proof lies beside it."),
    ] = "cadf",
    since: Since = None,
    until: Until = None,
    instance: OfInstance = None,
    key: OfKey = None,
    action: OfAction = None,
    outcome: OfOutcome = None,
    initiator: OfInitiator = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Write records with what proves them; 'audit verify FILE' needs nothing else.

    What was not asked for is passed over: its place and hash alone stand there, so that nothing can be left out unseen.
    """
    if form == "csv" and out is None:
        raise WrongUse("a CSV has its proof in a second file beside it; name the first with --out FILE")
    wanted = wanted_of(
        {
            "since": since, "until": until, "instance": instance, "key": key, "action": action, "outcome": outcome,
            "initiator": initiator,
        }
    )  # fmt: skip

    async def write(office: "Office") -> int:
        from keyrack.service.journal.exporting import Order
        from keyrack.service.journal.reading import query_of

        query = await query_of(office.administration, wanted)
        await _sign_first(office)
        order = Order(
            query=query,
            deployment=office.config.deployment.id,
            by=office.administration.administrator.initiator,
            at=time.time_ns() // 1_000_000,
            form="raw" if form == "csv" else form,
        )
        return await _written(office, order, out, csv=form == "csv")

    records = in_office(config, write)
    if out is not None:
        if json:
            screen.as_json({"file": str(out), "records": records})
        else:
            screen.say(f"{screen.count(records, 'record')} in {out}; 'keyrack audit verify {out}' proves them.")


async def _sign_first(office: "Office") -> None:
    """A checkpoint over what was just written, so that it vouches for all that is exported."""
    from keyrack.service.journal.notary import ForeignKey, RolledBack
    from keyrack.shell.config.problems import ConfigError
    from keyrack.shell.journal_room import notary_of

    try:
        last = await office.catalog.last_checkpoint()
        if last is None or last.statement.through < await office.catalog.journal_end():
            await (await notary_of(office.config, office.catalog)).make()
    except (ConfigError, RolledBack, ForeignKey, OSError) as error:
        screen.warn(f"no checkpoint vouches for the last records: {error}")


async def _written(office: "Office", order: "Order", out: Path | None, *, csv: bool) -> int:
    from keyrack.service.journal.exporting import export as lines_of

    lines = lines_of(office.catalog, order)
    if out is None:
        return await _to(sys.stdout, lines)
    if not csv:
        with _new(out) as file:
            return await _to(file, lines)
    from keyrack.shell.cli.audit_verifying import proof_of

    with _new(out) as table, _new(proof_of(out)) as proof:
        return await _both(table, proof, lines)


def _new(path: Path) -> "TextIO":
    """A file of one's own: the journal names people and machines."""
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w", encoding="utf-8", newline=""
    )


async def _to(file: "TextIO", lines: AsyncIterator[str]) -> int:
    import json

    last = ""
    async for last in lines:
        file.write(last)
    return int(json.loads(last)["end"]["records"])


async def _both(table: "TextIO", proof: "TextIO", lines: AsyncIterator[str]) -> int:
    """The proof, and beside it the rows of what it tells."""
    import json

    from keyrack.domain.cadf import Names
    from keyrack.ports.journal import JournalRecord
    from keyrack.service.journal.exporting import COLUMNS, csv_line, csv_rows

    names, records = Names(), 0
    async for line in lines:
        proof.write(line)
        told = json.loads(line)
        if "names" in told:
            names = Names(**told["names"])
            table.write(csv_line(COLUMNS))
        elif "record" in told:
            place = told["chain"], told["sequence"], told["record"], bytes.fromhex(told["hash"]), told["number"]
            table.write(csv_rows(JournalRecord(*place), names))
            records += 1
    return records
