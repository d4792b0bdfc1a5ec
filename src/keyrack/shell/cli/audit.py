"""``keyrack audit``: the journal, and whether anybody has changed it."""

import json as jsonlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import FAILED, OK, screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile, in_office

if TYPE_CHECKING:
    from keyrack.adapters.journals.chain import Checkpoint, Verdict
    from keyrack.ports.catalog import JournalRecord
    from keyrack.shell.office import Office

app = typer.Typer(name="audit", help="The journal: who did what.", no_args_is_help=True)

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
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """See whether the journal is as written.

    Exit code 0 when it is, 1 when not.
    """
    import asyncio

    from keyrack.adapters.journals.chain import verify as walk

    checkpoints = _checkpoints(against)

    async def look(office: "Office") -> "Verdict":
        records = _records(office, asyncio.get_running_loop())
        return await asyncio.to_thread(lambda: walk(records, checkpoints))

    verdict = in_office(config, look)
    if json:
        screen.as_json(_json(verdict))
    else:
        for flaw in verdict.flaws:
            screen.say(f"{screen.paint('✗', 'red')} {flaw.chain} {flaw.sequence}: {flaw.what}")
        heads = ", ".join(f"{head.chain} {head.sequence}" for head in verdict.heads)
        told = f"{verdict.records} records in {len(verdict.heads)} chains ({heads or 'none'})"
        if verdict.flaws:
            screen.say(f"The journal is not as it was written: {len(verdict.flaws)} flaws in {told}.")
        else:
            screen.say(f"{screen.paint('✓', 'green')} The journal is as it was written: {told}.")
            if against is None:
                screen.say("Keep what 'audit verify --json' prints elsewhere: --against it, a cut end shows too.")
    raise typer.Exit(FAILED if verdict.flaws else OK)


@app.command("list")
def list_all(
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Only this instance's.")] = None,
    key: Annotated[str | None, typer.Option(metavar="ID", help="Only what concerns this key or certificate.")] = None,
    last: Annotated[int, typer.Option(min=1, help="How many records, the last ones.")] = 20,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the last records.

    When, what, with which outcome, on which key, by whom and from where.
    """
    from collections import deque

    async def look(office: "Office") -> list[dict[str, Any]]:
        wanted = (await office.administration.instance(instance)).identifier if instance else None
        found: deque[dict[str, Any]] = deque(maxlen=last)
        async for record in office.administration.journal():
            entry = jsonlib.loads(record.text)
            if wanted in (None, entry["instance"]) and (key is None or entry["target"].startswith(key)):
                found.append({"chain": record.chain, "sequence": record.sequence, **entry})
        return list(found)

    entries = in_office(config, look)
    if json:
        screen.as_json(entries)
        return
    columns = ("at", "action", "outcome", "target", "initiator", "address")
    rows = [
        [screen.brief(screen.instant(entry["at"] // 1000)), *(entry[column] for column in columns[1:])]
        for entry in entries
    ]
    screen.table(columns, [[_short(str(cell)) for cell in row] for row in rows])


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


def _checkpoints(file: Path | None) -> "list[Checkpoint]":
    from keyrack.adapters.journals.chain import Checkpoint

    if file is None:
        return []
    try:
        heads = jsonlib.loads(file.read_text(encoding="utf-8"))["heads"]
        return [Checkpoint(head["chain"], int(head["sequence"]), bytes.fromhex(head["hash"])) for head in heads]
    except (ValueError, KeyError, TypeError):
        raise WrongUse(f"{file} does not hold heads; make it with 'keyrack audit verify --json > FILE'") from None


def _json(verdict: "Verdict") -> dict[str, Any]:
    return {
        "sound": not verdict.flaws,
        "records": verdict.records,
        "heads": [{"chain": h.chain, "sequence": h.sequence, "hash": h.hash.hex()} for h in verdict.heads],
        "flaws": [{"chain": f.chain, "sequence": f.sequence, "what": f.what} for f in verdict.flaws],
    }
