"""Who may change who may what: roles, lock-outs, links, API keys; and nothing of others' for those who may not."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keyrack
from keyrack.domain.people import OneTimeLink, Person
from keyrack.domain.rights import EVERYWHERE, PROVED_AGAIN, ROLES, Grant, Grants, Right, Role, markdown
from keyrack.ports.catalog import RightsChanged, Unit
from keyrack.ports.people import PeopleChanges
from keyrack.service.office.refusals import (
    ChangedMeanwhile,
    Forbidden,
    LimitReached,
    NameTaken,
    NotRecognised,
    NotThere,
    ProofNeeded,
    Refused,
    Unauthenticated,
    Unusable,
)
from keyrack.service.people import api_keys, letting_in, persons, tokens
from keyrack.testing.catalog_values import ONE, instance
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.people import PASSWORD, House

ROOT = Grant(Role.ADMINISTRATOR)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    catalog = await catalog_at(tmp_path / "catalog.db", "test")
    await catalog.commit(Unit(entries=(), instances=(instance(),)))
    house = House(catalog)
    await house.person("root", ROOT)
    yield house
    await catalog.close()


async def found(house: House, name: str) -> Person:
    """Somebody as the catalog has it now."""
    person = await house.catalog.person_called(name)
    assert person is not None
    return person


async def test_roles_are_granted_and_taken_back(house: House) -> None:
    """At the next request, over an instance or everywhere; the journal tells both."""
    root = await house.logged_in("root")
    anna = await persons.add(root, house.catalog, "anna")
    over_one = await persons.grant_over(root, Role.OPERATOR, "one")
    anna = await persons.grant(root, house.catalog, anna, over_one)
    anna = await persons.grant(root, house.catalog, anna, over_one)  # changes nothing
    assert (await found(house, "anna")).grants == {Grant(Role.OPERATOR, ONE)}

    with pytest.raises(NotThere):
        await persons.revoke(root, house.catalog, anna, Grant(Role.OPERATOR))
    anna = await persons.revoke(root, house.catalog, anna, over_one)
    assert (await found(house, "anna")).grants == frozenset()
    acts = [json.loads(text) for text in await house.journal()]
    told = [(each["action"], each["initiator"]) for each in acts if each["target"] == anna.identifier]
    assert told == [("person.add", "person-root"), ("person.grant", "person-root"), ("person.revoke", "person-root")]


async def test_only_who_may_change_people_does(house: House) -> None:
    """Every act asks; a role that does not have the right, and an administrator of one instance, do nothing."""
    for role in Role:
        where = ONE if role is Role.ADMINISTRATOR else EVERYWHERE
        await house.person(f"has-{role}", Grant(role, where))
    victim = await house.person("victim", Grant(Role.VIEWER))
    _, key = await api_keys.create(house.at_machine(), house.catalog, victim, "one")
    held = await house.catalog.api_keys(victim.identifier)
    before = await house.catalog.persons()

    for role in Role:
        acting, book = await house.logged_in(f"has-{role}"), house.catalog
        for act in (
            persons.add(acting, book, "new"),
            persons.grant(acting, book, victim, Grant(Role.VIEWER, ONE)),
            persons.revoke(acting, book, victim, Grant(Role.VIEWER)),
            persons.disable(acting, book, victim),
            persons.enable(acting, book, victim),
            persons.remove(acting, book, victim),
            letting_in.invite(acting, book, victim),
            letting_in.set_password(acting, book, house.passwords, victim, PASSWORD),
            api_keys.revoke(acting, book, held[0]),
            api_keys.create(acting, book, victim, "two"),
        ):
            with pytest.raises(Forbidden):
                await act
    after = {each.name: replace(each, last_login_at=None) for each in await house.catalog.persons()}
    assert after == {each.name: each for each in before}
    await house.known_by(key)


async def test_absent_and_foreign_people_look_alike(house: House) -> None:
    """For whoever may not see people: the same refusal, whether there is such a person or not."""
    anna = await house.person("anna", Grant(Role.OPERATOR))
    _, foreign = await api_keys.create(house.at_machine(), house.catalog, await found(house, "root"), "foreign")
    identifier = tokens.api_key_identifier(foreign)
    assert identifier is not None
    acting = await house.logged_in("anna")
    told = set()
    for name in ("root", "nobody", (await found(house, "root")).identifier):
        with pytest.raises(Forbidden) as refused:
            await persons.person(acting, house.catalog, name)
        told.add(str(refused.value))
    assert len(told) == 1
    assert (await persons.person(acting, house.catalog, "anna")).identifier == anna.identifier

    for named in (identifier, "foreign", "0" * 32, "nothing"):
        with pytest.raises(NotThere) as absent:
            await api_keys.api_key(acting, house.catalog, named)
        assert str(absent.value).startswith(f"there is no API key {named!r}")
    with pytest.raises(Forbidden):
        await api_keys.api_keys(acting, house.catalog)
    with pytest.raises(Forbidden):
        await persons.people(acting, house.catalog)


async def test_nobody_changes_the_own_roles(house: House) -> None:
    """Nor locks himself out, in, or removes himself: it needs another person. At the machine it goes."""
    root = await house.logged_in("root")
    me = await found(house, "root")
    for act in (
        persons.grant(root, house.catalog, me, Grant(Role.SECURITY_OFFICER)),
        persons.revoke(root, house.catalog, me, ROOT),
        persons.disable(root, house.catalog, me),
        persons.enable(root, house.catalog, me),
        persons.remove(root, house.catalog, me),
    ):
        with pytest.raises(Forbidden):
            await act
    await persons.grant(house.at_machine(), house.catalog, me, Grant(Role.SECURITY_OFFICER))
    assert (await found(house, "root")).revision == me.revision + 1


async def test_the_last_administrator_stays(house: House) -> None:
    """At the machine too; one who was invited and has set no password does not count."""
    office = house.at_machine()
    await persons.add(office, house.catalog, "invited", [ROOT])
    me = await found(house, "root")
    for act in (
        persons.revoke(office, house.catalog, me, ROOT),
        persons.disable(office, house.catalog, me),
        persons.remove(office, house.catalog, me),
    ):
        with pytest.raises(Refused, match="last administrator who can log in"):
            await act
    await house.person("second", ROOT)
    await persons.disable(office, house.catalog, me)


async def test_a_right_that_goes_takes_the_act_with_it(house: House) -> None:
    """Between decision and commit."""
    await house.person("second", ROOT)
    second = await house.logged_in("second")
    second.require(Right.PERSON_CHANGE)
    await persons.revoke(house.at_machine(), house.catalog, await found(house, "second"), ROOT)

    with pytest.raises(Forbidden):
        await persons.add(second, house.catalog, "late")
    assert await house.catalog.person_called("late") is None


async def test_two_who_change_the_same_person(house: House) -> None:
    """The second one is told, and nothing of the first is lost."""
    office = house.at_machine()
    anna = await persons.add(office, house.catalog, "anna")
    await persons.grant(office, house.catalog, anna, Grant(Role.VIEWER))

    with pytest.raises(ChangedMeanwhile):
        await persons.grant(office, house.catalog, anna, Grant(Role.AUDITOR))
    assert (await found(house, "anna")).grants == {Grant(Role.VIEWER)}


async def test_whoever_was_removed_stays_so(house: House) -> None:
    """Without roles, password, keys; the name is never given again."""
    office = house.at_machine()
    anna = await house.person("anna", Grant(Role.VIEWER))
    _, key = await api_keys.create(office, house.catalog, anna, "backup")
    link = await letting_in.invite(office, house.catalog, anna)
    gone = await persons.remove(office, house.catalog, anna)

    with pytest.raises(Unauthenticated):
        await house.known_by(key)
    with pytest.raises(NotRecognised):
        await letting_in.redeem(house.catalog, house.passwords, link, PASSWORD, visitor=house.visitor())
    for act in (
        persons.enable(office, house.catalog, gone),
        persons.grant(office, house.catalog, gone, ROOT),
        letting_in.invite(office, house.catalog, gone),
    ):
        with pytest.raises(Refused):
            await act
    with pytest.raises(NameTaken, match="never given again"):
        await persons.add(office, house.catalog, "anna")
    assert "anna" not in {each.name for each in await persons.people(office, house.catalog)}
    assert "anna" in {each.name for each in await persons.people(office, house.catalog, removed=True)}


async def test_a_lock_out_counts_for_api_keys_too(house: House) -> None:
    """And they count again afterwards."""
    office = house.at_machine()
    anna = await house.person("anna", Grant(Role.VIEWER))
    _, key = await api_keys.create(office, house.catalog, anna, "backup")
    out = await persons.disable(office, house.catalog, anna)
    with pytest.raises(Unauthenticated):
        await house.known_by(key)
    await persons.enable(office, house.catalog, out)
    await house.known_by(key)


async def test_a_link_sets_a_password_once(house: House) -> None:
    """Within a day, and a weak password does not use it up; of two at once, one counts."""
    office, book = house.at_machine(), house.catalog
    anna = await persons.add(office, book, "anna", [Grant(Role.VIEWER)])
    link = await letting_in.invite(office, book, anna)
    assert not any(link in text for text in await house.journal())

    with pytest.raises(Unusable):
        await letting_in.redeem(book, house.passwords, link, "anna-anna-anna", visitor=house.visitor())
    results = await asyncio.gather(
        *[letting_in.redeem(book, house.passwords, link, PASSWORD, visitor=house.visitor()) for _ in range(4)],
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in results) == ["NotRecognised"] * 3 + ["Person"]
    await house.log_in("anna")

    again = await letting_in.invite(office, book, await found(house, "anna"))
    latest = await letting_in.invite(office, book, await found(house, "anna"))
    house.clock.go_on(86_400)
    for dead in (again, latest, link, "krl_" + "A" * 43, "krl_", ""):
        with pytest.raises(NotRecognised):
            await letting_in.redeem(book, house.passwords, dead, PASSWORD, visitor=house.visitor())


async def test_a_password_of_ones_own(house: House) -> None:
    """Proved by the old one; other log-ins end, this one stays."""
    elsewhere = await house.log_in("root")
    here = await house.log_in("root")
    administration = await house.known_by(here.token)
    change = letting_in.change_password
    with pytest.raises(NotRecognised):
        await change(administration, house.catalog, house.passwords, "not this one, surely", "meadow lantern quartz")
    with pytest.raises(Unusable):
        await change(administration, house.catalog, house.passwords, PASSWORD, "root")

    await change(administration, house.catalog, house.passwords, PASSWORD, "meadow lantern quartz")

    await house.known_by(here.token)
    with pytest.raises(Unauthenticated):
        await house.known_by(elsewhere.token)
    await house.log_in("root", "meadow lantern quartz")


async def test_nobody_sets_anothers_password_over_the_network(house: House) -> None:
    """An administrator would know it, and be that person."""
    anna = await house.person("anna", Grant(Role.SECURITY_OFFICER))
    with pytest.raises(Forbidden):
        await letting_in.set_password(
            await house.logged_in("root"), house.catalog, house.passwords, anna, "meadow lantern quartz"
        )


async def test_an_api_key(house: House) -> None:
    """Shown once, digest only, its roles alone, noted once a minute, revoked at once, ended by date."""
    await house.person("anna", Grant(Role.OPERATOR), Grant(Role.AUDITOR))
    acting, book, anna = await house.logged_in("anna"), house.catalog, await found(house, "anna")
    made, key = await api_keys.create(acting, book, anna, "backup", roles=frozenset({Role.AUDITOR}), days=2)

    assert key.startswith(f"krk_{made.identifier}_")
    assert key not in repr(made)
    assert not any(key[36:] in text for text in await house.journal())
    who = (await house.known_by(key)).administrator
    assert who.initiator == "person-anna"
    assert who.grants.allow(Right.JOURNAL_READ)
    assert not who.grants.allow(Right.CERTIFICATE_ADD)
    for wrong in (key[:-1] + ("A" if key[-1] != "A" else "B"), key.replace(made.identifier, "0" * 32)):
        with pytest.raises(Unauthenticated):
            await house.known_by(wrong)

    first = (await book.api_keys(anna.identifier))[0].last_used_at
    house.clock.go_on(59)
    await house.known_by(key)
    assert (await book.api_keys(anna.identifier))[0].last_used_at == first
    house.clock.go_on(1)
    await house.known_by(key)
    assert (await book.api_keys(anna.identifier))[0].last_used_at == house.now

    house.clock.go_on(2 * 86_400)
    with pytest.raises(Unauthenticated):
        await house.known_by(key)
    acting = await house.logged_in("anna")
    made, key = await api_keys.create(acting, book, anna, "backup")
    await api_keys.revoke(acting, book, made)
    with pytest.raises(Unauthenticated):
        await house.known_by(key)


async def test_an_api_key_gives_nothing_more(house: House) -> None:
    """It makes no other, not another's, none of roles that the person has not; a stale log-in makes none."""
    await house.person("anna", Grant(Role.OPERATOR))
    acting, book, anna = await house.logged_in("anna"), house.catalog, await found(house, "anna")
    _, key = await api_keys.create(acting, book, anna, "backup")
    by_key = await house.known_by(key)
    with pytest.raises(Forbidden):
        await api_keys.create(by_key, book, anna, "more")
    with pytest.raises(Forbidden):
        await letting_in.change_password(by_key, book, house.passwords, PASSWORD, "meadow lantern quartz")
    with pytest.raises(Forbidden):
        await api_keys.create(acting, book, await found(house, "root"), "more")
    for mistake in (
        {"roles": frozenset({Role.ADMINISTRATOR})},
        {"days": 731},
        {"days": 0},
        {"name": ""},
        {"name": "x" * 64},
        {"name": "a\nb"},
    ):
        with pytest.raises(Unusable):
            await api_keys.create(acting, book, anna, **({"name": "more"} | mistake))
    with pytest.raises(NameTaken):
        await api_keys.create(acting, book, anna, "backup")
    for number in range(api_keys.MOST_KEYS - 1):
        await api_keys.create(acting, book, anna, f"key {number}")
    with pytest.raises(LimitReached):
        await api_keys.create(acting, book, anna, "one more")
    house.clock.go_on(301)
    with pytest.raises(ProofNeeded):
        await api_keys.create(acting, book, anna, "late")


