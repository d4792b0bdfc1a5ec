"""One client's connection, from accept to close: handshake, request after request, and every way it can end."""

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass
from enum import Enum
from secrets import token_hex
from typing import Protocol

from OpenSSL import SSL

from keyrack.domain.secret import overwrite, wipe
from keyrack.service.identity import Peer
from keyrack.shell.kmip.deadlines import Deadlines
from keyrack.shell.kmip.limits import Limits
from keyrack.shell.kmip.readiness import READ, WRITE, Ready, Watch
from keyrack.shell.kmip.tls import Intake, Refused, TrustPlane, reason_of
from keyrack.shell.kmip.verdicts import Verdict
from keyrack.wire.connection import Framing, FramingError, Progress

log = logging.getLogger(__name__)

READ_SIZE = 16 * 1024
"""Bytes asked of TLS at a time: a whole record, so that none of it stays behind inside OpenSSL unseen."""
INTAKE = Intake(READ_SIZE)


class Desk(Protocol):
    """Where requests are answered."""

    async def answer(self, frame: bytes, peer: Peer) -> bytearray | None:
        """The response message, which the caller sends and wipes; ``None`` where the connection has to go."""
        ...


class Observer(Protocol):
    """What the listener wants to know of its connections."""

    def established(self, connection: "Connection", verdict: Verdict) -> None:
        """The handshake is done and the client is known."""
        ...

    def refused(self, connection: "Connection", verdict: Verdict) -> None:
        """The handshake was refused, by us or by the client."""
        ...

    def ended(self, connection: "Connection", why: str) -> None:
        """The connection is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all connections of a listener share."""

    loop: asyncio.AbstractEventLoop
    desk: Desk
    plane: TrustPlane
    limits: Limits
    deadlines: Deadlines
    porch: Watch
    """Watches handshakes."""
    house: Watch
    """Watches connections whose handshake is over."""
    observer: Observer
    answering: set["Connection"]
    """Connections with a request under way; each holds its task, which the loop itself holds only weakly."""


