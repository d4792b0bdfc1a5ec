"""A Create whose key becomes a standard key of Key Protect, cut at each step: one key, or nothing acknowledged.

The steps outside are the requests of an uncut Create, counted at a fault proxy: at each of them the connection is cut,
the answer is lost, held back, halved or too late, once or from then on, and the whole process is killed before and
after. The steps inside are the commits of the catalog.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.catalogs.sqlite.catalog import SqliteCatalog
from keyrack.testing.create_child import AFTER, BEFORE, UNTOLD, Child, Order, children
from keyrack.testing.create_cut import Attempt, Judged, attempt, judge, prepare
from keyrack.testing.fault_proxy import await_seen
from keyrack.testing.fault_proxy_rules import Fault, Rule, Seen
from keyrack.testing.ibm_grounds import IbmFace, Lane, ibm_face, lane

TIMES, TIMES_LONG, LATE_TIMES = 2, 100, 2
LANES = 6
API = "/api/v2/*"
CUTS = (
    Fault.RESET_BEFORE,
    Fault.RESET_AFTER,
    Fault.ANSWER_LOST,
    Fault.ANSWER_HELD,
    Fault.HALF_ANSWER,
    Fault.HANG,
    Fault.UNAVAILABLE,
)
REQUESTS = 4
"""What an uncut Create asks for: wrap, unwrap, put, get."""
COMMITS = 2
"""The intent, and the key."""
SOON: dict[str, Any] = {"answer_seconds": 0.25, "write_seconds": 0.5, "connect_seconds": 0.25}
LATE = 1.0
"""Seconds after which nobody waits any more."""


@dataclass(slots=True)
class Ground:
    """A catalog, a key manager, and every Create that was sent."""

    face: IbmFace
    directory: Path
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def catalog(self) -> Path:
        """The database."""
        return self.directory / "catalog.db"

    async def judged(self) -> Judged:
        """What is there after all; past every proxy that cuts."""
        with lane(self.face, self.directory / "judge") as way:
            adapter = way.adapter()
            try:
                judged = await judge(self.catalog, adapter, self.face.manager, self.attempts)
            finally:
                await adapter.close()
        acknowledged = sum(each.uid is not None for each in self.attempts)
        print(f"{len(self.attempts)} Creates, {acknowledged} acknowledged: {judged}")  # noqa: T201 - pytest shows it
        assert [] == judged.problems
        assert judged.strangers == len(judged.orphans) + len(judged.doubles)
        return judged


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """With one instance."""
    with ibm_face(tmp_path) as face:
        ground = Ground(face, tmp_path)
        catalog = SqliteCatalog(ground.catalog, "setup")
        await prepare(catalog, (await face.manager.create_root_key("root")).identifier)
        await catalog.close()
        yield ground


async def cut(way: Lane, catalog: SqliteCatalog, mark: str, rule: Rule) -> Attempt:
    """One Create, and what befalls its requests."""
    way.key_manager.set(rule)
    adapter = way.adapter()
    try:
        return await attempt(catalog, adapter, mark)
    finally:
        way.key_manager.set()
        await adapter.close()


async def cut_each(ground: Ground, times: int, faults: Sequence[Fault]) -> None:
    """Every cut of the network, so many times, on several lanes side by side."""
    catalog = SqliteCatalog(ground.catalog, "kmip-0")
    cuts = iter(list(itertools.product(range(times), range(REQUESTS), faults, (1, None))))

    async def work(way: Lane) -> None:
        for number, (_, request, fault, often) in zip(itertools.count(), cuts, strict=False):
            rule = Rule(fault=fault, path=API, after=request, times=often, seconds=LATE)
            mark = f"{way.settings.name} {number}"
            ground.attempts.append(await cut(way, catalog, mark, rule))
        await asyncio.to_thread(await_seen, way.key_manager, _nothing_late)

    with ExitStack() as stack:
        ways = [
            stack.enter_context(lane(ground.face, ground.directory / f"lane-{number}", name=f"kp-{number}", **SOON))
            for number in range(LANES)
        ]
        await asyncio.gather(*(work(way) for way in ways))
    await catalog.close()


def _nothing_late(seen: Sequence[Seen]) -> bool:
    return all(each.done for each in seen if each.fault is Fault.LATE)


def kill_each(ground: Ground, times: int) -> None:
    """Kill a process that makes a Create at each step, so many times."""
    with lane(ground.face, ground.directory / "lane") as way, children() as fork:

        def begin(where: str = "", number: int = 0) -> Child:
            mark = f"kill {len(ground.attempts)}"
            return fork(
                Order(
                    mark=mark,
                    catalog=ground.catalog,
                    told=ground.directory / f"{mark}.json",
                    settings=way.settings,
                    where=where,
                    number=number,
                )
            )

        for _ in range(times):
            for request, fault in itertools.product(range(REQUESTS), (Fault.HANG, Fault.ANSWER_HELD)):
                way.key_manager.forget()
                way.key_manager.set(Rule(fault=fault, path=API, after=request))
                child = begin()
                await_seen(way.key_manager, _there if fault is Fault.HANG else _done_there)
                ground.attempts.append(child.kill())
                way.key_manager.set()
            for number, where in itertools.product(range(1, COMMITS + 1), (BEFORE, AFTER)):
                ground.attempts.append(begin(where, number).end())
            ground.attempts.append(begin(UNTOLD).end())
            ground.attempts.append(begin().end())


def _there(seen: Sequence[Seen]) -> bool:
    return any(each.fault for each in seen)


def _done_there(seen: Sequence[Seen]) -> bool:
    return any(each.fault and each.done for each in seen)


async def check_cuts(ground: Ground, times: int) -> None:
    """Nothing acknowledged is lost, nothing is there twice, whatever was cut."""
    await cut_each(ground, times, CUTS)

    judged = await ground.judged()

    assert len(ground.attempts) == times * REQUESTS * len(CUTS) * 2
    assert any(each.uid for each in ground.attempts)
    assert any(each.uid is None for each in ground.attempts)
    assert [] == judged.doubles


async def check_kills(ground: Ground, times: int) -> None:
    """The same where the process is gone; what nobody was told of is completed, or was never there."""
    await asyncio.to_thread(kill_each, ground, times)

    judged = await ground.judged()

    assert times == sum(each.uid is not None for each in ground.attempts)
    # From the put on, the key is there: the reconciler completes it. Before, nothing is left but an intent.
    assert ([], []) == (judged.orphans, judged.doubles)
    assert judged.rows > times
    assert judged.outcome.completed
    assert judged.outcome.ended


async def test_an_uncut_create_asks_for_four_things(ground: Ground) -> None:
    """What the steps of this file are counted by."""
    catalog = SqliteCatalog(ground.catalog, "kmip-0")
    with lane(ground.face, ground.directory / "lane") as way:
        ground.attempts.append(await cut(way, catalog, "uncut", Rule(fault=Fault.LATENCY)))
        asked = [(each.method, each.path.rpartition("/")[2]) for each in way.key_manager.seen()]
    await catalog.close()

    assert [("POST", "wrap"), ("POST", "unwrap"), ("POST", "keys")] == asked[:3]
    assert len(asked) == REQUESTS
    assert (await ground.judged()).rows == 1


async def test_a_create_whose_connection_is_cut_is_one_key_or_nothing(ground: Ground) -> None:
    await check_cuts(ground, TIMES)


async def test_a_create_whose_process_is_killed_is_one_key_or_nothing(ground: Ground) -> None:
    await check_kills(ground, TIMES)


async def test_a_put_that_comes_late_is_listed(ground: Ground) -> None:
    """Nothing can take back what is on its way: whatever it adds to the one key is counted as a stranger."""
    await cut_each(ground, LATE_TIMES, [Fault.LATE])

    judged = await ground.judged()

    assert judged.doubles
    assert judged.orphans


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_create_whose_connection_is_cut_a_hundred_times(ground: Ground) -> None:
    await check_cuts(ground, TIMES_LONG)


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_a_create_whose_process_is_killed_a_hundred_times(ground: Ground) -> None:
    await check_kills(ground, TIMES_LONG)
