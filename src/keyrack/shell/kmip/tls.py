"""TLS of the listener: what it offers, and the trust plane, where our own code decides whose certificate is known.

TLS proves that the client holds the private key of its certificate. Whether that very certificate is trusted is asked
of :class:`Trust`, by fingerprint, in OpenSSL's verify callback and again when the handshake is over; no certificate
store takes part, so nothing a trusted certificate has signed is ever trusted for it (``docs/adr/0002-trust-plane.md``).
Only where an administrator trusts a certificate authority, one that is not pinned is let through to the end of the
handshake, and then judged by its chain before anything is read from it (``docs/adr/0020-trusted-authorities.md``).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from OpenSSL._util import ffi, lib

from keyrack.domain.instances import Admittance
from keyrack.domain.secret import wipe
from keyrack.shell.kmip.verdicts import DATES, DEPTH_LIMIT, FORGIVEN, NotAdmitted, Verdict

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-SHA256",
    "ECDHE-RSA-AES128-SHA256",
    "ECDHE-ECDSA-AES256-SHA384",
    "ECDHE-RSA-AES256-SHA384",
)
"""TLS 1.2: the suites of IBM Key Protect's native KMIP, which VMware has certified; all with forward secrecy."""
LEGACY_CIPHERS: Final = ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA256", "AES256-SHA256")
"""TLS 1.2 without forward secrecy, for clients that know nothing else (PyKMIP's list begins so)."""
TLS13_CIPHERS: Final = b"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
OP_CLEANSE_PLAINTEXT: Final = 0x2
"""SSL_OP_CLEANSE_PLAINTEXT (OpenSSL 3.0): wipe deciphered application data once it is handed over."""


class TlsError(ValueError):
    """The server's certificate or key cannot be used; the text says which file and why."""


class Outdated(StrEnum):
    """What becomes of a trusted certificate that is expired or not yet valid."""

    WARN = "warn"
    """Accepted, and said: a lapsed self-signed certificate must not keep a data centre from starting."""
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """What the listener shows and offers."""

    certificate: Path
    """PEM: the server's certificate, then the rest of its chain if there is one."""
    key: Path
    """PEM: its private key, RSA of at least 2,048 bits or elliptic, without a pass phrase."""
    outdated: Outdated = Outdated.WARN
    legacy_rsa_kx: bool = False
    """Also offer suites with RSA key exchange, which have no forward secrecy."""


class Trust(Protocol):
    """Who is trusted now. Called on the event loop's thread in the middle of a handshake, so it must not wait."""

    def known(self, fingerprint: str) -> bool:
        """Whether the certificate of this SHA-256 (64 lower-case hexadecimal digits) is in force.

        An exception means no.
        """
        ...


class Authorities(Protocol):
    """Which certificate authorities are trusted now; called as :class:`Trust` is."""

    def any(self) -> bool:
        """Whether there is one at all; only then is somebody let through who is not pinned."""
        ...

    def admit(self, fingerprint: str, leaf: bytes, sent: Sequence[bytes]) -> Admittance:
        """By which of them a client is let in whose certificate (DER) came with others; raises ``NotAdmitted``."""
        ...


class Refused(Exception):
    """The client is not let in; the verdict says why."""

    def __init__(self, verdict: Verdict) -> None:
        """Keep the verdict for counting and remembering."""
        super().__init__(verdict.reason)
        self.verdict = verdict


