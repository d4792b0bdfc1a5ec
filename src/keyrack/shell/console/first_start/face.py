"""The wizard as an HTTPS face: its pages and the console's files, behind the administration's own door."""

from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from keyrack.shell.console import assets
from keyrack.shell.console.first_start.desk import Desk
from keyrack.shell.console.first_start.ending import pages
from keyrack.shell.console.first_start.frame import SetupCall, show_trouble
from keyrack.shell.console.troubles import trouble_of_http
from keyrack.shell.console.words import spoken
from keyrack.shell.rest.serving import Open
from keyrack.shell.rest.v1.door import Door
from keyrack.shell.rest.v1.problems import MEDIA, problem

ROUTES: Final = (Route("/static/{digest}/{name:path}", assets.serve), *pages.routes)


class SetupFace:
    """What :func:`keyrack.shell.rest.serving.serving` serves."""

    def __init__(self, desk: Desk) -> None:
        """Nothing is opened or closed."""
        self.desk = desk
        self._app = Starlette(routes=ROUTES, exception_handlers={HTTPException: _unrouted})
        self._app.router.redirect_slashes = False
        self._app.state.desk = desk
        self._door = Door(self._app, desk)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._door(scope, receive, send)

    def opened(self, address: Open) -> None:
        """It takes connections now."""
        self.desk.port = address.port

    def malformed(self) -> tuple[str, bytes]:
        """The answer to what is no HTTP."""
        return MEDIA, bytes(problem("bad-request", "this is no HTTP request, or its head is too long").body)


async def _unrouted(request: Request, error: Exception) -> Response:
    """A page for a path or a method that there is not."""
    assert isinstance(error, HTTPException)
    return await show_trouble(
        SetupCall(request=request, words=spoken(request), trouble=trouble_of_http(request, error))
    )
