"""What every catalog promises to those who look after key managers: a suite beside ``catalog_contract``."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from keyrack.domain.instances import Hierarchy, Home, Instance, InstanceStatus, Principal, Storage, WrappingKey
from keyrack.ports.catalog import (
    AlreadyThere,
    Candidates,
    Catalog,
    Conflict,
    InstanceChanged,
    InstanceSealed,
    Leftover,
    NotAuthorised,
    Touch,
    Unit,
    Validation,
)
from keyrack.spec.enumerations import State
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
)

SEALED = replace(instance(), sealed_at=1_800_000_000)
WRAPPING_KEY = WrappingKey(
    unique_identifier="33333333-3333-4333-8333-333333333333",
    instance=ONE,
    created_at=1_700_000_000,
    sealed=b"sealed wrapping key",
)
LOOKED = Validation(instance=ONE, at=1_800_000_000, since=1_700_000_000)


def leftover(standard_key: str = "sk-1", of: str = ONE, **changes: Any) -> Leftover:
    """A standard key that is of no use any more."""
    held: dict[str, Any] = {"key_manager": "kp", "unique_identifier": KEY, "why": "rewrapped", "at": 1_800_000_000}
    return Leftover(standard_key=standard_key, instance=of, **held | changes)


class CareContract:
    """The suite. Each test begins with two instances, a certificate and a key of the first."""

    @pytest.fixture
    async def tended(self, catalog: Catalog) -> Catalog:
        """A catalog with two instances, and a certificate and a key of the first."""
        await catalog.commit(
            Unit(
                entries=(entry("instance.create"),),
                instances=(instance(), instance(TWO, "two")),
                certificates=(certificate(),),
                inserted=(key(),),
            )
        )
        return catalog

    # --- instances as a decision has seen them ---

    @pytest.mark.parametrize(
        "changed",
        [
            replace(instance(), root_key="another"),
            replace(instance(), key_manager="kp"),
            replace(instance(), storage=Storage.KEY_MANAGER),
            replace(instance(), former=Home("kp", "another")),
            replace(instance(), sealed_at=1_800_000_000),
        ],
        ids=["root key", "key manager", "storage", "former", "seal"],
    )
    async def test_catalog_refuses_what_was_decided_on_another_instance(
        self, tended: Catalog, changed: Instance
    ) -> None:
        """A key that was sealed under a root key which its instance has left is not inserted, nor intended."""
        await tended.commit(Unit(entries=(), instances=(changed,)))

        for act in ({"inserted": (key(OTHER_KEY),)}, {"intents": (key(OTHER_KEY),)}, {"instances": (instance(),)}):
            with pytest.raises(InstanceChanged):
                await tended.commit(Unit(entries=(entry("lost"),), seen_instances=(instance(),), **act))

        assert [changed] == [each for each in await tended.instances() if each.identifier == ONE]
        assert (await tended.count(ONE), await tended.intents()) == (1, [])
        assert not any("lost" in record.text for record in await tended.journal())

    async def test_catalog_takes_an_instance_that_was_only_touched_for_the_same(self, tended: Catalog) -> None:
        """Another certificate changes nothing of where its keys are wrapped."""
        await tended.commit(Unit(entries=(), touched=(Touch(ONE, 1_800_000_000, "local-user-ann"),)))

        await tended.commit(Unit(entries=(), seen_instances=(instance(),), inserted=(key(OTHER_KEY),)))

        assert await tended.count(ONE) == 2

    async def test_catalog_compares_instances_in_the_order_of_commits(self, tended: Catalog) -> None:
        """Two changes of one instance in the same transaction: the second was decided on what is no more."""
        acts = (
            Unit(entries=(), seen_instances=(instance(),), instances=(replace(instance(), root_key="another"),)),
            Unit(entries=(), seen_instances=(instance(),), inserted=(key(OTHER_KEY),)),
        )
        outcomes = await asyncio.gather(*(tended.commit(act) for act in acts), return_exceptions=True)

        assert [type(each) for each in outcomes] == [type(None), InstanceChanged]

    async def test_catalog_refuses_what_was_decided_on_an_instance_that_is_gone(self, tended: Catalog) -> None:
        """Nobody brings it back by writing it."""
        await tended.commit(Unit(entries=(), removed_instances=(TWO,)))

        with pytest.raises(InstanceChanged):
            await tended.commit(
                Unit(entries=(), seen_instances=(instance(TWO, "two"),), instances=(instance(TWO, "two"),))
            )

    # --- seals ---

    @pytest.mark.parametrize(
        "unit",
        [
            Unit(entries=(entry("lost"),), principal=PRINCIPAL),
            Unit(entries=(entry("lost"),), principal=PRINCIPAL, seen={KEY: 1}),
            Unit(entries=(entry("lost"),), principal=PRINCIPAL, inserted=(key(OTHER_KEY),)),
            Unit(entries=(entry("lost"),), principal=PRINCIPAL, updated=(replace(key(), version=2),)),
            Unit(entries=(entry("lost"),), principal=PRINCIPAL, intents=(key(OTHER_KEY),)),
        ],
        ids=["record", "read", "insert", "update", "intend"],
    )
    async def test_catalog_refuses_every_act_in_a_sealed_instance(self, tended: Catalog, unit: Unit) -> None:
        """Whatever a client does there is refused at the commit, and nothing of it is kept."""
        await tended.commit(Unit(entries=(), principal=PRINCIPAL, seen={KEY: 1}))
        await tended.commit(Unit(entries=(), instances=(SEALED,)))

        with pytest.raises(InstanceSealed):
            await tended.commit(unit)

        assert await tended.load(ONE, KEY) == key()
        assert await tended.count(ONE) == 1
        assert await tended.intents() == []
        assert not any("lost" in record.text for record in await tended.journal())

    async def test_catalog_seals_against_what_is_committed_with_the_seal(self, tended: Catalog) -> None:
        """A client that was known a moment ago, in the same transaction: it comes after the seal."""
        await tended.commit(Unit(entries=(), principal=PRINCIPAL))
        acts = (
            Unit(entries=(entry("kept"),), principal=PRINCIPAL),
            Unit(entries=(), instances=(SEALED,)),
            Unit(entries=(entry("lost"),), principal=PRINCIPAL),
        )
        outcomes = await asyncio.gather(*(tended.commit(act) for act in acts), return_exceptions=True)

        assert [type(each) for each in outcomes] == [type(None), type(None), InstanceSealed]
        texts = [record.text for record in await tended.journal()]
        assert [any(word in text for text in texts) for word in ("kept", "lost")] == [True, False]

    async def test_catalog_knows_the_clients_of_a_sealed_instance(self, tended: Catalog) -> None:
        """They may ask, so that they can be told; administrators work on."""
        await tended.commit(Unit(entries=(), instances=(SEALED,)))

        assert await tended.authorise(FINGERPRINT) == PRINCIPAL
        await tended.commit(Unit(entries=(entry("refused"),), seen={KEY: 1}, updated=(replace(key(), version=2),)))
        await tended.commit(Unit(entries=(), instances=(instance(),)))
        await tended.commit(Unit(entries=(entry(),), principal=PRINCIPAL, seen={KEY: 2}))

    async def test_catalog_tells_strangers_nothing_of_a_seal(self, tended: Catalog) -> None:
        """Who is not of the instance, or no longer, is not authorised, sealed or not; nor is anybody where it is not
        Installed."""
        await tended.commit(Unit(entries=(), instances=(SEALED,), certificates=(certificate("b" * 64, TWO),)))

        for fingerprint in ("b" * 64, "c" * 64):
            with pytest.raises(NotAuthorised):
                await tended.commit(Unit(entries=(), principal=Principal(fingerprint=fingerprint, instance=ONE)))
        await tended.commit(Unit(entries=(), principal=Principal(fingerprint="b" * 64, instance=TWO)))
        await tended.commit(Unit(entries=(), instances=(replace(SEALED, status=InstanceStatus.REMOVING),)))
        with pytest.raises(NotAuthorised):
            await tended.commit(Unit(entries=(), principal=PRINCIPAL))

    # --- instances and objects ---

    @pytest.mark.parametrize(
        "changes",
        [
            {"hierarchy": Hierarchy.TWO_LEVEL},
            {"sealed_at": 1_800_000_000},
            {"former": Home("kp", "old root key")},
            {"hierarchy": Hierarchy.TWO_LEVEL, "sealed_at": 0, "former": Home("hpcs", "")},
        ],
    )
    async def test_catalog_gives_an_instance_back_as_it_was(self, tended: Catalog, changes: dict[str, Any]) -> None:
        """Changed, or new; back again as well. Each change is one of the generation."""
        before = await tended.generation()
        changed = (replace(instance(), **changes), replace(instance("3", "xyz"), **changes))
        await tended.commit(Unit(entries=(), instances=changed))

        assert await tended.instances() == [changed[0], instance(TWO, "two"), changed[1]]
        assert await tended.generation() > before
        await tended.commit(Unit(entries=(), instances=(instance(),)))
        assert (await tended.instances())[0] == instance()

    async def test_catalog_keeps_since_when_an_object_is_withheld(self, tended: Catalog) -> None:
        """In every way to read it: changed, new, intended, and given back."""
        withheld = replace(key(), withheld_at=1_800_000_000, version=2)
        made = replace(key(OTHER_KEY), withheld_at=1_800_000_001)
        await tended.commit(Unit(entries=(), updated=(withheld,), intents=(made,)))
        assert await tended.intents() == [made]
        await tended.commit(Unit(entries=(), inserted=(made,)))

        listed = await tended.listing(ONE, frozenset(State), 0)
        assert [await tended.load(ONE, each) for each in (KEY, OTHER_KEY)] == [withheld, made]
        assert [*await tended.objects(ONE)] == [*await tended.search(ONE, Candidates())] == [withheld, made]
        assert [each.managed for each in listed] == [withheld, made]
        restored = replace(withheld, withheld_at=None, version=3)
        await tended.commit(Unit(entries=(), updated=(restored,)))
        assert await tended.load(ONE, KEY) == restored

    # --- wrapping keys ---

    async def test_catalog_keeps_a_wrapping_key(self, tended: Catalog) -> None:
        """One of an instance, which may come with it; every change is the next version."""
        assert await tended.wrapping_key(ONE) is None
        third = replace(WRAPPING_KEY, unique_identifier="w3", instance="3")
        await tended.commit(Unit(entries=(), instances=(instance("3", "xyz"),), wrapping_keys=(WRAPPING_KEY, third)))
        assert (await tended.wrapping_key(ONE), await tended.wrapping_key("3")) == (WRAPPING_KEY, third)

        changed = WRAPPING_KEY.changed(sealed=b"rewrapped", standard_key="sk-2", withheld_at=1_800_000_000)
        await tended.commit(Unit(entries=(), wrapping_keys=(changed,)))
        assert (await tended.wrapping_key(ONE), await tended.wrapping_key("3")) == (changed, third)
        assert await tended.wrapping_key(TWO) is None

    @pytest.mark.parametrize(
        ("wanted", "refusal"),
        [
            (WRAPPING_KEY, AlreadyThere),
            (replace(WRAPPING_KEY, unique_identifier="another"), AlreadyThere),
            (replace(WRAPPING_KEY, instance=TWO), AlreadyThere),
            (replace(WRAPPING_KEY, version=3), Conflict),
            (replace(WRAPPING_KEY, version=2, unique_identifier="another"), Conflict),
            (replace(WRAPPING_KEY, version=2, instance=TWO), Conflict),
            (replace(WRAPPING_KEY, unique_identifier="another", instance="no such instance"), Conflict),
        ],
        ids=["again", "second", "identifier", "version", "other", "no key", "no instance"],
    )
    async def test_catalog_refuses_other_wrapping_keys(
        self, tended: Catalog, wanted: WrappingKey, refusal: type[Exception]
    ) -> None:
        """A second one of an instance, a second of an identifier, a change of what has changed; and all of the unit."""
        await tended.commit(Unit(entries=(), wrapping_keys=(WRAPPING_KEY,)))

        with pytest.raises(refusal):
            await tended.commit(
                Unit(
                    entries=(entry("lost"),),
                    wrapping_keys=(wanted,),
                    updated=(replace(key(), version=2),),
                    leftovers=(leftover(),),
                )
            )

        assert (await tended.wrapping_key(ONE), await tended.wrapping_key(TWO)) == (WRAPPING_KEY, None)
        assert (await tended.load(ONE, KEY), await tended.leftovers()) == (key(), [])
        assert not any("lost" in record.text for record in await tended.journal())

    async def test_catalog_lets_one_change_of_a_wrapping_key_win(self, tended: Catalog) -> None:
        """Two that rewrap it at once: the second is told."""
        await tended.commit(Unit(entries=(), wrapping_keys=(WRAPPING_KEY,)))
        changes = [
            tended.commit(Unit(entries=(), wrapping_keys=(WRAPPING_KEY.changed(sealed=s),))) for s in (b"1", b"2")
        ]
        outcomes = await asyncio.gather(*changes, return_exceptions=True)

        assert [type(each) for each in outcomes] == [type(None), Conflict]
        assert await tended.wrapping_key(ONE) == WRAPPING_KEY.changed(sealed=b"1")

    # --- leftovers and validations ---

    async def test_catalog_lists_leftovers_oldest_first(self, tended: Catalog) -> None:
        """Of all, or of one instance; the same identifier in another key manager is another standard key."""
        one, two, three = leftover("b", at=2), leftover("a", TWO, at=1), leftover("b", key_manager="hpcs", at=2)
        await tended.commit(Unit(entries=(), leftovers=(one, two, three)))

        assert await tended.leftovers() == [two, one, three]
        assert (await tended.leftovers(ONE), await tended.leftovers(TWO)) == ([one, three], [two])
        await tended.commit(Unit(entries=(), cleared=(one, leftover("never there"))))
        assert await tended.leftovers() == [two, three]

    async def test_catalog_remembers_a_leftover_once(self, tended: Catalog) -> None:
        """What is remembered already stays as it is; what was cleared may come again."""
        await tended.commit(Unit(entries=(), leftovers=(leftover(), leftover(why="moved"))))
        await tended.commit(Unit(entries=(), leftovers=(leftover(TWO, why="storage"), leftover(at=1))))
        assert await tended.leftovers(ONE) == [leftover(), leftover(TWO, why="storage")]

        await tended.commit(Unit(entries=(), cleared=(leftover(at=9),)))
        await tended.commit(Unit(entries=(), leftovers=(leftover(at=5),)))
        assert leftover(at=5) in await tended.leftovers()

    async def test_catalog_remembers_a_leftover_with_the_change_that_leaves_it(self, tended: Catalog) -> None:
        """Both, or neither."""
        switched = Unit(entries=(), updated=(replace(key(), version=2, standard_key="new"),), leftovers=(leftover(),))
        outcomes = await asyncio.gather(
            tended.commit(switched),
            tended.commit(replace(switched, leftovers=(leftover("lost"),))),
            return_exceptions=True,
        )

        assert [type(each) for each in outcomes] == [type(None), Conflict]
        assert await tended.leftovers() == [leftover()]

    async def test_catalog_keeps_the_last_validation(self, tended: Catalog) -> None:
        """Of each instance the last one, whole; nothing of one that is gone, and that is no error."""
        worse = replace(
            LOOKED,
            at=LOOKED.at + 10,
            since=LOOKED.at + 10,
            reason="root-key",
            told="the root key is disabled",
            root_key_state=2,
            root_key_version="v2",
            behind=7,
            synced_at=LOOKED.at,
            withheld=1,
            strangers=2,
        )
        await tended.commit(Unit(entries=(), validations=(LOOKED, replace(LOOKED, instance=TWO))))
        await tended.commit(Unit(entries=(), validations=(worse, replace(LOOKED, instance="gone"))))
        assert await tended.validations() == {ONE: worse, TWO: replace(LOOKED, instance=TWO)}

        await tended.commit(Unit(entries=(), validations=(LOOKED,)))
        assert (await tended.validations())[ONE] == LOOKED

    async def test_catalog_disturbs_nobody_with_what_it_remembers(self, tended: Catalog) -> None:
        """Neither the generation nor a version moves, and nothing is journaled that has no entry."""
        before = await tended.generation(), len(await tended.journal())
        await tended.commit(Unit(entries=(), validations=(LOOKED,), leftovers=(leftover(),), cleared=(leftover("x"),)))

        assert (await tended.generation(), len(await tended.journal())) == before
        await tended.commit(Unit(entries=(entry("key.withhold"),), principal=PRINCIPAL, seen={KEY: 1}))

    async def test_catalog_removes_an_instance_with_what_it_remembers_of_it(self, tended: Catalog) -> None:
        """Its wrapping key, its leftovers and what was found out about it; others' stay."""
        other = replace(WRAPPING_KEY, unique_identifier="w2", instance=TWO)
        looked = replace(LOOKED, instance=TWO)
        await tended.commit(
            Unit(
                entries=(),
                updated=(replace(key(), state=State.DESTROYED, version=2),),
                wrapping_keys=(WRAPPING_KEY, other),
                leftovers=(leftover(), leftover("sk-2", TWO)),
                validations=(LOOKED, looked),
            )
        )
        await tended.commit(Unit(entries=(), removed_instances=(ONE,)))

        assert (await tended.wrapping_key(ONE), await tended.wrapping_key(TWO)) == (None, other)
        assert await tended.leftovers() == [leftover("sk-2", TWO)]
        assert await tended.validations() == {TWO: looked}
        await tended.commit(Unit(entries=(), instances=(instance(),), wrapping_keys=(WRAPPING_KEY,)))
        assert await tended.wrapping_key(ONE) == WRAPPING_KEY
