"""Grounds for tests of PostgreSQL's own settings: a server with TLS and roles of several kinds, a standby, a pooler."""

import asyncio
import contextlib
import os
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keyrack.testing.certificates import Identity, authority, server
from keyrack.testing.postgres import ACCOUNT, Cluster, cluster, run
from keyrack.testing.postgres_catalogs import prepare

SCRAM: Final = "by_password"
BY_CERTIFICATE: Final = "by_certificate"
"""Roles that are let in over TLS alone, by a password or by a client certificate."""


def outer_address() -> str | None:
    """An address of this machine that is not loopback; nothing is sent to find it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            found = str(probe.getsockname()[0])
    except OSError:
        return None
    return None if found.startswith("127.") else found


ADDRESS: Final = outer_address()
_KEPT: Final = (b"user", b"database", b"client_encoding")


@dataclass(slots=True)
class Ground:
    """A server with TLS, whose data are safe, and whose settings a test may change."""

    cluster: Cluster
    root: Identity
    """The authority that its certificate is of, and that it believes clients' certificates of."""
    directory: Path
    """Where ``ca.pem`` is."""

    def network(self, role: str, database: str, rest: str) -> str:
        """The URL over the network; ``rest`` is its query."""
        return f"postgresql://{role}@{ADDRESS}:{self.cluster.port}/{database}?{rest}"

    @contextmanager
    def setting(self, name: str, value: str) -> Iterator[None]:
        """A setting of the server's, as long as the block lasts."""
        self.cluster.sql(f"ALTER SYSTEM SET {name} = {value}", "SELECT pg_reload_conf()")
        try:
            self._await(name, value)
            yield
        finally:
            self.cluster.sql(f"ALTER SYSTEM RESET {name}", "SELECT pg_reload_conf()", "SELECT pg_sleep(0.1)")

    def _await(self, name: str, value: str) -> None:
        for _ in range(100):
            if self.cluster.sql(f"SHOW {name}") == value.strip("'"):
                return
        raise AssertionError(f"{name} has not become {value}")


@contextmanager
def ground_in(directory: Path) -> Iterator[Ground]:
    """A running one, gone afterwards; certificates are written to ``directory``."""
    root = authority()
    (directory / "ca.pem").write_bytes(root.pem)
    with cluster({"shared_buffers": "32MB"}) as running:
        asyncio.run(prepare(running))
        running.stop()
        pair = server(root, ["127.0.0.1", ADDRESS or "localhost"])
        for name, content in (("server.crt", pair.pem), ("server.key", pair.key_pem), ("root.crt", root.pem)):
            path = running.data / name
            path.write_bytes(content)
            path.chmod(0o600)
            if os.geteuid() == 0:
                shutil.chown(path, ACCOUNT)
        hba = [
            f"hostssl all {SCRAM} all scram-sha-256",
            f"hostssl all {BY_CERTIFICATE} all cert",
            f"host all {SCRAM},{BY_CERTIFICATE},stranger all reject",
            "host all,replication all all trust",
        ]
        (running.data / "pg_hba.conf").write_text("\n".join(hba) + "\n")
        running.settings = {
            "shared_buffers": "32MB", "ssl": "on", "ssl_ca_file": "root.crt",
            "listen_addresses": ",".join(filter(None, ("127.0.0.1", ADDRESS))),
        }  # fmt: skip
        running.start()
        yield Ground(running, root, directory)


@asynccontextmanager
async def pooler(port: int) -> AsyncIterator[int]:
    """Passes connections on as poolers do, without what the client wanted to be set."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!I", await reading.readexactly(4))
        words = (await reading.readexactly(length - 4))[4:].split(b"\0")
        kept = [word for pair in zip(words[::2], words[1::2], strict=False) if pair[0] in _KEPT for word in pair]
        message = struct.pack("!I", 196608) + b"".join(word + b"\0" for word in kept) + b"\0"
        server_reading, server_writing = await asyncio.open_connection("127.0.0.1", port)
        server_writing.write(struct.pack("!I", len(message) + 4) + message)
        for each in (_passed(reading, server_writing), _passed(server_reading, writing)):
            tasks.add(asyncio.create_task(each))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _passed(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while some := await reading.read(65536):
            writing.write(some)
    writing.close()


def standby_of(ground: Ground) -> Cluster:
    """A running standby of it; the caller stops it, and removes its directory."""
    directory = Path(f"{ground.cluster.directory}-standby")
    directory.mkdir(mode=0o755)
    if os.geteuid() == 0:
        shutil.chown(directory, ACCOUNT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        made = Cluster(directory, probe.getsockname()[1], {"shared_buffers": "32MB"})
    port = str(ground.cluster.port)
    run("pg_basebackup", "-D", str(made.data), "-h", "127.0.0.1", "-p", port, "-U", ACCOUNT, "-R", "-c", "fast")
    made.start()
    return made
