"""``/journal``: searched, exported with its proof, followed, and verified."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import StreamingResponse

from keyrack.domain.cadf import line
from keyrack.domain.checkpoints import SignedCheckpoint
from keyrack.domain.rights import Right
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.journal import reading
from keyrack.service.journal.exporting import Order, export
from keyrack.service.journal.forwarding import lags
from keyrack.service.journal.proof import Proved
from keyrack.service.journal.verification import Evidence
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import Refused, Unauthenticated
from keyrack.shell.rest.v1.callers import Caller, Visit
from keyrack.shell.rest.v1.models import Instant, Resource, Written, instant, since
from keyrack.shell.rest.v1.pages import Listing, Paging, bad_cursor
from keyrack.shell.rest.v1.premises import Keeper, Premises
from keyrack.shell.rest.v1.problems import Problem
from keyrack.shell.rest.v1.routing import noun
from keyrack.shell.rest.v1.turns import Turns

router = noun("journal")

LINES: Final = "application/jsonl"
EVENTS: Final = "text/event-stream"
LOOK: Final = 0.25
"""Seconds between two looks for what was written."""
AGAIN: Final = 1.0
"""Seconds after which whoever follows has to be known still, and to have the right still."""
BEAT: Final = 15.0
"""Seconds of silence after which a follower hears that it still follows."""


class EventShown(Resource):
    """A record as Activity Tracker's readers know it; docs/journal.md tells of each field."""

    model_config = ConfigDict(extra="allow")

    eventTime: Instant  # noqa: N815 - IBM's name
    action: str
    outcome: Annotated[str, Field(description="success or failure.")]
    severity: Annotated[str, Field(description="normal, warning or critical.")]
    message: str
    initiator: Mapping[str, Any]
    target: Mapping[str, Any]
    reason: Mapping[str, Any]
    journal: Annotated[Mapping[str, Any], Field(description="The record's place in its chain, which proves it.")]


class CheckpointShown(Resource):
    """A signed checkpoint: whoever keeps it elsewhere can tell what was changed before it."""

    number: int
    at: Instant
    hash: str
    key: Annotated[str, Field(description="SHA-256 of the public part of the key that has signed it.")]
    checkpoint: Annotated[str, Field(description="What is signed, byte for byte.")]
    signature: Annotated[str, Field(description="Ed25519, in hexadecimal.")]


class SinkShown(Resource):
    """Where the journal is handed on to."""

    name: str
    required: bool
    behind: Annotated[int, Field(description="Records that it has not taken.")]
    oldest_seconds: Annotated[float, Field(description="How old the oldest of them is.")]
    trouble: Annotated[str, Field(description="Why it takes nothing now; empty where it does.")]
    trouble_since: Instant | None


class FlawShown(Resource):
    """A place where the journal is not as it was written."""

    chain: str
    sequence: int
    what: str


class VerdictShown(Resource):
    """What a verification has found."""

    sound: bool
    records: int
    checkpoints: int
    last_checkpoint: int | None
    not_vouched_for: Annotated[int, Field(description="Records behind it: only their chains speak for them.")]
    flaws: list[FlawShown]
    remarks: list[str]


Moment = Annotated[Written | None, Query(description="RFC 3339; without a zone it is UTC.")]
Short = Annotated[str, Query(max_length=200)]


def _wanted(
    *,
    since: Moment = None,
    until: Moment = None,
    instance: Annotated[str, Query(max_length=63, description="Identifier or name.")] = "",
    key: Annotated[str, Query(max_length=200, description="What the target's identifier begins with.")] = "",
    action: Annotated[str, Query(max_length=100, description="Get, kmip-key.read, certificate.add …")] = "",
    outcome: Annotated[str, Query(max_length=100, description="success, failure, or one reason.")] = "",
    initiator: Annotated[str, Query(max_length=200, description="What the initiator begins with.")] = "",
    text: Annotated[str, Query(max_length=200, description="What stands anywhere in the record.")] = "",
) -> reading.Wanted:
    return reading.Wanted(
        since=_milliseconds(since),
        until=_milliseconds(until),
        instance=instance,
        key=key,
        action=action,
        outcome=outcome,
        initiator=initiator,
        text=text,
    )


