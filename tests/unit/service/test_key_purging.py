"""What was destroyed is purged when its window ends, and leaves the memory of every process at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.domain.instances import Storage
from keyrack.service.care.endings import LOOK_EVERY, Endings
from keyrack.service.care.purging import Purging
from keyrack.service.office import key_acts
from keyrack.service.office.keys import Windows
from keyrack.spec.enumerations import ResultReason
from keyrack.testing.conversation import destroy, get, revoke
from keyrack.testing.offices import DAY, WINDOWS, Offices, open_offices


@pytest.fixture(params=list(Storage))
async def offices(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Offices]:
    async with open_offices(tmp_path, storage=request.param) as opened:
        yield opened


def purging(offices: Offices, windows: Windows = WINDOWS) -> Purging:
    """The chore, by the house's clock; nobody has set it."""
    clock = offices.house.clock
    return Purging(offices.catalog, windows, clock=clock, steady=lambda: clock() - 1_000_000, pace=0)


async def destroyed(offices: Offices) -> str:
    """A key that its client has destroyed."""
    uid = await offices.key(active=False)
    await offices.client(destroy(uid))
    return uid


async def has_material(offices: Offices, uid: str) -> bool:
    found = await offices.catalog.load(offices.instance.identifier, uid)
    assert found is not None
    return found.sealed is not None


async def test_what_was_destroyed_is_purged_after_its_window_and_not_before(offices: Offices) -> None:
    """One entry in the journal for each; the standard key becomes a leftover."""
    first = await destroyed(offices)
    offices.house.clock.now += DAY
    second = await destroyed(offices)
    living = await offices.key()
    chore = purging(offices)
    offices.house.clock.now += 29 * DAY - 1
    assert 0 == await chore.round()

    offices.house.clock.now += 1
    assert 1 == await chore.round()

    assert [False, True, True] == [await has_material(offices, uid) for uid in (first, second, living)]
    (entry,) = await offices.journal("key.purge")
    assert (first, "keyrack", "destroyed 30 days ago") == (
        entry["target"],
        entry["initiator"],
        entry["detail"]["why"],
    )
    leftovers = [each.unique_identifier for each in await offices.catalog.leftovers()]
    assert ([first] if offices.instance.storage is Storage.KEY_MANAGER else []) == leftovers
    offices.house.clock.now += DAY
    assert [1, 0] == [await chore.round(), await chore.round()]
    await offices.client(get(living))


async def test_what_was_recovered_is_not_purged(offices: Offices) -> None:
    """Destroyed again, its window begins anew."""
    uid = await destroyed(offices)
    offices.house.clock.now += 20 * DAY
    await key_acts.recover(offices.machine("ann"), offices.catalog, offices.instance, [uid])
    await offices.client(destroy(uid))
    offices.house.clock.now += 20 * DAY
    assert 0 == await purging(offices).round()
    offices.house.clock.now += 10 * DAY
    assert 1 == await purging(offices).round()


async def test_the_window_is_configured(offices: Offices) -> None:
    await destroyed(offices)
    offices.house.clock.now += 7 * DAY

    assert [0, 1] == [await purging(offices).round(), await purging(offices, Windows(destroyed=7 * DAY)).round()]


async def test_a_clock_that_was_set_purges_nothing(offices: Offices) -> None:
    """Whoever sets the time of day forward destroys no key by it."""
    uid = await destroyed(offices)
    clock = offices.house.clock
    chore = Purging(offices.catalog, WINDOWS, clock=clock, steady=lambda: 5.0, pace=0)
    clock.now += 31 * DAY

    assert 0 == await chore.round()
    assert await has_material(offices, uid)