async def test_a_role_that_goes_goes_from_api_keys(house: House) -> None:
    """Their rights are those of the person now."""
    anna = await house.person("anna", Grant(Role.OPERATOR), Grant(Role.VIEWER))
    _, key = await api_keys.create(house.at_machine(), house.catalog, anna, "b", roles=frozenset({Role.OPERATOR}))
    acting = await house.known_by(key)
    await persons.revoke(house.at_machine(), house.catalog, anna, Grant(Role.OPERATOR))

    assert not (await house.known_by(key)).administrator.grants.held
    with pytest.raises(RightsChanged):
        await house.catalog.commit(
            Unit(entries=(), actor=acting.administrator.actor, people=PeopleChanges(noted=(anna,)))
        )


@pytest.mark.parametrize("name", ["", "-a", "a b", "a@b", "ä", "a" * 64, "a\nb", "../x", "a'--", "<b>"])
async def test_what_cannot_be_a_name(house: House, name: str) -> None:
    with pytest.raises(Unusable):
        await persons.add(house.at_machine(), house.catalog, name)


every_grant = st.builds(Grant, st.sampled_from(Role), st.sampled_from([EVERYWHERE, "one", "two"]))


@given(st.frozensets(every_grant, max_size=6), every_grant, st.sampled_from(Right), st.sampled_from(["", "one", "two"]))
def test_grants_add_up_and_nothing_else(held: frozenset[Grant], added: Grant, right: Right, where: str) -> None:
    """What is allowed is what some grant allows by itself; more grants never allow less; narrowing never more."""
    grants = Grants.of(held)
    alone = [Grants.of([grant]).allow(right, where) for grant in held]
    assert grants.allow(right, where) == any(alone)
    assert not grants.allow(right, where) or Grants.of(held | {added}).allow(right, where)
    for roles in (frozenset({added.role}), frozenset(Role)):
        assert not grants.narrowed(roles).allow(right, where) or grants.allow(right, where)
    if added.instance not in {EVERYWHERE, where} or (added.instance != EVERYWHERE and not right.scoped):
        assert not Grants.of([added]).allow(right, where)


