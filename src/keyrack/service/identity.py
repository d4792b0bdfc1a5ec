"""Who is at the other end of a connection, as far as TLS can tell; what it may do is decided in each request."""

from dataclasses import dataclass

from keyrack.domain.instances import Admittance


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A client whose possession of a certificate's private key TLS has proved."""

    fingerprint: str
    """SHA-256 of the client certificate's DER form: 64 lower-case hexadecimal digits."""
    address: str
    """Source address and port, ``"127.0.0.1:4711"`` or ``"[::1]:4711"``."""
    tls: str
    """The protocol version in use, ``"TLSv1.2"`` or ``"TLSv1.3"``."""
    suite: str = ""
    """The cipher suite in use."""
    session: str = ""
    """What the journal knows this connection by: random, and another for each."""
    admittance: Admittance | None = None
    """By which authority it is let in; ``None`` for a pinned certificate."""