def fingerprint_of(der: bytes) -> str:
    """The identity of a certificate: SHA-256 of its DER form, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(der).hexdigest()


class TrustPlane:
    """Makes the TLS end of each connection, and decides who may pass."""

    def __init__(self, settings: TlsSettings, trust: Trust, authorities: Authorities | None = None) -> None:
        """Read the certificate and key; raises :class:`TlsError`. Without ``authorities`` pins alone count."""
        self._settings = settings
        self._trust = trust
        self._authorities = authorities
        self._context = make_context(settings, self._verify)

    def reload(self) -> None:
        """Read the files again, for connections to come; raises :class:`TlsError` and keeps what was."""
        self._context = make_context(self._settings, self._verify)

    @property
    def certificate(self) -> str:
        """SHA-256 of the server's certificate that new connections are shown."""
        shown = SSL.Connection(self._context).get_certificate()
        return fingerprint_of(_der(shown)) if shown is not None else ""

    def accept(self, sock: Any) -> SSL.Connection:
        """The server's end of a new handshake on a non-blocking socket (anything with a ``fileno``)."""
        tls = SSL.Connection(self._context, sock)
        tls.set_accept_state()
        tls.set_app_data(Verdict())
        return tls

    def identify(self, tls: SSL.Connection) -> Verdict:
        """Who has shaken hands: asked of the finished connection itself, not of what the callback noted.

        Raises :class:`Refused`: no certificate, or one that is not, or no longer, known.
        """
        noted: Verdict = tls.get_app_data()
        certificate = tls.get_peer_certificate()
        if certificate is None:
            raise Refused(Verdict(reason="no certificate"))
        der = _der(certificate)
        verdict = Verdict(fingerprint=fingerprint_of(der), der=der, outdated=noted.outdated)
        self._judge(verdict)
        if verdict.fingerprint == noted.fingerprint:
            if verdict.known and noted.known:
                return verdict
            if noted.provisional and not verdict.known:
                sent = tuple(each for each in map(_der, tls.get_peer_cert_chain() or ()) if each != der)
                self._admit(verdict, sent)
                if verdict.admittance is not None:
                    return verdict
        verdict.reason = verdict.reason or noted.reason or "not asked about in this handshake"
        raise Refused(verdict)

    def still_admits(self, verdict: Verdict) -> bool:
        """Whether a client that an authority has let in would be let in again just so, or is pinned now."""
        assert verdict.fingerprint is not None
        again = Verdict(fingerprint=verdict.fingerprint, der=verdict.der)
        self._judge(again)
        if again.known:
            return True
        self._admit(again, verdict.sent)
        return again.admittance is not None and again.admittance == verdict.admittance

    def _admit(self, verdict: Verdict, sent: tuple[bytes, ...]) -> None:
        """Ask the authorities; whatever goes wrong, it is no."""
        assert verdict.fingerprint is not None
        if self._authorities is None:
            return
        try:
            admittance = self._authorities.admit(verdict.fingerprint, verdict.der, sent)
        except NotAdmitted as refusal:
            verdict.reason = str(refusal)
        except Exception as failure:
            verdict.reason = f"the check of its chain failed: {type(failure).__name__}"
        else:
            if isinstance(admittance, Admittance):
                verdict.admittance, verdict.sent, verdict.reason = admittance, sent, ""

    def _verify(self, tls: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int) -> bool:
        """OpenSSL's question at each error and each certificate of the chain. Whatever goes wrong in here, it is no."""
        if depth > 0:
            return True  # what stands above the leaf proves nothing about a pinned certificate, good or bad
        try:
            verdict: Verdict = tls.get_app_data()
            if verdict.fingerprint is None:
                verdict.der = _der(certificate)
                verdict.fingerprint = fingerprint_of(verdict.der)
                asked = self._judge(verdict)
                verdict.provisional = asked and not verdict.known and self._has_authorities()
            if error not in FORGIVEN:
                self._object(verdict, error)
        except Exception as failure:
            tls.set_app_data(Verdict(reason=f"the check failed: {type(failure).__name__}"))
            return False
        return verdict.known or verdict.provisional

    def _has_authorities(self) -> bool:
        return self._authorities is not None and self._authorities.any() is True

    def _object(self, verdict: Verdict, error: int) -> None:
        """An objection of OpenSSL's that a pin does not overrule, or only as the policy says."""
        if error in DATES:
            verdict.outdated = True
            if self._settings.outdated is Outdated.REFUSE and verdict.known:
                verdict.known = False
                verdict.reason = "certificate expired or not yet valid"
        elif verdict.known or verdict.provisional:
            verdict.known = verdict.provisional = False
            verdict.reason = f"certificate unfit (OpenSSL verify error {error})"

    def _judge(self, verdict: Verdict) -> bool:
        """Ask whether it is pinned; answers whether that could be asked."""
        assert verdict.fingerprint is not None
        try:
            verdict.known = self._trust.known(verdict.fingerprint) is True
        except Exception as failure:
            verdict.known = False
            verdict.reason = f"trust could not be asked: {type(failure).__name__}"
            return False
        verdict.reason = "" if verdict.known else "certificate not trusted"
        return True


