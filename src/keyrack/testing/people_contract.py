"""What every catalog promises about people, as one suite: a subclass gives the ``catalog`` fixture.

class TestMine(PeopleContract):
    @pytest.fixture
    async def catalog(self): ...
"""

import asyncio
from dataclasses import replace
from typing import Any, Protocol

import pytest

from keyrack.domain.people import PERSON_PATIENCE, Actor, ApiKey, Attempts, LoginSession, OneTimeLink, Person
from keyrack.domain.rights import Grant, Role
from keyrack.ports.catalog import AlreadyThere, Catalog, Conflict, LastAdministrator, RightsChanged, Unit
from keyrack.ports.people import PeopleBook, PeopleChanges
from keyrack.testing.catalog_values import ONE, entry

ANNA, BERND, CARLA = "a" * 36, "b" * 36, "c" * 36
ADMINISTRATOR = frozenset({Grant(Role.ADMINISTRATOR)})


class Shelf(PeopleBook, Catalog, Protocol):
    """A catalog that knows people."""


def person(identifier: str = ANNA, name: str = "anna", **fields: Any) -> Person:
    """Somebody with a password."""
    made = Person(identifier=identifier, name=name, created_at=1, created_by="local-user-eve", password="$argon2id$")
    return replace(made, **fields)


def session(digest: bytes = b"s" * 32, of: str = ANNA, **fields: Any) -> LoginSession:
    """A log-in."""
    made = LoginSession(digest=digest, person=of, created_at=100, seen_at=100, expires_at=1000, address="192.0.2.1:1")
    return replace(made, **fields)


def api_key(identifier: str = "1" * 32, of: str = ANNA, **fields: Any) -> ApiKey:
    """An API key."""
    made = ApiKey(identifier=identifier, person=of, name="backup", digest=b"k" * 32, created_at=100, expires_at=900)
    return replace(made, **fields)


def link(digest: bytes = b"l" * 32, of: str = ANNA) -> OneTimeLink:
    """A one-time link."""
    return OneTimeLink(digest=digest, person=of, expires_at=500)


async def change(shelf: Shelf, actor: Actor | None = None, **changes: Any) -> None:
    """One unit."""
    await shelf.commit(Unit(entries=(entry("person.add"),), actor=actor, people=PeopleChanges(**changes)))


