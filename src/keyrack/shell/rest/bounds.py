"""What one caller, one address and all of them together may take from an HTTPS face."""

from dataclasses import dataclass

from keyrack.shell.kmip.limits import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A token bucket: ``burst`` requests at once, refilled with ``each_second``."""

    each_second: float
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The bounds of a face. Times in seconds, sizes in bytes."""

    body: int = 65_536
    """Longest body of a request."""
    head: int = 16_384
    """Longest request line with all headers."""
    handshake: float = 10.0
    """For the TLS handshake."""
    request: float = 15.0
    """From the first byte of a request to its last one, and for the client to take a part of the answer."""
    idle: float = 65.0
    """For which a connection is kept between two requests: longer than the 60 s of IBM's SDKs."""
    handshaking: int = 128
    """Connections that have not finished their handshake."""
    handshaking_per_address: int = 32
    connections: int = 1024
    connections_per_address: int = 256
    workers: int = 4
    """Requests that are worked on at one time. KMIP's thread, in the same process, takes turns with each of them:
    sixteen make its answers ten times as late under load, and wrap no faster."""
    waiting: int = 256
    """Requests that wait for their turn; one more is answered 429."""
    of_one_caller: int = 64
    """Requests of one service ID whose answers are not out yet; one more is answered 429."""
    per_address: Rate = Rate(each_second=400, burst=1200)
    """Requests of one address, before anybody knows who asks; many callers may stand behind one."""
    per_caller: Rate = Rate(each_second=200, burst=600)
    """Requests of one service ID."""
    logins: Rate = Rate(each_second=10, burst=50)
    """Exchanges of an API key of one address."""
    refusals: Rate = Rate(each_second=5, burst=100)
    """Refused requests of one address that are written into the journal; the log has the others."""
    refusals_in_all: Rate = Rate(each_second=20, burst=500)
    """The same, of all addresses together."""

    def of_listener(self) -> Limits:
        """Those of them that count connections."""
        return Limits(
            handshake=self.handshake,
            handshaking=self.handshaking,
            handshaking_per_address=self.handshaking_per_address,
            connections=self.connections,
            connections_per_address=self.connections_per_address,
        )
