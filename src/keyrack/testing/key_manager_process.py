"""A real ``keyrack key-manager serve`` in a process of its own, on loopback and a free port, for clients of others."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keyrack.testing.key_protect import Address
from keyrack.testing.process import READY_WITHIN, Deployment, DidNotStart


@dataclass(frozen=True, slots=True)
class KeyManagerProcess:
    """A running key manager."""

    deployment: Deployment
    address: Address
    instance: str
    """The key manager instance that ``keyrack init`` has made."""
    process: int
    """Its number."""

    def new_api_key(self, name: str, *roles: str, instance: str | None = None) -> str:
        """Make a service ID with these roles over an instance (the first one); the API key for it."""
        options = [word for role in roles for word in ("--role", role)]
        where = ["--instance", instance] if instance else []
        self.deployment.run("iam", "service-id", "create", name, *options, *where)
        return str(self.deployment.read("iam", "api-key", "create", name)["api_key"])


@contextmanager
def key_manager_process(directory: Path, **environment: str) -> Iterator[KeyManagerProcess]:
    """``keyrack init`` in ``directory`` and a key manager that serves as long as the block lasts."""
    deployment = Deployment(
        directory=directory, environment={"KEYRACK_KEY_MANAGER_API__PORT": "0", **environment}
    ).initialise("--name", "127.0.0.1", "--name", "localhost")
    authority = directory / "authority.pem"
    authority.write_bytes(deployment.authority.pem)
    (first,) = deployment.read("key-manager", "instance", "list")
    log = directory / "key-manager.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "keyrack", "key-manager", "serve", "--config", str(deployment.configuration)],
            env=deployment.served_environment(),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        host, port = _address(directory / "run" / "key-manager.address", process, log)
        yield KeyManagerProcess(deployment, Address(host, port, authority), first["identifier"], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _address(told: Path, process: "subprocess.Popen[bytes]", log: Path) -> tuple[str, int]:
    until = time.monotonic() + READY_WITHIN
    while time.monotonic() < until and process.poll() is None:
        if told.exists() and (text := told.read_text().strip()):
            host, _, port = text.rpartition(":")
            return host.strip("[]"), int(port)
        time.sleep(0.02)
    raise DidNotStart(log.read_text(errors="replace")[-4000:] or "it said nothing")
