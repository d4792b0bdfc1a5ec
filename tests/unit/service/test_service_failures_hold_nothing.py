"""Who is told of a failure leaves nothing in memory: keys are wiped when nobody holds them, not when garbage is
collected."""

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator

import pytest

from keyrack.ports.key_manager import KeyManagerFailed, KeyManagerRefused, KeyManagerUnavailable, Reason
from keyrack.service.vault.lease import Lease, Terms
from keyrack.service.vault.single_flight import SingleFlight
from keyrack.testing.vaults import SteadyClock

FAILURES = [KeyManagerRefused, KeyManagerUnavailable]


class Held:
    """What stands for a key."""


@pytest.fixture(autouse=True)
def nobody_collects() -> Iterator[None]:
    """As on a server that is idle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def left(act: Callable[[], Awaitable[object]]) -> tuple[type[Exception], Reason, str, object]:
    """How an act fails at whose side somebody holds a key, and what is left of the key afterwards."""
    gone: list[weakref.ref[Held]] = []

    async def one() -> None:
        held = Held()
        gone.append(weakref.ref(held))
        await act()

    try:
        await one()
    except KeyManagerFailed as error:
        told = (type(error), error.reason, error.code)
    for _ in range(3):
        await asyncio.sleep(0)  # The loop itself holds for a turn what has woken us, and the others who wait.
    return *told, gone[0]()


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_flight_that_fails_holds_nobody(failure: type[KeyManagerFailed]) -> None:
    flights: SingleFlight[None] = SingleFlight()

    async def fail() -> None:
        await asyncio.sleep(0)
        raise failure("as told", Reason.STATE, code="409")

    found = await asyncio.gather(*(left(lambda: flights.join("key", fail)) for _ in range(3)))

    assert [(failure, Reason.STATE, "409", None)] * 3 == found


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_lease_that_is_not_renewed_holds_nobody(failure: type[KeyManagerFailed]) -> None:
    async def probe() -> None:
        await asyncio.sleep(0)
        raise failure("as told", Reason.STATE, code="409")

    lease = Lease(probe, lambda: None, SteadyClock(), Terms(outage_grace=0))
    found = await asyncio.gather(*(left(lease.hold) for _ in range(3)))

    assert {(failure, None)} == {(kind, held) for kind, _, _, held in found}
