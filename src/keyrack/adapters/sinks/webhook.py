"""A sink that is somebody's HTTPS endpoint: events in batches by POST, signed with a shared secret.

The header ``Keyrack-Signature: t=<seconds>,v1=<hex>`` is HMAC-SHA256 over the seconds, a point and the body. Any answer
of 200 to 299 has taken the batch; anything else has not, and ``Retry-After`` is honoured.
"""

import asyncio
import contextlib
import hmac
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Final
from urllib.parse import SplitResult, urlsplit

from keyrack.domain.secret import Secret
from keyrack.ports.sinks import Outgoing, SinkUnavailable

SIGNATURE: Final = "Keyrack-Signature"
MOST: Final = 512 * 1024
"""Bytes of one POST; a batch that is longer goes in several."""
_ANSWER: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where it is, and how it is spoken to."""

    url: str
    """``https://…``; a host name, perhaps a port, a path."""
    tls: ssl.SSLContext = field(repr=False)
    secret: Secret | None = field(default=None, repr=False)
    """What batches are signed with."""
    timeout: float = 10.0
    """Seconds for connecting, and for each wait."""


class Webhook:
    """One connection at a time, kept open between batches."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float] = time.time) -> None:
        """``clock`` is seconds since 1970."""
        self._endpoint = endpoint
        self._url: SplitResult = urlsplit(endpoint.url)
        self._clock = clock
        self._connection: http.client.HTTPSConnection | None = None
        self._posting: asyncio.Future[None] | None = None

    async def take(self, events: Sequence[Outgoing]) -> None:
        """POST; in a thread, whose connection is cut off where nobody waits any more."""
        if self._posting is not None and not self._posting.done():
            self._cut_off()
            raise SinkUnavailable("the request before has not come back")
        bodies = list(_bodies(events))
        self._posting = asyncio.ensure_future(asyncio.to_thread(self._post_all, bodies))
        self._posting.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.shield(self._posting)
        except asyncio.CancelledError:
            self._cut_off()
            raise

    def _post_all(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            self._post(body)

    def _post(self, body: bytes) -> None:
        kept = self._connection is not None
        try:
            self._exchange(body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self._close()
            if not kept:
                raise self._unreached(error) from None
            # A connection that was idle may have been closed meanwhile; a batch that comes twice is told by its places.
            try:
                self._exchange(body)
            except (OSError, http.client.HTTPException) as again:
                self._close()
                raise self._unreached(again) from None
        except (OSError, http.client.HTTPException) as error:
            self._close()
            raise self._unreached(error) from None

    def _exchange(self, body: bytes) -> None:
        connection = self._connection
        if connection is None:
            connection = http.client.HTTPSConnection(
                self._url.hostname or "",
                self._url.port or 443,
                timeout=self._endpoint.timeout,
                context=self._endpoint.tls,
            )
            self._connection = connection
        path = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        connection.request("POST", path, body=body, headers=self._headers(body))
        answer = connection.getresponse()
        answer.read(_ANSWER)
        if answer.will_close or not answer.isclosed():
            self._close()
        if not 200 <= answer.status < 300:
            after = _retry_after(answer.getheader("Retry-After"), self._clock())
            raise SinkUnavailable(f"{self._url.hostname} answers {answer.status}", retry_after=after)

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "User-Agent": "keyrack"}
        secret = self._endpoint.secret
        if secret is not None:
            headers[SIGNATURE] = signature(secret, int(self._clock()), body)
        return headers

    def _unreached(self, error: Exception) -> SinkUnavailable:
        if isinstance(error, ssl.SSLCertVerificationError):
            return SinkUnavailable(f"the certificate of {self._url.hostname} is not trusted: {error.verify_message}")
        told = str(getattr(error, "strerror", None) or error or type(error).__name__).lower()
        return SinkUnavailable(f"{self._url.hostname} is not reached: {told}")

    def _cut_off(self) -> None:
        """Wake a thread that waits for an answer."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def close(self) -> None:
        """Let go of the connection and wipe the secret."""
        self._cut_off()
        self._close()
        if self._endpoint.secret is not None:
            self._endpoint.secret.wipe()


def signature(secret: Secret, seconds: int, body: bytes) -> str:
    """The value of the header, for a body that is sent at a time."""
    mac = hmac.new(secret.reveal(), b"%d." % seconds, sha256)
    mac.update(body)
    return f"t={seconds},v1={mac.hexdigest()}"


def _bodies(events: Sequence[Outgoing]) -> Sequence[bytes]:
    """``{"events": [...]}``, each no longer than :data:`MOST` unless a single event is."""
    bodies: list[bytes] = []
    gathered: list[str] = []
    length = 0
    for each in events:
        text = json.dumps(each.event, separators=(",", ":"), ensure_ascii=True)
        if gathered and length + len(text) > MOST:
            bodies.append(_body(gathered))
            gathered, length = [], 0
        gathered.append(text)
        length += len(text) + 1
    return [*bodies, _body(gathered)] if gathered else bodies


def _body(texts: Sequence[str]) -> bytes:
    return f'{{"events":[{",".join(texts)}]}}'.encode()


def _retry_after(value: str | None, now: float) -> float:
    """Seconds; a date is counted from ``now``."""
    if value is None:
        return 0.0
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return 0.0
