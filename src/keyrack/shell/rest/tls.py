"""TLS of the HTTPS faces: what KMIP offers, but for CBC and client certificates. Standard library ``ssl``."""

import ssl
from pathlib import Path
from typing import Final

from keyrack.shell.kmip.tls import CIPHERS, TlsError

AUTHENTICATED: Final = tuple(suite for suite in CIPHERS if "-GCM-" in suite)
"""TLS 1.2: of KMIP's suites those that encipher and authenticate at once. Clients of HTTPS need no others."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, forward secrecy alone, no resumption; raises :class:`TlsError`.

    ``load_cert_chain`` on the context renews the certificate for connections to come.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(AUTHENTICATED) + ":@SECLEVEL=2")
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    load(context, certificate, key)
    return context


def load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Show this certificate from now on; raises :class:`TlsError` and keeps what was."""
    for path in (certificate, key):
        try:
            path.open("rb").close()
        except OSError as error:
            raise TlsError(f"{path} cannot be read: {error.strerror}") from error
    try:
        # Tried apart first: a certificate whose key has not come yet would stay in the context without one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"{certificate} and {key} are not usable together: {error}") from error


def _no_password() -> str:
    # Without this OpenSSL would ask at the terminal of a server.
    raise ValueError("the key is protected by a pass phrase; a server's key has none")
