"""The servers that are measured, each a process of its own on loopback: the C floor, PyKMIP, Keyrack.

Nothing of ``keyrack`` is imported here: the benchmark meets Keyrack as its users do, by its command line.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE / "build"
LOAD = HERE / "load"
NEEDED = {"gcc": "gcc", "make": "make", "openssl": "openssl"}


class CannotMeasure(SystemExit):
    """Something that the benchmark needs is not there, or a server did not start."""


def build() -> None:
    """Build the load generator and the floor; says what to install where that fails."""
    missing = [package for program, package in NEEDED.items() if not shutil.which(program)]
    if missing or subprocess.run(["make", "-s", "-C", str(LOAD)], check=False).returncode:
        packages = " ".join(missing or ["gcc", "libssl-dev"])
        raise CannotMeasure(f"bench: the load generator is in C; install what it needs: apt-get install {packages}")


def make_certificates(directory: Path) -> None:
    """ECDSA P-256 and RSA-2048: an authority, a server and a client each."""
    subprocess.run([str(LOAD / "mkpki.sh"), str(directory)], check=True, capture_output=True)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass(slots=True)
class Server:
    """A running server: how to reach it, and what it holds."""

    name: str
    kind: str
    """``rsa`` or ``ec``: the server's certificate, and the client's."""
    process: "subprocess.Popen[bytes]"
    port: int
    tls: tuple[str, ...]
    keys: list[str] = field(default_factory=list)
    """Options that name the keys to get."""

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def _await(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.05)
    process.kill()
    raise CannotMeasure(
        f"bench: a server does not listen; the end of {log}:\n{log.read_text(errors='replace')[-2000:]}"
    )


def _launch(
    name: str, command: Sequence[str], work: Path, port: int, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    log = work / f"{name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env={**os.environ, **environment}
        )
    _await(process, port, log)
    return process


def floor(kind: str, work: Path, pki: Path) -> Server:
    """The floor as OpenSSL comes, session tickets and all; each Create is one fdatasync."""
    port = free_port()
    command = [
        *(str(BUILD / "floor"), "--port", str(port), "--ca", str(pki / f"{kind}-ca.pem")),
        *("--cert", str(pki / f"{kind}-server.pem"), "--key", str(pki / f"{kind}-server.key")),
        *("--sync-file", str(work / f"floor-{kind}.sync"), "--max-seconds", "7200"),
    ]
    process = _launch(f"floor-{kind}", command, work, port, {})
    return Server("floor", kind, process, port, ("1.2", "1.3"), ["--uid", "1"])


def pykmip(kind: str, work: Path, pki: Path) -> Server:
    """PyKMIP, with nothing configured that it does not need; TLS 1.2 is all it has."""
    port = free_port()
    command = [
        *(sys.executable, str(HERE / "pykmip_server.py"), str(work / f"pykmip-{kind}"), "--port", str(port)),
        *("--certificate", str(pki / f"{kind}-server.pem"), "--key", str(pki / f"{kind}-server.key")),
        *("--ca", str(pki / f"{kind}-ca.pem"), "--max-seconds", "7200"),
    ]
    return Server("pykmip", kind, _launch(f"pykmip-{kind}", command, work, port, {}), port, ("1.2",))


def keyrack(kind: str, work: Path, pki: Path, name: str = "keyrack", catalog: str = "") -> Server:
    """Keyrack as ``keyrack init`` makes it: SQLite with synchronous=FULL, audit on, one process, one root key.

    ``catalog`` is the URL of another catalog, which is ready.
    """
    directory = work / f"{name}-{kind}"
    port = free_port()
    environment = {
        "KEYRACK_KMIP__HOST": "127.0.0.1",
        "KEYRACK_KMIP__PORT": str(port),
        "KEYRACK_LOG__LEVEL": "warning",
        # Of several at once, all but one would wait for the usual port, and begin again and again.
        "KEYRACK_API__PORT": "0",
    }
    if catalog:
        environment["KEYRACK_CATALOG__URL"] = catalog
    program = [sys.executable, "-m", "keyrack"]
    option = ["--config", str(directory / "keyrack.toml")]

    def run(*words: str) -> None:
        done = subprocess.run(
            [*program, *words], env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CannotMeasure(f"bench: keyrack {' '.join(words)} failed:\n{done.stdout}{done.stderr}")

    run("init", "--directory", str(directory), "--yes")
    for end in ("pem", "key"):
        shutil.copy(pki / f"{kind}-server.{end}", directory / "tls" / f"server.{end}")
    run("instance", "create", "bench", *option)
    run("cert", "add", "bench", str(pki / f"{kind}-client.pem"), *option)
    process = _launch(f"{name}-{kind}", [*program, "serve", *option], work, port, environment)
    return Server(name, kind, process, port, ("1.2", "1.3"))
