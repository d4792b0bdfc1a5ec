"""A walk over what an instance has sealed: what it looks at, how often, how fast, and how it ends."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.errors import CryptographicFailure, GeneralFailure
from keyrack.domain.instances import WrappingKey
from keyrack.domain.journal import Entry
from keyrack.ports.catalog import CatalogUnavailable, Conflict, Unit
from keyrack.ports.key_manager import KeyManagerRefused, Reason
from keyrack.service.moves.walk import MOST_IN_A_ROW, Outcome, Progress, still_due, walk
from keyrack.service.vault.envelope import Sealed
from keyrack.testing.vaults import an_instance, an_object

INSTANCE = an_instance("root")
ENTRY = Entry(at=0, action="test", outcome="success", initiator="local-user-test", address="local")


async def catalog_of(count: int, *, destroyed: int = 0) -> MemoryCatalog:
    """A catalog with so many objects, the first of them without key material, and one more of another instance."""
    catalog = MemoryCatalog()
    held = [
        replace(an_object(f"object-{number}"), sealed=None if number < destroyed else b"sealed")
        for number in range(count)
    ]
    foreign = replace(an_object("foreign", "instance-2"), sealed=b"sealed")
    instances = (INSTANCE, an_instance("root", "instance-2"))
    await catalog.commit(Unit(entries=(ENTRY,), instances=instances, inserted=(*held, foreign)))
    return catalog


class Acts:
    """Acts on things, and remembers what it was given."""

    def __init__(self, fails: dict[str, list[Exception]] | None = None) -> None:
        self.given: list[str] = []
        self.under_way = self.most = 0
        self.fails = fails or {}
        self.seconds = 0.0

    async def __call__(self, thing: Sealed) -> bool:
        self.given.append(thing.unique_identifier)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(self.seconds)
        self.under_way -= 1
        if fails := self.fails.get(thing.unique_identifier):
            raise fails.pop(0)
        return True


def names(count: int, begin: int = 0) -> list[str]:
    """The objects of :func:`catalog_of`."""
    return [f"object-{number}" for number in range(begin, count)]


async def test_everything_that_is_sealed_is_acted_on_once() -> None:
    """The wrapping key first, over many pages; not what has no key material, and nothing of another instance."""
    catalog = await catalog_of(450, destroyed=3)
    wrapping_key = WrappingKey(unique_identifier="w", instance=INSTANCE.identifier, created_at=1, sealed=b"sealed")
    await catalog.commit(Unit(entries=(ENTRY,), wrapping_keys=(wrapping_key,)))
    acts, told = Acts(), list[Progress]()

    outcome = await walk(catalog, INSTANCE, acts, report=told.append)

    assert ["w", *names(450, 3)] == acts.given
    assert Outcome(done=451, changed=448) == outcome
    assert (Progress(0, 0, 0, 451), Progress(451, 448, 0, 451)) == (told[0], told[-1])


async def test_only_what_is_due_is_acted_on() -> None:
    """And counts as changed."""
    catalog, acts = await catalog_of(10), Acts()

    outcome = await walk(catalog, INSTANCE, acts, due=lambda thing: thing.unique_identifier in {"object-3", "object-7"})

    assert (["object-3", "object-7"], 10, 2) == (acts.given, outcome.done, outcome.changed)


async def test_at_most_so_many_are_under_way_at_once() -> None:
    """A key manager is asked by eight at most."""
    catalog, acts = await catalog_of(40), Acts()
    acts.seconds = 0.002

    await walk(catalog, INSTANCE, acts)

    assert 8 == acts.most


async def test_a_rate_is_kept() -> None:
    """What is not due takes none of it."""
    catalog, acts = await catalog_of(200), Acts()
    wanted = {f"object-{number}" for number in range(0, 200, 20)}
    loop = asyncio.get_running_loop()
    began = loop.time()

    await walk(catalog, INSTANCE, acts, due=lambda thing: thing.unique_identifier in wanted, rate=50)

    assert 0.17 < loop.time() - began < 2


@pytest.mark.parametrize("error", [Conflict("changed"), CatalogUnavailable("busy")])
async def test_what_another_change_came_before_is_decided_anew(error: Exception) -> None:
    """With what is there by then."""
    catalog, acts = await catalog_of(3), Acts({"object-1": [error]})

    outcome = await walk(catalog, INSTANCE, acts)

    assert (4, Outcome(done=3, changed=3)) == (len(acts.given), outcome)


async def test_what_was_done_by_another_is_not_done_again() -> None:
    """The conflict says that somebody was quicker; the object says that nothing is left to do."""
    catalog, acts = await catalog_of(1), Acts({"object-0": [Conflict("changed")]})

    outcome = await walk(catalog, INSTANCE, acts, due=lambda thing: not acts.given)

    assert (["object-0"], 0, 1) == (acts.given, outcome.changed, outcome.done)


async def test_a_failure_is_told_and_the_walk_goes_on() -> None:
    """With why; also where the wrapped key itself is spoilt."""
    catalog, acts = await catalog_of(5), Acts({"object-2": [CryptographicFailure("it does not open")]})

    def due(thing: Sealed) -> bool:
        if thing.unique_identifier == "object-4":
            raise CryptographicFailure("it was cut off")
        return True

    outcome = await walk(catalog, INSTANCE, acts, due=due)

    assert [("object-2", "it does not open"), ("object-4", "it was cut off")] == sorted(outcome.failures)
    assert (3, False) == (outcome.changed, outcome.stopped)


def refusals(reason: Reason, count: int) -> dict[str, list[Exception]]:
    """So many objects that the key manager refuses."""
    error = CryptographicFailure("the key manager refuses")
    error.__cause__ = KeyManagerRefused("no", reason)
    return {name: [error] for name in names(count)}


async def test_a_key_manager_that_is_away_ends_the_walk() -> None:
    """Nobody waits for a hundred thousand time-outs."""
    catalog = await catalog_of(200)
    acts = Acts({name: [GeneralFailure("no answer")] for name in names(200)})

    outcome = await walk(catalog, INSTANCE, acts)

    assert outcome.stopped
    assert MOST_IN_A_ROW <= len(outcome.failures) < MOST_IN_A_ROW + 8


@pytest.mark.parametrize(("reason", "stopped"), [(Reason.POLICY, True), (Reason.DELETED, False)])
async def test_refusals_end_the_walk_where_they_are_not_one_keys(reason: Reason, stopped: bool) -> None:
    """A policy concerns all; a standard key that is gone concerns one."""
    catalog, acts = await catalog_of(60), Acts(refusals(reason, 40))

    outcome = await walk(catalog, INSTANCE, acts)

    assert stopped == outcome.stopped


async def test_a_cancelled_walk_ends_what_is_under_way_and_begins_nothing() -> None:
    """Between a standard key and its commit nobody is cut off."""
    catalog, acts, ends = await catalog_of(100), Acts(), list[str]()
    acts.seconds = 0.05

    async def act(thing: Sealed) -> bool:
        await acts(thing)
        ends.append(thing.unique_identifier)
        return True

    task = asyncio.create_task(walk(catalog, INSTANCE, act))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert names(8) == acts.given
    assert sorted(acts.given) == sorted(ends)


async def test_a_slow_walk_that_is_cancelled_ends_at_once() -> None:
    """Nobody waits for turns that will not come, and nothing is begun after the end."""
    catalog, acts = await catalog_of(100), Acts()
    task = asyncio.create_task(walk(catalog, INSTANCE, acts, rate=0.5))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await task

    assert ["object-0"] == acts.given


async def test_a_mistake_in_an_act_is_raised() -> None:
    """It is no failure of a key."""
    catalog = await catalog_of(100)

    async def act(thing: Sealed) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await walk(catalog, INSTANCE, act)


async def test_what_is_still_due_is_listed() -> None:
    """With why, where it cannot be told."""
    catalog = await catalog_of(5, destroyed=1)

    def due(thing: Sealed) -> bool:
        if thing.unique_identifier == "object-4":
            raise CryptographicFailure("it was cut off")
        return thing.unique_identifier == "object-2"

    found: Sequence[tuple[str, str]] = await still_due(catalog, INSTANCE, due)

    assert [("object-2", ""), ("object-4", "it was cut off")] == list(found)
