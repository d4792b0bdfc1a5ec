"""What every catalog promises, as one suite: a subclass gives the ``catalog`` fixture and inherits the tests.

class TestMine(CatalogContract):
    @pytest.fixture
    async def catalog(self): ...
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from keyrack.domain.instances import InstanceStatus, Principal
from keyrack.domain.objects import Form
from keyrack.ports.catalog import AlreadyThere, Candidates, Catalog, Conflict, NotAuthorised, Unit
from keyrack.service.journal.chain import verify
from keyrack.spec.enumerations import LinkType, ObjectType, State
from keyrack.spec.structures import AlternativeName, ApplicationSpecificInformation, Link
from keyrack.spec.types import CustomValue, ItemType
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


class CatalogContract:
    """The suite. Each test begins with an empty catalog."""

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

    async def test_catalog_means_an_instance_by_a_certificate(self, house: Catalog) -> None:
        """A certificate in force means its instance."""
        assert await house.authorise(FINGERPRINT) == PRINCIPAL

    async def test_catalog_knows_no_stranger(self, house: Catalog) -> None:
        """A fingerprint that was never added means nothing."""
        with pytest.raises(NotAuthorised):
            await house.authorise("b" * 64)

    async def test_catalog_forgets_a_removed_certificate_at_once(self, house: Catalog) -> None:
        """After the removal is committed, neither a look-up nor a commit stands on the certificate."""
        await house.commit(Unit(entries=(), principal=PRINCIPAL))
        await house.commit(Unit(entries=(), removed_certificates=(FINGERPRINT,)))

        with pytest.raises(NotAuthorised):
            await house.authorise(FINGERPRINT)
        with pytest.raises(NotAuthorised):
            await house.commit(Unit(entries=(entry(),), principal=PRINCIPAL))

    @pytest.mark.parametrize("status", [each for each in InstanceStatus if each is not InstanceStatus.INSTALLED])
    async def test_catalog_serves_installed_instances_only(self, house: Catalog, status: InstanceStatus) -> None:
        """An instance in any other status authorises nobody."""
        await house.commit(Unit(entries=(), instances=(instance(status=status),)))

        with pytest.raises(NotAuthorised):
            await house.authorise(FINGERPRINT)
        with pytest.raises(NotAuthorised):
            await house.commit(Unit(entries=(), principal=PRINCIPAL))

    async def test_catalog_checks_whose_certificate_it_is(self, house: Catalog) -> None:
        """A principal that claims another instance than its certificate's is refused."""
        with pytest.raises(NotAuthorised):
            await house.commit(Unit(entries=(), principal=Principal(fingerprint=FINGERPRINT, instance=TWO)))

    async def test_catalog_gives_an_object_back_as_it_was(self, house: Catalog) -> None:
        """What is inserted is loaded, equal in every field."""
        made = replace(key(Name=named("first")), form=Form(key_format_type=0x80000001, subtype=3, wrapped=True))
        await house.commit(Unit(entries=(), principal=PRINCIPAL, seen={KEY: 0}, inserted=(made,)))

        assert await house.load(ONE, KEY) == made
        assert await house.stored_blob(ONE, KEY) == made.sealed

    async def test_catalog_hides_foreign_objects_like_absent_ones(self, house: Catalog) -> None:
        """Another instance's object is not there; neither is one that never was."""
        await house.commit(Unit(entries=(), inserted=(key(),)))

        assert await house.load(TWO, KEY) is None
        assert await house.load(ONE, OTHER_KEY) is None
        assert await house.stored_blob(TWO, KEY) is None

    async def test_catalog_keeps_changes(self, house: Catalog) -> None:
        """An update replaces state, attributes, form, blob, standard key and version."""
        await house.commit(Unit(entries=(), inserted=(key(),)))
        changed = replace(
            key(Comment="new"),
            state=State.DESTROYED,
            form=Form(key_format_type=None),
            sealed=None,
            standard_key="sk",
            version=2,
        )
        await house.commit(Unit(entries=(), principal=PRINCIPAL, seen={KEY: 1}, updated=(changed,)))

        assert await house.load(ONE, KEY) == changed

    async def test_catalog_takes_several_steps_in_one_unit(self, house: Catalog) -> None:
        """A unit may bring an object more than one version on."""
        await house.commit(Unit(entries=(), inserted=(key(),)))
        changed = replace(key(), version=3)
        await house.commit(Unit(entries=(), seen={KEY: 1}, updated=(changed,)))

        assert await house.load(ONE, KEY) == changed

    async def test_catalog_refuses_a_change_of_what_has_changed(self, house: Catalog) -> None:
        """Two changes on one version: the second is a conflict, and leaves nothing behind."""
        await house.commit(Unit(entries=(), inserted=(key(),)))
        await house.commit(Unit(entries=(), seen={KEY: 1}, updated=(replace(key(), version=2),)))

        with pytest.raises(Conflict):
            await house.commit(
                Unit(
                    entries=(entry("lost"),),
                    seen={KEY: 1},
                    inserted=(key(OTHER_KEY),),
                    updated=(replace(key(Comment="lost"), version=2),),
                )
            )

        assert await house.load(ONE, OTHER_KEY) is None
        assert not any("lost" in record.text for record in await house.journal())

    async def test_catalog_refuses_to_release_what_has_changed(self, house: Catalog) -> None:
        """A unit that only reads, a Get, conflicts too if the object it saw was changed, or was not there (0)."""
        await house.commit(Unit(entries=(), inserted=(key(),)))
        await house.commit(Unit(entries=(), seen={KEY: 1}, updated=(replace(key(), version=2),)))

        for version in (0, 1, 3):
            with pytest.raises(Conflict):
                await house.commit(Unit(entries=(entry(),), principal=PRINCIPAL, seen={KEY: version}))

    async def test_catalog_updates_only_what_is_there(self, house: Catalog) -> None:
        """A change of an absent object, or of another instance's, is a conflict."""
        await house.commit(Unit(entries=(), inserted=(key(OTHER_KEY, TWO),)))
        for absent in (key(version_of := KEY), key(OTHER_KEY)):
            with pytest.raises(Conflict):
                await house.commit(Unit(entries=(), updated=(replace(absent, version=2),)))
        with pytest.raises(Conflict):
            await house.commit(Unit(entries=(), principal=PRINCIPAL, seen={OTHER_KEY: 1}))
        assert await house.load(ONE, version_of) is None

    async def test_catalog_lets_one_of_many_win(self, house: Catalog) -> None:
        """Of many changes of one version at the same time exactly one is kept, and the others are told."""
        await house.commit(Unit(entries=(), inserted=(key(),)))
        changes = [
            house.commit(Unit(entries=(entry(),), seen={KEY: 1}, updated=(replace(key(Comment=str(n)), version=2),)))
            for n in range(8)
        ]
        outcomes = await asyncio.gather(*changes, return_exceptions=True)

        assert [type(each) for each in outcomes].count(Conflict) == 7
        winner = await house.load(ONE, KEY)
        assert winner is not None
        assert winner.value("Comment") == str(outcomes.index(None))

    async def test_catalog_keeps_the_others_of_a_batch(self, house: Catalog) -> None:
        """A unit that fails does not hurt those that are committed with it."""
        units = [Unit(entries=(entry(str(n)),), principal=PRINCIPAL, inserted=(key(numbered(n)),)) for n in range(6)]
        units[1] = replace(units[1], principal=Principal(fingerprint="b" * 64, instance=ONE))
        units[3] = replace(units[3], inserted=(key(numbered(3)), key(numbered(0))))
        units[4] = replace(units[4], inserted=(key(numbered(4)), key(numbered(9), "no such instance")))
        outcomes = await asyncio.gather(*(house.commit(unit) for unit in units), return_exceptions=True)

        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [type(None), NotAuthorised, type(None), AlreadyThere, Conflict, type(None)]
        kept = [n for n in range(6) if await house.load(ONE, numbered(n))]
        assert kept == [0, 2, 5]
        journal = [record.text for record in await house.journal()]
        assert [n for n in range(6) if any(f'"action":"{n}"' in text for text in journal)] == [0, 2, 5]

    @pytest.mark.parametrize(
        "unit",
        [
            Unit(entries=(), certificates=(certificate(of=TWO),)),
            Unit(entries=(), instances=(instance("3", "one"),)),
            Unit(entries=(), inserted=(key(), key())),
        ],
        ids=["fingerprint", "instance's name", "unique identifier"],
    )
    async def test_catalog_keeps_unique_what_must_be(self, house: Catalog, unit: Unit) -> None:
        """A fingerprint means one instance, a name one instance, an identifier one object."""
        if unit.inserted:
            await house.commit(Unit(entries=(), inserted=(key(),)))
        with pytest.raises(AlreadyThere):
            await house.commit(unit)
        assert await house.authorise(FINGERPRINT) == PRINCIPAL

    async def test_catalog_moves_a_certificate_in_one_unit(self, house: Catalog) -> None:
        """A certificate may be removed from one instance and added to another at once."""
        moved = certificate(of=TWO)
        await house.commit(Unit(entries=(), removed_certificates=(FINGERPRINT,), certificates=(moved,)))

        assert await house.certificates() == [moved]
        assert await house.certificates(ONE) == []

    async def test_catalog_lets_one_object_bear_a_new_name(self, house: Catalog) -> None:
        """Of two objects that take a name at once one wins; another instance may have the same name."""
        units = [
            Unit(entries=(), inserted=(key(KEY, Name=named("n")),), new_names=("n",)),
            Unit(entries=(), inserted=(key(OTHER_KEY, Name=named("n")),), new_names=("n",)),
            Unit(entries=(), inserted=(key(numbered(7), TWO, Name=named("n")),), new_names=("n",)),
        ]
        outcomes = await asyncio.gather(*(house.commit(unit) for unit in units), return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [type(None), AlreadyThere, type(None)]

    async def test_catalog_frees_the_name_of_a_destroyed_object(self, house: Catalog) -> None:
        """A destroyed object's name may be another's."""
        destroyed = replace(key(Name=named("n")), state=State.DESTROYED)
        await house.commit(Unit(entries=(), inserted=(destroyed,)))
        await house.commit(Unit(entries=(), inserted=(key(OTHER_KEY, Name=named("n")),), new_names=("n",)))

        assert await house.count(ONE) == 2

    async def test_catalog_searches_oldest_first(self, house: Catalog) -> None:
        """By Initial Date, then in the order of creation; of this instance alone."""
        dates = [30, 10, 20, 10]
        made = [key(numbered(n), date=date) for n, date in enumerate(dates)]
        await house.commit(Unit(entries=(), inserted=(*made, key(numbered(9), TWO))))

        found = await house.search(ONE, Candidates())
        assert [each.unique_identifier for each in found] == [numbered(n) for n in (1, 3, 2, 0)]

    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("Name", named("wanted"), "wanted"),
            ("Object Group", "wanted", "wanted"),
            ("Alternative Name", AlternativeName(alternative_name_value="wanted", alternative_name_type=1), "wanted"),
            (
                "Application Specific Information",
                ApplicationSpecificInformation(application_namespace="ssl", application_data="wanted"),
                "wanted",
            ),
            ("Link", Link(link_type=LinkType.PREVIOUS_LINK, linked_object_identifier=OTHER_KEY), OTHER_KEY),
            ("x-Component", CustomValue(ItemType.TEXT_STRING, "wanted"), "wanted"),
            ("Name", named("long " * 100 + "wanted"), "long " * 100 + "wanted"),
            ("x-" + "long " * 100, CustomValue(ItemType.TEXT_STRING, "wanted"), "wanted"),
        ],
    )
    async def test_catalog_finds_by_equality(self, house: Catalog, name: str, value: Any, text: str) -> None:
        """An indexed attribute finds by the whole value and by its text; a near one does not; an update moves it."""
        await house.commit(
            Unit(entries=(), inserted=(key(attributes={name: value}), key(OTHER_KEY), key(numbered(9), TWO)))
        )

        for wanted in (value, text):
            found = await house.search(ONE, Candidates(equal=((name, wanted),)))
            assert [each.unique_identifier for each in found] == [KEY]
        assert await house.search(ONE, Candidates(equal=((name, text + "x"),))) == []
        assert await house.search(TWO, Candidates(equal=((name, value),))) == []
        await house.commit(Unit(entries=(), updated=(replace(key(), version=2),)))
        assert await house.search(ONE, Candidates(equal=((name, value),))) == []

    async def test_catalog_narrows_by_every_condition(self, house: Catalog) -> None:
        """Object type, state, several attributes and the Unique Identifier together."""
        one = key(attributes={"Object Group": "g"}, Name=named("n"))
        two = replace(key(OTHER_KEY, attributes={"Object Group": "g"}), state=State.PRE_ACTIVE)
        await house.commit(Unit(entries=(), inserted=(one, two)))

        async def found(**conditions: Any) -> list[str]:
            return [each.unique_identifier for each in await house.search(ONE, Candidates(**conditions))]

        group = ("Object Group", "g")
        assert await found(equal=(group,)) == [KEY, OTHER_KEY]
        assert await found(equal=(group, ("Name", named("n")))) == [KEY]
        assert await found(equal=(group,), state=State.PRE_ACTIVE) == [OTHER_KEY]
        assert await found(object_type=ObjectType.CERTIFICATE) == []
        assert await found(equal=(("Unique Identifier", OTHER_KEY), group)) == [OTHER_KEY]

    async def test_catalog_ignores_what_it_has_no_index_for(self, house: Catalog) -> None:
        """A condition that the catalog cannot look up narrows nothing: the law decides later."""
        await house.commit(Unit(entries=(), inserted=(key(),)))
        unknown = (
            ("Contact Information", "x"),
            ("x-number", CustomValue(ItemType.INTEGER, 1)),
            ("Application Specific Information", ApplicationSpecificInformation(application_namespace="ssl")),
        )
        assert len(await house.search(ONE, Candidates(equal=unknown))) == 1

    async def test_catalog_pages_objects(self, house: Catalog) -> None:
        """Pages follow each other without gap or repetition, in the order of creation."""
        await house.commit(Unit(entries=(), inserted=[key(numbered(n), date=100 - n) for n in range(7)]))
        seen: list[str] = []
        while page := await house.objects(ONE, seen[-1] if seen else "", 3):
            seen += [each.unique_identifier for each in page]

        assert seen == [numbered(n) for n in range(7)]
        assert await house.count(ONE) == 7
        assert await house.count(TWO) == 0

    async def test_catalog_keeps_intents_apart(self, house: Catalog) -> None:
        """An intent is no object yet; inserting it, or settling it, ends it."""
        await house.commit(Unit(entries=(), principal=PRINCIPAL, intents=(key(), key(OTHER_KEY))))
        assert await house.load(ONE, KEY) is None
        assert await house.search(ONE, Candidates()) == []
        assert await house.intents() == [key(), key(OTHER_KEY)]

        await house.commit(Unit(entries=(), inserted=(key(),), settled=(OTHER_KEY,), intended=(KEY, OTHER_KEY)))
        assert await house.intents() == []
        assert await house.load(ONE, KEY) == key()
        with pytest.raises(Conflict):
            await house.commit(Unit(entries=(), inserted=(key(OTHER_KEY),), intended=(OTHER_KEY,)))
        assert await house.load(ONE, OTHER_KEY) is None

    async def test_catalog_lists_instances_and_certificates(self, house: Catalog) -> None:
        """Every field comes back; an instance that is put again is replaced."""
        changed = replace(instance(), name="zero", status=InstanceStatus.REMOVING)
        await house.commit(Unit(entries=(), instances=(changed,)))

        assert await house.instances() == [instance(TWO, "two"), changed]
        assert await house.certificates() == [certificate()]

    async def test_catalog_counts_generations(self, house: Catalog) -> None:
        """Each change of instances or certificates makes the generation grow; objects and records do not."""
        generations = [await house.generation()]
        for unit in (
            Unit(entries=(), instances=(instance(status=InstanceStatus.REMOVING),)),
            Unit(entries=(), certificates=(certificate("c" * 64),)),
            Unit(entries=(), removed_certificates=("c" * 64,)),
        ):
            await house.commit(unit)
            generations.append(await house.generation())
        await house.commit(Unit(entries=(entry(),), inserted=(key(),)))

        assert generations == sorted(set(generations))
        assert await house.generation() == generations[-1]

    async def test_catalog_chains_its_journal(self, house: Catalog) -> None:
        """Entries are kept in order, numbered without gap, and their chain is sound."""
        await asyncio.gather(
            *(house.commit(Unit(entries=(entry(f"{n}a"), entry(f"{n}b")), principal=PRINCIPAL)) for n in range(20))
        )
        records = await house.journal()

        assert [record.sequence for record in records] == list(range(1, 42))
        assert [f'"{n}{half}"' for n in range(20) for half in "ab"] == [_action(each.text) for each in records[1:]]
        assert verify(records).flaws == ()

    async def test_catalog_pages_its_journal(self, house: Catalog) -> None:
        """``after`` continues where the page before ended."""
        await house.commit(Unit(entries=[entry(str(n)) for n in range(9)]))
        pages, after = [], 0
        while page := await house.journal(after, 4):
            pages.append(len(page))
            after = page[-1].number

        assert pages == [4, 4, 2]

    async def test_catalog_tells_where_each_chain_ends(self, house: Catalog) -> None:
        """The head is the sequence of the last record."""
        await house.commit(Unit(entries=[entry(str(n)) for n in range(9)]))
        last = (await house.journal())[-1]

        assert await house.journal_heads() == {last.chain: last.sequence}

    async def test_catalog_refuses_what_is_no_attribute(self, house: Catalog) -> None:
        """A value that could not be given back is refused before anything is written."""
        with pytest.raises(TypeError):
            await house.commit(Unit(entries=(entry("lost"),), inserted=(key(attributes={"No Such Attribute": 1}),)))

        assert await house.count(ONE) == 0
        assert not any("lost" in record.text for record in await house.journal())


def _action(text: str) -> str:
    return text.partition(":")[2].partition(",")[0]
