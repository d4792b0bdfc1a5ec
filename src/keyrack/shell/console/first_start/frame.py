"""One request of the wizard: from the browser that was let in, and from a page of the wizard; what goes wrong is told.

The console's frame asks a catalog who is logged in. Here is neither yet: there is one browser, known by its cookie.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from keyrack.shell.console.first_start.desk import Desk
from keyrack.shell.console.first_start.guard import COOKIE
from keyrack.shell.console.showing import render
from keyrack.shell.console.troubles import TOLD, Trouble, trouble_of, trouble_of_ours
from keyrack.shell.console.typed import Typed, form_of, refuse_forged
from keyrack.shell.console.words import Words, spoken
from keyrack.shell.rest.v1.callers import csrf_of

ENTER: Final = "/setup"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupCall:
    """One request."""

    request: Request
    words: Words
    typed: Typed = field(default_factory=Typed)
    trouble: Trouble | None = None
    cookie: str = field(default="", repr=False)
    """Of the browser that was let in; empty for everybody else."""

    @property
    def desk(self) -> Desk:
        """The wizard."""
        desk: Desk = self.request.app.state.desk
        return desk

    @property
    def visit(self) -> None:
        """Nobody is logged in yet."""

    @property
    def csrf(self) -> str:
        """What every form repeats."""
        return csrf_of(self.cookie) if self.cookie else ""

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(time.time())

    @property
    def back(self) -> str:
        """The page to come back to; each form of the wizard is answered at the address of its page."""
        return self.request.url.path

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page, or a part of one; where it is shown again for a trouble, with its status."""
        return render(f"first_start/{template}", self, self.trouble.status if self.trouble else status, values)

    def go(self, path: str) -> Response:
        """To another page."""
        return RedirectResponse(path, 303)


Handler = Callable[[SetupCall], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class _Way:
    opened: bool
    again: Handler | None = None


class Pages:
    """The pages of the wizard."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def shows(self, path: str, *, opened: bool = False) -> Callable[[Handler], Handler]:
        """A page; ``opened``: for a browser that was not let in, too."""
        return partial(self._add, path, "GET", _Way(opened))

    def does(self, path: str, *, again: Handler, opened: bool = False) -> Callable[[Handler], Handler]:
        """What a form asks for; what goes wrong is told on the page that ``again`` shows."""
        return partial(self._add, path, "POST", _Way(opened, again))

    def _add(self, path: str, method: str, way: _Way, handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            return await _answered(request, handler, way)

        self.routes.append(Route(path, endpoint, methods=[method], name=handler.__name__))
        return handler


async def show_trouble(call: SetupCall) -> Response:
    """A page of its own for what went wrong."""
    return call.show("trouble.html")


async def _answered(request: Request, handler: Handler, way: _Way) -> Response:
    call = SetupCall(request=request, words=spoken(request))
    try:
        cookie = request.cookies.get(COOKIE, "")
        if call.desk.guard.knows(cookie):
            call = replace(call, cookie=cookie)
        elif not way.opened:
            return call.go(ENTER)
        if way.again is not None:
            call = replace(call, typed=await form_of(request))
            refuse_forged(request, call.typed, call.csrf if call.cookie else None)
        return await handler(call)
    except TOLD as error:
        request.scope["state"]["refused"] = (trouble := trouble_of(error)).code
        return await (way.again or show_trouble)(replace(call, trouble=trouble))
    except Exception as error:
        return await show_trouble(replace(call, trouble=trouble_of_ours(request, error)))
