"""One request of the console: who asks, in which language, what was typed, and how a page answers.

A room (a file in ``rooms``) declares its pages with a :class:`Room`; everything that all pages have in common is done
here, once: the log-in is looked at, forged forms are refused, a proof is taken, and what goes wrong is told on the page
on which it was asked for, with what was typed still there.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from keyrack.domain.people import is_name_of_issuer
from keyrack.domain.rights import EVERYWHERE, Right
from keyrack.ports.back_office import BackOffice
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.administration import Administration
from keyrack.service.office.refusals import NotRecognised, TooManyAttempts, Unauthenticated
from keyrack.service.people import logins
from keyrack.shell.config.whole import Config
from keyrack.shell.console.places import LOG_IN, local, log_in_for, of_this_server, page_at
from keyrack.shell.console.showing import render
from keyrack.shell.console.troubles import TOLD, Trouble, trouble_of, trouble_of_ours
from keyrack.shell.console.typed import Typed, form_of, refuse_forged
from keyrack.shell.console.words import Words, mark, spoken
from keyrack.shell.rest.v1.callers import Visit, cookie_of_visit, csrf_of, visit_with
from keyrack.shell.rest.v1.premises import Premises

WRONG_PROOF: Final = mark("this is not your password")
LOOKING: Final = frozenset({"GET", "HEAD"})

__all__ = ["LOG_IN", "Call", "Room", "Typed", "local", "show_trouble"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request."""

    request: Request
    words: Words
    typed: Typed = field(default_factory=Typed)
    visit: Visit | None = None
    """Of whoever is logged in; ``None`` on the pages before that."""
    trouble: Trouble | None = None
    """What went wrong with the form that this page is shown again for."""

    @property
    def premises(self) -> Premises:
        """The running API."""
        premises: Premises = self.request.app.state.premises
        return premises

    @property
    def config(self) -> Config:
        """Of the deployment."""
        config = self.premises.config
        assert config is not None, "a console is served for a deployment"
        return config

    @property
    def known(self) -> Visit:
        """Who asks, where only they come who are logged in; what REST's calls take as their ``caller``."""
        assert self.visit is not None, "the room lets nobody in who is not logged in"
        return self.visit

    @property
    def administration(self) -> Administration:
        """With the rights of whoever asks."""
        return self.known.administration

    @property
    def catalog(self) -> WholeCatalog:
        """All ports of the catalog."""
        return self.premises.catalog

    @property
    def back_office(self) -> BackOffice:
        """The way to what needs a key manager."""
        return self.premises.back_office

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return self.premises.clock() // 1000

    @property
    def path(self) -> Mapping[str, str]:
        """The parts of the address that stand in braces in the room's declaration."""
        return self.request.path_params

    @property
    def csrf(self) -> str:
        """What every form of this log-in repeats."""
        return csrf_of(self.visit.token) if self.visit else ""

    @property
    def here(self) -> str:
        """Path and query of this page, without what was told on it once."""
        query = self.request.url.query
        if "done=" in query:
            query = urlencode([each for each in parse_qsl(query, keep_blank_values=True) if each[0] != "done"])
        return self.request.url.path + (f"?{query}" if query else "")

    @property
    def back(self) -> str:
        """The page to come back to: this one, or the one whose form is answered here."""
        if self.request.method in LOOKING:
            return page_at(self.request, self.here)
        return page_at(self.request, of_this_server(self.request, "referer") or self.request.url.path)

    @property
    def name(self) -> str:
        """Of whoever is logged in; empty before that."""
        return self.administration.administrator.initiator.removeprefix("person-") if self.visit else ""

    @property
    def proves_elsewhere(self) -> bool:
        """Whether it is a provider, and no password here, that proves who this is."""
        return is_name_of_issuer(self.name)

    def may(self, right: Right, instance: str = EVERYWHERE) -> bool:
        """Whether to offer an act; the use case asks again."""
        return self.visit is not None and self.administration.administrator.grants.allow(right, instance)

    def show(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page, or a part of one; where it is shown again for a trouble, with its status."""
        answer = render(template, self, self.trouble.status if self.trouble else status, values)
        if self.trouble and (wait := self.trouble.more.get("retry_after")):
            answer.headers["retry-after"] = str(wait)
        return answer

    def go(self, path: str, *, done: str = "") -> Response:
        """To another page after something was done; ``done`` is a key of ``showing.DONE``, told there."""
        begins = "&" if "?" in path else "?"
        return RedirectResponse(f"{path}{begins}done={quote(done)}" if done else path, 303)


Handler = Callable[[Call], Awaitable[Response]]


class Room:
    """The pages of one noun."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def shows(self, path: str, *, opened: bool = False) -> Callable[[Handler], Handler]:
        """A page: ``@room.shows("/instances/{instance}")``. ``opened``: for anybody, before any log-in."""
        return partial(self._add, path, "GET", _Way(opened=opened))

    def refreshes(self, path: str) -> Callable[[Handler], Handler]:
        """A part of a page that it asks for again and again: that keeps no log-in alive. Begins with ``/live/``."""
        assert path.startswith("/live/"), path
        return partial(self._add, path, "GET", _Way(passive=True))

    def does(self, path: str, *, again: Handler, opened: bool = False) -> Callable[[Handler], Handler]:
        """What a form asks for. It answers with :meth:`Call.go`, or with what is shown only once; what goes wrong is
        told on the page that ``again`` shows."""
        return partial(self._add, path, "POST", _Way(opened=opened, again=again))

    def _add(self, path: str, method: str, way: "_Way", handler: Handler) -> Handler:
        async def endpoint(request: Request) -> Response:
            return await _answered(request, handler, way)

        self.routes.append(Route(path, endpoint, methods=[method], name=handler.__name__))
        return handler


@dataclass(frozen=True, slots=True)
class _Way:
    opened: bool = False
    passive: bool = False
    again: Handler | None = None


async def show_trouble(call: Call) -> Response:
    """A page of its own for what went wrong."""
    return call.show("trouble.html")


async def _answered(request: Request, handler: Handler, way: _Way) -> Response:
    call = Call(request=request, words=spoken(request), typed=Typed(request.query_params.multi_items()))
    try:
        call = await _recognised(call, way)
        if way.again is not None:
            call = replace(call, typed=await form_of(request))
            call = await _checked(call)
        return await handler(call)
    except Unauthenticated:
        return _to_log_in(call, way)
    except TOLD as error:
        request.scope["state"]["refused"] = (trouble := trouble_of(error)).code
        return await _told(replace(call, trouble=trouble), way)
    except Exception as error:
        return await show_trouble(replace(call, trouble=trouble_of_ours(request, error)))


async def _told(call: Call, way: _Way) -> Response:
    if way.passive:
        # A part of a page stays as it was; the strip at its head tells that something is wrong.
        assert call.trouble is not None
        return PlainTextResponse(call.trouble.code, call.trouble.status)
    try:
        return await (way.again or show_trouble)(call)
    except Unauthenticated:
        return _to_log_in(call, way)
    except TOLD as error:
        # The page itself cannot be shown: what the form was for is gone, or is not for whoever asks.
        return await show_trouble(replace(call, trouble=trouble_of(error)))


async def _recognised(call: Call, way: _Way) -> Call:
    token = cookie_of_visit(call.request)
    if way.opened and not token:
        return call
    try:
        return replace(call, visit=await visit_with(call.request, token, noted=not way.passive))
    except Unauthenticated:
        if way.opened:
            return call
        raise


async def _checked(call: Call) -> Call:
    """Refuse what another site has made the browser send; take the proof that was typed with it."""
    refuse_forged(call.request, call.typed, call.csrf if call.visit else None)
    if call.visit is None:
        return call
    if password := call.typed.raw("proof"):
        return await _proved(call, password)
    return call


async def _proved(call: Call, password: str) -> Call:
    try:
        await logins.prove_again(call.administration, call.catalog, call.premises.passwords, password)
    except NotRecognised:
        raise NotRecognised(WRONG_PROOF, field="proof", hint=mark("type it once more")) from None
    except TooManyAttempts as error:
        error.field = "proof"
        raise
    return replace(call, visit=await visit_with(call.request, call.known.token, noted=True))


def _to_log_in(call: Call, way: _Way) -> Response:
    """There, and afterwards back to the page that was asked for."""
    request = call.request
    if way.passive or "hx-request" in request.headers:
        # Within a page: the whole of it goes there, and comes back.
        back = page_at(request, of_this_server(request, "hx-current-url"))
        return Response(status_code=401, headers={"hx-redirect": log_in_for(back)})
    if request.method not in LOOKING:
        return RedirectResponse(log_in_for(call.back), 303)
    if request.headers.get("sec-fetch-site") == "cross-site" and not cookie_of_visit(request):
        # Another site's link: the browser keeps the cookie of a log-in back. From a page of this server it sends it.
        return call.show("log_in/onward.html", to=log_in_for(call.here))
    return RedirectResponse(log_in_for(call.here), 303)