def test_roles_are_what_they_are_called() -> None:
    """Separation of duties, as the table has it."""
    may = {role: {right.title for right in ROLES[role]} for role in Role}
    changing = {right.title for right in Right if not right.title.endswith((".read", ".verify"))}
    assert not (may[Role.VIEWER] | may[Role.AUDITOR]) & changing
    assert not may[Role.VIEWER] & {"journal.read", "person.read", "stranger.read"}
    assert all(may[Role.VIEWER] <= may[role] for role in Role)
    assert all(may[Role.AUDITOR] <= may[role] for role in (Role.SECURITY_OFFICER, Role.ADMINISTRATOR))
    # Who makes people decides nothing about keys, and who ends keys makes no people.
    ends_keys = {"key.destroy", "key.purge", "key.deactivate"}
    assert [role for role in Role if may[role] & ends_keys] == [Role.SECURITY_OFFICER]
    assert [role for role in Role if "person.change" in may[role]] == [Role.ADMINISTRATOR]
    assert [role for role in Role if "journal.cut" in may[role]] == [Role.SECURITY_OFFICER]
    assert not may[Role.OPERATOR] & {right.title for right in PROVED_AGAIN}
    # Nothing is left that nobody may.
    assert set.union(*may.values()) == {right.title for right in Right}


