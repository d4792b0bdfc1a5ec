"""Accepts connections of an HTTPS face: counted by address before and after their handshake, each with a deadline."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable

from uvicorn.config import Config
from uvicorn.server import ServerState

from keyrack.shell.kmip.limits import Admission
from keyrack.shell.rest.bounds import Bounds
from keyrack.shell.rest.floodgate import home
from keyrack.shell.rest.protocol import GuardedProtocol, Manners

log = logging.getLogger(__name__)

BREATH = 0.2
"""Seconds to wait when the system has no more file descriptors."""
_TURN = 3
"""Rounds of the event loop until what a client has said first is answered."""
_LINGER = 2.0
"""Seconds for a client to end TLS in order."""


class Listener:
    """One listening socket and its connections, on the running event loop."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        config: Config,
        bounds: Bounds,
        malformed: Callable[[], tuple[str, bytes]],
    ) -> None:
        """``sock`` listens and does not block; it becomes this object's."""
        self._sock = sock
        self._context = context
        self._config = config
        self._bounds = bounds
        self._manners = Manners(request=bounds.request, malformed=malformed)
        self._loop = asyncio.get_running_loop()
        self._admission: Admission[socket.socket] = Admission(bounds.of_listener(), self._loop.time)
        self._state = ServerState()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Lock()
        self._accepting = asyncio.create_task(self._accept())

    def __len__(self) -> int:
        return len(self._admission)

    async def stop(self, grace: float) -> None:
        """Take no more connections, let requests under way end for ``grace`` seconds, and cut what is left."""
        self._accepting.cancel()
        await asyncio.gather(self._accepting, return_exceptions=True)
        self._sock.close()
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._state.tasks:
                    await asyncio.wait(list(self._state.tasks))
        for connection in list(self._state.connections):
            connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._state.tasks, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            try:
                sock, address = await self._loop.sock_accept(self._sock)
            except OSError as error:
                log.warning("a connection could not be accepted", extra={"why": error.strerror})
                await asyncio.sleep(BREATH)
                continue
            guest = home(address[0])
            if (full := self._admission.full(guest)) is not None:
                log.warning("connection refused", extra={"address": address[0], "limit": str(full)})
                sock.close()
                continue
            self._admission.enter(sock, guest)
            task = self._loop.create_task(self._welcome(sock))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _welcome(self, sock: socket.socket) -> None:
        protocol = GuardedProtocol(
            self._config,
            self._state,
            self._manners,
            made=lambda: self._admission.established(sock),
            gone=lambda: self._admission.leave(sock),
        )
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self._bounds.handshake):
                await self._spoken(sock)
                await self._shaken_hands(sock, protocol)
        except (OSError, asyncio.CancelledError) as error:
            # TimeoutError is an OSError too.
            log.debug("no TLS", extra={"why": type(error).__name__})
            if protocol.transport is None:
                self._admission.leave(sock)
                sock.close()

    async def _spoken(self, sock: socket.socket) -> None:
        """Wait until the client has said anything: who is silent waits for nobody's turn, and takes none."""
        spoken = self._loop.create_future()
        self._loop.add_reader(sock, _settle, spoken)
        try:
            await spoken
        finally:
            self._loop.remove_reader(sock)

    async def _shaken_hands(self, sock: socket.socket, protocol: GuardedProtocol) -> None:
        """Shake hands; the costly step, a signature, when it is this connection's turn.

        All at once they would be done one after the other before anything else on this event loop: KMIP is there too.
        """
        async with self._turns:
            shaking = self._loop.create_task(
                self._loop.connect_accepted_socket(
                    lambda: protocol, sock, ssl=self._context, ssl_shutdown_timeout=_LINGER
                )
            )
            try:
                for _ in range(_TURN):
                    await asyncio.sleep(0)
            except asyncio.CancelledError:
                shaking.cancel()
                await asyncio.gather(shaking, return_exceptions=True)
                raise
        await shaking


def _settle(spoken: asyncio.Future[None]) -> None:
    if not spoken.done():
        spoken.set_result(None)
