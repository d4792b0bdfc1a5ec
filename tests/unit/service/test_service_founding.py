"""What an instance needs before it is entered: proved, made and kept, or refused with what the customer changes."""

from collections.abc import AsyncIterator, Sequence

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import Hierarchy, Storage
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import (
    Checked,
    KeyManagerRefused,
    KeyManagerUnavailable,
    Reason,
    RootKey,
    Verdict,
)
from keyrack.service.office.administration import Administration, Administrator, Refused
from keyrack.service.vault.envelope import Vault

NAME = "kp"
FLAW = Checked("standard keys", Verdict.FAILED, "the policy keyCreateImportAccess forbids them")


class Refusing(MemoryKeyManager):
    """Refuses to describe or to prove, for a reason."""

    def __init__(self, describing: Reason | None = None, proving: Reason | None = None) -> None:
        super().__init__()
        self._describing, self._proving = describing, proving

    async def describe_root_key(self, root_key: str) -> RootKey:
        """No, if that is what it is for."""
        if self._describing is not None:
            raise KeyManagerRefused("it says no", self._describing)
        return await super().describe_root_key(root_key)

    async def probe(self, root_key: str) -> None:
        """No, if that is what it is for."""
        if self._proving is not None:
            raise KeyManagerRefused("it says no", self._proving)
        await super().probe(root_key)


class Checking(MemoryKeyManager):
    """Finds flaws with itself."""

    def __init__(self, flaws: Sequence[Checked]) -> None:
        super().__init__()
        self._flaws = flaws
        self.asked: list[tuple[str | None, bool]] = []

    async def check(self, root_key: str | None, *, write: bool) -> AsyncIterator[Checked]:
        """What it was told to find."""
        self.asked.append((root_key, write))
        yield Checked("identity", Verdict.WELL, "keyrack")
        for flaw in self._flaws:
            yield flaw


@pytest.fixture
def catalog() -> MemoryCatalog:
    """An empty catalog."""
    return MemoryCatalog()


def at_work(catalog: MemoryCatalog, manager: MemoryKeyManager) -> Administration:
    """An administrator with a key manager of this kind and a vault over it."""
    vault = Vault({NAME: manager}, Secret(bytearray(32)), "keyrack-1", wrapping_keys=catalog.wrapping_key)
    return Administration(catalog, {NAME: manager}, Administrator("local-user-eve"), lambda: 1_800_000_000_000, vault)


async def refusal(catalog: MemoryCatalog, manager: MemoryKeyManager, **wanted: object) -> str:
    """What an instance is refused with; nothing was entered, and no standard key is there."""
    root_key = (await manager.create_root_key("root")).identifier
    with pytest.raises(Refused) as caught:
        await at_work(catalog, manager).create_instance("prod", **({"root_key": root_key} | wanted))  # type: ignore[arg-type]
    assert ([], []) == (list(await catalog.instances()), [each async for each in manager.list_standard_keys("")])
    return str(caught.value).replace(root_key, "ROOT")


async def test_an_instance_of_two_levels_is_entered_with_its_wrapping_key(catalog: MemoryCatalog) -> None:
    """Which is wrapped by its root key, is kept as a standard key where its keys are, and opens."""
    manager = MemoryKeyManager()

    made = await at_work(catalog, manager).create_instance(
        "prod", storage=Storage.KEY_MANAGER, hierarchy=Hierarchy.TWO_LEVEL
    )

    kept = await catalog.wrapping_key(made.identifier)
    assert kept is not None
    assert (made.identifier, made.created_at) == (kept.instance, kept.created_at)
    (standard_key,) = [each async for each in manager.list_standard_keys("vmware_kmip_")]
    assert (kept.standard_key, f"vmware_kmip_{kept.unique_identifier}") == (standard_key.identifier, standard_key.name)
    vault = Vault({NAME: manager}, Secret(bytearray(32)), "keyrack-1", wrapping_keys=catalog.wrapping_key)
    await vault.verify(made, kept)


async def test_an_instance_that_keeps_its_keys_in_the_catalog_keeps_its_wrapping_key_there(
    catalog: MemoryCatalog,
) -> None:
    """Nothing of it is billed."""
    manager = MemoryKeyManager()

    made = await at_work(catalog, manager).create_instance("prod", hierarchy=Hierarchy.TWO_LEVEL)

    kept = await catalog.wrapping_key(made.identifier)
    assert kept is not None
    assert (None, []) == (kept.standard_key, [each async for each in manager.list_standard_keys("")])