class Stage(Enum):
    """How far a connection has come."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "closing"
    """An answer or a request under way is finished, then it ends."""
    LINGERING = "lingering"
    """We have said all; what the client still sends is thrown away, so that it gets to read our alert."""
    ENDED = "ended"


class Connection:
    """One connection. Every method runs on the event loop's thread, and none waits."""

    __slots__ = (
        "_around",
        "_fd",
        "_framing",
        "_out",
        "_paused",
        "_pending",
        "_socket",
        "_task",
        "_tls",
        "_watch",
        "_watched",
        "_why",
        "address",
        "host",
        "peer",
        "stage",
    )

    def __init__(self, sock: socket.socket, address: tuple[str, int], around: Surroundings) -> None:
        """Take over an accepted, non-blocking socket and wait for the client to begin."""
        self._around = around
        self._socket = sock
        self._fd = sock.fileno()
        self._tls: SSL.Connection | None = None
        self._framing = Framing(around.limits.max_message)
        self._out: bytearray | None = None
        """The answer that is not written yet."""
        self._pending = 0
        """How many of its bytes are."""
        self._task: asyncio.Task[None] | None = None
        self._paused = False
        """Not read, because the client has sent more than one request ahead."""
        self._why = ""
        self.host = address[0]
        self.address = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
        self.peer: Peer | None = None
        self.stage = Stage.HANDSHAKE
        self._watched = READ
        self._watch: Watch | None = around.porch
        around.porch.add(self._fd, READ, self._shake)
        around.deadlines.arm(self, around.limits.handshake)

    # The handshake ------------------------------------------------------------------------------------------------

    def _shake(self, ready: int) -> None:
        """Go one step on in the handshake, as far as what the client has sent allows."""
        try:
            if self._tls is None:
                # Only now: a client that connects and says nothing costs a socket, not a TLS state.
                self._tls = self._around.plane.accept(self._socket)
            self._tls.do_handshake()
            verdict = self._around.plane.identify(self._tls)
        except SSL.WantReadError:
            self._watch_for(READ)
        except SSL.WantWriteError:
            self._watch_for(READ | WRITE)
        except SSL.SysCallError:
            self._end("gone in the handshake")
        except SSL.Error as error:
            self._refuse(self._tls.get_app_data() if self._tls else Verdict(), reason_of(error))
        except Refused as refusal:  # the handshake was good, so the client hears a proper close instead of an alert
            self._say_goodbye()
            self._refuse(refusal.verdict, "certificate not trusted")
        except Exception as fault:
            self._fail(fault)
        else:
            self._open(self._tls, verdict)

    def _open(self, tls: SSL.Connection, verdict: Verdict) -> None:
        assert verdict.fingerprint is not None
        self._around.deadlines.disarm(self)
        self.peer = Peer(
            fingerprint=verdict.fingerprint,
            address=self.address,
            tls=tls.get_protocol_version_name(),
            suite=tls.get_cipher_name() or "",
            session=token_hex(8),
            admittance=verdict.admittance,
        )
        self.stage = Stage.OPEN
        self._move(self._around.house, READ, self._ready)
        self._around.observer.established(self, verdict)

    def _refuse(self, verdict: Verdict, reason: str) -> None:
        verdict.reason = verdict.reason or reason
        self._around.observer.refused(self, verdict)
        self._linger("refused")

    # Requests -----------------------------------------------------------------------------------------------------

    def _ready(self, ready: int) -> None:
        try:
            if ready & WRITE and self._out is not None:
                self._write()
            if not ready & ~WRITE:
                return
            if self._watched & READ and self.stage is Stage.OPEN:
                self._read()
            elif ready & ~(READ | WRITE):  # reset, while we do not read: epoll would say so again and again
                self._end("lost")
        except Exception as fault:
            self._fail(fault)

    def _fail(self, fault: Exception) -> None:
        """A fault of ours ends this connection and no other."""
        log.error("%s: a fault in the listener ends the connection: %s", self.address, type(fault).__name__)
        log.debug("the fault", exc_info=fault)
        self._end("fault")

    def _read(self) -> None:
        tls = self._tls
        assert tls is not None
        try:
            data = INTAKE.read(tls)
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self._hang_up("closed by the client")
            return
        except (SSL.Error, OSError):  # a reset, an end without close_notify, a bad record
            self._end("lost")
            return
        frame: bytes | None = None
        try:
            if self.busy:
                self._framing.feed(data)
                self._pause_if_ahead()
                return
            frame = self._framing.exchange(data)
        except FramingError as error:
            log.debug("%s: %s", self.address, error)
            self._hang_up("not a request")
            return
        finally:
            if frame is not data:
                overwrite(data)
        if frame is None:
            self._await_rest()
        else:
            self._ask(frame)

    def _await_rest(self) -> None:
        """A message has begun: it must be complete in time, however slowly its bytes come."""
        if self._framing.progress is Progress.PARTIAL and self not in self._around.deadlines:
            self._around.deadlines.arm(self, self._around.limits.message)

    def _pause_if_ahead(self) -> None:
        """A client may send one request ahead of its answer; more than that it keeps to itself."""
        if self._framing.progress is Progress.READY and not self._paused:
            self._paused = True
            self._watch_for(self._watched & ~READ)

    def _ask(self, frame: bytes) -> None:
        if self in self._around.deadlines:
            self._around.deadlines.disarm(self)
        self._around.answering.add(self)
        self._task = self._around.loop.create_task(self._answer(frame))

    async def _answer(self, frame: bytes) -> None:
        assert self.peer is not None
        try:
            response = await self._around.desk.answer(frame, self.peer)
        except Exception as error:  # the desk answers its own errors; what comes out of it is a fault of ours
            log.error("a request of %s failed in the desk: %s", self.address, type(error).__name__)
            log.debug("the fault", exc_info=error)
            response = None
        finally:
            overwrite(frame)
        self._around.answering.discard(self)
        self._task = None
        if self.stage is Stage.ENDED or self.stage is Stage.LINGERING:
            wipe(response or bytearray())
        elif response:
            self._out = response
            self._pending = 0
            self._write()
        else:
            self._hang_up("closed by the desk")

    def _write(self) -> None:
        """Send what is left of the answer; whatever cannot go now goes when the client has read."""
        tls, out = self._tls, self._out
        assert tls is not None
        assert out is not None
        try:
            while self._pending < len(out):
                self._pending += tls.send(memoryview(out)[self._pending :] if self._pending else out)
        except (SSL.WantWriteError, SSL.WantReadError):
            if not self._watched & WRITE:
                self._around.deadlines.arm(self, self._around.limits.message)
                self._watch_for(self._watched | WRITE)
            return
        except (SSL.Error, OSError):
            self._end("lost")
            return
        if self._watched & WRITE:
            self._around.deadlines.disarm(self)
            self._watch_for(self._watched & ~WRITE)
        wipe(out)
        self._out = None
        self._next()

    def _next(self) -> None:
        """The answer is out: the request that waits behind it, or a rest."""
        if self.stage is Stage.CLOSING:
            self._hang_up(self._why)
            return
        try:
            frame = self._framing.take()
        except FramingError:
            self._hang_up("not a request")
            return
        if self._paused and self._framing.progress is not Progress.READY:
            self._paused = False
            self._watch_for(self._watched | READ)
        if frame is not None:
            self._ask(frame)
        else:
            self._await_rest()

    # The end ------------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a request is under way or an answer not written yet."""
        return self._task is not None or self._out is not None

    def close(self, why: str) -> None:
        """End in good order: a request under way is answered, then close_notify is sent."""
        if self.stage is Stage.OPEN and self.busy:
            self._hang_up(why)
        elif self.stage is not Stage.CLOSING:
            self.abort(why)

    def abort(self, why: str) -> None:
        """End at once: whatever is under way is not answered any more, but the client is told that we close."""
        if self.stage in (Stage.OPEN, Stage.CLOSING):
            self._say_goodbye()
        self._end(why)

    def expired(self) -> None:
        """The deadline is over: of the handshake, of a message, of an answer, of lingering."""
        self.abort({Stage.HANDSHAKE: "too slow a handshake", Stage.LINGERING: self._why}.get(self.stage, "too slow"))

    def _hang_up(self, why: str) -> None:
        """Say close_notify and go, when nothing is under way any more."""
        if self.busy:
            self.stage = Stage.CLOSING
            self._why = why
            self._watch_for(self._watched & ~READ)
            return
        self._say_goodbye()
        if why == "closed by the client":
            self._end(why)
        else:
            self._linger(why)

    def _say_goodbye(self) -> None:
        assert self._tls is not None
        # A client that is gone, or does not read, learns it from the end of the stream.
        with contextlib.suppress(SSL.Error, OSError):
            self._tls.shutdown()

    def _linger(self, why: str) -> None:
        """Wait for the client to close, a moment: closing over unread bytes would reset the alert away."""
        self._why = why
        self.stage = Stage.LINGERING
        self._around.deadlines.arm(self, self._around.limits.linger)
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(why)
            return
        self._move(self._around.house, READ, self._drain)

    def _drain(self, ready: int) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._end(self._why)

    def _watch_for(self, what: int) -> None:
        """Be told of nothing but ``what`` (and of the end of the connection, unless that is nothing at all)."""
        if what == self._watched or self._watch is None:
            return
        self._watched = what
        self._watch.change(self._fd, what)

    def _move(self, watch: Watch, what: int, ready: Ready) -> None:
        if self._watch is not None:
            self._watch.remove(self._fd)
        self._watch, self._watched = watch, what
        watch.add(self._fd, what, ready)

    def _end(self, why: str) -> None:
        if self.stage is Stage.ENDED:
            return
        self.stage = Stage.ENDED
        self._around.deadlines.disarm(self)
        if self._watch is not None:
            self._watch.remove(self._fd)
            self._watch = None
        if self._out is not None:
            wipe(self._out)
            self._out = None
        self._framing.clear()
        self._tls = None
        self._socket.close()
        self._around.observer.ended(self, why)
