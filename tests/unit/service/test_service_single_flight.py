"""Many callers, one call."""

import asyncio

import pytest

from keyrack.service.vault.single_flight import SingleFlight


async def test_those_who_ask_meanwhile_share_the_error_too() -> None:
    """And who asks afterwards starts anew."""
    flights: SingleFlight[int] = SingleFlight()
    calls = 0

    async def failing() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        raise ValueError("no")

    results = await asyncio.gather(*(flights.join("key", failing) for _ in range(5)), return_exceptions=True)

    assert ["no"] * 5 == [str(result) for result in results]
    assert 1 == calls
    with pytest.raises(ValueError, match="no"):
        await flights.join("key", failing)
    assert 2 == calls


async def test_different_keys_do_not_wait_for_each_other() -> None:
    """Each key has a flight of its own."""
    flights: SingleFlight[str] = SingleFlight()
    gate = asyncio.Event()

    async def waiting() -> str:
        await gate.wait()
        return "late"

    async def quick() -> str:
        return "early"

    late = asyncio.create_task(flights.join("one", waiting))
    await asyncio.sleep(0)

    assert "early" == await flights.join("other", quick)
    gate.set()
    assert "late" == await late


async def test_a_waiter_who_is_cancelled_leaves_alone() -> None:
    """The call goes on for the others."""
    flights: SingleFlight[str] = SingleFlight()
    gate = asyncio.Event()

    async def waiting() -> str:
        await gate.wait()
        return "done"

    tasks = [asyncio.create_task(flights.join("key", waiting)) for _ in range(3)]
    await asyncio.sleep(0)

    tasks[1].cancel()
    await asyncio.sleep(0)
    gate.set()

    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert ["done", "done"] == [results[0], results[2]]
    assert isinstance(results[1], asyncio.CancelledError)
