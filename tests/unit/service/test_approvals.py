"""Dual control: what ends keys needs two different people, seven days, and the very thing that was asked for."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from keyrack.domain.approvals import WINDOW, ApprovalState, Wisher
from keyrack.domain.rights import Role
from keyrack.service.office import approvals, key_acts
from keyrack.service.office.acts import acts
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import agree, withdraw
from keyrack.service.office.refusals import (
    ApprovalOver,
    ChangedMeanwhile,
    ConfirmationNeeded,
    Forbidden,
    NotThere,
    Refused,
    SamePerson,
    SecondPersonNeeded,
)
from keyrack.service.office.removal import destroy_key
from keyrack.spec.enumerations import State
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.conversation import add_attribute, destroy, get, revoke
from keyrack.testing.offices import DAY, WINDOWS, Offices, open_offices

ACTS = acts(WINDOWS)
Ask = Callable[[Administration], Awaitable[Any]]
Case = Callable[[Offices], Awaitable[Ask]]


@pytest.fixture
async def offices(tmp_path: Path) -> AsyncIterator[Offices]:
    """An instance under dual control, with two security officers."""
    async with open_offices(tmp_path) as opened:
        await opened.under_dual_control()
        await opened.person("mara", Role.SECURITY_OFFICER)
        await opened.person("nils", Role.SECURITY_OFFICER)
        yield opened


async def destroying(offices: Offices) -> Ask:
    """A key that was fetched lately is to be destroyed."""
    uid = await offices.key("db01", fetched=True)
    await offices.client(revoke(uid))

    async def ask(by: Administration) -> Any:
        return await key_acts.destroy(
            by, offices.catalog, offices.instance, [uid], windows=WINDOWS, confirmation="db01", why="it is old"
        )

    return ask


async def purging(offices: Offices) -> Ask:
    """A destroyed key is to be purged before its time."""
    uid = await offices.key("db01", active=False)
    await offices.client(destroy(uid))
    offices.house.clock.now += 5 * 3600

    async def ask(by: Administration) -> Any:
        return await key_acts.purge(
            by, offices.catalog, offices.instance, [uid], windows=WINDOWS, confirmation="db01", why="it is old"
        )

    return ask


async def destroying_many(offices: Offices) -> Ask:
    """Of two keys one was fetched lately: both wait."""
    uids = [await offices.key("db01", active=False, fetched=True), await offices.key("db02", active=False)]

    async def ask(by: Administration) -> Any:
        return await key_acts.destroy(
            by, offices.catalog, offices.instance, uids, windows=WINDOWS, confirmation="2 keys", why="it is old"
        )

    return ask


CASES: dict[str, tuple[Case, str, str]] = {
    "destroy": (destroying, "key.destroy", "db01"),
    "purge": (purging, "key.purge", "db01"),
    "destroy many": (destroying_many, "key.destroy", "2 keys"),
}


async def state_of(offices: Offices) -> list[Any]:
    """Everything of the instance that an act could change."""
    return [
        (each.unique_identifier, each.version, each.state, each.sealed)
        for each in await offices.catalog.objects(offices.instance.identifier)
    ]


async def asked(offices: Offices, case: str, by: Administration) -> str:
    """The identifier of the approval that the act waits for; nothing else was done."""
    make, act, _ = CASES[case]
    ask = await make(offices)
    before = await state_of(offices)
    with pytest.raises(SecondPersonNeeded) as waits:
        await ask(by)
    with pytest.raises(SecondPersonNeeded) as again:
        await ask(by)

    assert before == await state_of(offices)
    approval = waits.value.approval
    assert approval.identifier == again.value.approval.identifier
    assert (act, by.administrator.initiator, offices.now + WINDOW) == (
        approval.act,
        approval.asked_by,
        approval.expires_at,
    )
    assert 1 == len(await offices.journal("approval.ask"))
    return approval.identifier


async def refused(  # noqa: PLR0917 - a row of the matrix
    offices: Offices, case: str, approval: str, by: Administration, kind: type[Refused], state: ApprovalState
) -> None:
    """``by`` cannot agree, and nothing changes."""
    before = await state_of(offices)
    with pytest.raises(kind):
        await agree(by, offices.catalog, approval, ACTS, confirmation=CASES[case][2])
    assert before == await state_of(offices)
    found = await offices.catalog.approval(approval)
    assert found is not None
    assert state is found.state(offices.now)
    assert [] == await offices.journal("approval.agree")


@pytest.mark.parametrize("case", CASES)
class TestTheMatrix:
    """Each destructive act by one person, one person twice, two people, too late, and withdrawn."""

    async def test_one_person_cannot(self, offices: Offices, case: str) -> None:
        mara = await offices.session(offices.people["mara"])
        approval = await asked(offices, case, mara)

        await refused(offices, case, approval, mara, SamePerson, ApprovalState.WAITING)

    async def test_two_sessions_of_one_person_cannot(self, offices: Offices, case: str) -> None:
        person = offices.people["mara"]
        approval = await asked(offices, case, await offices.session(person))

        await refused(offices, case, approval, await offices.session(person), SamePerson, ApprovalState.WAITING)

    async def test_a_person_and_the_account_of_that_name_cannot(self, offices: Offices, case: str) -> None:
        """In either order: both may be one human being."""
        approval = await asked(offices, case, await offices.session(offices.people["mara"]))

        await refused(offices, case, approval, offices.machine("Mara"), SamePerson, ApprovalState.WAITING)

    async def test_two_people_can(self, offices: Offices, case: str) -> None:
        """It is done in the unit of the second one's agreement, as it was asked, and both stand in the journal."""
        approval = await asked(offices, case, await offices.session(offices.people["mara"]))
        nils = await offices.session(offices.people["nils"])
        offices.house.clock.now += 6 * DAY

        done = await agree(nils, offices.catalog, approval, ACTS, confirmation=CASES[case][2])

        assert (ApprovalState.DONE, "person-nils") == (done.state(offices.now), done.agreed_by)
        entries = await offices.journal(CASES[case][1], "approval.agree")
        (agreement, *ends) = entries
        assert ("approval.agree", "person-nils", "person-mara") == (
            agreement["action"],
            agreement["initiator"],
            agreement["detail"]["asked_by"],
        )
        for end in ends:
            assert ("person-nils", "person-mara", approval, "it is old") == (
                end["initiator"],
                end["detail"]["asked_by"],
                end["detail"]["approval"],
                end["detail"]["why"],
            )
        for each in await offices.catalog.objects(offices.instance.identifier):
            assert State.DESTROYED is each.state
        await refused_over(offices, approval, await offices.session(offices.people["nils"]), CASES[case][2])

    async def test_after_seven_days_nobody_can(self, offices: Offices, case: str) -> None:
        approval = await asked(offices, case, await offices.session(offices.people["mara"]))
        nils = await offices.session(offices.people["nils"])
        offices.house.clock.now += WINDOW

        await refused(offices, case, approval, nils, ApprovalOver, ApprovalState.EXPIRED)

    async def test_what_was_withdrawn_is_over(self, offices: Offices, case: str) -> None:
        mara = await offices.session(offices.people["mara"])
        approval = await asked(offices, case, mara)
        await withdraw(mara, offices.catalog, approval)

        nils = await offices.session(offices.people["nils"])
        await refused(offices, case, approval, nils, ApprovalOver, ApprovalState.WITHDRAWN)
        assert ["person-mara"] == [each["initiator"] for each in await offices.journal("approval.withdraw")]

    async def test_what_was_changed_meanwhile_is_refused(self, offices: Offices, case: str) -> None:
        """The second person agrees to what the first has seen, or to nothing."""
        approval = await asked(offices, case, await offices.session(offices.people["mara"]))
        first = (await offices.catalog.objects(offices.instance.identifier))[0]
        await offices.touch(first)

        nils = await offices.session(offices.people["nils"])
        await refused(offices, case, approval, nils, ChangedMeanwhile, ApprovalState.WAITING)


