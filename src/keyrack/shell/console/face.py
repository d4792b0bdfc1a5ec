"""The console as part of the administration's face: all rooms, and the pages for what is not there."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from keyrack.shell.console import assets
from keyrack.shell.console.calls import Call, Room, show_trouble
from keyrack.shell.console.rooms import instances, log_in, overview
from keyrack.shell.console.troubles import trouble_of_http
from keyrack.shell.console.words import spoken
from keyrack.shell.rest.v1.problems import HANDLERS

ROOMS: Final[Sequence[Room]] = (log_in.room, overview.room, instances.room)
"""Each a file for one noun; a new one goes in here."""
PROGRAMS: Final = ("/api/", "/health", "/metrics")
"""What paths begin with that no browser is sent to."""


def furnish(app: FastAPI) -> None:
    """Add the console's pages to the application."""
    app.router.routes.append(Route("/static/{digest}/{name:path}", assets.serve))
    for room in ROOMS:
        app.router.routes.extend(room.routes)
    app.add_exception_handler(HTTPException, _unrouted)


async def _unrouted(request: Request, error: Exception) -> Response:
    """The answer to a path or a method that there is not: a page for people, a problem for programs."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith(PROGRAMS) or "text/html" not in request.headers.get("accept", ""):
        return await HANDLERS[HTTPException](request, error)
    call = Call(request=request, words=spoken(request), trouble=trouble_of_http(request, error))
    return await show_trouble(call)