async def test_without_a_vault_there_are_no_two_levels(catalog: MemoryCatalog) -> None:
    """An office without open key managers says so."""
    manager = MemoryKeyManager()
    work = Administration(catalog, {NAME: manager}, Administrator("local-user-eve"), lambda: 0)

    with pytest.raises(Refused, match="needs a wrapping key"):
        await work.create_instance("prod", hierarchy=Hierarchy.TWO_LEVEL)


async def test_a_wrapping_key_that_cannot_be_kept_enters_nothing(catalog: MemoryCatalog) -> None:
    """The instance would have keys that nobody opens."""
    manager = MemoryKeyManager()
    manager.fail("put_standard_key", Fault.REFUSE)

    told = await refusal(catalog, manager, storage=Storage.KEY_MANAGER, hierarchy=Hierarchy.TWO_LEVEL)

    assert told.startswith("no wrapping key was made for the instance: ")


async def test_a_root_key_that_does_not_wrap_is_refused_before_anything_is_entered(catalog: MemoryCatalog) -> None:
    """It is described as active, and yet."""
    told = await refusal(catalog, Refusing(proving=Reason.PERMISSION))

    assert told == (
        "root key 'ROOT' of key manager 'kp' does not wrap and unwrap (it says no); grant it the service roles Reader "
        "(to wrap and unwrap) and Writer (to keep standard keys), or correct region and instance: Key Protect refuses "
        "all of these alike"
    )


async def test_who_is_not_known_is_told_from_what_is_not_there(catalog: MemoryCatalog) -> None:
    """One needs another API key, the other another root key."""
    who = await refusal(catalog, Refusing(describing=Reason.IDENTITY))
    what = await refusal(catalog, Refusing(describing=Reason.ABSENT))

    assert "refuses to tell of root key 'ROOT' (it says no); correct who asks" in who
    assert "has no root key 'ROOT' (it says no); 'keyrack root-key list' shows what it has" in what


async def test_a_key_manager_that_does_not_answer_makes_no_instance(catalog: MemoryCatalog) -> None:
    """Nobody has refused anything: it may be tried again."""
    manager = MemoryKeyManager()
    root_key = await manager.create_root_key("root")
    manager.fail("probe", Fault.UNAVAILABLE)

    with pytest.raises(KeyManagerUnavailable):
        await at_work(catalog, manager).create_instance("prod", root_key=root_key.identifier)
    assert [] == list(await catalog.instances())


async def test_a_policy_that_blocks_standard_keys_is_told_before_the_first_key(catalog: MemoryCatalog) -> None:
    """Not when vCenter asks for one. Nothing is written to find it out."""
    manager = Checking([FLAW])

    told = await refusal(catalog, manager, storage=Storage.KEY_MANAGER)

    assert told == f"key manager 'kp' cannot serve an instance yet: {FLAW.what}: {FLAW.told}"
    assert [False] == [write for _, write in manager.asked]


async def test_an_instance_without_standard_keys_may_be_where_they_are_forbidden(catalog: MemoryCatalog) -> None:
    """Its keys are in the catalog alone."""
    manager = Checking([FLAW])

    made = await at_work(catalog, manager).create_instance("prod")

    assert ([made], []) == (list(await catalog.instances()), manager.asked)


async def test_a_root_key_that_was_made_in_vain_is_named(catalog: MemoryCatalog) -> None:
    """It costs at IBM, and the next attempt can take it."""
    manager = Checking([FLAW])

    with pytest.raises(Refused) as caught:
        await at_work(catalog, manager).create_instance("prod", storage=Storage.KEY_MANAGER)

    (made,) = await manager.list_root_keys()
    assert str(caught.value).endswith(
        f"{FLAW.told}; the root key {made.identifier} that was made for it is there: take it with --root-key the next "
        "time, or delete it"
    )


async def test_a_root_key_that_was_made_is_named_also_when_nobody_answers_any_more(catalog: MemoryCatalog) -> None:
    """Between its making and its proof."""
    manager = MemoryKeyManager()
    manager.fail("probe", Fault.UNAVAILABLE)

    with pytest.raises(KeyManagerUnavailable, match="that was made for it is there"):
        await at_work(catalog, manager).create_instance("prod")
