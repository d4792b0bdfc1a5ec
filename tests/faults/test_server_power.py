"""The power goes out while ``keyrack serve`` is under load: what was acknowledged had reached the disk before.

The system calls of a real server say what a disk is bound to hold after each of them (:mod:`keyrack.testing.power`).
For some instants, chosen at random, the files are written as a power cut would leave them, with and without parts of
what was not synced, and opened: every key that a client had been promised by then is in them.
"""

import random
import sqlite3
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from keyrack.spec.enumerations import State
from keyrack.testing.client import Client
from keyrack.testing.ledger import Promise, broken
from keyrack.testing.power import Disk, disks, pull_the_plug, strace, traced
from keyrack.testing.process import Deployment
from keyrack.testing.streams import Streams, batch, boot, bring

pytestmark = pytest.mark.skipif(strace() is None, reason="strace is not installed: apt-get install strace")

SECONDS = 2.0
"""Of load."""
CUTS = 80
"""Instants at which the power goes."""
CONTROL_CUTS = 10
STARTS = 3
"""Of these, how many are started again."""
ANCHOR = "keystore.revision"
"""Never synced, and never ahead of the database that it tells of: else a power cut would look like an older copy."""
DATABASES = ("catalog.db", "keystore.db")
SABOTAGE = Path(__file__).parent / "sabotage.py"


@dataclass(slots=True)
class Recorded:
    """A server's run under load, until the power went: what it promised and when, and what it wrote."""

    deployment: Deployment
    contexts: Mapping[str, ssl.SSLContext]
    promises: Sequence[Promise]
    trace: Path
    base: Mapping[Path, bytes]

    def cuts(self, chance: random.Random, number: int) -> Iterator[tuple[Disk, Sequence[Promise]]]:
        """The disk at instants chosen at random, and what had been promised by then."""
        every = sum(1 for _ in disks(self.trace, self.base))
        chosen = set(chance.sample(range(every), min(number, every)))
        for position, disk in enumerate(disks(self.trace, self.base)):
            if position in chosen:
                yield disk, [promise for promise in self.promises if promise.at <= disk.until]

    def lost(self, chance: random.Random, number: int) -> list[str]:
        """A sentence for each promise that is not on the disk after a cut; each instant with and without chance."""
        after = self.trace.parent / "after"
        after.mkdir()
        problems = []
        for disk, due in self.cuts(chance, number):
            for kept in (None, chance):
                disk.write(self.deployment.directory, after, kept)
                problems += _missing(after, due)
        return problems

    def start_again(self, disk: Disk, due: Sequence[Promise], chance: random.Random) -> list[str]:
        """Start a server on what a cut has left, and hold it against what had been promised."""
        for file in self.deployment.directory.glob("*.db*"):
            file.unlink()
        disk.write(self.deployment.directory, self.deployment.directory, chance)
        address = self.deployment.start()
        try:
            problems = []
            for name, context in self.contexts.items():
                with Client(address, context) as asking:
                    # What came after the cut has not happened yet.
                    now = [replace(each, states=set(State)) for each in due if each.instance == name]
                    problems += broken(asking, now)
            return problems
        finally:
            self.deployment.stop()


def record(directory: Path, *command: str) -> Recorded:
    """Serve under ``strace`` and load, and then let the power go."""
    deployment = Deployment(directory=directory / "deployment").initialise()
    contexts = deployment.furnish()
    files = [deployment.directory / f"{name}{end}" for name in DATABASES for end in ("", "-wal", "-journal")]
    files.append(deployment.directory / ANCHOR)
    base = {file: file.read_bytes() for file in files if file.exists()}
    ordinary = deployment.command
    deployment.wrapper, deployment.command = traced(files, directory / "trace"), command or ordinary
    address = deployment.start()
    try:
        streams = Streams(address=address, contexts=contexts, group="traced", flows=(boot, batch, bring))
        with streams:
            time.sleep(SECONDS)
            pull_the_plug(deployment)
    finally:
        pull_the_plug(deployment)
    deployment.wrapper, deployment.command = (), ordinary
    assert [] == streams.failures
    return Recorded(deployment, contexts, list(streams.promises()), directory / "trace", base)


def _missing(directory: Path, due: Sequence[Promise]) -> list[str]:
    """Which of the promised keys are not in the files of ``directory``, sealed and, where it is due, in both."""
    held = _column(directory / DATABASES[0], "SELECT identifier FROM object WHERE sealed IS NOT NULL")
    kept = _column(directory / DATABASES[1], "SELECT name FROM keys WHERE extractable = 1")
    problems = [f"{promise.uid} is lost" for promise in due if promise.uid not in held]
    return problems + [
        f"{promise.uid} is not in the key manager"
        for promise in due
        if promise.instance == "b" and f"vmware_kmip_{promise.uid}" not in kept
    ]


def _column(database: Path, query: str) -> set[str]:
    connection = sqlite3.connect(database)
    try:
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        return {row[0] for row in connection.execute(query)}
    finally:
        connection.close()
        for end in ("-wal", "-shm", "-journal"):
            database.with_name(database.name + end).unlink(missing_ok=True)


def test_what_was_acknowledged_had_reached_the_disk(tmp_path: Path) -> None:
    """At any instant that the power goes, each promised key is there, sealed, and the server starts and serves it."""
    recorded = record(tmp_path)
    chance = random.Random(0)

    lost = recorded.lost(chance, CUTS)
    served = [recorded.start_again(disk, due, chance) for disk, due in recorded.cuts(chance, STARTS)]

    print(f"{len(recorded.promises)} acknowledged keys, {2 * CUTS} images")  # noqa: T201
    assert len(recorded.promises) > 20
    assert [] == lost
    assert [[]] * STARTS == served


@pytest.mark.slow
def test_without_its_syncs_a_power_cut_is_noticed(tmp_path: Path) -> None:
    """The same judge sees what ``synchronous = NORMAL`` loses."""
    recorded = record(tmp_path, sys.executable, str(SABOTAGE), "unsynced")

    lost = recorded.lost(random.Random(0), CONTROL_CUTS)

    print(f"{len(recorded.promises)} acknowledged keys, {len(lost)} times one was lost")  # noqa: T201
    assert [] != [text for text in lost if "is lost" in text]
