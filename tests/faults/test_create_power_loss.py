"""The power goes at every boundary of a sync, while clients create keys: nothing that was acknowledged is lost.

At each boundary what was synced is on the disk, and of all later writes any subset, in sectors of 512 bytes: none, all,
few, half or most of them. The catalog opens, its journal is whole, and every key that was answered has the very wrapped
key that was committed. With ``synchronous=NORMAL`` the same test must fail.
"""

import asyncio
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.service.journal.chain import verify
from keyrack.testing.power import Disk, disks, strace, traced

SHARES = (None, 1.0, 0.5, 0.1, 0.9, 0.5, 0.25, 0.75, 0.5, 0.02, 0.98, 0.5)
"""Of the sectors that were not synced, how many a cut keeps; ``None``: none of them."""
INSTANCE = "instance-a"

pytestmark = pytest.mark.skipif(not strace(), reason="needs strace")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run: what it wrote and synced, and what it had answered when."""

    base: Path
    trace: Path
    before: Mapping[Path, bytes]
    answered: Mapping[str, tuple[str, float]]
    """SHA-256 of the wrapped key, and the time, by Unique Identifier."""

    def boundaries(self) -> Iterator[tuple[int, Disk]]:
        """The disk at each boundary of a sync: just before it has come back, and just after."""
        for number, disk in enumerate(disks(self.trace, self.before)):
            if disk.synced:
                yield number, disk


def record(base: Path, count: int, synchronous: str) -> Recorded:
    path, trace = base / "catalog.db", base / "trace"
    SqliteCatalog.create(path)
    before = {path: path.read_bytes()}
    child = [sys.executable, "-m", "keyrack.testing.power_child", str(path), str(count), synchronous]
    command = [*traced([path, base / "catalog.db-wal"], trace), *child]
    run = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    if run.returncode and "PTRACE" in run.stderr:
        pytest.skip("this machine lets nobody trace")
    assert run.returncode == 0, run.stderr
    answered = {}
    for line in run.stdout.splitlines():
        uid, digest, at = line.split()
        answered[uid] = (digest, float(at))
    assert len(answered) == count
    assert path.read_bytes() != before[path], "no checkpoint has happened"
    return Recorded(base, trace, before, answered)


async def missing(path: Path, promised: Mapping[str, str]) -> list[str]:
    """Open what a cut has left; the promised keys that are not there, or are others."""
    catalog = SqliteCatalog(path, "check")
    try:
        assert verify(await catalog.journal(limit=100_000)).flaws == ()
        held = {}
        for managed in await catalog.objects(INSTANCE, limit=10_000):
            held[managed.unique_identifier] = sha256(managed.sealed or b"").hexdigest()
        return [uid for uid, digest in promised.items() if held.get(uid) != digest]
    finally:
        await catalog.close()


def cut(recorded: Recorded, number: int, disk: Disk, turn: int) -> list[str]:
    """The power goes at this boundary, and of later writes survives what the turn says; what is lost by it."""
    after = recorded.base / "after"
    shutil.rmtree(after, ignore_errors=True)
    after.mkdir()
    share = SHARES[turn % len(SHARES)]
    chance = None if share is None else random.Random(1000 * number + turn)
    disk.write(recorded.base, after, chance, share or 0.0)
    promised = {uid: digest for uid, (digest, at) in recorded.answered.items() if at <= disk.until}
    return asyncio.run(missing(after / "catalog.db", promised))


def test_no_answered_key_is_lost_at_any_boundary(tmp_path: Path) -> None:
    """Every boundary of a short run, with two subsets of what came later at each; in turn, all kinds of subsets."""
    recorded = record(tmp_path, 30, "FULL")
    points, lost = 0, []
    for place, (number, disk) in enumerate(recorded.boundaries()):
        for turn in (2 * place, 2 * place + 1):
            lost += cut(recorded, number, disk, turn)
            points += 1

    print(f"{points} crash points")  # noqa: T201
    assert points > 60
    assert lost == []


def test_a_catalog_that_does_not_sync_its_log_is_found_out(tmp_path: Path) -> None:
    """The control: at ``synchronous=NORMAL`` answered keys are lost, and this test sees it."""
    recorded = record(tmp_path, 30, "NORMAL")

    lost = [
        uid for number, disk in recorded.boundaries() for turn in (0, 2) for uid in cut(recorded, number, disk, turn)
    ]

    assert lost


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_answered_key_is_lost_at_5000_crash_points(tmp_path: Path) -> None:
    """Every boundary of a long run, each with twelve subsets of what came later."""
    recorded = record(tmp_path, 450, "FULL")
    points, lost = 0, []
    for number, disk in recorded.boundaries():
        for turn in range(len(SHARES)):
            lost += cut(recorded, number, disk, turn)
            points += 1

    print(f"{points} crash points over {len(recorded.answered)} answered keys")  # noqa: T201
    assert points >= 5000
    assert lost == []
