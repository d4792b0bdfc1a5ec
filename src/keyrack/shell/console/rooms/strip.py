"""``/live/strip``: what is wrong with the server, in a word, and how long the log-in lasts; and the sign that somebody
is there still."""

from typing import Final

from starlette.responses import Response

from keyrack.service.people import logins
from keyrack.shell.console.calls import Call, Room

room = Room()
WARNED: Final = 80
"""Seconds before the end of a log-in: a minute, and as long as it takes until the strip is asked for again."""


@room.refreshes("/live/strip")
async def show_strip(call: Call) -> Response:
    """For the head of each page."""
    _, session = await logins.own(call.administration, call.catalog)
    ends = call.premises.ends
    oldest = min(session.expires_at, session.created_at + ends.longest) - call.now
    idle = session.seen_at + ends.idle - call.now
    found = await call.premises.looking.look()
    return call.show("strip/strip.html", found=found, left=min(idle, oldest), stays=idle < oldest, warned=WARNED)


@room.shows("/here")
async def stay(call: Call) -> Response:
    """The same, asked for by somebody who is there: it keeps the log-in alive."""
    return await show_strip(call)
