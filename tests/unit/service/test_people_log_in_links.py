"""Links that log in: made at the machine, once, for a quarter of an hour, by nobody over the network."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.service.office.refusals import Forbidden, NotRecognised, Refused
from keyrack.service.people import letting_in, log_in_links, persons
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.people import House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    catalog = await catalog_at(tmp_path / "catalog.db", "test")
    house = House(catalog)
    await house.person("anna", Grant(Role.ADMINISTRATOR))
    await house.person("bernd", Grant(Role.ADMINISTRATOR))
    yield house
    await catalog.close()


async def link_of(house: House, name: str) -> str:
    office = house.at_machine()
    return await log_in_links.offer(office, house.catalog, await persons.person(office, house.catalog, name))


async def test_it_logs_in_once_and_is_written_down(house: House) -> None:
    """Having it is the proof that acts want which stop machines."""
    token = await link_of(house, "anna")
    begun = await log_in_links.use(house.catalog, token, visitor=house.visitor())

    office = await house.known_by(begun.token)
    assert (begun.person.name, office.administrator.proved_at) == ("anna", house.now)
    with pytest.raises(NotRecognised):
        await log_in_links.use(house.catalog, token, visitor=house.visitor())
    journal = await house.journal()
    assert any('"person.link"' in text for text in journal)
    assert any('"session.begin"' in text and '"way":"link"' in text for text in journal)
    assert not any(token in text or token[4:] in text for text in journal)


async def test_of_many_at_once_one_gets_in(house: House) -> None:
    token = await link_of(house, "anna")
    tries = [log_in_links.use(house.catalog, token, visitor=house.visitor()) for _ in range(8)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["LoggedIn"] + ["NotRecognised"] * 7


async def test_it_ends(house: House) -> None:
    """After a quarter of an hour, with the next link, with a password, and with whoever is locked out."""
    late = await link_of(house, "anna")
    visitor = house.visitor()
    over = replace(visitor, at=visitor.at + log_in_links.LASTS * 1000)
    with pytest.raises(NotRecognised):
        await log_in_links.use(house.catalog, late, visitor=over)
    await link_of(house, "anna")
    with pytest.raises(NotRecognised):
        await log_in_links.use(house.catalog, late, visitor=visitor)

    last = await link_of(house, "anna")
    office = house.at_machine()
    anna = await persons.person(office, house.catalog, "anna")
    anna = await letting_in.set_password(office, house.catalog, house.passwords, anna, "whisker fjord tango")
    with pytest.raises(NotRecognised):
        await log_in_links.use(house.catalog, last, visitor=visitor)

    last = await link_of(house, "anna")
    await persons.disable(office, house.catalog, anna)
    with pytest.raises(NotRecognised):
        await log_in_links.use(house.catalog, last, visitor=visitor)
    with pytest.raises(Refused, match="cannot log in"):
        await link_of(house, "anna")


async def test_nobody_makes_one_over_the_network(house: House) -> None:
    """Not for oneself either: only whoever has the deployment's files may become anybody."""
    office = await house.logged_in("anna")
    for name in ("anna", "bernd"):
        who = await persons.person(office, house.catalog, name)
        with pytest.raises(Forbidden):
            await log_in_links.offer(office, house.catalog, who)


async def test_links_of_two_kinds_are_not_taken_for_each_other(house: House) -> None:
    office = house.at_machine()
    anna = await persons.person(office, house.catalog, "anna")
    sets = await letting_in.invite(office, house.catalog, anna)
    for token in (sets, sets.replace("krl_", "kro_"), "kro_", ""):
        with pytest.raises(NotRecognised):
            await log_in_links.use(house.catalog, token, visitor=house.visitor())
    logs_in = await log_in_links.offer(office, house.catalog, anna)
    for token in (logs_in, logs_in.replace("kro_", "krl_")):
        with pytest.raises(NotRecognised):
            await letting_in.redeem(
                house.catalog, house.passwords, token, "whisker fjord tango", visitor=house.visitor()
            )
