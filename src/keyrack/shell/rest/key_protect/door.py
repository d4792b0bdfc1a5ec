"""The outermost layer of the API: correlation, floods, headers of every answer, the access log, and the last net."""

import logging
import re
import time
import uuid
from collections.abc import Mapping
from email.utils import formatdate
from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keyrack.embedded.call import Call
from keyrack.embedded.errors import BadBody
from keyrack.shell.rest.floodgate import home
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.envelope import error
from keyrack.shell.rest.key_protect.premises import Premises, Slow
from keyrack.shell.rest.key_protect.refusals import unforeseen
from keyrack.shell.rest.protection import PROTECTING

log = logging.getLogger(__name__)

_CORRELATION: Final = re.compile(rb"[A-Za-z0-9._:-]{1,100}")
TOO_LONG: Final = "This is no HTTP request, or its head is too long"
_ONCE: Final = frozenset({b"authorization", b"bluemix-instance", b"x-kms-key-ring"})
"""Headers that say who asks, and for what. Of two, a proxy may have looked at the other one."""
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
LONGEST_PATH: Final = 200
"""Characters of a path that are logged."""


class Door:
    """An ASGI layer around everything else. No exception goes through it."""

    def __init__(self, app: ASGIApp, premises: Premises) -> None:
        self._app = app
        self._premises = premises

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in and its answer out."""
        if scope["type"] != "http":
            return
        correlation = _correlation(scope)
        scope.setdefault("state", {})["correlation"] = correlation
        sent = _Sent(send, correlation)
        began = time.perf_counter()
        try:
            await self._answered(scope, receive, sent)
        except ClientDisconnect:
            log.debug("the client has gone", extra={"correlation": correlation})
        except Exception as problem:
            answer = unforeseen(correlation, problem)
            if not sent.status:
                await answer(scope, receive, sent)
        _tell(scope, sent.status, time.perf_counter() - began)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        premises = self._premises
        client = scope.get("client")
        if _head(scope) > premises.bounds.head:
            # The protocol bounds a head that comes in pieces; here is one that came in at once.
            await Answer(error(400, TOO_LONG), 400)(scope, receive, send)
            return
        try:
            premises.slow_down(premises.addresses, home(client[0]) if client else "")
        except Slow as slow:
            answer = Answer(error(429, str(slow), code=slow.code), slow.status, headers={"retry-after": str(slow.wait)})
            await answer(scope, receive, send)
            return
        if (ambiguous := _ambiguous(scope)) is not None:
            # Whoever is between may take the rest of the connection for something else.
            answer = Answer(error(400, ambiguous, code=BadBody.code), 400, headers={"connection": "close"})
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)


class _Sent:
    """Sends, with the headers that every answer has, and remembers the status."""

    def __init__(self, send: Send, correlation: str) -> None:
        self._send = send
        self._correlation = correlation
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                *PROTECTING,
                (b"date", formatdate(usegmt=True).encode()),
                (b"correlation-id", self._correlation.encode()),
            ]
        await self._send(message)


def _head(scope: Scope) -> int:
    """Bytes of the request line and the headers."""
    return sum(len(name) + len(value) + 4 for name, value in scope["headers"]) + len(scope.get("raw_path", b""))


def _correlation(scope: Scope) -> str:
    """What the client has sent, if it can be trusted with a line of the log; else a new one."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    told = headers.get(b"correlation-id", b"")
    return told.decode() if _CORRELATION.fullmatch(told) else str(uuid.uuid4())


def _ambiguous(scope: Scope) -> str | None:
    """What is wrong with a request that two readers may read differently."""
    names = [name for name, _ in scope["headers"]]
    for name in _ONCE:
        if names.count(name) > 1:
            return f"The header {name.decode().title()} is there more than once"
    if _LENGTHS.issubset(names):
        return "Content-Length and Transfer-Encoding both say how long the body is"
    return None


def _tell(scope: Scope, status: int, took: float) -> None:
    """One line of the access log: no query, no header, nothing of a body."""
    call: Call | None = scope["state"].get("call")
    client = scope.get("client")
    path = scope["path"][:LONGEST_PATH]
    log.info(
        "request",
        extra={
            "method": scope["method"],
            "path": path if path.isprintable() else ascii(path),
            "status": status,
            "milliseconds": round(took * 1000, 1),
            "address": client[0] if client else "",
            "caller": call.caller.identity if call else "",
            "correlation": scope["state"]["correlation"],
        },
    )