Wanted = Annotated[reading.Wanted, Depends(_wanted)]


def _milliseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    try:
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (OverflowError, ValueError):
        raise Problem("invalid", "the time is out of any calendar", field="since") from None


@router.get("/journal")
async def search_journal(caller: Caller, wanted: Wanted, page: Paging, keeper: Keeper) -> Listing[EventShown]:
    """Find records, newest first: of the instances whose journal you may read."""
    before = page.after
    if before is not None and not _is_number(before):
        raise bad_cursor()
    with keeper.searching.taken(_who(caller)):
        found = await reading.search(caller.administration, caller.catalog, wanted, before=before, limit=page.limit)
    shown = [EventShown(**event) for event in found.events]
    return Listing(items=shown, next=page.cursor(found.before) if found.before is not None else None)


@router.get("/journal/export", responses={200: {"content": {LINES: {}}}}, response_class=StreamingResponse)
async def export_journal(
    caller: Caller,
    wanted: Wanted,
    keeper: Keeper,
    form: Annotated[Literal["cadf", "raw"], Query(alias="format", description="Events, or records as kept.")] = "cadf",
) -> StreamingResponse:
    """Export records with what proves them, a line of JSON each; `keyrack audit verify FILE` verifies the file."""
    query = await reading.query_of(caller.administration, wanted)
    keeper.exporting.check(_who(caller))
    order = Order(
        query=query,
        deployment=_deployment(keeper),
        by=caller.administration.administrator.initiator,
        at=keeper.clock(),
        form=form,
    )
    headers = {"content-disposition": 'attachment; filename="journal.jsonl"'}
    lines = _in_turn(keeper.exporting, _who(caller), _gathered(export(caller.catalog, order)))
    return StreamingResponse(lines, media_type=LINES, headers=headers)


async def _in_turn(turns: Turns, who: str, told: AsyncIterator[str]) -> AsyncIterator[str]:
    """As long as it is read: what nobody begins to read takes no turn, and nobody would give it back."""
    with turns.taken(who):
        async for each in told:
            yield each


def _who(caller: Visit) -> str:
    return caller.administration.administrator.initiator


def _is_number(position: Any) -> bool:
    return type(position) is int and 0 <= position <= 2**62


async def _gathered(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Some lines at a time, and the loop's others in between."""
    some: list[str] = []
    async for each in lines:
        some.append(each)
        if len(some) == 100:  # noqa: PLR2004 - a number as good as any
            yield "".join(some)
            some.clear()
            await asyncio.sleep(0)
    yield "".join(some)


def _deployment(keeper: Premises) -> str:
    return keeper.config.deployment.id if keeper.config is not None else ""


@router.get("/journal/follow", responses={200: {"content": {EVENTS: {}}}}, response_class=StreamingResponse)
async def follow_journal(
    caller: Caller,
    wanted: Wanted,
    keeper: Keeper,
    request: Request,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="From behind the record of this number.")] = None,
) -> StreamingResponse:
    """Follow the journal as server-sent events; `Last-Event-ID` goes on where the connection has ended."""
    await reading.query_of(caller.administration, wanted)
    keeper.following.check(_who(caller))
    told = request.headers.get("last-event-id", "")
    begin = int(told) if told.isascii() and told.isdecimal() and len(told) < 19 else after  # noqa: PLR2004
    if begin is None:
        begin = await caller.catalog.journal_end()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    events = _in_turn(keeper.following, _who(caller), _followed(caller, keeper, wanted, begin))
    return StreamingResponse(events, media_type=EVENTS, headers=headers)


