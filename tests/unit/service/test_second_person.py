"""Two people are two hands: nobody makes the second one, borrows a log-in, or agrees from one that was left open."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.domain.people import Person
from keyrack.domain.rights import PROOF_LASTS, Grant, Role
from keyrack.ports.catalog import Unit
from keyrack.service.office import approvals, key_acts
from keyrack.service.office.acts import acts
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import agree
from keyrack.service.office.refusals import LimitReached, ProofNeeded, SamePerson, SecondPersonNeeded
from keyrack.service.people import letting_in, persons
from keyrack.spec.enumerations import State
from keyrack.testing.conversation import revoke
from keyrack.testing.offices import WINDOWS, Offices, open_offices

ACTS = acts(WINDOWS)
OFFICER = Grant(Role.SECURITY_OFFICER)


@pytest.fixture
async def offices(tmp_path: Path) -> AsyncIterator[Offices]:
    """An instance under dual control; mara may end keys and make people, nils and omar may end keys."""
    async with open_offices(tmp_path) as opened:
        await opened.under_dual_control()
        await opened.person("mara", Role.SECURITY_OFFICER, Role.ADMINISTRATOR)
        await opened.person("nils", Role.SECURITY_OFFICER)
        await opened.person("omar", Role.SECURITY_OFFICER)
        yield opened


async def wish(offices: Offices, by: Administration) -> str:
    """A key that was fetched lately is to be destroyed; the identifier of what waits."""
    uid = await offices.key("db01", fetched=True)
    await offices.client(revoke(uid))
    with pytest.raises(SecondPersonNeeded) as waits:
        await destroy(offices, by, uid)
    return waits.value.approval.identifier


async def destroy(offices: Offices, by: Administration, uid: str) -> None:
    await key_acts.destroy(by, offices.catalog, offices.instance, [uid], windows=WINDOWS, confirmation="db01")


async def agrees(offices: Offices, who: Administration, approval: str) -> None:
    await agree(who, offices.catalog, approval, ACTS, confirmation="db01")


async def made(offices: Offices, by: Administration, name: str, *roles: Role) -> Administration:
    """Somebody whom ``by`` has entered, logged in."""
    grants = [Grant(role) for role in roles]
    return await offices.session(await persons.add(by, offices.catalog, name, grants))


async def anew(offices: Offices, who: Person) -> Administration:
    """The person as the catalog knows it now, logged in."""
    found = await offices.catalog.person(who.identifier)
    assert found is not None
    return await offices.session(found)


async def test_nobody_makes_the_second_person(offices: Offices) -> None:
    """Neither to agree, nor to ask, nor through a third, nor both of two."""
    mara = await offices.session(offices.people["mara"])
    puppet = await made(offices, mara, "puppet", Role.SECURITY_OFFICER, Role.ADMINISTRATOR)
    other = await made(offices, mara, "other", Role.SECURITY_OFFICER)
    through = await made(offices, puppet, "through", Role.SECURITY_OFFICER)
    for asks, answers in ((mara, puppet), (puppet, mara), (mara, through), (puppet, other), (through, other)):
        waits = await wish(offices, asks)
        with pytest.raises(SamePerson, match="may be one hand"):
            await agrees(offices, answers, waits)


@pytest.mark.parametrize("way", ["invite", "grant"])
async def test_nobody_borrows_the_second_person(offices: Offices, way: str) -> None:
    """By a link with which a password is set, or by a role."""
    mara, nils = await offices.session(offices.people["mara"]), offices.people["nils"]
    if way == "invite":
        await letting_in.invite(mara, offices.catalog, nils)
    else:
        await persons.grant(mara, offices.catalog, nils, Grant(Role.OPERATOR))
    waits = await wish(offices, mara)

    with pytest.raises(SamePerson, match="person-mara"):
        await agrees(offices, await anew(offices, nils), waits)
    await agrees(offices, await offices.session(offices.people["omar"]), waits)


async def test_whom_the_machine_has_let_in_is_a_second_person(offices: Offices) -> None:
    """Its account may everything anyway; as one of the two it is one hand with whom it has made."""
    eve, mara = offices.machine("eve"), await offices.session(offices.people["mara"])
    paul = await made(offices, eve, "paul", Role.SECURITY_OFFICER)
    quinn = await made(offices, eve, "quinn", Role.SECURITY_OFFICER)

    await agrees(offices, paul, await wish(offices, mara))
    await agrees(offices, quinn, await wish(offices, paul))
    waits = await wish(offices, paul)
    with pytest.raises(SamePerson, match="local-user-eve"):
        await agrees(offices, eve, waits)
    await agrees(offices, offices.machine("adam"), waits)


async def test_who_was_made_before_two_were_asked_for_is_a_second_person(tmp_path: Path) -> None:
    """Somebody has to make the first ones."""
    async with open_offices(tmp_path) as offices:
        await offices.person("mara", Role.SECURITY_OFFICER, Role.ADMINISTRATOR)
        mara = await offices.session(offices.people["mara"])
        nils = await made(offices, mara, "nils", Role.SECURITY_OFFICER)
        offices.house.clock.now += 1
        await offices.under_dual_control()

        await agrees(offices, nils, await wish(offices, mara))


async def test_a_log_in_that_was_left_open_does_not_agree(offices: Offices) -> None:
    """Whoever may do the act by its own right proves it again like everybody who agrees."""
    nils = await offices.session(offices.people["nils"])
    left_open = Administration(
        offices.catalog,
        {},
        replace(nils.administrator, proved_at=offices.now - PROOF_LASTS - 1),
        lambda: offices.now * 1000,
    )
    waits = await wish(offices, await offices.session(offices.people["mara"]))

    with pytest.raises(ProofNeeded, match="agree as the second person"):
        await agrees(offices, left_open, waits)
    await agrees(offices, nils, waits)


async def test_dual_control_counts_from_the_moment_it_is_there(tmp_path: Path) -> None:
    """An act that was begun before is decided on the instance as it is when it is committed."""
    async with open_offices(tmp_path) as offices:
        await offices.person("mara", Role.SECURITY_OFFICER)
        mara = await offices.session(offices.people["mara"])
        uid = await offices.key("db01", fetched=True)
        await offices.client(revoke(uid))
        seen, held = offices.instance, offices.catalog.key_rows

        async def meanwhile(instance: str, identifiers: list[str]) -> object:
            rows = await held(instance, identifiers)
            if offices.instance.dual_control_at is None:
                offices.instance = replace(seen, dual_control_at=offices.now)
                await offices.catalog.commit(Unit(entries=(), instances=(offices.instance,)))
            return rows

        offices.catalog.key_rows = meanwhile  # type: ignore[method-assign, assignment]
        with pytest.raises(SecondPersonNeeded):
            await key_acts.destroy(mara, offices.catalog, seen, [uid], windows=WINDOWS, confirmation="db01")
        found = await offices.catalog.load(seen.identifier, uid)
        assert found is not None
        assert found.state is State.DEACTIVATED


async def test_nobody_floods_the_others_with_wishes(offices: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word more is another wish; so many wait at one time, of each person."""
    monkeypatch.setattr(approvals, "MOST_WISHES", 2)
    mara, nils = [await offices.session(offices.people[name]) for name in ("mara", "nils")]
    first = await wish(offices, mara)
    await wish(offices, mara)
    uid = await offices.key("db01", fetched=True)
    await offices.client(revoke(uid))

    with pytest.raises(LimitReached, match="withdraw some"):
        await destroy(offices, mara, uid)
    await wish(offices, nils)
    await approvals.withdraw(mara, offices.catalog, first)
    with pytest.raises(SecondPersonNeeded):
        await destroy(offices, mara, uid)
