"""The outermost layer: identifier, floods, names, headers of every answer, the access log, and the last net."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Collection
from email.utils import formatdate
from typing import Final, Protocol

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyrack.shell.metrics.scrape import WebMeter
from keyrack.shell.rest.bounds import Bounds
from keyrack.shell.rest.floodgate import Floodgate, home
from keyrack.shell.rest.protection import PROTECTING
from keyrack.shell.rest.v1.problems import problem, unforeseen

log = logging.getLogger(__name__)

_CORRELATION: Final = re.compile(rb"[A-Za-z0-9._:-]{1,100}")
_ONCE: Final = frozenset(
    {b"authorization", b"host", b"if-match", b"idempotency-key", b"x-csrf-token", b"content-type", b"origin"}
)
"""Headers that say who asks, and for what. Of two, a proxy may have looked at the other one."""
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
# What a router would decode into another path, or a log into another line.
_HIDDEN_IN_PATH: Final = re.compile(rb"%2f|%5c|%00|%0a|%0d|\\|//|/\.\.?(?:/|$)|(?:/|^)(?:%2e){1,2}(?:/|$)|%2e%2e", re.I)
LONGEST_PATH: Final = 200
"""Characters of a path that are logged."""


class Guarded(Protocol):
    """What the door has to know of what is behind it."""

    @property
    def bounds(self) -> Bounds:
        """What one request may take."""
        ...

    @property
    def addresses(self) -> Floodgate:
        """How often one address may come."""
        ...

    @property
    def hosts(self) -> Collection[str]:
        """What the server is called."""
        ...

    @property
    def meter(self) -> WebMeter:
        """Counts what was answered."""
        ...


class Door:
    """An ASGI layer around everything else. No exception goes through it."""

    def __init__(
        self, app: ASGIApp, premises: Guarded, shown: Callable[[Scope, Response], Response] = lambda _, told: told
    ) -> None:
        """``shown`` makes of a problem what whoever asks can read."""
        self._app = app
        self._premises = premises
        self._shown = shown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in and its answer out."""
        if scope["type"] != "http":
            return
        correlation = _correlation(scope)
        scope.setdefault("state", {})["correlation"] = correlation
        sent = _Sent(send, correlation)
        began = time.perf_counter()
        try:
            answer = self._turned_away(scope)
            await (self._shown(scope, answer) if answer else self._app)(scope, receive, sent)
        except ClientDisconnect:
            log.debug("the client has gone", extra={"correlation": correlation})
        except Exception as error:
            answer = unforeseen(correlation, error)
            if not sent.status:
                await self._shown(scope, answer)(scope, receive, sent)
        took = time.perf_counter() - began
        route = getattr(scope.get("route"), "path", "")
        self._premises.meter.answered(scope["method"], route, sent.status, took)
        _tell(scope, sent.status, took)

    def _turned_away(self, scope: Scope) -> Response | None:
        """The answer to what does not even come to the routes."""
        premises = self._premises
        client = scope.get("client")
        if _head(scope) > premises.bounds.head:
            return problem("head-too-long", f"request line and headers have more than {premises.bounds.head} bytes")
        if wait := premises.addresses.take(home(client[0]) if client else ""):
            return problem("too-many-requests", f"come again in {wait} seconds", headers={"retry-after": str(wait)})
        if (ambiguous := _ambiguous(scope)) is not None:
            # Whoever is between may take the rest of the connection for something else.
            return problem("bad-request", ambiguous, headers={"connection": "close"})
        if not _is_called(scope, premises):
            return problem(
                "wrong-host",
                "the header Host names another server",
                hint="use a name of the server's certificate, or write it to hosts of the table [api]",
            )
        if _HIDDEN_IN_PATH.search(scope.get("raw_path") or b""):
            return problem("bad-request", "the path hides separators or line ends")
        return None


class _Sent:
    """Sends, with the headers that every answer has, and remembers the status."""

    def __init__(self, send: Send, correlation: str) -> None:
        self._send = send
        self._correlation = correlation
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = list(message.get("headers", ()))
            named = {name for name, _ in own}
            message["headers"] = [
                *own,
                # A page says itself what its one script may do.
                *(each for each in PROTECTING if each[0] not in named),
                (b"date", formatdate(usegmt=True).encode()),
                (b"x-request-id", self._correlation.encode()),
            ]
        await self._send(message)


def _head(scope: Scope) -> int:
    """Bytes of the request line and the headers."""
    target = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    return sum(len(name) + len(value) + 4 for name, value in scope["headers"]) + target


def _correlation(scope: Scope) -> str:
    """What the client has sent, if it can be trusted with a line of the log; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _CORRELATION.fullmatch(value):
            return str(value, "ascii")
    return str(uuid.uuid4())


def _ambiguous(scope: Scope) -> str | None:
    """What is wrong with a request that two readers may read differently."""
    names = [name for name, _ in scope["headers"]]
    for name in sorted(_ONCE):
        if names.count(name) > 1:
            return f"the header {name.decode().title()} is there more than once"
    if _LENGTHS.issubset(names):
        return "Content-Length and Transfer-Encoding both say how long the body is"
    return None


def _is_called(scope: Scope, premises: Guarded) -> bool:
    """Whether the header Host names this server: else a page of another site may have made its name point here."""
    told = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
    named = re.fullmatch(r"\[([0-9a-f:.]+)\](?::\d{1,5})?|([^:\[\]]+)(?::\d{1,5})?", told)
    return named is not None and (named[1] or named[2]).rstrip(".") in premises.hosts


def _tell(scope: Scope, status: int, took: float) -> None:
    """One line of the access log: no query, no header, nothing of a body."""
    client = scope.get("client")
    path = scope["path"][:LONGEST_PATH]
    log.info(
        "request",
        extra={
            "method": scope["method"][:10],
            "path": path if path.isprintable() else ascii(path),
            "status": status,
            "refused": scope["state"].get("refused", ""),
            "milliseconds": round(took * 1000, 1),
            "address": client[0] if client else "",
            "initiator": scope["state"].get("initiator", ""),
            "correlation": scope["state"]["correlation"],
        },
    )
