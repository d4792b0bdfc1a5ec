"""Two PostgreSQL servers, of which one follows the other and each commit waits for it; and what befalls such two."""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keyrack.testing.postgres import ACCOUNT, OWNER, SERVER, Cluster, free_port, run

STREAMING: Final = {
    "shared_buffers": "32MB",
    "max_connections": "100",
    "wal_level": "replica",
    "max_wal_senders": "8",
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",
    "synchronous_standby_names": "*",
    # A standby that is gone is noticed, one that hangs is not mistaken for one that is slow.
    "wal_receiver_timeout": "5s",
    "wal_retrieve_retry_interval": "200ms",
    # Tests kill processes and fill disks, and pull no plug: the kernel keeps what was written.
    "fsync": "on",
    "wal_sync_method": "fdatasync",
}
WITHIN: Final = 20.0
"""Seconds that a server may take to follow, to be promoted or to answer."""


@dataclass(slots=True)
class Pair:
    """The servers ``a`` and ``b``; their ports stay, whoever is the primary."""

    a: Cluster
    b: Cluster
    settings: Mapping[str, str]
    reached_at: Mapping[int, int] = field(default_factory=dict)
    """Where the standby reaches a server of this port, if that is not there itself: the beginning of a way."""
    primary: Cluster = field(init=False)

    def __post_init__(self) -> None:
        """At first ``a`` is the primary."""
        self.primary = self.a

    @property
    def standby(self) -> Cluster:
        """The other one, whether it runs or not."""
        return self.b if self.primary is self.a else self.a

    def begin(self) -> None:
        """Make the primary with roles and database, then its standby."""
        self.a.make()
        # pg_rewind starts a server by its files alone, and wants this from them.
        with (self.a.data / "postgresql.conf").open("a") as file:
            file.write("wal_log_hints = on\nwal_keep_size = '64MB'\n")
        self.a.settings = self.settings
        self.a.start()
        self.a.sql(
            # Nobody follows yet: a commit that waits for its standby would wait for ever.
            "SET synchronous_commit = local",
            f"CREATE ROLE {OWNER} LOGIN",
            f"CREATE ROLE {SERVER} LOGIN",
            f"CREATE DATABASE keyrack OWNER {OWNER}",
        )
        self.rebuild()

    def rebuild(self) -> None:
        """Make the standby anew from the primary; return once it follows."""
        standby = self.standby
        standby.stop(signal.SIGQUIT)
        shutil.rmtree(standby.data, ignore_errors=True)
        run(
            *("pg_basebackup", "-D", str(standby.data), "-X", "stream", "-c", "fast", "--no-sync"),
            *("-d", self.primary.url(ACCOUNT, "postgres").replace("/postgres?", "/?")),
        )
        self._follow(standby)

    def rewind(self) -> None:
        """Make the standby from what a primary that was killed has left, by ``pg_rewind``; return once it follows."""
        # It compares timelines as the last checkpoint has noted them, which one after a promotion may be to come.
        self.primary.sql("CHECKPOINT")
        source = self.primary.url(ACCOUNT, "postgres")
        run("pg_rewind", "-D", str(self.standby.data), f"--source-server={source}", "--no-sync")
        self._follow(self.standby)

    def kill_primary(self) -> None:
        """SIGKILL for the primary and all its processes."""
        killed(self.primary)

    def promote(self) -> None:
        """Make the standby the primary; return once it takes writes, though none is kept before it has a standby."""
        follower = self.standby
        run("pg_ctl", "promote", "-D", str(follower.data), "-w", "-t", "20")
        follower.settings = {name: told for name, told in follower.settings.items() if name != "primary_conninfo"}
        self.primary = follower

    def fail_over(self, *, rewind: bool = False) -> None:
        """Kill the primary, promote the standby, and give it a standby made of the old primary."""
        self.kill_primary()
        self.promote()
        if rewind:
            self.rewind()
        else:
            self.rebuild()

    def revive(self) -> None:
        """Start again whichever server has given up, as a service manager does; return once the standby follows."""
        for each in (self.primary, self.standby):
            if each.process is not None and each.process.poll() is not None:
                each.process = None
                each.start()
        self.await_standby()

    def await_standby(self, *, synchronous: bool = True) -> None:
        """Until it follows; raises :class:`TimeoutError`."""
        wanted = ("sync", "quorum") if synchronous else ("sync", "quorum", "async")
        until = time.monotonic() + WITHIN
        while time.monotonic() < until:
            told = self.primary.sql("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'")
            if told in wanted:
                return
            time.sleep(0.05)
        raise TimeoutError(f"the standby does not follow: {self.standby.told()}")

    def await_replayed(self) -> None:
        """Until the standby shows all that the primary has now; raises :class:`TimeoutError`."""
        at = self.primary.sql("SELECT pg_current_wal_flush_lsn()")
        until = time.monotonic() + WITHIN
        while self.standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{at}'::pg_lsn") != "t":
            if time.monotonic() > until:
                raise TimeoutError("the standby stays behind")
            time.sleep(0.02)

    def differences(self) -> list[str]:
        """Tables of Keyrack's whose rows are not the same on the standby, once it has caught up.

        Nodes write on meanwhile: what differs is looked at again until it is the same, or for some seconds.
        """
        until = time.monotonic() + WITHIN / 4
        while True:
            self.await_replayed()
            found = sorted(set(_rows_of(self.primary)) ^ set(_rows_of(self.standby)))
            if not found or time.monotonic() > until:
                return found

    def stop(self) -> None:
        """Stop both, and remove their files."""
        for each in (self.a, self.b):
            each.stop(signal.SIGQUIT)
            shutil.rmtree(each.directory, ignore_errors=True)

    def _follow(self, standby: Cluster) -> None:
        port = self.reached_at.get(self.primary.port, self.primary.port)
        where = f"host=127.0.0.1 port={port} user={ACCOUNT} application_name=port{standby.port}"
        (standby.data / "standby.signal").touch()
        standby.settings = {**self.settings, "primary_conninfo": where}
        standby.start()
        self.await_standby(synchronous=bool(self.primary.settings["synchronous_standby_names"]))


