"""``keyrack serve`` killed with SIGKILL at random instants under load: what was acknowledged is there, byte for byte.

Each life of the server: it starts, is held against what it promised in the life before, takes a load of Create,
Register, Activate, Get, Revoke and Destroy on six connections of two instances, and is killed. Every tenth is killed
while it starts. The controls break the server on purpose, and the same judge must notice.
"""

import asyncio
import json
import os
import random
import sqlite3
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.ports.catalog import JournalRecord
from keyrack.service.journal.chain import verify
from keyrack.testing.client import Client
from keyrack.testing.ledger import Promise, broken
from keyrack.testing.nursery import Nursery
from keyrack.testing.process import Deployment
from keyrack.testing.streams import Streams

LIVES = 30
LIVES_LONG = 1000
LIVES_OF_TWO = 6
CONTROL_LIVES = 60
"""A broken server must be found out within this many."""
SABOTAGE = Path(__file__).parent / "sabotage.py"
LOAD = (0.02, 0.4)
"""Seconds from the first request to the kill, at random between the two."""


@dataclass(slots=True)
class Trial:
    """A deployment with two instances, one of which keeps its keys in the key manager too, and all its promises."""

    deployment: Deployment
    contexts: dict[str, ssl.SSLContext]
    chance: random.Random
    promises: list[Promise] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lives: int = 0

    @classmethod
    def begin(cls, directory: Path, **environment: str) -> "Trial":
        """Initialise the deployment; the seed may be given as ``KEYRACK_TEST_SEED``."""
        deployment = Deployment(directory=directory / "deployment", environment=environment).initialise()
        seed = os.environ.get("KEYRACK_TEST_SEED") or str(random.SystemRandom().randrange(2**32))
        print(f"KEYRACK_TEST_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
        return cls(deployment, deployment.furnish(), random.Random(seed))

    def live(self, nursery: Nursery) -> None:
        """One life: start, be judged on the life before, take load, be killed."""
        if self.lives % 10 == 9:
            self._die_young(nursery)
        child = nursery.serve(self.deployment)
        try:
            address = child.address()
            before = f"life {self.lives}"
            self.judge(address, [promise for promise in self.promises if promise.group == before], before)
            self.lives += 1
            streams = Streams(address=address, contexts=self.contexts, group=f"life {self.lives}")
            with streams:
                time.sleep(self.chance.uniform(*LOAD))
                child.kill()
        finally:
            child.close()
        self.promises += streams.promises()
        self.problems += [f"a client failed: {failure!r}" for failure in streams.failures]

    def _die_young(self, nursery: Nursery) -> None:
        child = nursery.serve(self.deployment)
        time.sleep(self.chance.uniform(0, 0.1))
        child.close()

    def judge(self, address: tuple[str, int], promises: list[Promise], group: str | None = None) -> None:
        """Hold a running server against promises."""

        def ask(name: str) -> list[str]:
            with Client(address, self.contexts[name], timeout=60) as asking:
                return broken(asking, [each for each in promises if each.instance == name], group)

        with ThreadPoolExecutor() as pool:
            for problems in pool.map(ask, self.contexts):
                self.problems += problems

    def judge_all(self, nursery: Nursery) -> None:
        """Hold a last life of the server against everything that was ever promised."""
        child = nursery.serve(self.deployment)
        try:
            self.judge(child.address(), self.promises)
        finally:
            child.close()

    def journal(self) -> list[JournalRecord]:
        """All records, in the order they were written."""

        async def read() -> list[JournalRecord]:
            catalog = SqliteCatalog(self.deployment.directory / "catalog.db", "reader")
            records: list[JournalRecord] = []
            while page := await catalog.journal(records[-1].number if records else 0, 5000):
                records += page
            await catalog.close()
            return records

        return asyncio.run(read())


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A deployment that nobody has killed yet."""
    return Trial.begin(tmp_path)


def check(trial: Trial, lives: int) -> None:
    """Through so many lives the server keeps its promises, and its files are sound."""
    with Nursery() as nursery:
        for _ in range(lives):
            trial.live(nursery)
        trial.judge_all(nursery)
    print(f"{trial.lives} lives, {len(trial.promises)} acknowledged keys")  # noqa: T201
    assert [] == trial.problems
    assert [("ok",)] == _integrity(trial.deployment.directory / "catalog.db")
    records = trial.journal()
    assert () == verify(records).flaws
    written = Counter((entry["action"], entry["target"]) for entry in (json.loads(record.text) for record in records))
    unwritten = [
        promise.uid
        for promise in trial.promises
        if promise.gets > written["Get", promise.uid]
        or written["Create", promise.uid] + written["Register", promise.uid] != 1
    ]
    assert [] == unwritten


def _integrity(database: Path) -> list[tuple[str]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall()
    finally:
        connection.close()


def test_no_acknowledged_key_is_lost_to_kills(trial: Trial) -> None:
    """200 kills: every key is back with its bytes and its state, none is half-made, each release is in the journal."""
    check(trial, LIVES)


def test_no_acknowledged_key_is_lost_when_several_workers_are_killed(tmp_path: Path) -> None:
    """Two processes that serve one catalog, killed together with their parent."""
    check(Trial.begin(tmp_path, KEYRACK_KMIP__WORKERS="2"), LIVES_OF_TWO)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_acknowledged_key_is_lost_to_a_thousand_kills(trial: Trial) -> None:
    """The same a thousand times."""
    check(trial, LIVES_LONG)


@pytest.mark.parametrize(
    ("sabotage", "seen"),
    [("answer_before_commit", "is lost"), ("row_before_key", "is found and not to be had")],
)
def test_a_broken_order_is_found_out(trial: Trial, sabotage: str, seen: str) -> None:
    """Where the answer leaves before the commit, or the row comes before the key, the same judge sees it."""
    found: list[str] = []
    with Nursery((SABOTAGE, sabotage)) as nursery:
        while not found and trial.lives < CONTROL_LIVES:
            trial.live(nursery)
            found = [problem for problem in trial.problems if seen in problem]

    print(f"{sabotage}: after {trial.lives} lives {found or trial.problems}")  # noqa: T201
    assert found
