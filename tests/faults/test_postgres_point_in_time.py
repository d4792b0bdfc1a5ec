"""PostgreSQL brought back to a moment from a base backup and its archive, by the documented steps.

The restored database is older than what the node has kept beside it: rollback mode begins by itself, nothing that was
destroyed is served, and ``keyrack backup agree`` ends it.
"""

import asyncio
import shutil
import signal
import ssl
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.client import Client, Refused
from keyrack.testing.postgres import ACCOUNT, SERVER, Cluster, binaries, cluster, free_port, run
from keyrack.testing.postgres_catalogs import prepare
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import text
from keyrack.testing.two_nodes import created, got

pytestmark = [
    pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL: apt-get install postgresql"),
    pytest.mark.skipif(over_postgres(), reason="it brings its own"),
]
POINT = "before_the_mistake"


@dataclass(slots=True)
class Site:
    """A node over a PostgreSQL server that archives its log."""

    server: Cluster
    archive: Path
    deployment: Deployment
    context: ssl.SSLContext
    address: tuple[str, int] = ("", 0)
    bytes_: dict[str, bytes] = field(default_factory=dict)

    def serve(self, server: Cluster) -> None:
        environment = {**self.deployment.environment, "KEYRACK_CATALOG__URL": server.url(SERVER)}
        self.deployment.environment = environment
        self.address = self.deployment.start()

    def make(self) -> str:
        with Client(self.address, self.context) as talking:
            made = created(talking)
            self.bytes_[made] = got(talking, made)
        return made

    def destroy(self, key: str) -> None:
        with Client(self.address, self.context) as talking:
            talking.ask(Operation.DESTROY, text(Tag.UNIQUE_IDENTIFIER, key))

    def get(self, key: str) -> bytes | str:
        try:
            with Client(self.address, self.context) as talking:
                return got(talking, key)
        except Refused as error:
            return str(error)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    archive = Path(tempfile.mkdtemp(prefix="keyrack-archive-"))
    shutil.chown(archive, ACCOUNT)
    settings = {
        "shared_buffers": "32MB",
        "wal_level": "replica",
        "archive_mode": "on",
        "archive_command": f"test ! -f {archive}/%f && cp %p {archive}/%f",
        "max_wal_senders": "4",
    }
    try:
        with cluster(settings) as server:
            asyncio.run(prepare(server))
            deployment = Deployment(directory=tmp_path / "d").initialise()
            deployment.environment = {"KEYRACK_CATALOG__URL": server.url(SERVER)}
            contexts = deployment.furnish()
            made = Site(server, archive, deployment, contexts["b"])
            try:
                yield made
            finally:
                deployment.stop(signal.SIGKILL)
    finally:
        shutil.rmtree(archive, ignore_errors=True)


def restored(base: Path, archive: Path) -> Cluster:
    """A server on the base backup, which replays the archive up to the point, and is promoted there."""
    again = Cluster(base.parent, free_port(), {"shared_buffers": "32MB"})
    base.rename(again.data)
    with (again.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"restore_command = 'cp {archive}/%f %p'\n")
        file.write(f"recovery_target_name = '{POINT}'\nrecovery_target_action = 'promote'\n")
    (again.data / "recovery.signal").touch()
    shutil.chown(again.data / "recovery.signal", ACCOUNT)
    again.start()
    until = time.monotonic() + 30
    while again.sql("SELECT pg_is_in_recovery()") != "f":
        assert time.monotonic() < until, again.told()
        time.sleep(0.1)
    return again


@pytest.mark.slow
def test_a_database_is_brought_back_to_a_point_in_time(site: Site) -> None:
    """Keys from before are there to the byte, what came after is accounted for, and not one is resurrected."""
    again = None
    ground = Path(tempfile.mkdtemp(prefix="keyrack-base-"))
    shutil.chown(ground, ACCOUNT)
    try:
        site.serve(site.server)
        kept, doomed = site.make(), site.make()
        run("pg_basebackup", "-D", str(ground / "base"), "-h", "127.0.0.1", "-p", str(site.server.port), "-U", ACCOUNT,
            "-c", "fast", "-X", "none")  # fmt: skip
        archived = site.make()
        site.server.sql(f"SELECT pg_create_restore_point('{POINT}')")
        late = site.make()
        site.destroy(doomed)
        site.deployment.stop()  # Which keeps beside the catalog what was changed in the last second.
        site.server.sql("SELECT pg_switch_wal()")
        site.server.stop()

        again = restored(ground / "base", site.archive)
        site.deployment.environment = {"KEYRACK_CATALOG__URL": again.url(SERVER)}
        # The node's own key manager is newer than the log of it in the database: it is the one that counts.
        site.deployment.run("key-manager", "accept", "--yes")
        site.serve(again)
        assert site.get(kept) == site.bytes_[kept]
        assert site.get(archived) == site.bytes_[archived]
        assert "destroyed" in str(site.get(doomed))
        with pytest.raises(Refused, match="keyrack backup agree"):
            site.make()
        assert "rolled back" in site.deployment.run("status", check=False).stdout
        agreed = site.deployment.run("backup", "agree", check=False)
        assert agreed.returncode == 0, agreed.stdout + agreed.stderr
        assert site.get(late) == site.bytes_[late]  # Had back from the key manager.
        assert "destroyed" in str(site.get(doomed))
        assert site.get(site.make()) != ""
        site.deployment.stop()
        assert "the catalog was put back to an older one" in site.deployment.run("audit", "verify").stdout
        refused = site.deployment.run("backup", "create", check=False)
        assert (refused.returncode, "docs/backup.md" in refused.stderr) == (1, True)
    finally:
        site.deployment.stop(signal.SIGKILL)
        if again is not None:
            again.stop(signal.SIGQUIT)
        shutil.rmtree(ground, ignore_errors=True)
