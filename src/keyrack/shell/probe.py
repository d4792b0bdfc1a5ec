"""Looks at a deployment from outside: is a listener there, and does it show the certificate that is configured?"""

import hashlib
import socket
import ssl
from pathlib import Path

from cryptography import x509

from keyrack.service.health import Finding, Level, server_certificate
from keyrack.shell.config import ADDRESS_FILE, Config
from keyrack.shell.pki import fingerprint_of_file
from keyrack.shell.unsealing import SOCKET, sealed

PATIENCE = 3.0
"""Seconds that a listener may take to answer."""


def address_of(config: Config) -> tuple[str, int]:
    """Where this deployment's listener is to be reached from here; a running server has left its address."""
    host, port = config.kmip.host, config.kmip.port
    told = config.run_directory / ADDRESS_FILE
    if told.is_file():
        host, _, text = told.read_text(encoding="ascii").strip().rpartition(":")
        host, port = host.strip("[]"), int(text)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port


def look_at_certificate(path: Path, at: int) -> Finding:
    """The days that are left to the configured server certificate."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        return Finding("server certificate", Level.FAILED, f"{path} cannot be read: {error}")
    days = (int(certificate.not_valid_after_utc.timestamp()) - at) // 86_400
    return server_certificate(days)


def look_at_listener(config: Config) -> Finding:
    """Connect without a client certificate, far enough to see the server's; a sealed server has no listener yet."""
    waiting = sealed(config.run_directory / SOCKET)
    if waiting:
        told = f"sealed: the server waits for what opens {', '.join(waiting)}; bring it with 'keyrack unseal'"
        return Finding("listener", Level.FAILED, told)
    host, port = address_of(config)
    if not port:
        return Finding("listener", Level.FAILED, "the server does not run; start it with 'keyrack serve'")
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        shown = _certificate_of(host, port)
        configured = fingerprint_of_file(config.path(config.kmip.certificate))
    except ConnectionRefusedError:
        return Finding("listener", Level.FAILED, f"nobody listens on {where}; start it with 'keyrack serve'")
    except (OSError, ValueError) as error:
        return Finding("listener", Level.FAILED, f"{where} does not answer as it should: {error}")
    if shown != configured:
        told = f"{where} shows another certificate than the configured one; reload the server with SIGHUP"
        return Finding("listener", Level.FAILED, told)
    return Finding("listener", Level.OK, f"{where} answers")


def _certificate_of(host: str, port: int) -> str:
    # Its own fingerprint is compared, so no authority is asked. In TLS 1.3 the server's certificate is seen before the
    # server misses the client's.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with socket.create_connection((host, port), PATIENCE) as sock, context.wrap_socket(sock) as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
