"""One HTTPS connection: ``http.client`` writes the requests, and the answers are read by a reader that wipes.

What goes wrong becomes the port's :class:`KeyManagerUnavailable` here, once.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from keyrack.adapters.key_managers.ibm.reading import Answer, BrokenAnswer, Ended, Reader
from keyrack.adapters.key_managers.ibm.settings import Origin
from keyrack.adapters.key_managers.ibm.wire import Clock, Route, Wire, connected, secured
from keyrack.ports.key_manager import KeyManagerUnavailable, Reason

MOST_BODY: Final = 65_536
"""Bytes of the longest answer that tells of one key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked. The body is wiped by whoever made it."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytearray | None = field(default=None, repr=False)
    harmless: bool = False
    """Whether it may be sent twice."""
    most: int = MOST_BODY
    """Bytes of the longest answer that is taken."""


OLD: Final = 1.0
"""Seconds without use after which somebody on the way may well have closed a connection. One that was used just now
and breaks is a fault like any other, whose repetitions are counted."""


class Stale(Exception):
    """A connection that was open for long has turned out to be closed, and the request may be made on another one."""


class Exchange(http.client.HTTPSConnection):
    """A connection to a host, over which one request after the other is made."""

    def __init__(self, route: Route, clock: Clock) -> None:
        """Nothing is opened yet."""
        super().__init__(route.origin.host, route.origin.port, context=route.context)
        self.response_class = _Response  # type: ignore[assignment]  # what http.client calls "whatever object"
        self.used_at = 0.0
        """When the last answer came; 0 before the first."""
        self._route = route
        self._clock = clock
        self._wire: Wire | None = None

    def open(self, until: float) -> None:
        """Connect before ``until`` on the clock; raises :class:`KeyManagerUnavailable`."""
        deadline = min(until, self._clock() + self._route.connect_seconds)
        where = self._route.proxy or self._route.origin
        with _translated(where, "connect"):
            wire = connected(where, deadline, self._clock)
        try:
            with _translated(self._route.origin, "TLS"):
                if self._route.proxy:
                    _tunnel(wire, self._route)
                self._wire = secured(wire, self._route)
        except BaseException:
            wire.close()
            raise
        self.sock = self._wire

    @property
    def tls(self) -> str:
        """The version of TLS that is spoken, such as ``"TLSv1.3"``."""
        plain = None if self._wire is None else self._wire.plain
        return plain.version() or "" if isinstance(plain, ssl.SSLSocket) else ""

    def is_quiet(self) -> bool:
        """Whether the other side has kept the connection open, as far as can be told without asking."""
        return self._wire is not None and self._wire.is_quiet()

    def ask(self, request: Request, until: float) -> Answer:
        """Make a request and read the whole answer, before ``until`` on the clock.

        Raises :class:`KeyManagerUnavailable`, and :class:`Stale` where the same request is to be made on a new
        connection. The connection is closed then.
        """
        assert self._wire is not None
        wire = self._wire
        wire.until, wire.most, wire.received = until, request.most, 0
        try:
            with _translated(self._route.origin, request.method):
                answer = self._asked(request, wire)
        except BaseException:
            self.close()
            raise
        self.used_at = self._clock()
        if not answer.stays:
            self.close()
        return answer

    def _asked(self, request: Request, wire: Wire) -> Answer:
        sent, old = False, bool(self.used_at) and self._clock() - self.used_at >= OLD
        try:
            self.request(request.method, request.path, request.body, dict(request.headers))
            sent = True
            response: Any = self.getresponse()
            answer: Answer = response.answer
        except (ConnectionError, ssl.SSLError, Ended) as error:
            if self.used_at and not wire.received and ((request.harmless and old) or not sent):
                raise Stale from error
            raise
        return answer

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._wire = None


class _Response:
    """What ``http.client`` makes of a socket to read an answer from; here the answer is whole when it has begun."""

    will_close = False

    def __init__(self, sock: Wire, *_: Any, **__: Any) -> None:
        self._wire = sock
        self.answer = Answer(0, {})

    def begin(self) -> None:
        """Read it."""
        self.answer = Reader(self._wire).answer()

    def isclosed(self) -> bool:
        """Nothing is left to be read."""
        return True

    def close(self) -> None:
        """Nothing is held."""


def _tunnel(wire: Wire, route: Route) -> None:
    """Ask a proxy for a connection to the host."""
    target = str(route.origin)
    wire.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode("ascii"))
    told = Reader(wire).tunnel()
    if not 200 <= told.status < 300:
        raise KeyManagerUnavailable(
            f"the proxy {route.proxy} does not connect to {target}: it answers {told.status}", Reason.UNREACHABLE
        )


@contextmanager
def _translated(origin: Origin, what: str) -> Iterator[None]:
    """Make the errors of sockets, TLS and HTTP the port's one."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        told = f"the TLS certificate of {origin} is not trusted: {error.verify_message}"
        raise KeyManagerUnavailable(told, Reason.TRUST) from error
    except socket.gaierror as error:
        told = f"the name {origin.host} is not known: {error.strerror}"
        raise KeyManagerUnavailable(told, Reason.UNREACHABLE) from error
    except TimeoutError as error:
        told = f"{origin} does not answer in time ({what})"
        raise KeyManagerUnavailable(told, Reason.UNREACHABLE) from error
    except BrokenAnswer as error:
        raise KeyManagerUnavailable(f"the answer of {origin} is broken: {error}", Reason.FAILING) from error
    except (OSError, http.client.HTTPException) as error:
        told = f"the connection to {origin} fails ({what}): {_why(error)}"
        raise KeyManagerUnavailable(told, Reason.UNREACHABLE) from error


def _why(error: Exception) -> str:
    match error:
        case ssl.SSLEOFError() | ssl.SSLZeroReturnError():
            return "it was cut off"
        case ssl.SSLError():
            return f"TLS: {(error.reason or 'unknown').replace('_', ' ').lower()}"
        case OSError(strerror=str(text)):
            return text.lower()
    return type(error).__name__
