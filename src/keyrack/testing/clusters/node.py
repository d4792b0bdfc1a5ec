"""One endpoint of several: a real ``keyrack serve`` over the shared catalog, on a port that stays."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from keyrack.testing.certificates import server
from keyrack.testing.nursery import Child, Nursery
from keyrack.testing.process import Deployment

_LOOK_EVERY = 0.01
_STOOD_STILL = 0.1
"""Seconds from one look to the next, beyond which the machine is too busy to be measured."""


@dataclass(slots=True, kw_only=True)
class Node:
    """``name`` is its name in the catalog, and the middle of the names of its ways."""

    name: str
    deployment: Deployment
    nursery: Nursery
    port: int
    address: tuple[str, int]
    """Where clients find it: its own, or the beginning of a way to it."""
    child: Child | None = field(default=None)

    @property
    def to_clients(self) -> str:
        """The name of the way from its clients."""
        return f"{self.name} clients"

    @property
    def to_key_manager(self) -> str:
        """The name of the way to the key manager."""
        return f"{self.name} key manager"

    @property
    def to_database(self) -> tuple[str, str]:
        """The names of the ways to both PostgreSQL servers."""
        return f"{self.name} a", f"{self.name} b"

    def begin(self) -> None:
        """Start it; :meth:`await_ready` waits."""
        self.child = self.nursery.serve(self.deployment)

    def await_ready(self) -> None:
        """Until it serves."""
        assert self.child is not None
        self.child.address()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self.begin()
        self.await_ready()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it by a signal; harmless where it does not run."""
        child, self.child = self.child, None
        if child is not None:
            child.kill(how)
            os.close(child._handle)

    def await_listening(self, wanted: bool, within: float) -> float:
        """Until its own port answers, or refuses; seconds that it took. Raises :class:`TimeoutError`.

        What this machine did not run a process that wanted to does not count, as it does not for the node itself.
        """
        began = before = time.monotonic()
        while listens(self.port) is not wanted:
            if time.monotonic() - began > within:
                raise TimeoutError(f"{self.name} {'does not listen' if wanted else 'listens still'}")
            time.sleep(_LOOK_EVERY)
            now = time.monotonic()
            began, before = began + max(now - before - _STOOD_STILL, 0), now
        return time.monotonic() - began


def listens(port: int) -> bool:
    """Whether a socket of this machine listens on a port of loopback; nobody is called for it."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if local == wanted and state == "0A":
            return True
    return False


def configured(deployment: Deployment, name: str, catalog: str) -> Deployment:
    """Give a deployment its name, the shared catalog in the place of its own, and a server certificate of its own."""
    text = deployment.configuration.read_text()
    assert 'url = "sqlite:///catalog.db"' in text
    text = text.replace('url = "sqlite:///catalog.db"', f'url = "{catalog}"\nstandby = "require"', 1)
    text = text.replace("[deployment]\n", f'[deployment]\nnode = "{name}"\n', 1)
    deployment.configuration.write_text(text)
    (deployment.directory / "catalog.db").unlink(missing_ok=True)
    pair = server(deployment.authority, ("127.0.0.1", "localhost", name))
    (deployment.directory / "tls" / "server.pem").write_bytes(pair.pem)
    (deployment.directory / "tls" / "server.key").write_bytes(pair.key_pem)
    return deployment
