"""``kill -9`` at any instant: what was acknowledged is there, what is there is whole, the journal's chain is sound."""

import asyncio
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.ports.catalog import JournalRecord
from keyrack.service.journal.chain import verify
from keyrack.testing.catalog_child import commit, made, prepared
from keyrack.testing.catalog_values import ONE

ROUNDS = int(os.environ.get("KEYRACK_KILLS", "20"))
A_ROUND = 1_000_000


@pytest.fixture(scope="module")
def nursery() -> multiprocessing.context.ForkServerContext:
    """Forks children from a process that has imported everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keyrack.testing.catalog_child"])
    return context


def live(path: Path, first: int, acknowledged: Connection, early: bool) -> None:
    """The child: commits until it is killed."""
    asyncio.run(commit(path, first, A_ROUND, 8, acknowledged.fileno(), early=early))


def killed(
    nursery: multiprocessing.context.ForkServerContext, path: Path, first: int, lifetime: float, *, early: bool = False
) -> list[int]:
    """Let a child commit for a while, kill it; the numbers that it has acknowledged."""
    reading, writing = nursery.Pipe(duplex=False)
    child = nursery.Process(target=live, args=(path, first, writing, early))
    child.start()
    writing.close()
    reading.poll(20)
    time.sleep(lifetime)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    told = b""
    while piece := os.read(reading.fileno(), 65536):
        told += piece
    child.join()
    reading.close()
    return [int(line) for line in told.split(b"\n")[:-1]]


async def everything(catalog: SqliteCatalog) -> list[JournalRecord]:
    """The whole journal."""
    records: list[JournalRecord] = []
    while page := await catalog.journal(records[-1].number if records else 0, 10_000):
        records += page
    return records


async def missing(path: Path, acknowledged: list[int]) -> list[int]:
    """Open the catalog after a crash, check that all in it is whole; the acknowledged numbers that are not there."""
    catalog = SqliteCatalog(path, "check")
    lost = []
    for number in acknowledged:
        held = await catalog.load(ONE, made(number).unique_identifier)
        if held is None or held.sealed != made(number).sealed or held.version != 2:
            lost.append(number)
    records = await everything(catalog)
    created = {record.text.partition('"target":"')[2][:36] for record in records if '"Create"' in record.text}
    count = await catalog.count(ONE)
    await catalog.close()
    assert verify(records).flaws == ()
    assert len(created) == count
    return lost


def test_no_acknowledged_key_is_lost_by_kill_9(
    nursery: multiprocessing.context.ForkServerContext, tmp_path: Path
) -> None:
    """Killed again and again under load, on one database: nothing acknowledged is lost, nothing is half there."""
    path = tmp_path / "catalog.db"
    asyncio.run(prepared(path))
    chance = random.Random()
    told = 0
    for n in range(ROUNDS):
        acknowledged = killed(nursery, path, n * A_ROUND, chance.uniform(0.0, 0.12))
        told += len(acknowledged)
        assert asyncio.run(missing(path, acknowledged)) == []
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert told > 5 * ROUNDS


def test_an_early_acknowledgement_would_be_found(
    nursery: multiprocessing.context.ForkServerContext, tmp_path: Path
) -> None:
    """The test above can fail: a program that acknowledges before it has committed loses keys in it."""
    path = tmp_path / "catalog.db"
    asyncio.run(prepared(path))
    lost: list[int] = []
    for n in range(20):
        lost += asyncio.run(missing(path, killed(nursery, path, n * A_ROUND, 0.01 * (n % 4), early=True)))
        if lost:
            break
    assert lost