def test_the_table_tells_of_every_right() -> None:
    table = markdown()
    assert all(f"| `{right.title}`" in table for right in Right)
    assert all(f"**{role}**" in table for role in Role)


def test_every_right_is_asked_for() -> None:
    """A right that no use case asks for protects nothing, and whoever grants it is told a tale."""
    source = Path(keyrack.__file__).parent
    every = [path for room in ("service", "shell") for path in (source / room).rglob("*.py")]
    rooms = [path for path in every if "console" not in path.parts]  # a page only looks what to offer
    asked = {name for path in rooms for name in re.findall(r"\bRight\.([A-Z_]+)", path.read_text(encoding="utf-8"))}
    # Whether an instance is there at all for somebody, Grants.sees asks itself.
    assert not Grants().sees(ONE)

    assert {right.name for right in Right} - asked == {Right.INSTANCE_READ.name}


async def test_a_link_that_was_made_beside_a_lock_out_counts_for_nothing(house: House) -> None:
    """Who was decided to be invited, and was locked out before the link was kept."""
    anna = await house.person("anna", Grant(Role.VIEWER))
    token = tokens.new_link()
    link = OneTimeLink(digest=tokens.digest(token), person=anna.identifier, expires_at=house.now + 100)
    await persons.disable(house.at_machine(), house.catalog, anna)
    await house.catalog.commit(Unit(entries=(), people=PeopleChanges(links=(link,))))

    with pytest.raises(NotRecognised):
        await letting_in.redeem(house.catalog, house.passwords, token, PASSWORD, visitor=house.visitor())
