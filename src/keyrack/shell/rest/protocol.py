"""HTTP/1.1 of one connection: uvicorn's, with deadlines, refusals in the face's own form, and less residue."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from keyrack.domain.secret import overwrite
from keyrack.shell.rest.protection import PROTECTING


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a face treats a connection."""

    request: float
    """Seconds from the first byte of a request to its last, and for the client to take a part of the answer."""
    malformed: Callable[[], tuple[str, bytes]]
    """Media type and body of the answer to what is no HTTP; the status is 400."""


class GuardedProtocol(H11Protocol):
    """One connection. Whoever dribbles a request, or does not take the answer, is cut off."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        manners: Manners,
        made: Callable[[], None],
        gone: Callable[[], None],
    ) -> None:
        """``made`` and ``gone`` are called once each, when the connection begins (after TLS) and ends."""
        super().__init__(config, server_state, {})
        # uvicorn's own access log would have the query; the face has one that has not.
        self.access_log = False
        self._manners = manners
        self._made = made
        self._gone = gone
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin: the first request must come within the time of a request."""
        super().connection_made(transport)
        self._made()
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Take what came in. The bytes are copied by h11, and may hold key material: the original is overwritten."""
        super().data_received(data)
        overwrite(data)
        if self._whole():
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def on_response_complete(self) -> None:
        """The answer is out; a request that was pipelined may have begun."""
        super().on_response_complete()
        if self._whole() or not self.conn.trailing_data[0]:
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._gone()

    def pause_writing(self) -> None:
        """The client does not read; it has the time of a request to go on."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self._manners.request, self._cut)

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def send_400_response(self, msg: str) -> None:
        """What came in is no HTTP, or too long a head."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self._cut()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            # The application waits for the rest of a body that makes no sense: it must not answer too.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        media, body = self._manners.malformed()
        length = str(len(body)).encode()
        own = [(b"content-type", media.encode()), (b"content-length", length), (b"connection", b"close")]
        events: list[Any] = [h11.Response(status_code=400, headers=[*own, *PROTECTING], reason=b"Bad Request")]
        for event in [*events, h11.Data(data=body), h11.EndOfMessage()]:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _whole(self) -> bool:
        """Whether a request is in, whole, and not yet answered."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._manners.request, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self.transport.abort()
