"""What every catalog promises to administrators: a suite beside ``catalog_contract``, whose ``catalog`` it takes."""

import asyncio
from dataclasses import replace

import pytest

from keyrack.domain.instances import InstanceStatus
from keyrack.domain.objects import ManagedObject
from keyrack.ports.catalog import (
    AlreadyThere,
    Author,
    Candidates,
    Catalog,
    Conflict,
    NotAuthorised,
    StillUsed,
    TooMany,
    Touch,
    Unit,
)
from keyrack.spec.enumerations import ObjectType, State
from keyrack.testing.catalog_values import (
    FINGERPRINT,
    KEY,
    ONE,
    OTHER_KEY,
    PRINCIPAL,
    TWO,
    certificate,
    entry,
    instance,
    key,
    named,
    numbered,
)

ADMINISTRATOR = "iam-ServiceId-9"
ALL = frozenset(State)
CLIENT = Author(f"CertificateID-{FINGERPRINT}", "iam-ServiceId-1")


def destroyed(managed: ManagedObject, version: int = 2) -> ManagedObject:
    """The object after Destroy."""
    return replace(managed, state=State.DESTROYED, version=version)


class AdministrationContract:
    """The suite. Each test begins with two instances, and a certificate of the first."""

    @pytest.fixture
    async def house(self, catalog: Catalog) -> Catalog:
        """A catalog with two instances, and a certificate of the first."""
        await catalog.commit(
            Unit(
                entries=(entry("instance.create"),),
                instances=(instance(), instance(TWO, "two")),
                certificates=(certificate(),),
            )
        )
        return catalog

    async def test_catalog_tells_instances_of_two_key_managers_apart(self, house: Catalog) -> None:
        """A name is unique among the instances of one key manager, and may be used in another."""
        same = replace(instance("3"), key_manager="embedded/other")
        await house.commit(Unit(entries=(), instances=(same,)))

        with pytest.raises(AlreadyThere):
            await house.commit(Unit(entries=(), instances=(instance("4"),)))
        assert [each.identifier for each in await house.instances()] == [ONE, "3", TWO]

    async def test_catalog_keeps_names_of_certificates_unique(self, house: Catalog) -> None:
        """In one instance; another may give the same name."""
        name = certificate().name
        await house.commit(Unit(entries=(), certificates=(replace(certificate("b" * 64, TWO), name=name),)))

        with pytest.raises(AlreadyThere):
            await house.commit(Unit(entries=(), certificates=(replace(certificate("c" * 64), name=name),)))
        assert [each.name for each in await house.certificates()] == [name, name]

    async def test_catalog_touches_an_instance_and_nothing_else_of_it(self, house: Catalog) -> None:
        """When and by whom it was changed; one that is gone stays gone."""
        touches = (Touch(ONE, 1_800_000_000, ADMINISTRATOR), Touch("absent", 1_800_000_000, ADMINISTRATOR))
        await house.commit(Unit(entries=(), touched=touches))

        touched = replace(instance(), updated_at=1_800_000_000, updated_by=ADMINISTRATOR)
        assert await house.instances() == [touched, instance(TWO, "two")]

    async def test_catalog_limits_the_instances_of_a_key_manager(self, house: Catalog) -> None:
        """Those of another do not count, nor does an instance that is only changed; of two at once one is kept."""
        elsewhere = replace(instance("3"), key_manager="embedded/other")
        await house.commit(Unit(entries=(), instances=(elsewhere,), most_instances=1))
        await house.commit(Unit(entries=(), instances=(instance(status=InstanceStatus.REMOVING),), most_instances=2))

        attempts = [
            house.commit(Unit(entries=(entry("lost"),), instances=(instance(name, name),), most_instances=3))
            for name in ("x", "y")
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

        assert sorted(type(each).__name__ for each in outcomes) == ["NoneType", "TooMany"]
        assert len(await house.instances()) == 4

    async def test_catalog_limits_the_certificates_of_an_instance(self, house: Catalog) -> None:
        """Those of another do not count; nothing of a unit that asks for too much is kept."""
        three = [certificate(letter * 64) for letter in "bcd"]
        await house.commit(Unit(entries=(), certificates=(certificate("e" * 64, TWO),), most_certificates=1))

        with pytest.raises(TooMany):
            await house.commit(Unit(entries=(entry("lost"),), certificates=three, most_certificates=3))
        await house.commit(Unit(entries=(), certificates=three[:2], most_certificates=3))

        assert len(await house.certificates(ONE)) == 3
        assert not any("lost" in record.text for record in await house.journal())

    @pytest.mark.parametrize("living", ["object", "intent"])
    async def test_catalog_keeps_an_instance_that_is_used(self, house: Catalog, living: str) -> None:
        """An object that is not destroyed, or one that is just being made, holds its instance."""
        made = (key(OTHER_KEY),)
        await house.commit(Unit(entries=(), inserted=made) if living == "object" else Unit(entries=(), intents=made))

        for unit in (Unit(entries=(), unused=(ONE,)), Unit(entries=(), removed_instances=(ONE,))):
            with pytest.raises(StillUsed):
                await house.commit(unit)
        await house.commit(Unit(entries=(), unused=(TWO,)))
        assert await house.authorise(FINGERPRINT) == PRINCIPAL

    async def test_catalog_removes_an_instance_whole(self, house: Catalog) -> None:
        """Its certificates and destroyed objects go with it; others' stay, and so does the journal."""
        await house.commit(Unit(entries=(), inserted=(key(Name=named("n")), key(OTHER_KEY, TWO))))
        await house.commit(Unit(entries=(), updated=(destroyed(key(Name=named("n"))),)))
        before = len(await house.journal())
        await house.commit(Unit(entries=(entry("instance.remove"),), removed_instances=(ONE,)))

        assert await house.instances() == [instance(TWO, "two")]
        assert await house.certificates() == []
        assert await house.load(ONE, KEY) is None
        assert await house.search(ONE, Candidates(equal=(("Name", named("n")),))) == []
        assert await house.load(TWO, OTHER_KEY) is not None
        assert len(await house.journal()) == before + 1
        with pytest.raises(NotAuthorised):
            await house.commit(Unit(entries=(), principal=PRINCIPAL))

    @pytest.mark.parametrize(
        "removal",
        [Unit(entries=(), removed_certificates=(FINGERPRINT,)), Unit(entries=(), removed_instances=(ONE,))],
        ids=["certificate", "instance"],
    )
    async def test_catalog_forgets_whom_it_has_just_removed(self, house: Catalog, removal: Unit) -> None:
        """Also where the removal and the client's act are committed together, and the client was known a moment ago."""
        await house.commit(Unit(entries=(), principal=PRINCIPAL))
        acts = (removal, Unit(entries=(entry("lost"),), principal=PRINCIPAL))
        outcomes = await asyncio.gather(*(house.commit(act) for act in acts), return_exceptions=True)

        assert [type(each) for each in outcomes] == [type(None), NotAuthorised]
        assert not any("lost" in record.text for record in await house.journal())

    async def test_catalog_lets_a_removed_instance_be_made_anew(self, house: Catalog) -> None:
        """Name and certificates are free again."""
        await house.commit(Unit(entries=(), removed_instances=(ONE,)))
        await house.commit(Unit(entries=(), instances=(instance("3"),), certificates=(certificate(of="3"),)))

        assert (await house.authorise(FINGERPRINT)).instance == "3"

    async def test_catalog_removes_only_what_is_there(self, house: Catalog) -> None:
        """Of two that remove an instance at once the second is told, and does not bring it back."""
        await house.commit(Unit(entries=(), removed_instances=(ONE,)))
        marked = instance(status=InstanceStatus.REMOVING)
        for unit in (
            Unit(entries=(), removed_instances=(ONE,)),
            Unit(entries=(), unused=(ONE,), instances=(marked,)),
            Unit(entries=(), certificates=(certificate(),)),
        ):
            with pytest.raises(Conflict):
                await house.commit(unit)
        assert await house.instances() == [instance(TWO, "two")]

    async def test_catalog_counts_generations_of_removals(self, house: Catalog) -> None:
        """Whoever trusts certificates learns that an instance is gone."""
        before = await house.generation()
        await house.commit(Unit(entries=(), removed_instances=(ONE,)))

        assert await house.generation() > before

    async def test_catalog_lists_objects_in_pages(self, house: Catalog) -> None:
        """Oldest first, of this instance alone, without gap or repetition."""
        made = [key(numbered(n), date=100 - n) for n in range(7)]
        await house.commit(Unit(entries=(), inserted=(*made, key(numbered(9), TWO))))

        pages = [await house.listing(ONE, ALL, 0, limit=3, offset=offset) for offset in (0, 3, 6, 9)]

        assert [len(page) for page in pages] == [3, 3, 1, 0]
        assert [each.managed for page in pages for each in page] == made[::-1]
        assert await house.count_listing(ONE, ALL, 0) == 7

    async def test_catalog_lists_objects_by_the_state_that_time_has_made(self, house: Catalog) -> None:
        """Activation and Deactivation Dates that have come count, though nobody has written the new state down."""
        dates = {"Activation Date": 1000, "Deactivation Date": 2000}
        waiting = replace(key(numbered(1), attributes=dates), state=State.PRE_ACTIVE)
        ending = key(numbered(2), attributes={"Deactivation Date": 2000})
        never = replace(key(numbered(3), attributes={"Deactivation Date": 500}), state=State.PRE_ACTIVE)
        gone = replace(key(numbered(4), attributes=dates), state=State.DESTROYED)
        opaque = replace(key(numbered(5), attributes=dates), object_type=ObjectType.OPAQUE_OBJECT)
        await house.commit(Unit(entries=(), inserted=(waiting, ending, never, gone, opaque)))

        async def found(now: int) -> dict[State, list[int]]:
            pages = {state: await house.listing(ONE, {state}, now) for state in State}
            assert [len(page) for page in pages.values()] == [await house.count_listing(ONE, {s}, now) for s in pages]
            return {
                state: [int(each.managed.unique_identifier[-1]) for each in page]
                for state, page in pages.items()
                if page
            }

        assert await found(999) == {State.PRE_ACTIVE: [1, 3], State.ACTIVE: [2, 5], State.DESTROYED: [4]}
        assert await found(1000) == {State.PRE_ACTIVE: [3], State.ACTIVE: [1, 2, 5], State.DESTROYED: [4]}
        assert await found(2000) == {
            State.PRE_ACTIVE: [3],
            State.ACTIVE: [5],
            State.DEACTIVATED: [1, 2],
            State.DESTROYED: [4],
        }

    async def test_catalog_lists_dates_that_were_changed(self, house: Catalog) -> None:
        """An update moves them, too."""
        await house.commit(Unit(entries=(), inserted=(key(),)))
        changed = replace(key(attributes={"Deactivation Date": 2000}), version=2)
        await house.commit(Unit(entries=(), updated=(changed,)))

        assert await house.count_listing(ONE, {State.DEACTIVATED}, 2000) == 1

    async def test_catalog_tells_who_made_changed_and_destroyed_an_object(self, house: Catalog) -> None:
        """By certificate and by who has added it, or by an administrator; another instance's object is not told of."""
        await house.commit(Unit(entries=(entry("Create"),), principal=PRINCIPAL, inserted=(key(),)))
        listed = await house.listed(ONE, KEY)
        assert listed is not None
        assert (listed.created_by, listed.changed_by, listed.destroyed_by) == (CLIENT, CLIENT, None)

        act = entry("key.destroy", initiator=ADMINISTRATOR)
        await house.commit(Unit(entries=(act,), seen={KEY: 1}, updated=(destroyed(key(), 3),)))
        compromised = replace(key(), state=State.DESTROYED_COMPROMISED, version=4)
        await house.commit(Unit(entries=(entry("Revoke"),), updated=(compromised,)))

        (listed,) = await house.listing(ONE, {State.DESTROYED_COMPROMISED}, 0)
        assert (listed.created_by, listed.changed_by) == (CLIENT, CLIENT)
        assert listed.destroyed_by == Author(ADMINISTRATOR)
        assert listed.managed == compromised
        assert await house.listed(TWO, KEY) is None

    async def test_catalog_knows_who_let_a_removed_certificate_in(self, house: Catalog) -> None:
        """Objects outlive the certificates of those who have made them; whoever adds one again last is named."""
        await house.commit(Unit(entries=(entry("Create"),), principal=PRINCIPAL, inserted=(key(),)))
        await house.commit(Unit(entries=(), removed_certificates=(FINGERPRINT,)))
        assert await _creator(house) == CLIENT

        await house.commit(Unit(entries=(), certificates=(replace(certificate(), added_by=ADMINISTRATOR),)))
        assert await _creator(house) == Author(CLIENT.initiator, ADMINISTRATOR)

    async def test_catalog_names_as_creator_who_intended_an_object(self, house: Catalog) -> None:
        """Not the reconciler that has finished it."""
        await house.commit(Unit(entries=(entry("standard-key.intent"),), principal=PRINCIPAL, intents=(key(),)))
        await house.commit(Unit(entries=(entry("x", initiator="keyrack"),), seen={KEY: 0}, inserted=(key(),)))

        assert await _creator(house) == CLIENT

    async def test_catalog_takes_the_principal_for_the_author_of_an_act_without_entry(self, house: Catalog) -> None:
        """What is not journaled has an author all the same, if it stands on a certificate."""
        await house.commit(Unit(entries=(), principal=PRINCIPAL, inserted=(key(),)))
        await house.commit(Unit(entries=(), inserted=(key(OTHER_KEY),)))

        assert await _creator(house) == CLIENT
        assert await _creator(house, OTHER_KEY) == Author("")


async def _creator(house: Catalog, of: str = KEY) -> Author | None:
    listed = await house.listed(ONE, of)
    return listed.created_by if listed else None