async def refused_over(offices: Offices, approval: str, by: Administration, words: str) -> None:
    """What was agreed to once is not agreed to again."""
    with pytest.raises(ApprovalOver, match="has been agreed to and done"):
        await agree(by, offices.catalog, approval, ACTS, confirmation=words)


async def test_the_second_person_confirms_too(offices: Offices) -> None:
    """And sees what may stop."""
    approval = await asked(offices, "destroy", await offices.session(offices.people["mara"]))
    nils = await offices.session(offices.people["nils"])

    with pytest.raises(ConfirmationNeeded) as needed:
        await agree(nils, offices.catalog, approval[:8], ACTS)

    assert ("db01", 1) == (needed.value.confirmation, needed.value.impact["virtual_machines"])


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.VIEWER, False),
        (Role.AUDITOR, False),
        (Role.OPERATOR, False),
        (Role.SECURITY_OFFICER, True),
        (Role.ADMINISTRATOR, True),
    ],
)
async def test_who_agrees_needs_the_right(offices: Offices, role: Role, may: bool) -> None:
    """An administrator destroys no key, and can be the second person."""
    approval = await asked(offices, "destroy", await offices.session(offices.people["mara"]))
    other = await offices.session(await offices.person("olga", role))

    if may:
        await agree(other, offices.catalog, approval, ACTS, confirmation="db01")
    else:
        await refused(offices, "destroy", approval, other, Forbidden, ApprovalState.WAITING)


async def test_who_has_asked_must_still_be_allowed_to(offices: Offices) -> None:
    """A person that was locked out meanwhile ends nothing through another."""
    mara = offices.people["mara"]
    approval = await asked(offices, "destroy", await offices.session(mara))
    await offices.forget_rights(mara)

    nils = await offices.session(offices.people["nils"])
    await refused(offices, "destroy", approval, nils, Forbidden, ApprovalState.WAITING)