async def test_a_recovery_that_comes_first_wins(offices: Offices) -> None:
    """The chore has read the key, and then somebody takes its destruction back."""
    uid = await destroyed(offices)
    offices.house.clock.now += 31 * DAY
    read = offices.catalog.destroyed

    async def late(after: str = "", limit: int = 100) -> object:
        found = await read(after, limit)
        if found:
            await key_acts.recover(offices.machine("ann"), offices.catalog, offices.instance, [uid])
        return found

    offices.catalog.destroyed = late  # type: ignore[assignment, method-assign]
    assert 0 == await purging(offices).round()
    assert await has_material(offices, uid)
    await offices.client(get(uid))


async def test_every_process_lets_go_of_what_ends(offices: Offices) -> None:
    """A key that is in this process's memory is destroyed in another one: a second later nothing of it is left."""
    uid = await offices.key("db01")
    await offices.client.material(uid)
    await offices.client(revoke(uid))
    vault = offices.house.vault
    found = await offices.catalog.load(offices.instance.identifier, uid)
    assert found is not None
    assert vault.cached(offices.instance, found) is not None
    endings = Endings(offices.catalog, vault)
    await endings.look()
    watching = asyncio.create_task(endings.watch())
    try:
        await key_acts.destroy(
            offices.machine("ann"), offices.catalog, offices.instance, [uid], windows=WINDOWS, confirmation="db01"
        )
        await asyncio.sleep(2 * LOOK_EVERY)
        assert vault.cached(offices.instance, found) is None
    finally:
        watching.cancel()


@pytest.mark.parametrize("what", ["destroyed", "recovered", "purged", "withheld"])
async def test_each_ending_is_told_once(offices: Offices, what: str) -> None:
    """And nothing that is no ending."""
    ann = offices.machine("ann")
    uid = await offices.key("db01", active=False, fetched=True)
    if what in {"recovered", "purged"}:
        await offices.client(destroy(uid))
        offices.house.clock.now += 4 * 3600
    after, _ = await offices.catalog.endings(None)
    assert (after, ()) == await offices.catalog.endings(after)

    if what == "destroyed":
        await offices.client(destroy(uid))
    elif what == "recovered":
        await key_acts.recover(ann, offices.catalog, offices.instance, [uid])
    elif what == "purged":
        await key_acts.purge(ann, offices.catalog, offices.instance, [uid], windows=WINDOWS, confirmation="db01")
    else:
        await offices.withhold(uid)

    last, ended = await offices.catalog.endings(after)
    assert [uid] == ended
    assert (last, ()) == await offices.catalog.endings(last)


async def test_endings_that_everybody_has_heard_of_are_forgotten(offices: Offices) -> None:
    """The last one stays, so that nobody is behind it."""
    for _ in range(3):
        await destroyed(offices)
    assert 3 == len((await offices.catalog.endings(0))[1])

    # Endings bear the database's own time, which is long before the house's clock.
    offices.house.clock.now += 20 * 365 * DAY
    await purging(offices, Windows(destroyed=90 * 365 * DAY)).round()

    assert 1 == len((await offices.catalog.endings(0))[1])


async def test_a_recovered_key_whose_standard_key_is_gone_is_not_given(tmp_path: Path) -> None:
    """While it was destroyed nobody looked whether its standard key stands; so it is asked for before it is served."""
    async with open_offices(tmp_path, storage=Storage.KEY_MANAGER) as offices:
        uid = await destroyed(offices)
        found = await offices.catalog.load(offices.instance.identifier, uid)
        assert found is not None
        offices.house.clock.now += 100
        # A listing since then vouches for all that are not withheld.
        offices.house.vault.presence.listed(offices.instance.identifier, offices.now, age=0, holds=3600)
        await offices.key_manager.delete_standard_key(found.standard_key or "")
        endings = Endings(offices.catalog, offices.house.vault)
        await endings.look()

        await key_acts.recover(offices.machine("ann"), offices.catalog, offices.instance, [uid])
        await endings.look()

        assert ResultReason.CRYPTOGRAPHIC_FAILURE == await offices.client.refused(get(uid))
