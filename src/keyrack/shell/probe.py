"""Looks at a deployment from outside: is a listener there, and does it show the certificate that is configured?"""

import hashlib
import socket
import ssl
import time
from pathlib import Path

from cryptography import x509

from keyrack.ports.back_office import BackOfficeUnavailable, WorkerHealth
from keyrack.service.health import certificate_health
from keyrack.service.health.health import Finding, Level
from keyrack.shell.config.whole import ADDRESS_FILE, API_ADDRESS_FILE, WEB_ADDRESS_FILE, Config
from keyrack.shell.pki import fingerprint_of_file
from keyrack.shell.rest.v1.readiness import reasons
from keyrack.shell.sealed.unsealing import SOCKET, sealed
from keyrack.shell.web.back_office_client import BackOfficeLine
from keyrack.shell.web.line import SOCKETS

PATIENCE = 3.0
"""Seconds that a listener may take to answer."""


def address_of(told: Path, host: str, port: int) -> tuple[str, int]:
    """Where a listener is to be reached from here: a running one has left its address, else it is the configured."""
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
    return certificate_health.server(days)


def look_at_listener(config: Config) -> Finding:
    """Connect without a client certificate, far enough to see the server's; a sealed server has no listener yet."""
    waiting = sealed(config.run_directory / SOCKET)
    if waiting:
        told = f"sealed: the server waits for what opens {', '.join(waiting)}; bring it with 'keyrack unseal'"
        return Finding("listener", Level.FAILED, told)
    address = address_of(config.run_directory / ADDRESS_FILE, config.kmip.host, config.kmip.port)
    return _look("listener", address, config.path(config.kmip.certificate), "keyrack serve")


def look_at_api(config: Config) -> list[Finding]:
    """The same of the Key Protect API, where 'keyrack serve' opens it, or a process of its own has."""
    table, told = config.key_manager_api, config.run_directory / API_ADDRESS_FILE
    if sealed(config.run_directory / SOCKET) or not (table.enabled or told.is_file()):
        return []
    start = "keyrack serve" if table.enabled else "keyrack key-manager serve"
    return [_look("key manager API", address_of(told, table.host, table.port), config.path(table.certificate), start)]


def look_at_web(config: Config) -> list[Finding]:
    """The same of the administration API, where it is enabled."""
    if not config.api.enabled or sealed(config.run_directory / SOCKET):
        return []
    certificate = config.path(config.api.certificate or config.kmip.certificate)
    start = "keyrack serve" if config.api.start else "keyrack web"
    address = address_of(config.run_directory / WEB_ADDRESS_FILE, config.api.host, config.api.port)
    return [_look("administration API", address, certificate, start)]


async def look_at_processes(config: Config) -> list[Finding]:
    """Whether serving processes answer in the back office, take commits, and have root keys really unwrap.

    Nothing where none runs: that is the listener's finding.
    """
    if not any(config.run_directory.glob(SOCKETS)):
        return []
    line = BackOfficeLine(config.run_directory)
    try:
        workers = await line.health()
    except BackOfficeUnavailable as error:
        act = "see the server's log, and start it again where it hangs"
        return [Finding("serving processes", Level.WARNING, f"none answers in the back office: {error}", act)]
    silent = [each for each in workers if not each.at]
    if len(silent) == len(workers):
        return []  # sockets of a server that was killed
    found = [_process(each) for each in workers if each.at]
    act = "see the server's log: the parent starts a process again that has ended"
    found += [Finding(f"process kmip-{each.worker}", Level.WARNING, "it does not answer", act) for each in silent]
    why = reasons(workers, int(time.time()), config.api.readiness_seconds)
    if why:
        act = "'keyrack key-manager check' tries key managers step by step; the findings below tell of each root key"
        return [Finding("readiness", Level.FAILED, f"keys are not handed out: {'; '.join(why)}", act), *found]
    return [Finding("readiness", Level.OK, "keys are handed out: a root key really unwraps"), *found]


def _process(worker: WorkerHealth) -> Finding:
    what = f"process kmip-{worker.worker}"
    if not worker.committing:
        act = "see whether the disk of the catalog is full or does not answer"
        return Finding(what, Level.FAILED, "the catalog takes no commit of it: every request is refused", act)
    if not worker.listening:
        return Finding(what, Level.WARNING, "it takes no connections just now", "see the server's log")
    failed = [f"{each.key_manager}: {each.told}" for each in worker.trials if each.told]
    if failed:
        told = f"{len(failed)} of {len(worker.trials)} root keys do not unwrap: {failed[0]}"
        return Finding(what, Level.WARNING, told)
    slowest = max((each.milliseconds for each in worker.trials), default=0.0)
    tried = ""
    if worker.trials:
        unwraps = "1 root key unwraps" if len(worker.trials) == 1 else f"{len(worker.trials)} root keys unwrap"
        tried = f"; {unwraps}, the slowest in {slowest:.0f} ms"
    return Finding(what, Level.OK, f"takes connections and commits{tried}")


def _look(what: str, address: tuple[str, int], certificate: Path, start: str) -> Finding:
    host, port = address
    if not port:
        return Finding(what, Level.FAILED, f"the server does not run; start it with '{start}'")
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        shown = _certificate_of(host, port)
        configured = fingerprint_of_file(certificate)
    except ConnectionRefusedError:
        return Finding(what, Level.FAILED, f"nobody listens on {where}; start it with '{start}'")
    except (OSError, ValueError) as error:
        return Finding(what, Level.FAILED, f"{where} does not answer as it should: {error}")
    if shown != configured:
        told = f"{where} shows another certificate than the configured one; reload the server with SIGHUP"
        return Finding(what, Level.FAILED, told)
    return Finding(what, Level.OK, f"{where} answers")


def _certificate_of(host: str, port: int) -> str:
    # Its own fingerprint is compared, so no authority is asked. In TLS 1.3 the server's certificate is seen before the
    # server misses the client's.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with socket.create_connection((host, port), PATIENCE) as sock, context.wrap_socket(sock) as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
