"""The journal exported with its proof: a file that anybody can verify without the deployment.

Lines of JSON: a heading, the records, the checkpoints where they stand, and an ending that says how many there were. A
record that was not asked for is passed over: its place and its hash alone stand there, so that the checkpoints vouch
for all that is told and for that nothing else was left out, and nothing is told that was not asked for.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from keyrack.domain import cadf
from keyrack.domain.cadf import Names
from keyrack.domain.checkpoints import SignedCheckpoint, as_line
from keyrack.ports.journal import JournalQuery, JournalRecord, matches
from keyrack.service.journal.book import Book
from keyrack.service.journal.naming import entry_of, names_of, place_of

KIND: Final = "keyrack journal export"
PAGE: Final = 500
WITHIN: Final = 50_000
"""Records that are looked at in one turn."""
DAY: Final = 86_400_000
FORMATS: Final = ("cadf", "raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is exported, for whom."""

    query: JournalQuery
    deployment: str
    by: str
    at: int
    """Milliseconds since 1970."""
    form: str = "cadf"
    """One of :data:`FORMATS`."""


async def export(catalog: Book, order: Order) -> AsyncIterator[str]:
    """The lines of the file, each with its end. Who may is asked where the query is made."""
    # Whoever may read one instance's journal is not told what others are called.
    names = await names_of(catalog, order.deployment, order.query.instances)
    base = await _base(catalog, order.query)
    hashes = sha256()

    def told(line: str) -> str:
        hashes.update(line.encode())
        return line

    yield told(_heading(order, names, base))
    counts = [0, 0]
    async for each in _walk(catalog, order.query, base):
        if isinstance(each, SignedCheckpoint):
            yield told(as_line(each) + "\n")
        else:
            wanted = _is_wanted(order.query, each)
            counts[not wanted] += 1
            yield told(record_line(each, order.form, names) if wanted else _passed_over(each))
    ending = {"end": {"records": counts[0], "passed_over": counts[1], "digest": hashes.hexdigest()}}
    yield json.dumps(ending, separators=(",", ":")) + "\n"


async def listed(catalog: Book, order: Order, *, table: bool = False) -> AsyncIterator[str]:
    """What is wanted alone, oldest first, without a proof: a line of JSON for each event, or a table in CSV."""
    names = await names_of(catalog, order.deployment, order.query.instances)
    after, end = 0, await catalog.journal_end()
    if table:
        yield csv_line(COLUMNS)
    while True:
        found = await catalog.find_on(order.query, after=after, limit=PAGE, within=WITHIN)
        for record in found.records:
            if record.number > end:
                return
            if table:
                yield csv_rows(record, names)
            else:
                yield cadf.line(cadf.event(entry_of(record), place_of(record), names)) + "\n"
        if found.before is None or found.before >= end:
            return
        after = found.before


async def _base(catalog: Book, query: JournalQuery) -> SignedCheckpoint | None:
    """The checkpoint behind which the export begins: before the first record that may be wanted, or the last cut."""
    cut_at = max((cut.checkpoint for cut in await catalog.cuts()), default=0)
    found = None
    if query.since is not None:
        found = await catalog.checkpoint_before(query.since - DAY, 2**62)
    if found is None or found.number < cut_at:
        kept = await catalog.checkpoints(cut_at - 1, 1) if cut_at else ()
        found = kept[0] if kept else None
    return found


async def _walk(
    catalog: Book, query: JournalQuery, base: SignedCheckpoint | None
) -> AsyncIterator[JournalRecord | SignedCheckpoint]:
    """Records and checkpoints where they stand, until nothing later can be wanted and a checkpoint vouches for all."""
    after, number = (base.statement.through, base.number) if base is not None else (0, 0)
    end = await catalog.journal_end()
    while page := await catalog.checkpoints(number, PAGE):
        for signed in page:
            through, number = signed.statement.through, signed.number
            if through > end:
                break
            async for record in _between(catalog, after, through):
                yield record
            after = through
            yield signed
            if query.until is not None and signed.at > query.until + DAY:
                return
    async for record in _between(catalog, after, end):
        yield record


async def _between(catalog: Book, after: int, through: int) -> AsyncIterator[JournalRecord]:
    """Records behind the one number, up to the other."""
    while after < through and (page := await catalog.journal(after, PAGE)):
        for record in page:
            if record.number > through:
                return
            yield record
        after = page[-1].number


def _is_wanted(query: JournalQuery, record: JournalRecord) -> bool:
    return matches(query, entry_of(record), record.text)


def _heading(order: Order, names: Names, base: SignedCheckpoint | None) -> str:
    told = {
        "kind": KIND,
        "version": 1,
        "format": order.form,
        "deployment": order.deployment,
        "exported_at": cadf.instant(order.at),
        "exported_by": order.by,
        "names": {
            "deployment": names.deployment,
            "instances": dict(names.instances),
            "key_managers": dict(names.key_managers),
            "certificates": dict(names.certificates),
        },
        "base": json.loads(as_line(base)) if base is not None else None,
    }
    return json.dumps(told, separators=(",", ":")) + "\n"


def record_line(record: JournalRecord, form: str, names: Names) -> str:
    """One record: as it is kept, or as an event that holds what is kept besides."""
    if form == "raw":
        made: Mapping[str, Any] = {**_place(record), "record": record.text}
    else:
        event = cadf.event(entry_of(record), place_of(record), names)
        made = {**event, "journal": {**event["journal"], "record": record.text}}
    return cadf.line(made) + "\n"


def _passed_over(record: JournalRecord) -> str:
    return cadf.line({"passed_over": _place(record)}) + "\n"


def _place(record: JournalRecord) -> dict[str, Any]:
    return {
        "chain": record.chain,
        "sequence": record.sequence,
        "number": record.number,
        "hash": record.hash.hex(),
    }


COLUMNS: Final = (
    "time", "action", "outcome", "severity", "reason", "instance", "target", "target_name", "initiator",
    "initiator_name", "address", "tls", "correlation", "chain", "sequence", "number", "hash",
)  # fmt: skip


def csv_rows(record: JournalRecord, names: Names) -> str:
    """One record as a row of CSV."""
    event = cadf.event(entry_of(record), place_of(record), names)
    request, initiator, journal = event["requestData"], event["initiator"], event["journal"]
    return csv_line(
        (
            event["eventTime"],
            event["action"],
            event["outcome"],
            event["severity"],
            event["responseData"].get("reasonForFailure", event["reason"]["reasonType"]),
            request.get("instanceName", request.get("instanceID", "")),
            event["target"]["id"],
            event["target"]["name"],
            initiator["id"],
            initiator["name"],
            initiator["host"].get("address", ""),
            request.get("tlsVersion", ""),
            event["correlationId"],
            journal["chain"],
            journal["sequence"],
            journal["number"],
            journal["hash"],
        )
    )


def csv_line(cells: Sequence[Any]) -> str:
    """A row that is one line, and in which no spreadsheet sees a formula."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([_cell(str(cell)) for cell in cells])
    return buffer.getvalue()


def _cell(text: str) -> str:
    shown = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    return f"'{shown}" if shown[:1] in tuple("=+-@") else shown
