"""HTTP/1.1 as a fault proxy reads and writes it: whole messages, no matter who is at the other end."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

from keyrack.shell.rest.key_protect.envelope import JSON, error
from keyrack.testing.fault_proxy_rules import Fault, Rule

LONGEST_HEAD: Final = 65_536
_HTML: Final = "text/html"
_BODILESS: Final = frozenset({204, 304})


class NoMessage(Exception):
    """The other end closed the connection before a message began."""


@dataclass(slots=True)
class Message:
    """A request or an answer. ``headers`` have names in lower case."""

    first: str
    """The first line."""
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def method(self) -> str:
        """Of a request."""
        return self.first.split(" ")[0]

    @property
    def target(self) -> str:
        """Of a request: path and query."""
        return self.first.split(" ")[1]

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.first.split(" ")[1])

    @property
    def lasts(self) -> bool:
        """Whether the connection goes on after it."""
        return self.headers.get("connection", "").lower() != "close"

    def head(self, length: int | None = None) -> bytes:
        """The first line and the headers, with the length of the body or another."""
        told = {name: value for name, value in self.headers.items() if name != "transfer-encoding"}
        if self.body or length is not None or len(told) < len(self.headers):
            told["content-length"] = str(len(self.body) if length is None else length)
        return "\r\n".join([self.first, *(f"{name}: {value}" for name, value in told.items()), "", ""]).encode(
            "latin-1"
        )

    def written(self) -> bytes:
        """All of it."""
        return self.head() + self.body


async def read(reader: asyncio.StreamReader, *, answers: str = "") -> Message:
    """A whole message; ``answers`` is the method of the request that an answer is to.

    Raises :class:`NoMessage`, ``OSError``, ``IncompleteReadError``, or ``ValueError`` for what is not HTTP.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as ended:
        if ended.partial:
            raise
        raise NoMessage from ended
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    message = Message(first, {name.strip().lower(): value.strip() for name, _, value in pairs})
    if answers != "HEAD" and not (answers and message.status in _BODILESS):
        message.body = await _body(reader, message.headers)
    return message


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        pieces = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            pieces.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(pieces)
    return await reader.readexactly(int(headers.get("content-length", "0")))


@dataclass(frozen=True, slots=True)
class Canned:
    """An answer that no key manager has given."""

    status: int
    phrase: str
    body: str
    media: str = JSON

    def message(self, rule: Rule, now: float) -> Message:
        """As it is sent; ``now`` is in seconds since 1970."""
        headers = {"content-type": self.media, "date": formatdate(now, usegmt=True)}
        if rule.retry_after is not None:
            later = formatdate(now + rule.retry_after, usegmt=True)
            headers["retry-after"] = later if rule.as_date else f"{rule.retry_after:g}"
        return Message(f"HTTP/1.1 {self.status} {self.phrase}", headers, self.body.encode())


def _page(status: int, phrase: str) -> Canned:
    """What a gateway in front of a key manager answers."""
    return Canned(status, phrase, f"<html><body><h1>{status} {phrase}</h1></body></html>", _HTML)


def _said(status: int, phrase: str, text: str, code: str = "") -> Canned:
    """What a key manager answers, in its own form."""
    return Canned(status, phrase, json.dumps(error(status, text, code=code)))


_REVOKED: Final = {
    "errorCode": "BXNIM0415E",
    "errorMessage": "Provided API key could not be found",
    "context": {"requestId": "of a fault proxy", "requestType": "incoming.Identity_Token"},
}
_REGION: Final = (
    "Either the user does not have access to the specified resource, the resource does not exist, or the region is"
    " incorrectly set"
)
_UNKNOWN_FIELD: Final = 'Invalid body data was passed. Please ensure the data is valid: json: unknown field "aad"'
_TOKEN: Final = "Token is expired"
_UNITS: Final = "no healthy upstream: no crypto units are in kms-initialized state at this time"

CANNED: Final[Mapping[Fault, Canned]] = {
    Fault.REQUEST_TIMEOUT: _page(408, "Request Timeout"),
    Fault.TOO_EARLY: _page(425, "Too Early"),
    Fault.TOO_MANY_REQUESTS: _said(429, "Too Many Requests", "Please wait a few minutes and try again."),
    Fault.INTERNAL_ERROR: _said(500, "Internal Server Error", "IBM Key Protect is currently unavailable."),
    Fault.BAD_GATEWAY: _page(502, "Bad Gateway"),
    Fault.UNAVAILABLE: _page(503, "Service Unavailable"),
    Fault.GATEWAY_TIMEOUT: _page(504, "Gateway Timeout"),
    Fault.STALE_TOKEN: _said(401, "Unauthorized", _TOKEN),
    Fault.STALE_TOKEN_400: _said(400, "Bad Request", _TOKEN),
    Fault.REFUSED_TOKEN: _said(401, "Unauthorized", _TOKEN),
    Fault.REFUSED_TOKEN_400: _said(400, "Bad Request", _TOKEN),
    Fault.REVOKED_API_KEY: Canned(400, "Bad Request", json.dumps(_REVOKED)),
    Fault.WRONG_REGION: _said(401, "Unauthorized", _REGION, "UNAUTHORIZED_ERR"),
    Fault.NETWORK_POLICY: _said(403, "Forbidden", "A network policy keeps this address out", "FORBIDDEN_ERR"),
    Fault.AAD_REFUSED: _said(400, "Bad Request", _UNKNOWN_FIELD, "BAD_BODY_ERR"),
    Fault.NOT_INITIALISED: Canned(503, "Service Unavailable", _UNITS, "text/plain"),
    Fault.TEAPOT: _page(418, "I'm a teapot"),
    Fault.GARBAGE: Canned(200, "OK", "<html><body><h1>Welcome to this network</h1></body></html>", _HTML),
}
"""Faults that answer in the place of the key manager."""


def without_aad(request: Message) -> Message:
    """The request without the strings that its ciphertext is to be bound to."""
    told = _object(request.body)
    if "aad" not in told:
        return request
    del told["aad"]
    return Message(request.first, dict(request.headers), json.dumps(told).encode())


def has_aad(request: Message) -> bool:
    """Whether the request has strings to bind a ciphertext to."""
    return "aad" in _object(request.body)


def skewed(answer: Message, seconds: float, now: float) -> Message:
    """The answer of a server whose clock is ``seconds`` ahead of this one's."""
    headers = {**answer.headers, "date": formatdate(now + seconds, usegmt=True)}
    told = _object(answer.body)
    if "expiration" not in told:
        return Message(answer.first, headers, answer.body)
    told["expiration"] += int(seconds)
    return Message(answer.first, headers, json.dumps(told).encode())


def _object(body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
