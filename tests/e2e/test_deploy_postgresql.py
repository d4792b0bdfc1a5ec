"""The examples for PostgreSQL are what it really runs with: a primary and its standby, over TLS, fit for Keyrack."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from keyrack.adapters.catalogs.postgres.connecting import Place, connect
from keyrack.adapters.catalogs.postgres.migrator import grant, migrate
from keyrack.adapters.catalogs.postgres.opening import check
from keyrack.testing.certificates import Identity, authority, client, server
from keyrack.testing.postgres import ACCOUNT, binaries, free_port, run

SHIPPED = Path(__file__).parents[2] / "deploy" / "postgresql"
PATRONI = shutil.which("patroni")
PASSWORD = "of the tests alone"
ROLES = ("keyrack_owner", "keyrack", "keyrack_replication")

needs_postgres = pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL: apt-get install postgresql")


def settings() -> dict[str, str]:
    """The lines of postgresql.conf."""
    lines = [line.partition("#")[0] for line in (SHIPPED / "postgresql.conf").read_text().splitlines()]
    pairs = [line.split("=", 1) for line in lines if line.strip()]
    return {name.strip(): value.strip().strip("'") for name, value in pairs}


@dataclass(slots=True)
class Database:
    """A cluster that runs with the examples."""

    place: Path
    port: int
    issuer: Identity
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def data(self) -> Path:
        """Its files."""
        return self.place / f"data-{self.port}"

    @property
    def log(self) -> Path:
        """What it has told."""
        return self.place / f"log-{self.port}"

    def configure(self) -> None:
        """Put the examples there, with this machine's paths and addresses."""
        hba = (SHIPPED / "pg_hba.conf").read_text().replace("192.0.2.0/24", "127.0.0.0/8")
        text = (SHIPPED / "postgresql.conf").read_text()
        for shipped, here in (
            ("/etc/postgresql/tls", str(self.place)),
            ("/var/backups/postgresql", str(self.place)),
            ("'*'", "'127.0.0.1'"),
        ):
            assert shipped in text
            text = text.replace(shipped, here)
        (self.data / "pg_hba.conf").write_text(hba)
        more = f"port = {self.port}\nunix_socket_directories = '{self.place}'\nshared_buffers = 32MB\n"
        (self.data / "postgresql.conf").write_text(text + more)

    def start(self, *options: str) -> None:
        """Start, and return when it answers."""
        words = [*_account(), str((binaries() or Path()) / "postgres"), "-D", str(self.data), *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, cwd="/", start_new_session=True)
        run("pg_isready", "-q", "-h", str(self.place), "-p", str(self.port), patient=True)

    def stop(self) -> None:
        """End it at once."""
        if self.process is not None:
            pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, signal.SIGINT)
            self.process.wait(20)
            self.process = None

    def sql(self, *words: str) -> str:
        """As a superuser, by the socket."""
        return run("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.place), "-p", str(self.port), *words)

    def url(self, role: str, mode: str = "verify-full", more: str = "") -> str:
        """As Keyrack's configuration names it."""
        tls = "" if mode == "disable" else f"&sslrootcert={self.place}/ca.pem{more}"
        return f"postgresql://{role}@127.0.0.1:{self.port}/keyrack?sslmode={mode}{tls}"

    def at(self, role: str, **more: str) -> Place:
        """With its password."""
        return Place(self.url(role, **more), "tests", PASSWORD)


def _account() -> list[str]:
    return ["runuser", "-u", ACCOUNT, "--"] if os.geteuid() == 0 else []


@pytest.fixture(scope="module")
def primary() -> Iterator[Database]:
    """Made in the order in which a person does: roles, standby, and only then commits wait for it."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keyrack-deployed-")))
        issuer = authority()
        (place / "ca.pem").write_bytes(issuer.pem)
        server(issuer, hosts=["127.0.0.1"]).write(place, "server")
        shutil.copy(SHIPPED / "roles.sql", place)
        if os.geteuid() == 0:
            for each in (place, *place.iterdir()):
                shutil.chown(each, ACCOUNT)
        made = Database(place, free_port(), issuer)
        run("initdb", "-D", str(made.data), "-U", ACCOUNT, "--data-checksums", "--no-sync")
        made.configure()
        made.start("-c", "synchronous_standby_names=")
        stack.callback(made.stop)
        made.sql("-d", "postgres", "-f", str(place / "roles.sql"))
        for role in ROLES:
            made.sql("-d", "postgres", "-c", f"ALTER ROLE {role} PASSWORD '{PASSWORD}'")
        standby = Database(place, free_port(), issuer)
        source = made.url("keyrack_replication").replace("/keyrack?", "/?")
        known = f"{source}&password={PASSWORD.replace(' ', '%20')}&application_name=keyrack_db2"
        run("pg_basebackup", "-D", str(standby.data), "-d", known, "-R", "--checkpoint=fast", "--no-sync")
        standby.configure()
        standby.start("-c", "cluster_name=keyrack_db2", "-c", "synchronous_standby_names=")
        stack.callback(standby.stop)
        made.stop()
        made.start()
        yield made


async def _prepared(database: Database) -> None:
    connection = await connect(database.at("keyrack_owner"))
    try:
        await migrate(connection)
        await grant(connection, "keyrack")
    finally:
        await connection.close()


@needs_postgres
def test_keyrack_finds_it_fit(primary: Database) -> None:
    """Over TLS, with a password, as the servers' role, and each commit on two machines."""
    asyncio.run(_prepared(primary))

    asyncio.run(check(primary.at("keyrack"), "require"))

    assert primary.sql("-d", "keyrack", "-c", "SELECT sync_state FROM pg_stat_replication") == "sync"
    assert primary.sql("-d", "keyrack", "-c", "SHOW data_checksums") == "on"
    unknown = primary.sql("-d", "keyrack", "-c", "SELECT name, error FROM pg_file_settings WHERE error IS NOT NULL")
    assert unknown == ""


@needs_postgres
def test_who_may_not_come_does_not(primary: Database) -> None:
    """Nobody in clear, nobody without a password, and no role but to what it is for."""
    asyncio.run(_refused(primary.at("keyrack", mode="disable"), "rejects connection"))
    asyncio.run(_refused(Place(primary.url("keyrack"), "tests", "another"), "password authentication failed"))
    asyncio.run(_refused(primary.at("keyrack_replication"), "rejects connection"))
    asyncio.run(_refused(Place(primary.url("postgres"), "tests", PASSWORD), "rejects connection"))
    wrong = Place(primary.url("keyrack").replace("127.0.0.1", "localhost"), "tests", PASSWORD)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(_asked(wrong))


@needs_postgres
def test_a_client_certificate_in_the_place_of_a_password(primary: Database) -> None:
    """The line of pg_hba.conf that is commented out."""
    identity = client(primary.issuer, "keyrack")
    certificate, key = identity.write(primary.place, "node")
    shipped = (primary.data / "pg_hba.conf").read_text()
    lines = [line for line in shipped.splitlines() if not ("hostssl" in line and " keyrack " in line[20:45])]
    instead = next(line for line in shipped.splitlines() if line.startswith("#hostssl"))
    (primary.data / "pg_hba.conf").write_text("\n".join([instead.removeprefix("#"), *lines]) + "\n")
    primary.sql("-d", "postgres", "-c", "SELECT pg_reload_conf()")
    time.sleep(0.3)
    try:
        more = f"&sslcert={certificate}&sslkey={key}"
        asyncio.run(_asked(Place(primary.url("keyrack", more=more), "tests")))
        asyncio.run(_refused(primary.at("keyrack"), "client certificate"))
    finally:
        (primary.data / "pg_hba.conf").write_text(shipped)
        primary.sql("-d", "postgres", "-c", "SELECT pg_reload_conf()")


@needs_postgres
def test_no_value_gets_into_the_log(primary: Database) -> None:
    """Neither of a statement that failed, nor of its parameters."""

    async def fail() -> None:
        connection = await connect(primary.at("keyrack"))
        try:
            with pytest.raises(Exception, match="division"):
                await connection.fetchval("SELECT 'a canary'::text || (1 / $1::int)::text || $2::text", 0, "another")
        finally:
            await connection.close()

    asyncio.run(fail())

    told = primary.log.read_text()
    assert "division by zero" in told
    assert "canary" not in told
    assert "another" not in told


async def _asked(place: Place) -> None:
    connection = await connect(place)
    await connection.close()


async def _refused(place: Place, why: str) -> None:
    with pytest.raises(Exception, match=why):
        await _asked(place)


def test_patroni_sets_the_same() -> None:
    """What is asked of one database is asked of the pair; who is promoted Patroni says itself."""
    patroni: dict[str, Any] = yaml.safe_load((SHIPPED / "patroni.yml").read_text())
    parameters = {name: str(value) for name, value in patroni["bootstrap"]["dcs"]["postgresql"]["parameters"].items()}
    own = {"synchronous_standby_names", "listen_addresses", "fsync", "full_page_writes"}
    lines = [line.split() for line in (SHIPPED / "pg_hba.conf").read_text().splitlines() if line[:1] not in {"#", ""}]

    assert {name: value for name, value in settings().items() if name not in own} == parameters
    assert patroni["bootstrap"]["dcs"]["synchronous_mode_strict"] is True
    assert patroni["bootstrap"]["dcs"]["synchronous_mode"] is True
    there = [line.split() for line in patroni["postgresql"]["pg_hba"]]
    assert [line for line in lines if line not in there] == []
    assert there[-1] == lines[-1] == ["host", "all", "all", "all", "reject"]


@pytest.mark.skipif(PATRONI is None, reason="needs Patroni: apt-get install patroni")
def test_patroni_accepts_what_is_shipped(tmp_path: Path) -> None:
    """Its own validation, with something to reach in the place of etcd."""
    text = (SHIPPED / "patroni.yml").read_text()
    with ExitStack() as stack:
        for number in (31, 32, 33):
            held = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            shipped = f"192.0.2.{number}:2379"
            assert shipped in text
            text = text.replace(shipped, f"127.0.0.1:{held.getsockname()[1]}")
        made = tmp_path / "patroni.yml"
        made.write_text(text)

        told = subprocess.run(
            [str(PATRONI), "--validate-config", str(made)], capture_output=True, text=True, check=False
        )

    assert (told.returncode, told.stdout + told.stderr) == (0, "")
