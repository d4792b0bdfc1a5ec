"""A connection to a host: TCP, a proxy's CONNECT, TLS. Every wait on it ends with one deadline, however bytes drip."""

import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyrack.adapters.key_managers.ibm.settings import Origin
from keyrack.domain.secret import wipe

CLEANSE_PLAINTEXT: Final = 0x2
"""OpenSSL's SSL_OP_CLEANSE_PLAINTEXT, which Python has no name for: what TLS has handed out is overwritten in it."""
BUFFER: Final = 16_384
"""Bytes that are read at one time, and of the longest head of an answer."""

Clock = Callable[[], float]


def context_of(ca_bundle: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, host names checked, trusting ``ca_bundle`` or else whom the operating system trusts.

    Raises :class:`OSError` (:class:`ssl.SSLError` is one) where the file is none or has no certificates.
    """
    context = ssl.create_default_context(cafile=None if ca_bundle is None else str(ca_bundle))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= CLEANSE_PLAINTEXT
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way to a host."""

    origin: Origin
    context: ssl.SSLContext
    proxy: Origin | None = None
    connect_seconds: float = 1.0


@dataclass(slots=True)
class Wire:
    """A connected socket with a deadline, and the one buffer that everything is read into.

    Raises :class:`TimeoutError` when the deadline has passed, and else the :class:`OSError` of the socket.
    """

    plain: socket.socket
    """The socket; an :class:`ssl.SSLSocket` once TLS is spoken."""
    until: float
    """When ``clock`` shows this, every wait is over."""
    clock: Clock = time.monotonic
    most: int = 0
    """Bytes of the longest body that is taken, of the answer that is read now."""
    received: int = 0
    """Bytes since somebody last set it to zero."""
    buffer: bytearray = field(default_factory=lambda: bytearray(BUFFER), repr=False)

    def left(self) -> float:
        """Seconds until the deadline, more than zero."""
        left = self.until - self.clock()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. Nothing is copied in Python."""
        with memoryview(data) as whole:
            sent = 0
            while sent < len(whole):
                self.plain.settimeout(self.left())
                sent += self.plain.send(whole[sent:])

    def recv_into(self, target: memoryview) -> int:
        """Read what is there, at least a byte, straight into ``target``; 0 when the other side has ended."""
        self.plain.settimeout(self.left())
        got = self.plain.recv_into(target)
        self.received += got
        return got

    def is_quiet(self) -> bool:
        """Whether the other side has neither closed the connection nor said anything that nobody has asked for."""
        try:
            # TLS tickets are read by this too, and are no end.
            self.plain.settimeout(0)
            self.plain.recv_into(memoryview(self.buffer)[:1])
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except OSError:
            return False
        return False

    def forget(self) -> None:
        """Overwrite what was read."""
        wipe(self.buffer)

    def close(self) -> None:
        """Close the socket, without a word: nobody shall wait for the other side's."""
        self.forget()
        self.plain.close()


def connected(origin: Origin, until: float, clock: Clock) -> Wire:
    """A TCP connection to the first address of a host that takes it; raises :class:`OSError`.

    The lookup of the name has the operating system's own time limit; whoever waits for this has another one.
    """
    found = socket.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    last: OSError = TimeoutError("the time is over")
    for number, (family, kind, protocol, _, address) in enumerate(found):
        plain = socket.socket(family, kind, protocol)
        try:
            # One address that swallows everything must not take the time of the others.
            plain.settimeout(max((until - clock()) / (len(found) - number), 0.001))
            plain.connect(address)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return Wire(plain, until, clock)
        except OSError as error:
            plain.close()
            last = error
        except BaseException:
            plain.close()
            raise
    raise last


def secured(wire: Wire, route: Route) -> Wire:
    """The same connection with TLS on it; raises :class:`ssl.SSLCertVerificationError` and :class:`OSError`."""
    plain = route.context.wrap_socket(
        wire.plain,
        server_hostname=route.origin.host,
        do_handshake_on_connect=False,
        # A connection that is cut off is no end of an answer: only the other side's own word is.
        suppress_ragged_eofs=False,
    )
    try:
        plain.settimeout(wire.left())
        plain.do_handshake()
    except BaseException:
        plain.close()
        raise
    return Wire(plain, wire.until, wire.clock)
