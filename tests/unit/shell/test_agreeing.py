"""Another root key under dual control, agreed to over REST: the serving process does it, as whoever agrees may."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from keyrack.domain.approvals import Approval
from keyrack.domain.rights import Grant, Role
from keyrack.service.moves.moving import change_root_key
from keyrack.service.moves.successors import Ground
from keyrack.service.office import approvals
from keyrack.service.office.acts import acts
from keyrack.service.office.refusals import ChangedMeanwhile, Refused, SecondPersonNeeded
from keyrack.shell.rest.v1.app import AdministrationFace
from keyrack.shell.rest.v1.premises import Premises
from keyrack.shell.web import agreeing
from keyrack.shell.web.condition import WorkerCondition
from keyrack.shell.web.desk import BackOfficeDesk
from keyrack.testing.offices import WINDOWS, Offices, open_offices
from keyrack.testing.rest import Face, person_in

API = "/api/v1/approvals"


@dataclass(slots=True)
class Place:
    """Offices of an instance under dual control, whose people come by REST too."""

    offices: Offices
    desk: BackOfficeDesk
    face: Face
    another: str
    """A root key that the instance could have."""

    async def ask(self) -> Approval:
        """Somebody at the machine asks for the other root key; nothing is done."""
        offices, before = self.offices, await self.root_key()
        with pytest.raises(SecondPersonNeeded) as asked:
            await change_root_key(self.ground(), offices.instance, self.another, book=offices.catalog)
        assert before == await self.root_key()
        return asked.value.approval

    def ground(self) -> Ground:
        """Of the account ``eve``."""
        offices = self.offices
        return Ground(
            catalog=offices.catalog,
            vault=offices.house.vault,
            key_managers={"embedded": offices.key_manager},
            administration=offices.machine("eve"),
            clock=lambda: offices.now * 1000,
        )

    async def root_key(self) -> tuple[str, bool]:
        """The instance's root key, and whether keys are still to move to it."""
        (found,) = await self.offices.catalog.instances()
        return found.root_key, found.former is not None


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with open_offices(tmp_path) as offices:
        offices.house.clock.now = time.time()
        await offices.under_dual_control()
        await offices.key("db01", fetched=True)
        managers = {"embedded": offices.key_manager}
        desk = BackOfficeDesk(
            catalog=offices.catalog,
            managers=managers,
            types={"embedded": "embedded"},
            condition=WorkerCondition(0, offices.catalog, managers, lambda: True),
            vault=offices.house.vault,
        )
        face = Face(AdministrationFace(Premises(catalog=offices.catalog, back_office=desk)), offices.catalog)
        another = (await offices.key_manager.create_root_key("another")).identifier
        yield Place(offices, desk, face, another)


async def test_the_second_person_agrees_over_rest(place: Place) -> None:
    """Its keys follow, and they are the same keys; done once, it is done."""
    approval = await place.ask()
    mara = await person_in(place.offices.catalog, "mara", Grant(Role.SECURITY_OFFICER))

    done = await place.face.ask("POST", f"{API}/{approval.identifier}/agree", mara)
    again = await place.face.ask("POST", f"{API}/{approval.identifier}/agree", mara)

    assert (200, "done", "person-mara") == (done.status, done.json()["state"], done.json()["agreed_by"])
    assert (409, "approval-over") == (again.status, again.code)
    assert (place.another, False) == await place.root_key()
    begun, *_ = await place.offices.journal("instance.root-key")
    assert "person-mara" == begun["initiator"]
    assert 1 == len(await place.offices.journal("approval.agree"))


async def test_who_may_not_agree_does_not(place: Place) -> None:
    """The serving process asks for the right itself, and no process without key managers does the act."""
    approval, before = await place.ask(), await place.root_key()
    vera = await person_in(place.offices.catalog, "vera", Grant(Role.VIEWER))

    refused = await place.face.ask("POST", f"{API}/{approval.identifier}/agree", vera)
    lucy = await place.offices.session(await place.offices.person("lucy", Role.SECURITY_OFFICER))
    with pytest.raises(Refused, match="where the key managers are"):
        await approvals.agree(lucy, place.offices.catalog, approval.identifier, acts(WINDOWS))

    assert (403, before) == (refused.status, await place.root_key())


async def test_what_was_changed_meanwhile_is_not_agreed_to(place: Place) -> None:
    """The root key that it was asked against is not the instance's any more."""
    first = await place.ask()
    asked_for, place.another = place.another, (await place.offices.key_manager.create_root_key("third")).identifier
    second = await place.ask()
    mara = await person_in(place.offices.catalog, "mara", Grant(Role.SECURITY_OFFICER))

    assert 200 == (await place.face.ask("POST", f"{API}/{first.identifier}/agree", mara)).status
    late = await place.face.ask("POST", f"{API}/{second.identifier}/agree", mara)

    assert ChangedMeanwhile.code == late.code
    assert (asked_for, False) == await place.root_key()


async def test_what_takes_longer_than_a_request_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreeing, "WAITS", 0.0)
    approval = await place.ask()
    mara = await person_in(place.offices.catalog, "mara", Grant(Role.SECURITY_OFFICER))

    answer = await place.face.ask("POST", f"{API}/{approval.identifier}/agree", mara)

    assert (200, "waiting") == (answer.status, answer.json()["state"])
    async with asyncio.timeout(10):
        while await place.root_key() != (place.another, False):
            await asyncio.sleep(0.01)
