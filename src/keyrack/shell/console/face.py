"""The console as part of the administration's face: all rooms, and the pages for what is not there."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from keyrack.shell.console import assets
from keyrack.shell.console.calls import Call, Room, show_trouble
from keyrack.shell.console.rooms import (
    account,
    activity,
    approvals,
    authorities,
    certificates,
    certificates_added,
    certificates_removed,
    connecting,
    instances,
    keys,
    keys_acts,
    links,
    log_in,
    overview,
    people,
    people_acts,
    root_keys,
    root_keys_acts,
    seen,
    server,
    server_certificate,
    server_findings,
    strip,
)
from keyrack.shell.console.troubles import Trouble, trouble_of_http
from keyrack.shell.console.words import spoken
from keyrack.shell.faults import fault
from keyrack.shell.rest.v1.callers import cookie_of_visit, visit_with
from keyrack.shell.rest.v1.problems import HANDLERS

log = logging.getLogger(__name__)

ROOMS: Final[Sequence[Room]] = (
    log_in.room,
    links.room,
    strip.room,
    account.room,
    overview.room,
    server.room,
    server_certificate.room,
    server_findings.room,
    activity.room,
    people.room,
    people_acts.room,
    instances.room,
    keys.room,
    keys_acts.room,
    approvals.room,
    certificates_added.room,
    certificates_removed.room,
    certificates.room,
    authorities.room,
    seen.room,
    connecting.room,
    root_keys.room,
    root_keys_acts.room,
)
"""Each a file for one noun; a new one goes in here."""
PROGRAMS: Final = ("/api/", "/health", "/metrics")
"""What paths begin with that no browser is sent to."""


def furnish(app: FastAPI) -> None:
    """Add the console's pages to the application."""
    app.router.routes.append(Route("/static/{digest}/{name:path}", assets.serve))
    for room in ROOMS:
        app.router.routes.extend(room.routes)
    app.add_exception_handler(HTTPException, _unrouted)


def page_instead(scope: Scope, told: Response) -> Response:
    """What the door says to a browser: the same as a page. Programs get ``told``, which is a problem."""
    request = Request(scope)
    if not _is_read(request):
        return told
    said = json.loads(bytes(told.body))
    more = {name: said[name] for name in ("incident",) if name in said}
    trouble = Trouble(code=said["code"], told=said["detail"], hint=said.get("hint", ""), more=more)
    try:
        page = Call(request=request, words=spoken(request), trouble=trouble).show("trouble.html")
    except Exception as error:
        # What was wrong with the answer may be wrong with this one too.
        log.error("unforeseen", extra=fault(error))
        return told
    page.headers.update({name: told.headers[name] for name in ("retry-after", "connection") if name in told.headers})
    scope["state"]["refused"] = trouble.code
    return page


async def _unrouted(request: Request, error: Exception) -> Response:
    """The answer to a path or a method that there is not: a page for people, a problem for programs."""
    assert isinstance(error, HTTPException)
    if not _is_read(request):
        return await HANDLERS[HTTPException](request, error)
    trouble = trouble_of_http(request, error)
    request.scope["state"]["refused"] = trouble.code
    call = Call(request=request, words=spoken(request), trouble=trouble)
    try:
        call = replace(call, visit=await visit_with(request, cookie_of_visit(request)))
    except Exception as unknown:
        # Who it is only decides how much of the page is around what is told.
        log.debug("nobody is known", extra=fault(unknown))
    return await show_trouble(call)


def _is_read(request: Request) -> bool:
    """Whether it is a person with a browser who reads the answer."""
    path = request.scope["path"]
    return not path.startswith(PROGRAMS) and "text/html" in request.headers.get("accept", "")
