"""The journal as a file: events or a table of what was asked for, or all of it with its proof."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.responses import Response, StreamingResponse

from keyrack.service.journal import reading
from keyrack.service.journal.exporting import Order, export, listed
from keyrack.service.journal.reading import Wanted
from keyrack.service.office.refusals import Unusable
from keyrack.shell.console.calls import Call
from keyrack.shell.console.words import mark

FORMS: Final = {
    "events": ("application/jsonl", "journal.jsonl"),
    "csv": ("text/csv; charset=utf-8", "journal.csv"),
    "proof": ("application/jsonl", "journal-with-proof.jsonl"),
}
"""By name: media type, and the name of the file."""
AT_ONCE: Final = 100
"""Lines that are sent at a time."""


async def exported(call: Call, wanted: Wanted) -> Response:
    """The file, made while it is read; one person has two of them under way at most. Raises ``Refused``."""
    form = call.typed.get("form") or "events"
    if form not in FORMS:
        raise Unusable(mark("there is no file of this kind"), field="form")
    query = await reading.asked(call.administration, call.catalog, wanted)
    premises, who = call.premises, call.administration.administrator.initiator
    premises.exporting.check(who)
    order = Order(
        query=query,
        deployment=premises.config.deployment.id if premises.config is not None else "",
        by=who,
        at=premises.clock(),
        form="cadf",
    )
    lines = export(call.catalog, order) if form == "proof" else listed(call.catalog, order, table=form == "csv")

    async def told() -> AsyncIterator[str]:
        with premises.exporting.taken(who):
            some: list[str] = []
            async for each in lines:
                some.append(each)
                if len(some) == AT_ONCE:
                    yield "".join(some)
                    some.clear()
                    await asyncio.sleep(0)
            yield "".join(some)

    media, name = FORMS[form]
    return StreamingResponse(
        told(), media_type=media, headers={"content-disposition": f'attachment; filename="{name}"'}
    )