async def test_who_could_agree_can_turn_it_down(offices: Offices) -> None:
    approval = await asked(offices, "purge", await offices.session(offices.people["mara"]))
    operator = await offices.session(await offices.person("olga", Role.OPERATOR))
    with pytest.raises(Forbidden):
        await withdraw(operator, offices.catalog, approval)

    taken = await withdraw(await offices.session(offices.people["nils"]), offices.catalog, approval)

    assert "person-nils" == taken.withdrawn_by
    with pytest.raises(ApprovalOver):
        await withdraw(operator, offices.catalog, approval)


async def test_two_agreements_at_once_are_one(offices: Offices) -> None:
    """The database decides: what does not wait any more is not agreed to."""
    approval = await asked(offices, "destroy", await offices.session(offices.people["mara"]))
    found = await offices.catalog.approval(approval)
    assert found is not None
    nils = await offices.session(offices.people["nils"])
    load = offices.catalog.key_rows

    async def rows(instance: str, identifiers: Any) -> Any:
        offices.catalog.key_rows = load  # type: ignore[method-assign]
        await withdraw(await offices.session(offices.people["mara"]), offices.catalog, approval)
        return await load(instance, identifiers)

    offices.catalog.key_rows = rows  # type: ignore[method-assign]
    await refused(offices, "destroy", approval, nils, ChangedMeanwhile, ApprovalState.WITHDRAWN)


async def test_a_key_that_nobody_fetched_lately_is_destroyed_by_one(offices: Offices) -> None:
    """For 30 days it can be recovered; to purge it takes two."""
    uid = await offices.key("db01", active=False, fetched=True)
    offices.house.clock.now += 401 * DAY
    mara = await offices.session(offices.people["mara"])

    await key_acts.destroy(mara, offices.catalog, offices.instance, [uid], windows=WINDOWS, confirmation="db01")

    assert State.DESTROYED == await offices.client.attribute(uid, "State")


async def test_without_dual_control_one_is_enough(tmp_path: Path) -> None:
    async with open_offices(tmp_path) as offices:
        await (await destroying(offices))(offices.machine("ann"))
        assert [] == await offices.catalog.approvals()


async def test_no_program_ends_keys_under_dual_control(offices: Offices) -> None:
    """The API in Key Protect's shape has nobody who could agree."""
    uid = await offices.key("db01", active=False)

    with pytest.raises(Forbidden, match="under dual control"):
        await destroy_key(offices.machine("ann"), offices.catalog, offices.instance, uid, now=offices.now, force=True)
    await offices.client(get(uid))


async def test_who_does_not_see_the_instance_sees_no_approval(offices: Offices) -> None:
    """Foreign and absent look alike."""
    approval = await asked(offices, "purge", await offices.session(offices.people["mara"]))
    nobody = await offices.session(await offices.person("zoe"))

    assert [] == await approvals.approvals(nobody, offices.catalog)
    for prefix in (approval, "ffff"):
        with pytest.raises(NotThere, match=f"there is no approval '{prefix}'"):
            await agree(nobody, offices.catalog, prefix, ACTS, confirmation="db01")


async def test_fewer_than_two_who_could_agree_are_known(offices: Offices) -> None:
    """Of them dual control would be a lock-out."""
    await offices.person("olga", Role.OPERATOR)
    people = await offices.catalog.persons()

    assert ["mara", "nils"] == sorted(each.name for each in approvals.eligible(people, offices.instance.identifier))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Wisher("person-mara", "1"), Wisher("person-mara", "1"), True),
        (Wisher("person-mara", "1"), Wisher("person-nils", "2"), False),
        (Wisher("person-mara", "1"), Wisher("person-nils", "1"), True),
        (Wisher("person-mara", "1"), Wisher("local-user-mara"), True),
        (Wisher("local-user-MARA"), Wisher("person-mara", "1"), True),
        (Wisher("local-user-mara"), Wisher("local-user-nils"), False),
        (Wisher("local-user-mara"), Wisher("person-nils", "2"), False),
    ],
)
def test_who_counts_as_one_person(one: Wisher, other: Wisher, same: bool) -> None:
    assert same is one.is_same_as(other) is other.is_same_as(one)


async def test_a_label_alone_is_a_change_too(offices: Offices) -> None:
    """Word for word: the version counts."""
    approval = await asked(offices, "destroy", await offices.session(offices.people["mara"]))
    (uid,) = [each.unique_identifier for each in await offices.catalog.objects(offices.instance.identifier)]
    await offices.client(add_attribute(uid, "x-Note", CustomValue(ItemType.TEXT_STRING, "keep me")))

    nils = await offices.session(offices.people["nils"])
    await refused(offices, "destroy", approval, nils, ChangedMeanwhile, ApprovalState.WAITING)