async def _followed(caller: Visit, keeper: Premises, wanted: reading.Wanted, at: int) -> AsyncIterator[str]:
    """Until whoever follows goes away, or may not follow any more."""
    loop = asyncio.get_running_loop()
    administration, known, said = caller.administration, loop.time(), loop.time()
    yield ": following\n\n"
    while True:
        if loop.time() - known >= AGAIN:
            try:
                # To be told of news is no sign that somebody is there: it keeps no log-in from ending.
                who = await keeper.recognise(caller.token, caller.address, caller.correlation, noted=False)
            except (Unauthenticated, CatalogUnavailable):
                return
            administration, known = Administration(caller.catalog, {}, who, keeper.clock), loop.time()
        try:
            events, upto = await reading.follow(administration, caller.catalog, wanted, at)
        except (Refused, CatalogUnavailable):
            return
        for event in events:
            yield f"id: {event['journal']['number']}\ndata: {line(event)}\n\n"
        if events:
            said = loop.time()
        if upto == at:
            await asyncio.sleep(LOOK)
        elif not events:
            yield f"id: {upto}\n\n"
        at = upto
        if loop.time() - said >= BEAT:
            yield ": still here\n\n"
            said = loop.time()


@router.get("/journal/checkpoints")
async def list_checkpoints(caller: Caller, page: Paging) -> Listing[CheckpointShown]:
    """List the signed checkpoints, oldest first."""
    caller.administration.require(Right.JOURNAL_VERIFY)
    if page.after is not None and not _is_number(page.after):
        raise bad_cursor()
    found = await caller.catalog.checkpoints(page.after or 0, page.limit + 1)
    return page.cut(found, lambda each: each.number, _checkpoint)


def _checkpoint(signed: SignedCheckpoint) -> CheckpointShown:
    return CheckpointShown(
        number=signed.number,
        at=since(signed.at // 1000),
        hash=signed.hash.hex(),
        key=signed.key,
        checkpoint=signed.text,
        signature=signed.signature.hex(),
    )


@router.get("/journal/sinks")
async def list_sinks(caller: Caller, page: Paging, keeper: Keeper) -> Listing[SinkShown]:
    """List where the journal is handed on to, and how far each sink has got."""
    caller.administration.require(Right.JOURNAL_VERIFY)
    configured = keeper.config.journal.sinks if keeper.config is not None else {}
    required = {name: each.required for name, each in configured.items()}
    found = await lags(caller.catalog, required, keeper.clock())
    return page.of(
        found,
        lambda each: each.name,
        lambda each: SinkShown(
            name=each.name,
            required=each.required,
            behind=each.behind,
            oldest_seconds=round(each.seconds, 3),
            trouble=each.trouble,
            trouble_since=instant(each.since // 1000 if each.since else None),
        ),
    )


@router.post("/journal/verify")
async def verify_journal(caller: Caller, keeper: Keeper) -> VerdictShown:
    """Verify the journal of the catalog: its chains, its checkpoints, and what was exported of them."""
    caller.administration.require(Right.JOURNAL_VERIFY)
    if keeper.verifying.turn.locked():
        raise Problem("in-progress", "a verification is under way already", hint="ask again when it has ended")
    return _verdict(await keeper.verifying.verify(caller.administration, caller.catalog, evidence_of(keeper)))


def evidence_of(keeper: Premises) -> Evidence:
    """The exported file; whose key has to have signed is only for who can read the deployment's files to say."""
    from keyrack.shell.journal_room import exported_of  # noqa: PLC0415 - only where it is needed

    if keeper.config is None:
        return Evidence()
    file = exported_of(keeper.config)
    return Evidence(exported=file.all if file.path.is_file() else None)


def _verdict(found: Proved) -> VerdictShown:
    flaws: Sequence[Any] = found.flaws[:500]
    return VerdictShown(
        sound=not found.flaws,
        records=found.records,
        checkpoints=found.checkpoints,
        last_checkpoint=found.last.number if found.last is not None else None,
        not_vouched_for=found.unvouched,
        flaws=[FlawShown(chain=each.chain, sequence=each.sequence, what=each.what) for each in flaws],
        remarks=list(found.remarks),
    )
