"""The KMIP listener: lets clients in, one handshake at a time, and out when their certificate is in force no more."""

import asyncio
import contextlib
import errno
import logging
import socket
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial

from keyrack.domain.instances import Admittance, SeenCertificate
from keyrack.shell.kmip.connection import Connection, Desk, Surroundings
from keyrack.shell.kmip.deadlines import Deadlines
from keyrack.shell.kmip.limits import Admission, Full, Limits
from keyrack.shell.kmip.poller import Poller, make_poller
from keyrack.shell.kmip.readiness import READ
from keyrack.shell.kmip.strangers import Stranger, Strangers
from keyrack.shell.kmip.tls import Authorities, TlsSettings, Trust, TrustPlane
from keyrack.shell.kmip.verdicts import Verdict
from keyrack.shell.reasons import count_reason

log = logging.getLogger(__name__)

KMIP_PORT = 5696
"""The port that is registered for KMIP."""
BREATH = 0.5
"""Seconds without accepting after the process has run out of file descriptors or memory."""
REPEAT = 60.0
"""Seconds in which the same thing is logged once."""
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class KmipServer:
    """A listener with its connections, on one event loop.

    It lets in whom ``trust`` knows, hands each request to ``desk`` and keeps every client within ``limits``.
    """

    def __init__(
        self,
        desk: Desk,
        trust: Trust,
        tls: TlsSettings,
        limits: Limits | None = None,
        authorities: Authorities | None = None,
    ) -> None:
        """Raises :class:`~.tls.TlsError` for files of no use. Without ``authorities`` pins alone count."""
        self._desk = desk
        self._plane = TrustPlane(tls, trust, authorities)
        self._limits = limits or Limits()
        self._strangers = Strangers()
        self._admission: Admission[Connection] = Admission(self._limits, time.monotonic)
        self._known: dict[str, set[Connection]] = {}
        """Open connections by the fingerprint of their certificate."""
        self._admitted: dict[Connection, Verdict] = {}
        """Those of them that an authority let in, with what it was judged by."""
        self._poller: Poller | None = None
        self._said: dict[str, float] = {}
        self._listening: list[socket.socket] = []
        self.addresses: list[tuple[str, int]] = []
        """Host and port of each socket that is listened on, once started."""
        self._accepting = False
        self._stopping = False
        self._shut = False
        self._empty: asyncio.Event | None = None
        self._around: Surroundings | None = None
        self.counts: Counter[str] = Counter()
        """Since the start: ``accepted``, ``established``, ``refused``, ``turned away: …``, ``ended: …``."""

    # Life -----------------------------------------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        """Whether connections are taken just now."""
        return self._accepting

    async def start(self, *sockets: socket.socket) -> None:
        """Listen on bound sockets (see :func:`bound`), which the server owns from now on."""
        loop = asyncio.get_running_loop()
        self._empty = asyncio.Event()
        answering: set[Connection] = set()
        self._poller = make_poller(loop, lambda: bool(answering))
        self._around = Surroundings(
            loop=loop,
            answering=answering,
            porch=self._poller.porch,
            house=self._poller.house,
            desk=self._desk,
            plane=self._plane,
            limits=self._limits,
            deadlines=Deadlines(loop),
            observer=self,
        )
        for listening in sockets:
            listening.setblocking(False)
            self._listening.append(listening)
            self.addresses.append(listening.getsockname()[:2])
        if not self._shut:
            self.reopen()

    def shut(self, why: str) -> int:
        """Refuse newcomers, and end every connection at once, whatever is under way; how many there were.

        It lasts until :meth:`reopen`. The sockets stay bound, here and in the parent of this process.
        """
        self._shut = True
        self._pause_accepting()
        for listening in self._listening:
            # A socket that is listened on no more is refused by the kernel; to close it would leave the parent's.
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
        doomed = list(self._admission.all())
        for connection in doomed:
            connection.abort(why)
        return len(doomed)

    def reopen(self) -> None:
        """Take newcomers, for the first time or again."""
        self._shut = False
        if self._stopping:
            return
        for listening in self._listening:
            listening.listen(self._limits.backlog)
        self._accept_again()

    async def stop(self, grace: float = 5.0) -> None:
        """Take no new connection, answer what is under way within ``grace`` seconds, say close_notify, close.

        Harmless when repeated.
        """
        if self._around is None or self._empty is None or self._stopping:
            return
        self._stopping = True
        self._pause_accepting()
        for listening in self._listening:
            listening.close()
        for connection in self._admission.all():
            connection.close("the server stops")
        if self._admission.all():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), grace)
        for connection in self._admission.all():
            connection.abort("the server stops")
        self._around.deadlines.close()
        assert self._poller is not None
        self._poller.close()

    def reload(self) -> None:
        """Read the server's certificate and key again, for new connections.

        Raises :class:`~keyrack.shell.kmip.tls.TlsError` and goes on with the old ones where the new ones are of no use.
        """
        self._plane.reload()

    @property
    def certificate(self) -> str:
        """SHA-256 of the server's certificate that new connections are shown."""
        return self._plane.certificate

    # Trust ----------------------------------------------------------------------------------------------------------

    def drop(self, fingerprints: Iterable[str]) -> int:
        """Close all connections of these certificates at once; how many there were."""
        doomed = [connection for each in fingerprints for connection in self._known.get(each, ())]
        for connection in doomed:
            connection.abort("certificate in force no more")
        return len(doomed)

    def drop_misfits(self) -> int:
        """Close all connections that an authority let in and would not let in again just so; how many there were."""
        judged: dict[tuple[str | None, tuple[bytes, ...], Admittance | None], bool] = {}
        doomed = []
        for connection, verdict in self._admitted.items():
            # Many hosts show one certificate: each is judged once.
            key = verdict.fingerprint, verdict.sent, verdict.admittance
            if key not in judged:
                judged[key] = self._plane.still_admits(verdict)
            if not judged[key]:
                doomed.append(connection)
        for connection in doomed:
            connection.abort("certificate in force no more")
        return len(doomed)

    def strangers(self) -> tuple[Stranger, ...]:
        """Certificates that were refused, the last seen first."""
        return self._strangers.all()

    def seen(self) -> Sequence[SeenCertificate]:
        """What knocked since this was asked last, refused or let in by an authority; to be written down now."""
        return self._strangers.take()

    @property
    def connections(self) -> int:
        """How many connections there are, handshakes included."""
        return len(self._admission)

    # Accepting ------------------------------------------------------------------------------------------------------

    def _accept_again(self) -> None:
        if not (self._accepting or self._stopping or self._shut) and self._around is not None:
            self._accepting = True
            for listening in self._listening:
                self._around.porch.add(listening.fileno(), READ, partial(self._accept, listening))

    def _pause_accepting(self) -> None:
        if self._accepting and self._around is not None:
            self._accepting = False
            for listening in self._listening:
                self._around.porch.remove(listening.fileno())

    def _accept(self, listening: socket.socket, ready: int) -> None:
        """One newcomer for each step of a handshake: while those inside wait, others wait in the kernel's backlog."""
        try:
            sock, address = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            self._out_of_breath(error)
            return
        # A client of IPv4 on a socket of IPv6 is counted and named as what it is.
        self._welcome(sock, (address[0].removeprefix("::ffff:"), address[1]))

    def _out_of_breath(self, error: OSError) -> None:
        """No file descriptor is left: what is open goes on, and accepting too in a moment."""
        self._pause_accepting()
        assert self._around is not None
        self._around.loop.call_later(BREATH, self._accept_again)
        self.counts["out of breath"] += 1
        if self._says("exhausted"):
            what = "file descriptors or memory" if error.errno in EXHAUSTED else "the listening socket"
            log.error("no new connections for a moment, %s: %s (is LimitNOFILE high enough?)", what, error.strerror)

    def _welcome(self, sock: socket.socket, address: tuple[str, int]) -> None:
        assert self._around is not None
        full = self._make_room(address[0])
        if full is not None:
            sock.close()
            self.counts[f"turned away: {full.value}"] += 1
            if self._says(f"full {full.value} {address[0]}"):
                log.warning("a connection of %s is turned away: limit %s is reached", address[0], full.value)
            return
        self.counts["accepted"] += 1
        sock.setblocking(False)
        try:
            connection = Connection(sock, address, self._around)
        except OSError as error:  # the kernel watches no more sockets for us
            sock.close()
            self._out_of_breath(error)
            return
        self._admission.enter(connection, connection.host)

    def _make_room(self, address: str) -> Full | None:
        """The limit that keeps a newcomer out, after a client that stalls in its handshake has been made to go."""
        full = self._admission.full(address)
        if full in (Full.HANDSHAKING, Full.HANDSHAKING_PER_ADDRESS):
            whose = address if full is Full.HANDSHAKING_PER_ADDRESS else None
            stalled = self._admission.stalled(whose)
            if stalled is not None:
                stalled.abort("made room")
                return self._admission.full(address)
        return full

    # What connections tell (Observer) -------------------------------------------------------------------------------

    def established(self, connection: Connection, verdict: Verdict) -> None:
        """A client is in."""
        assert verdict.fingerprint is not None
        self.counts["established"] += 1
        self._admission.established(connection)
        self._known.setdefault(verdict.fingerprint, set()).add(connection)
        if verdict.admittance is None:
            self._strangers.forget(verdict.fingerprint)
        else:
            self._admitted[connection] = verdict
            self._strangers.admitted(
                verdict.fingerprint, verdict.der, verdict.admittance, address=connection.host, at=int(time.time())
            )
        if verdict.outdated and self._says(f"outdated {verdict.fingerprint}"):
            log.warning(
                "the certificate %s, in use from %s, is expired or not yet valid: accepted, but to be renewed",
                verdict.fingerprint,
                connection.address,
            )

    def refused(self, connection: Connection, verdict: Verdict) -> None:
        """A client is kept out: ordinary life, so no error and no ban."""
        self.counts["refused"] += 1
        count_reason(self.counts, "refused: ", verdict.reason)
        if verdict.fingerprint is None:
            if self._says(f"refused {connection.host}"):
                log.info("%s: handshake refused: %s", connection.address, verdict.reason)
            return
        stranger = self._strangers.remember(
            verdict.fingerprint, verdict.der, address=connection.host, reason=verdict.reason, at=int(time.time())
        )
        if self._says(f"refused {verdict.fingerprint}"):
            log.info(
                "%s: handshake refused: %s: %s %s (knocks so far: %d)",
                connection.address,
                verdict.reason,
                verdict.fingerprint,
                stranger.subject,
                stranger.count,
            )

    def ended(self, connection: Connection, why: str) -> None:
        """A connection is gone."""
        assert self._empty is not None
        self.counts[f"ended: {why}"] += 1
        self._admission.leave(connection)
        self._admitted.pop(connection, None)
        if connection.peer is not None:
            others = self._known[connection.peer.fingerprint]
            others.discard(connection)
            if not others:
                del self._known[connection.peer.fingerprint]
        if self._stopping and not len(self._admission):
            self._empty.set()

    def _says(self, what: str) -> bool:
        """Whether it is time to log this; the memory of what was said is bounded."""
        now = time.monotonic()
        if now - self._said.get(what, -REPEAT) < REPEAT:
            return False
        if len(self._said) >= 1024:
            self._said.clear()
        self._said[what] = now
        return True


def bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to an address, with the options that its connections inherit; not listening yet.

    The host ``"::"`` stands for all addresses, of IPv4 too.
    ``shared``: other sockets may be bound to the same port (SO_REUSEPORT), and the kernel deals connections out among
    them. Raises :class:`OSError`.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # "::" means everybody
        # The kernel hands these on to accepted sockets, which saves four calls for each connection.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        try:
            sock.bind(address)
        except OSError as error:  # which address it was, nothing else tells
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            raise OSError(error.errno, error.strerror, where) from None
    except BaseException:
        sock.close()
        raise
    return sock
