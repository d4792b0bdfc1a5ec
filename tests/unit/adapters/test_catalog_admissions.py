"""Authorities, barred leaves, certificates that knocked and alarms, and what of them counts in a transaction."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.adapters.catalogs.admission_queries import SEEN_AT_MOST
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import Admittance, InstanceStatus, Principal, SeenCertificate, TrustedAuthority
from keyrack.domain.rights import Grant, Role
from keyrack.ports.admissions import AdmissionChanges, ExpiryAlarm
from keyrack.ports.catalog import AlreadyThere, InstanceSealed, NotAuthorised, Unit
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.identity import Peer
from keyrack.service.office.acts import acts
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import agree
from keyrack.service.office.client_removal import take_away
from keyrack.service.office.expiry import raise_alarms
from keyrack.service.office.keys import Windows
from keyrack.service.office.refusals import SecondPersonNeeded
from keyrack.service.office.rotation import Step, standing
from keyrack.service.people.door import caller_of_token
from keyrack.service.sessions import Sessions
from keyrack.testing.catalog_values import ONE, TWO, certificate, instance
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.rest import person_in

LEAF = "c" * 64
ANCHOR = "d" * 64
FOREVER = 2**40
DAY = 86_400


@pytest.fixture(params=["sqlite", "memory"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WholeCatalog | MemoryCatalog]:
    """A catalog with two instances."""
    made = await catalog_at(tmp_path / "catalog.db", "local") if request.param == "sqlite" else MemoryCatalog()
    await made.commit(Unit(entries=(), instances=(instance(), replace(instance(), identifier=TWO, name="two"))))
    yield made
    await made.close()


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[WholeCatalog]:
    """The same in SQLite alone: what is seen is kept nowhere else."""
    made = await catalog_at(tmp_path / "catalog.db", "local")
    await made.commit(Unit(entries=(), instances=(instance(), replace(instance(), identifier=TWO, name="two"))))
    yield made
    await made.close()


def authority(fingerprint: str = ANCHOR, name: str = "root", **fields: object) -> TrustedAuthority:
    """An authority that an instance trusts."""
    made = TrustedAuthority(
        fingerprint=fingerprint,
        instance=ONE,
        name=name,
        subject="CN=root",
        not_before=0,
        not_after=9,
        der=b"x",
        added_at=1,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def changed(**changes: object) -> Unit:
    """A unit that changes who is let in."""
    return Unit(entries=(), admissions=AdmissionChanges(**changes))  # type: ignore[arg-type]


async def admittance(house: WholeCatalog | MemoryCatalog) -> Admittance:
    """What the door makes of the one authority."""
    (held,) = await house.authorities(ONE)
    return Admittance(instance=ONE, authority=ANCHOR, number=held.number, since=0, until=FOREVER)


def asks(admitted: Admittance, leaf: str = LEAF) -> Unit:
    """A request of a client that an authority let in."""
    principal = Principal(fingerprint=leaf, instance=ONE, authority=ANCHOR, trust=admitted.number)
    return Unit(entries=(), principal=principal)


async def test_an_authority_stands_until_it_is_taken_back(house: WholeCatalog | MemoryCatalog) -> None:
    """For the instance that it is for; and given anew, it is another one."""
    await house.commit(changed(authorities=(authority(),)))
    admitted = await admittance(house)

    principal = await house.authorise(LEAF, admitted)
    await house.commit(asks(admitted))
    with pytest.raises(NotAuthorised):
        await house.authorise(LEAF, replace(admitted, instance=TWO))
    with pytest.raises(NotAuthorised):
        await house.authorise(LEAF)
    await house.commit(changed(removed_authorities=((ONE, ANCHOR),)))
    with pytest.raises(NotAuthorised):
        await house.commit(asks(admitted))
    await house.commit(changed(authorities=(authority(),)))
    with pytest.raises(NotAuthorised):
        await house.commit(asks(admitted))
    await house.commit(asks(await admittance(house)))

    assert principal == Principal(fingerprint=LEAF, instance=ONE, authority=ANCHOR, trust=admitted.number)


@pytest.mark.parametrize("what", ["barred", "pinned elsewhere", "pinned here", "instance inactive", "sealed"])
async def test_what_ends_an_admittance_ends_it_in_the_next_transaction(
    house: WholeCatalog | MemoryCatalog, what: str
) -> None:
    """What was learnt of authority a moment ago does not outlive it, not even within one batch of units."""
    await house.commit(changed(authorities=(authority(),)))
    admitted = await admittance(house)
    await house.commit(asks(admitted))
    units = {
        "barred": changed(barred=((ONE, LEAF),)),
        "pinned elsewhere": Unit(entries=(), certificates=(replace(certificate(), fingerprint=LEAF, instance=TWO),)),
        "pinned here": Unit(entries=(), certificates=(replace(certificate(), fingerprint=LEAF, name="pin"),)),
        "instance inactive": Unit(entries=(), instances=(replace(instance(), status=InstanceStatus.INACTIVE),)),
        "sealed": Unit(entries=(), instances=(replace(instance(), sealed_at=1),)),
    }

    results = await asyncio.gather(
        house.commit(units[what]), house.commit(asks(admitted)), house.commit(asks(admitted)), return_exceptions=True
    )

    expected = InstanceSealed if what == "sealed" else NotAuthorised
    assert results[0] is None
    assert [type(each) for each in results[1:]] == [expected, expected]
    if what == "pinned here":
        assert (await house.authorise(LEAF, admitted)).authority is None
    if what == "barred":
        await house.commit(changed(unbarred=((ONE, LEAF),)))
        await house.commit(asks(admitted))


async def test_names_and_fingerprints_are_unique_in_an_instance(house: WholeCatalog | MemoryCatalog) -> None:
    """And free for the next one in the unit that takes the old one away."""
    await house.commit(changed(authorities=(authority(),)))
    for other in (authority(name="other"), authority("e" * 64)):
        with pytest.raises(AlreadyThere):
            await house.commit(changed(authorities=(other,)))
    await house.commit(changed(authorities=(authority(instance=TWO),)))
    await house.commit(changed(authorities=(authority(name="anew"),), removed_authorities=((ONE, ANCHOR),)))

    assert [each.name for each in await house.authorities(ONE)] == ["anew"]


async def test_changes_of_trust_move_the_generation_and_what_is_seen_does_not(kept: WholeCatalog) -> None:
    """Serving processes look only when something counts."""
    generations = [await kept.generation()]
    for unit in (
        changed(authorities=(authority(),)),
        changed(barred=((ONE, LEAF),)),
        changed(unbarred=((ONE, LEAF),)),
        changed(removed_authorities=((ONE, ANCHOR),)),
        changed(seen=(seen(1),)),
    ):
        await kept.commit(unit)
        generations.append(await kept.generation())

    assert generations == sorted(generations)
    assert len(set(generations)) == 5
    assert generations[-1] == generations[-2]


def seen(number: int, address: str = "192.0.2.1", *, at: int = 0, **fields: object) -> SeenCertificate:
    """A certificate that knocked."""
    made = SeenCertificate(
        fingerprint=f"{number:064x}",
        der=b"x",
        subject=f"CN={number}",
        address=address,
        reason="not trusted",
        first_at=at or number,
        last_at=at or number,
        count=1,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


async def test_who_knocks_again_is_counted(kept: WholeCatalog) -> None:
    """First and last time stay; what is pinned is no news."""
    await kept.commit(changed(seen=(seen(1, at=10),)))
    await kept.commit(changed(seen=(replace(seen(1, at=20), count=4),)))

    (found,) = await kept.seen_certificates()
    assert (found.first_at, found.last_at, found.count) == (10, 20, 5)
    await kept.commit(Unit(entries=(), certificates=(replace(certificate(), fingerprint=found.fingerprint),)))
    await kept.commit(changed(seen=(seen(1, at=30),)))
    assert await kept.seen_certificates() == []


async def test_one_address_pushes_out_its_own(kept: WholeCatalog) -> None:
    """The one certificate that somebody waits for stays, however many a flood brings."""
    await kept.commit(changed(seen=(seen(9_999_999, "198.51.100.7", at=1),)))
    for begin in range(0, 1200, 300):
        await kept.commit(changed(seen=[seen(number) for number in range(begin + 10, begin + 310)]))

    found = await kept.seen_certificates()
    assert len(found) == SEEN_AT_MOST
    assert "198.51.100.7" in {each.address for each in found}


async def test_whom_an_authority_let_in_is_listed_while_it_stands(kept: WholeCatalog) -> None:
    """Apart from strangers."""
    await kept.commit(changed(authorities=(authority(),), seen=(seen(1, instance=ONE, authority=ANCHOR, reason=""),)))

    assert [each.subject for each in await kept.admitted_certificates(ONE)] == ["CN=1"]
    assert await kept.seen_certificates() == await kept.admitted_certificates(TWO) == []
    await kept.commit(changed(removed_authorities=((ONE, ANCHOR),)))
    assert await kept.admitted_certificates() == []


async def test_an_alarm_is_raised_once_for_each_threshold(kept: WholeCatalog, caplog: pytest.LogCaptureFixture) -> None:
    """90, 30, 7 days and the end; in the log and in the journal, and by one of two processes."""
    await kept.commit(Unit(entries=(), certificates=(replace(certificate(), not_after=100 * DAY),)))
    await kept.commit(changed(authorities=(authority(not_after=400 * DAY),)))
    raised = []
    for day in (1, 9, 10, 11, 69, 70, 95, 99, 101, 102):
        alarms = await raise_alarms(kept, None, lambda day=day: day * DAY * 1000)  # type: ignore[misc]
        raised += [(day, alarm.days) for alarm in alarms]

    assert raised == [(10, 90), (70, 30), (95, 7), (101, 0)]
    assert len(caplog.records) == 4
    assert sum('"action":"certificate.expire"' in each.text for each in await kept.journal()) == 4
    with pytest.raises(AlreadyThere):
        await kept.commit(changed(alarms=(ExpiryAlarm(fingerprint=certificate().fingerprint, days=7, at=1),)))


async def test_dates_of_the_chain_count_at_each_request(house: WholeCatalog | MemoryCatalog) -> None:
    """However long the connection has been open; a pin needs no dates."""
    await house.commit(changed(authorities=(authority(),)))
    admitted = replace(await admittance(house), since=100, until=200)
    peer = Peer(fingerprint=LEAF, address="x", tls="TLSv1.3", admittance=admitted)
    sessions = Sessions(house)

    assert (await sessions.of(peer, 150)).principal.authority == ANCHOR
    for now in (99, 201):
        with pytest.raises(NotAuthorised):
            await sessions.of(peer, now)
    await house.commit(Unit(entries=(), certificates=(replace(certificate(), fingerprint=LEAF, name="pin"),)))
    sessions.forget()
    assert (await sessions.of(peer, 201)).principal.authority is None


def test_a_rotation_stands_where_its_certificates_and_uses_say() -> None:
    """One; a new one that nobody has used; one in use beside an old one that somebody still uses."""
    old = replace(certificate(), fingerprint="a" * 64, added_at=10)
    new = replace(certificate(), fingerprint="b" * 64, added_at=20)

    assert standing([old], {}).step is Step.ADD
    assert standing([new, old], {old.fingerprint: 25_000}).step is Step.WAIT
    assert standing([old, new], {new.fingerprint: 15_000}).step is Step.WAIT
    found = standing([old, new], {old.fingerprint: 40_000, new.fingerprint: 30_000})
    assert (found.step, [each.certificate for each in found.still_used]) == (Step.REMOVE, [old])


async def test_the_last_certificate_goes_by_two_where_the_instance_wants_two(kept: WholeCatalog) -> None:
    """The first asks, another one agrees, and it is gone in the unit of the agreement."""
    guarded = replace(instance(), dual_control_at=1)
    await kept.commit(Unit(entries=(), instances=(guarded,), certificates=(certificate(),)))
    ada, bea = await _person(kept, "ada"), await _person(kept, "bea")
    fingerprint = certificate().fingerprint

    with pytest.raises(SecondPersonNeeded) as asked:
        await take_away(ada, kept, guarded, fingerprint)
    assert len(await kept.certificates(ONE)) == 1
    await agree(bea, kept, asked.value.approval.identifier, acts(Windows()))

    assert await kept.certificates(ONE) == []


async def _person(kept: WholeCatalog, name: str) -> Administration:
    token = await person_in(kept, name, Grant(Role.SECURITY_OFFICER), Grant(Role.ADMINISTRATOR))
    administrator = await caller_of_token(kept, token, now=int(time.time()), address="local")
    return Administration(kept, {}, administrator, lambda: int(time.time() * 1000))