@contextmanager
def pair(
    settings: Mapping[str, str] | None = None,
    *,
    grounds: tuple[Path | None, Path | None] = (None, None),
    led: Callable[[int], int] | None = None,
) -> Iterator[Pair]:
    """Two running servers with both roles and the database ``keyrack``; gone afterwards.

    ``grounds`` are directories to keep them in; ``led`` makes the way by which a standby reaches a port.
    """
    a, b = _place(grounds[0]), _place(grounds[1])
    reached_at = {} if led is None else {each.port: led(each.port) for each in (a, b)}
    made = Pair(a, b, {**STREAMING, **(settings or {})}, reached_at)
    try:
        made.begin()
        yield made
    finally:
        made.stop()


def _rows_of(server: Cluster) -> list[str]:
    """A line for each table, with a digest of its rows."""
    tables = server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database="keyrack").split()
    rows = "md5(string_agg(row::text, '|' ORDER BY row::text))"
    return server.sql(*(f"SELECT '{each}', {rows} FROM \"{each}\" row" for each in tables), database="keyrack").split()


def killed(server: Cluster) -> None:
    """SIGKILL for a server and all its processes, as the end of its machine."""
    pid = server.pid()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in (pid, *map(int, children)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    process, server.process = server.process, None
    if process is not None:
        process.wait(10)


def _place(ground: Path | None) -> Cluster:
    directory = Path(tempfile.mkdtemp(prefix="keyrack-pair-", dir=ground))
    if os.geteuid() == 0:
        shutil.chown(directory, ACCOUNT)
    return Cluster(directory, free_port())
