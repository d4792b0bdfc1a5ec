"""An HTTPS face within a running event loop: beside KMIP in one process, or in a process of its own."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from uvicorn.config import Config

from keyrack.shell.kmip.server import bound
from keyrack.shell.rest.bounds import Bounds
from keyrack.shell.rest.listener import Listener
from keyrack.shell.rest.tls import load, server_context

BACKLOG = 512
GRACE = 5.0
"""Seconds that requests under way may take once the face is told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where a face listens, and as whom."""

    host: str
    port: int
    """0 takes a free one."""
    certificate: Path
    """PEM, with the certificates of its issuers behind it where there are any."""
    key: Path
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True, slots=True)
class Open:
    """A face that takes connections."""

    host: str
    port: int
    reload: Callable[[], None]
    """Read certificate and key again; raises ``TlsError`` and then shows the old ones."""

    @property
    def address(self) -> str:
        """Host and port as one text; an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Face(Protocol):
    """What is served: an ASGI application that also knows how to answer what is no HTTP."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        ...

    def opened(self, address: Open) -> None:
        """The face takes connections now."""
        ...

    def malformed(self) -> tuple[str, bytes]:
        """Media type and body of the answer to what is no HTTP."""
        ...


@asynccontextmanager
async def serving(face: Face, listening: Listening, *, grace: float = GRACE) -> AsyncIterator[Open]:
    """Serve ``face`` as long as the block lasts; the loop's signals and other tasks stay the caller's.

    Raises ``TlsError`` for an unusable certificate and ``OSError`` for an address that cannot be bound.
    """
    context = server_context(listening.certificate, listening.key)
    sock = _listening(listening.host, listening.port)
    bounds = listening.bounds
    config = Config(
        face,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        # A header that anybody can send must not become the source address of the journal.
        proxy_headers=False,
        server_header=False,
        date_header=False,
        h11_max_incomplete_event_size=bounds.head,
        timeout_keep_alive=int(bounds.idle),
    )
    config.load()
    host, port = sock.getsockname()[:2]
    opened = Open(host, port, lambda: load(context, listening.certificate, listening.key))
    face.opened(opened)
    listener = Listener(sock, context, config, bounds, face.malformed)
    try:
        yield opened
    finally:
        await listener.stop(grace)


def _listening(host: str, port: int) -> socket.socket:
    sock = bound(host, port)
    try:
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
