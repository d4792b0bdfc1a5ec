"""The last way to the keys of an instance is the last one for everybody who takes one away at the same time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.rights import Role
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import LastWayIn, Unit
from keyrack.service.office.client_removal import distrust, take_away
from keyrack.service.office.refusals import ConfirmationNeeded, SecondPersonNeeded
from keyrack.testing.certificates import authority, client
from keyrack.testing.listener import trusted
from keyrack.testing.offices import Offices, open_offices


@pytest.fixture
async def offices(tmp_path: Path) -> AsyncIterator[Offices]:
    """An instance with a key and two client certificates."""
    async with open_offices(tmp_path) as opened:
        await opened.key("db01", fetched=True)
        (held,) = await opened.catalog.certificates(opened.instance.identifier)
        other = replace(held, fingerprint="f" * 64, name="other")
        await opened.catalog.commit(Unit(entries=(), certificates=(other,)))
        yield opened


async def left(offices: Offices) -> set[str]:
    """Fingerprints of the certificates that are in force."""
    return {each.fingerprint for each in await offices.catalog.certificates(offices.instance.identifier)}


async def test_of_two_who_take_the_last_two_away_one_is_asked(offices: Offices) -> None:
    """Each has seen the other's certificate: only the transaction knows which one is the last."""
    who = offices.machine("eve")
    removals = [take_away(who, offices.catalog, offices.instance, each) for each in await left(offices)]
    ended = await asyncio.gather(*removals, return_exceptions=True)

    assert sorted(type(each).__name__ for each in ended) == ["ConfirmationNeeded", "NoneType"]
    assert len(await left(offices)) == 1


async def test_a_unit_that_leaves_no_way_in_is_refused(offices: Offices) -> None:
    """By the catalog itself, whatever was looked at before."""
    both = tuple(await left(offices))
    with pytest.raises(LastWayIn):
        await offices.catalog.commit(
            Unit(entries=(), removed_certificates=both, reachable=(offices.instance.identifier,))
        )
    assert len(await left(offices)) == 2


async def test_the_last_authority_takes_two_people(offices: Offices) -> None:
    """Where the instance wants two for its last certificate, it wants them for its last authority as well."""
    await offices.person("mara", Role.SECURITY_OFFICER, Role.ADMINISTRATOR)
    await offices.person("nils", Role.SECURITY_OFFICER, Role.ADMINISTRATOR)
    await offices.under_dual_control()
    instance = await offices.machine("eve").instance(offices.instance.name)
    who = offices.machine("eve")
    anchor = replace(trusted(client(authority(), "anchor")), instance=instance.identifier)
    await offices.catalog.commit(Unit(entries=(), admissions=AdmissionChanges(authorities=(anchor,))))
    await offices.catalog.commit(Unit(entries=(), removed_certificates=tuple(await left(offices))))

    with pytest.raises(ConfirmationNeeded):
        await distrust(who, offices.catalog, instance, anchor)
    with pytest.raises(SecondPersonNeeded, match="last trusted authority"):
        await distrust(who, offices.catalog, instance, anchor, confirmation=instance.name)
    assert await offices.catalog.authorities(instance.identifier)