class PeopleContract:
    """The suite. Each test begins with an empty catalog."""

    @pytest.fixture
    async def shelf(self, catalog: Shelf) -> Shelf:
        """A catalog with two people."""
        await change(catalog, persons=(person(), person(BERND, "bernd")))
        return catalog

    async def test_people_come_back_as_they_were(self, catalog: Shelf) -> None:
        """Every field, by identifier, by name, by subject."""
        full = person(
            source="https://id.example.com",
            subject="248289761001",
            name="anna@example.com",
            display="Anna",
            grants=frozenset({Grant(Role.OPERATOR, ONE), Grant(Role.VIEWER), Grant(Role.AUDITOR)}),
            disabled_at=7,
            last_login_at=6,
        )
        await change(catalog, persons=(full, person(BERND, "bernd")))

        assert await catalog.person(ANNA) == full
        assert await catalog.person_called("anna@example.com") == full
        assert await catalog.person_meant("https://id.example.com", "248289761001") == full
        assert [each.name for each in await catalog.persons()] == ["anna@example.com", "bernd"]

    async def test_absent_people_are_none(self, shelf: Shelf) -> None:
        """Nor does an empty subject mean all who have none."""
        assert await shelf.person(CARLA) is None
        assert await shelf.person_called("carla") is None
        assert await shelf.person_meant("local", "") is None

    async def test_a_name_and_a_subject_are_given_once(self, shelf: Shelf) -> None:
        """Nothing of the second unit stays."""
        await change(shelf, persons=(person(CARLA, "c@example.com", source="https://id.example.com", subject="1"),))

        with pytest.raises(AlreadyThere):
            await change(shelf, persons=(person("d" * 36, "anna"),))
        with pytest.raises(AlreadyThere):
            await change(
                shelf, persons=(person("d" * 36, "d@example.com", source="https://id.example.com", subject="1"),)
            )
        assert len(await shelf.persons()) == 3

    async def test_a_change_names_the_next_revision(self, shelf: Shelf) -> None:
        """Of two that decided on the same one, the second decides again."""
        await change(shelf, persons=(person(password="new", revision=2),))

        for revision in (1, 2, 4):
            with pytest.raises(Conflict):
                await change(shelf, persons=(person(password="other", revision=revision),))
        found = await shelf.person(ANNA)
        assert found is not None
        assert (found.password, found.revision) == ("new", 2)

    @pytest.mark.parametrize("field", ["name", "source", "subject"])
    async def test_nobody_becomes_somebody_else(self, shelf: Shelf, field: str) -> None:
        """The journal knows people by name."""
        changed: dict[str, Any] = {field: "other", "revision": 2}
        with pytest.raises(Conflict):
            await change(shelf, persons=(person(**changed),))

    async def test_whoever_was_removed_stays_so(self, shelf: Shelf) -> None:
        """And the name stays taken."""
        await change(shelf, persons=(person(removed_at=5, disabled_at=5, revision=2),))

        with pytest.raises(Conflict):
            await change(shelf, persons=(person(revision=3),))
        with pytest.raises(AlreadyThere):
            await change(shelf, persons=(person(CARLA, "anna"),))

    async def test_an_act_stands_on_its_actor(self, shelf: Shelf) -> None:
        """In the transaction of the act: another revision, locked out, not there."""
        await change(shelf, Actor(ANNA, 1), persons=(person(CARLA, "carla"),))
        await change(shelf, persons=(person(disabled_at=5, revision=2), person(BERND, "bernd", revision=2)))

        for actor in (Actor(ANNA, 2), Actor(BERND, 1), Actor("nobody", 1)):
            with pytest.raises(RightsChanged):
                await change(shelf, actor, persons=(person("d" * 36, "dora"),))
        assert await shelf.person_called("dora") is None

    async def test_an_act_stands_on_what_proved_it(self, shelf: Shelf) -> None:
        """An API key that is revoked, or another's; a log-in that has ended, or is another's."""
        await change(shelf, api_keys=(api_key(),), sessions=(session(),))
        await change(shelf, Actor(ANNA, 1, api_key="1" * 32), noted=(person(),))
        await change(shelf, Actor(ANNA, 1, session=b"s" * 32), noted=(person(),))

        for foreign in (Actor(BERND, 1, api_key="1" * 32), Actor(BERND, 1, session=b"s" * 32)):
            with pytest.raises(RightsChanged):
                await change(shelf, foreign, noted=(person(),))
        await change(shelf, api_keys=(api_key(revoked_at=200),), ended_sessions=(b"s" * 32,))
        for over in (Actor(ANNA, 1, api_key="1" * 32), Actor(ANNA, 1, session=b"s" * 32)):
            with pytest.raises(RightsChanged):
                await change(shelf, over, noted=(person(),))

    async def test_an_act_and_the_end_of_its_right_at_once(self, shelf: Shelf) -> None:
        """Of the two that are committed in the same moment, what comes second is refused."""
        results = await asyncio.gather(
            change(shelf, persons=(person(grants=frozenset(), revision=2),)),
            change(shelf, Actor(ANNA, 1), persons=(person(CARLA, "carla"),)),
            return_exceptions=True,
        )

        assert results[0] is None
        assert isinstance(results[1], RightsChanged)

    async def test_the_last_administrator_stays(self, shelf: Shelf) -> None:
        """Whichever way he would go; but one who cannot log in does not count."""
        await change(shelf, persons=(person(grants=ADMINISTRATOR, revision=2),))
        await change(shelf, persons=(person(CARLA, "carla", grants=ADMINISTRATOR, password=""),))

        for going in (
            person(revision=3),
            person(grants=frozenset({Grant(Role.ADMINISTRATOR, ONE)}), revision=3),
            person(grants=ADMINISTRATOR, disabled_at=5, revision=3),
            person(grants=ADMINISTRATOR, password="", revision=3),
        ):
            with pytest.raises(LastAdministrator):
                await change(shelf, persons=(going,))
        await change(shelf, persons=(person(CARLA, "carla", grants=ADMINISTRATOR, revision=2),))
        await change(shelf, persons=(person(revision=3),))
        with pytest.raises(LastAdministrator):
            await change(shelf, persons=(person(CARLA, "carla", grants=ADMINISTRATOR, disabled_at=5, revision=3),))

    async def test_two_administrators_do_not_take_each_other_away(self, catalog: Shelf) -> None:
        """At the same moment."""
        await change(catalog, persons=(person(grants=ADMINISTRATOR), person(BERND, "bernd", grants=ADMINISTRATOR)))

        results = await asyncio.gather(
            change(catalog, Actor(ANNA, 1), persons=(person(BERND, "bernd", revision=2),)),
            change(catalog, Actor(BERND, 1), persons=(person(revision=2),)),
            return_exceptions=True,
        )

        assert sorted(type(each).__name__ for each in results) == ["NoneType", "RightsChanged"]

    async def test_api_keys(self, shelf: Shelf) -> None:
        """Of one, of all, by identifier; what is written later is the name and the end."""
        mine, other = api_key(roles=frozenset({Role.VIEWER})), api_key("2" * 32, BERND, created_at=50)
        await change(shelf, api_keys=(mine, other))

        assert list(await shelf.api_keys()) == [other, mine]
        assert list(await shelf.api_keys(ANNA)) == [mine]
        assert await shelf.api_key("1" * 32) == mine
        assert await shelf.api_key("3" * 32) is None
        await change(shelf, used_api_keys=(replace(mine, last_used_at=200),))
        await change(shelf, used_api_keys=(replace(mine, last_used_at=150),))
        await change(shelf, api_keys=(replace(mine, digest=b"x" * 32, roles=frozenset(), revoked_at=300),))
        await change(shelf, api_keys=(replace(mine, revoked_at=None),))
        assert await shelf.api_key("1" * 32) == replace(mine, last_used_at=200, revoked_at=300)

    async def test_log_ins(self, shelf: Shelf) -> None:
        """Begun, seen, proved again, ended; what has ended is not brought back by being seen."""
        await change(shelf, sessions=(session(),))
        await change(shelf, seen_sessions=(session(seen_at=150, stepped_up_at=140),))
        await change(shelf, seen_sessions=(session(seen_at=120),))
        assert await shelf.login_session(b"s" * 32) == session(seen_at=150, stepped_up_at=140)

        await change(shelf, ended_sessions=(b"s" * 32,))
        await change(shelf, seen_sessions=(session(seen_at=200),))
        assert await shelf.login_session(b"s" * 32) is None
        assert list(await shelf.login_sessions(ANNA)) == []

    async def test_all_log_ins_of_a_person_end(self, shelf: Shelf) -> None:
        """Others' stay, and the one that is to be kept."""
        kept, other = session(b"k" * 32), session(b"b" * 32, BERND)
        await change(shelf, sessions=(session(), kept, other))

        await change(shelf, ended_of=(ANNA,), kept_session=b"k" * 32)
        assert list(await shelf.login_sessions(ANNA)) == [kept]
        await change(shelf, ended_of=(ANNA,))
        assert list(await shelf.login_sessions(ANNA)) == []
        assert list(await shelf.login_sessions(BERND)) == [other]

    async def test_log_ins_that_are_over_go_with_the_next(self, shelf: Shelf) -> None:
        """So that they do not pile up."""
        await change(shelf, sessions=(session(),))
        await change(shelf, sessions=(session(b"n" * 32, BERND, created_at=1000),))

        assert await shelf.login_session(b"s" * 32) is None

    async def test_a_link_counts_once(self, shelf: Shelf) -> None:
        """Of two that use it at once, one does; and nothing of the other stays."""
        await change(shelf, links=(link(),))
        assert await shelf.one_time_link(b"l" * 32) == link()
        used = replace(link(), used_at=200)

        results = await asyncio.gather(
            change(shelf, used_links=(used,), persons=(person(password="one", revision=2),)),
            change(shelf, used_links=(used,), persons=(person(BERND, "bernd", password="two", revision=2),)),
            return_exceptions=True,
        )

        assert sorted(type(each).__name__ for each in results) == ["Conflict", "NoneType"]
        assert await shelf.one_time_link(b"l" * 32) == used
        assert {each.revision for each in await shelf.persons()} == {1, 2}

    async def test_links_end(self, shelf: Shelf) -> None:
        """By another of the same person, and by a word; others' stay."""
        await change(shelf, links=(link(), link(b"b" * 32, BERND)))
        await change(shelf, links=(link(b"m" * 32),))
        assert await shelf.one_time_link(b"l" * 32) is None
        await change(shelf, ended_links_of=(ANNA,))
        assert await shelf.one_time_link(b"m" * 32) is None
        assert await shelf.one_time_link(b"b" * 32) == link(b"b" * 32, BERND)
        with pytest.raises(Conflict):
            await change(shelf, used_links=(replace(link(), used_at=3),))

    async def test_attempts_are_counted_one_by_one(self, shelf: Shelf) -> None:
        """A thousand at once are not one: who has read the same count as another reads it again."""
        first = Attempts(of="name:x").counted(PERSON_PATIENCE, 100)
        results = await asyncio.gather(*[change(shelf, attempts=(first,)) for _ in range(5)], return_exceptions=True)

        assert sorted(type(each).__name__ for each in results) == ["Conflict"] * 4 + ["NoneType"]
        assert await shelf.attempts("name:x") == first
        assert await shelf.attempts("name:y") == Attempts(of="name:y")

    async def test_attempts_are_forgotten(self, shelf: Shelf) -> None:
        """By success, and after a day."""
        held = Attempts(of="name:x").counted(PERSON_PATIENCE, 100)
        await change(shelf, attempts=(held, Attempts(of="name:old").counted(PERSON_PATIENCE, 100)))
        await change(shelf, attempts=(held.forgiven(1),))
        assert await shelf.attempts("name:x") == Attempts(of="name:x")
        await change(shelf, attempts=(Attempts(of="name:z").counted(PERSON_PATIENCE, 100_000),))
        assert (await shelf.attempts("name:old")).version == 0
