"""What every catalog promises about instances: what they are held to, and when one may go. Beside ``catalog_contract``,
whose ``catalog`` it takes.
"""

import asyncio
from dataclasses import replace

import pytest

from keyrack.domain.instances import Credential, Home, InstanceStatus, Quotas
from keyrack.ports.catalog import (
    AlreadyThere,
    Catalog,
    Conflict,
    InstanceChanged,
    NotAuthorised,
    QuotaReached,
    StillHangs,
    Unit,
)
from keyrack.spec.enumerations import State
from keyrack.testing.care_contract import leftover
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
    numbered,
)

HELD = replace(
    instance(),
    reason="as its administrator wants it",
    quotas=Quotas(keys=3, certificates=2, requests=7),
    credential=Credential(username="vSphere", password="$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA", required=True),
    dual_control_at=1_800_000_000,
)


class InstanceContract:
    """The suite. Each test begins with two instances, and a certificate of the first."""

    @pytest.fixture
    async def house(self, catalog: Catalog) -> Catalog:
        """A catalog with two instances, and a certificate of the first."""
        await catalog.commit(
            Unit(entries=(), instances=(instance(), instance(TWO, "two")), certificates=(certificate(),))
        )
        return catalog

    async def test_catalog_keeps_what_an_instance_is_held_to(self, house: Catalog) -> None:
        """Reason, quotas, credential and dual control come back as they were, and who has seen another is told."""
        await house.commit(Unit(entries=(), instances=(HELD,)))

        assert await house.instances() == [HELD, instance(TWO, "two")]
        for other in (replace(HELD, reason=""), replace(HELD, quotas=Quotas()), replace(HELD, credential=None)):
            with pytest.raises(InstanceChanged):
                await house.commit(Unit(entries=(), seen_instances=(other,)))
        await house.commit(Unit(entries=(), seen_instances=(HELD,)))

    async def test_catalog_serves_an_instance_whose_keys_move(self, house: Catalog) -> None:
        """It is Configuring, and so is one whose root key is being proved, which nobody is served by."""
        moving = instance(status=InstanceStatus.CONFIGURING)
        await house.commit(Unit(entries=(), instances=(replace(moving, former=Home("embedded", "former")),)))
        assert await house.authorise(FINGERPRINT) == PRINCIPAL
        await house.commit(Unit(entries=(), principal=PRINCIPAL))

        await house.commit(Unit(entries=(), instances=(moving,)))
        with pytest.raises(NotAuthorised):
            await house.commit(Unit(entries=(), principal=PRINCIPAL))

    async def test_catalog_gives_a_name_once(self, house: Catalog) -> None:
        """Whichever the key manager, where that is asked for; it may keep its own. Of two at once one is kept."""
        elsewhere = replace(instance("3"), key_manager="kp")
        with pytest.raises(AlreadyThere):
            await house.commit(Unit(entries=(), instances=(elsewhere,), new_instance_names=("one",)))
        await house.commit(Unit(entries=(), instances=(instance(),), new_instance_names=("one",)))

        made = [replace(instance(each, "new"), key_manager=each) for each in ("kp", "hpcs")]
        attempts = [house.commit(Unit(entries=(), instances=(i,), new_instance_names=("new",))) for i in made]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        assert sorted(type(each).__name__ for each in outcomes) == ["AlreadyThere", "NoneType"]

    async def test_catalog_counts_what_lives(self, house: Catalog) -> None:
        """Added, destroyed, taken back, removed: one number, whoever does it; another instance's is another's."""
        assert await house.living(ONE) == 0
        await house.commit(Unit(entries=(), inserted=(key(), key(OTHER_KEY), key(numbered(3), TWO))))
        assert (await house.living(ONE), await house.living(TWO)) == (2, 1)

        gone = replace(key(), state=State.DESTROYED, version=2)
        await house.commit(Unit(entries=(), updated=(gone,)))
        assert await house.living(ONE) == 1
        await house.commit(Unit(entries=(), updated=(replace(gone, state=State.DESTROYED_COMPROMISED, version=3),)))
        assert await house.living(ONE) == 1
        await house.commit(Unit(entries=(), updated=(replace(gone, state=State.COMPROMISED, version=4),)))
        assert await house.living(ONE) == 2

        ended = [replace(key(KEY), state=State.DESTROYED, version=5)]
        ended.append(replace(key(OTHER_KEY), state=State.DESTROYED, version=2))
        await house.commit(Unit(entries=(), updated=ended))
        await house.commit(Unit(entries=(), removed_instances=(ONE,)))
        assert (await house.living(ONE), await house.living(TWO)) == (0, 1)

    async def test_catalog_holds_clients_to_the_quota_of_keys(self, house: Catalog) -> None:
        """Of many at once as many are kept as there is room for, and an administrator's copies do not count."""
        await house.commit(Unit(entries=(), instances=(HELD,)))
        attempts = [
            house.commit(Unit(entries=(entry("Create"),), principal=PRINCIPAL, inserted=(key(numbered(n)),)))
            for n in range(8)
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

        refused = [each for each in outcomes if isinstance(each, QuotaReached)]
        assert (len(refused), refused[0].what, refused[0].quota) == (5, "keys", 3)
        assert (await house.living(ONE), len(await house.journal())) == (3, 3)
        with pytest.raises(QuotaReached):
            await house.commit(Unit(entries=(), principal=PRINCIPAL, intents=(key(numbered(20)),)))
        await house.commit(Unit(entries=(), inserted=(key(numbered(21)),)))

    async def test_catalog_holds_everybody_to_the_quota_of_certificates(self, house: Catalog) -> None:
        """Whoever adds them."""
        await house.commit(Unit(entries=(), instances=(HELD,)))
        await house.commit(Unit(entries=(), certificates=(certificate("b" * 64),)))

        with pytest.raises(QuotaReached):
            await house.commit(Unit(entries=(), certificates=(certificate("c" * 64),)))
        await house.commit(Unit(entries=(), removed_certificates=(FINGERPRINT,)))
        await house.commit(Unit(entries=(), certificates=(certificate("c" * 64),)))
        assert len(await house.certificates(ONE)) == 2

    @pytest.mark.parametrize("hanging", ["living", "restorable", "kept elsewhere", "intent", "certificate"])
    async def test_catalog_keeps_an_instance_on_which_something_hangs(self, house: Catalog, hanging: str) -> None:
        """Destroyed keys that can be taken back, and certificates, which a removal without this takes with it."""
        await house.commit(Unit(entries=(), removed_certificates=(FINGERPRINT,)))
        gone = replace(key(OTHER_KEY), state=State.DESTROYED)
        units = {
            "living": Unit(entries=(), inserted=(key(),)),
            "restorable": Unit(entries=(), inserted=(gone,)),
            "kept elsewhere": Unit(entries=(), inserted=(replace(gone, sealed=None, standard_key="sk"),)),
            "intent": Unit(entries=(), intents=(key(),)),
            "certificate": Unit(entries=(), certificates=(certificate("b" * 64),)),
        }
        await house.commit(units[hanging])

        with pytest.raises(StillHangs):
            await house.commit(Unit(entries=(entry("lost"),), bare=(ONE,), removed_instances=(ONE,)))
        assert len(await house.instances()) == 2

    async def test_catalog_removes_a_bare_instance_and_leaves_its_leftovers(self, house: Catalog) -> None:
        """A purged key goes with it; what is to be deleted in a key manager still is; it goes once."""
        purged = replace(key(), state=State.DESTROYED, sealed=None)
        await house.commit(Unit(entries=(), inserted=(purged,), removed_certificates=(FINGERPRINT,)))
        await house.commit(Unit(entries=(), leftovers=(leftover(),)))

        await house.commit(Unit(entries=(), bare=(ONE,), removed_instances=(ONE,), leftovers=(leftover("sk-2"),)))

        assert await house.instances() == [instance(TWO, "two")]
        assert [each.standard_key for each in await house.leftovers()] == ["sk-1", "sk-2"]
        with pytest.raises(Conflict):
            await house.commit(Unit(entries=(), bare=(ONE,), removed_instances=(ONE,)))
