"""Log-ins while others do their worst: nobody is kept out by whoever guesses elsewhere, or takes up the queue."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.domain.people import PERSON_PATIENCE
from keyrack.service.office.refusals import NotRecognised, TooManyAttempts
from keyrack.service.people import logins
from keyrack.service.people.passwords import OF_ONE_NAME, WAITING
from keyrack.service.people.throttle import of_name
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.people import House

ELSEWHERE = "198.51.100.9:4000"
WRONG = "not this one, surely"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    catalog = await catalog_at(tmp_path / "catalog.db", "test")
    house = House(catalog)
    await house.person("anna")
    await house.person("eve")
    yield house
    await catalog.close()


async def guess(house: House, times: int, address: str = ELSEWHERE) -> None:
    """Wrong passwords for anna, each as soon as it is looked at; behind the last the wait has begun."""
    for left in reversed(range(times)):
        try:
            await house.log_in("anna", WRONG, address)
        except NotRecognised:
            continue
        except TooManyAttempts as error:
            if left > 1:
                house.clock.go_on(error.wait)
    with pytest.raises(TooManyAttempts):
        await house.log_in("anna", WRONG, address)


async def test_who_guesses_elsewhere_keeps_nobody_out_at_home(house: House) -> None:
    """Home is where the person has logged in within a day; elsewhere everybody waits."""
    await house.log_in("anna")
    await guess(house, 20)

    assert (await house.log_in("anna")).person.name == "anna"
    with pytest.raises(TooManyAttempts):
        await house.log_in("anna", address="203.0.113.5:1")


async def test_at_home_guessing_is_as_slow(house: House) -> None:
    """Whoever shares the place has no more patience than others."""
    await house.log_in("anna")
    for _ in range(PERSON_PATIENCE.free + 1):
        with pytest.raises(NotRecognised):
            await house.log_in("anna", WRONG)
    with pytest.raises(TooManyAttempts):
        await house.log_in("anna", WRONG)


async def test_home_is_forgotten_after_a_day(house: House) -> None:
    await house.log_in("anna")
    house.clock.go_on(PERSON_PATIENCE.forgotten)
    await guess(house, 6)
    with pytest.raises(TooManyAttempts):
        await house.log_in("anna")


async def test_what_was_not_looked_at_is_not_counted(house: House) -> None:
    """A full queue is no wrong password."""
    busy = house.passwords._under_way
    house.passwords._under_way = WAITING
    for _ in range(PERSON_PATIENCE.free + 3):
        with pytest.raises(TooManyAttempts, match="log in at this moment"):
            await house.log_in("anna")
    house.passwords._under_way = busy

    assert (await house.catalog.attempts(of_name("anna"))).failures == 0
    assert (await house.log_in("anna")).person.name == "anna"


async def test_nobody_takes_all_of_the_queue(house: House) -> None:
    """Whoever has an account, and many addresses, logs in as often as they like; others still do."""
    many = [house.log_in("eve", address=f"198.51.100.{n}:1") for n in range(3 * WAITING)]
    took = asyncio.gather(*many, return_exceptions=True)
    for _ in range(20):
        await asyncio.sleep(0)

    assert house.passwords._under_way <= OF_ONE_NAME
    assert (await house.log_in("anna")).person.name == "anna"
    await took
    assert not house.passwords._shares


async def test_who_logs_in_for_ever_fills_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest log-ins make room for the newest."""
    monkeypatch.setattr(logins, "MOST_LOG_INS", 3)
    begun = []
    for _ in range(5):
        house.clock.go_on(1)
        begun.append((await house.log_in("anna")).session.digest)
    house.clock.go_on(1)
    other = (await house.log_in("eve")).person

    held = await house.catalog.login_sessions((await house.log_in("anna")).person.identifier)
    assert [each.digest for each in held][:2] == begun[-2:]
    assert len(held) == 3
    assert len(await house.catalog.login_sessions(other.identifier)) == 1
