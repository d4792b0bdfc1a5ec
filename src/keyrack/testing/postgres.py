"""A real PostgreSQL server of Debian's for tests: its own cluster on loopback and a free port, gone afterwards."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

VERSIONS: Final = Path("/usr/lib/postgresql")
ACCOUNT: Final = "postgres"
"""PostgreSQL does not run as root; where tests do, it runs as this account."""
OWNER: Final = "keyrack_owner"
SERVER: Final = "keyrack"
"""The role that owns the schema, and the one that servers have."""
QUICK: Final = {"fsync": "off", "full_page_writes": "on", "shared_buffers": "32MB", "max_connections": "200"}
"""For tests that pull no plug."""


def binaries() -> Path | None:
    """Where the newest installed server's programs are; ``None``: there is none."""
    found = sorted(VERSIONS.glob("*/bin/postgres"), key=lambda each: int(each.parts[-3]))
    return found[-1].parent if found else None


@dataclass(slots=True)
class Cluster:
    """One server with its data, of which the roles :data:`OWNER` and :data:`SERVER` have no password on loopback."""

    directory: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        """The cluster's directory."""
        return self.directory / "data"

    def url(self, role: str = SERVER, database: str = "keyrack") -> str:
        """Of a database of it."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def make(self) -> None:
        """Make the files."""
        run("initdb", "-D", str(self.data), "-U", ACCOUNT, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")

    def start(self) -> None:
        """Start, and return when it answers."""
        given = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "log_min_messages": "warning",
            **self.settings,
        }
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*_as_account(), str(_binary("postgres")), "-D", str(self.data), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "20", patient=True)

    def pid(self) -> int:
        """Of the postmaster."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it: ``SIGINT`` for fast, ``SIGQUIT`` for a crash."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, IndexError):
            os.kill(self.pid(), number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(5)

    def told(self) -> str:
        """The end of its log."""
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def sql(self, *statements: str, database: str = "postgres", role: str = ACCOUNT) -> str:
        """What psql prints, bare."""
        words = [word for each in statements for word in ("-c", each)]
        return run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.url(role, database), *words)

    def database(self, name: str = "keyrack", template: str = "template1") -> str:
        """Make a database that the owner owns; its name."""
        self.sql(f'CREATE DATABASE "{name}" OWNER {OWNER} TEMPLATE "{template}"')
        return name


def run(program: str, *arguments: str, patient: bool = False) -> str:
    """One of PostgreSQL's programs; raises ``CalledProcessError``."""
    for attempt in range(100 if patient else 1):
        done = subprocess.run(
            [*_as_account(), str(_binary(program)), *arguments], capture_output=True, text=True, check=False, cwd="/"
        )
        if done.returncode == 0 or not patient:
            break
        _pause(attempt)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, program, done.stdout, done.stderr)
    return done.stdout.strip()


@contextmanager
def cluster(settings: Mapping[str, str] | None = None, ground: Path | None = None) -> Iterator[Cluster]:
    """A running server with both roles and the database ``keyrack``, its data below ``ground``; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="keyrack-postgres-", dir=ground))
    if os.geteuid() == 0:
        shutil.chown(directory, ACCOUNT)
    made = Cluster(directory, free_port(), QUICK if settings is None else settings)
    try:
        made.make()
        made.start()
        made.sql(f"CREATE ROLE {OWNER} LOGIN", f"CREATE ROLE {SERVER} LOGIN")
        made.database()
        yield made
    finally:
        made.stop(signal.SIGQUIT)
        shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _binary(program: str) -> Path:
    found = binaries()
    if found is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    return found / program


def _as_account() -> tuple[str, ...]:
    return ("runuser", "-u", ACCOUNT, "--") if os.geteuid() == 0 else ()


def _pause(attempt: int) -> None:
    time.sleep(min(0.02 * (attempt + 1), 0.3))