class Intake:
    """Reads deciphered bytes, all connections into one buffer that is wiped at once.

    ``SSL.Connection.recv`` reads into a buffer of its own and frees it with what it holds, the keys that clients
    register among it; hence the way around it, through pyOpenSSL's own bindings.
    """

    def __init__(self, size: int) -> None:
        """Read at most ``size`` bytes at a time."""
        self._size = size
        self._buffer = ffi.new("char[]", size)
        self._view = memoryview(ffi.buffer(self._buffer))

    def read(self, tls: SSL.Connection) -> bytes:
        """What has come in, in bytes that nobody else holds; raises as ``SSL.Connection.recv`` does."""
        got = lib.SSL_read(tls._ssl, self._buffer, self._size)
        tls._raise_ssl_error(tls._ssl, got)
        data = bytes(self._view[:got])
        self._view[:got] = bytes(got)
        return data


VerifyCallback = Callable[[SSL.Connection, crypto.X509, int, int, int], bool]


def make_context(settings: TlsSettings, verify: VerifyCallback) -> SSL.Context:
    """A server context of the policy in the module's words; raises :class:`TlsError`."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_TICKET
        | SSL.OP_NO_COMPRESSION
        | SSL.OP_NO_RENEGOTIATION
        | SSL.OP_CIPHER_SERVER_PREFERENCE
        | OP_CLEANSE_PLAINTEXT
    )
    # No resumption of any kind: a resumed handshake skips the verify callback (RFC 5077; security by omission).
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    suites = CIPHERS + (LEGACY_CIPHERS if settings.legacy_rsa_kx else ())
    context.set_cipher_list(f"{':'.join(suites)}:@SECLEVEL=2".encode())
    context.set_tls13_ciphersuites(TLS13_CIPHERS)
    context.set_verify_depth(DEPTH_LIMIT)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    _load_pair(context, settings)
    return context


def _load_pair(context: SSL.Context, settings: TlsSettings) -> None:
    """Certificate and key from their files, and that they belong together."""
    _readable("certificate", settings.certificate)
    try:
        context.use_certificate_chain_file(str(settings.certificate))
    except SSL.Error as error:
        raise TlsError(f"the server's certificate {settings.certificate} is not usable: {reason_of(error)}") from error
    content = bytearray(_readable("key", settings.key))
    try:
        context.use_privatekey(load_pem_private_key(content, password=None))  # type: ignore[arg-type]
        context.check_privatekey()
    except (SSL.Error, ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = reason_of(error) if isinstance(error, SSL.Error) else str(error)
        raise TlsError(f"the server's key {settings.key} is not usable with {settings.certificate}: {why}") from error
    finally:
        wipe(content)


def _readable(what: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(f"the server's {what} {path} cannot be read: {error.strerror}") from error


def reason_of(error: SSL.Error) -> str:
    """What went wrong first, in OpenSSL's own words."""
    entries = error.args[0] if error.args else ()
    words = [entry[-1] for entry in entries if isinstance(entry, tuple) and entry[-1]]
    return words[0] if words else "unknown format"


def _der(certificate: crypto.X509) -> bytes:
    """The DER form as OpenSSL holds it: no parser of ours has to like the certificate."""
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
