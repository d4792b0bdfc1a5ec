"""Two homes and two levels: where a key is wrapped, what it takes to open it, and what follows a move."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.domain.errors import CryptographicFailure, GeneralFailure, PermissionDenied
from keyrack.domain.instances import Hierarchy, Instance, Storage, WrappingKey
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import Unwrapped, Wrapped
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.envelope import Vault, context_of
from keyrack.service.vault.lease import Terms
from keyrack.testing.vaults import DEPLOYMENT, SteadyClock, an_instance, an_object, material

KEK = bytes(range(32))


@dataclass(slots=True)
class Moving:
    """Two key managers, a vault over both, and an instance that lives in the first."""

    managers: dict[str, MemoryKeyManager]
    clock: SteadyClock
    vault: Vault
    instance: Instance
    roots: dict[str, str]
    wrapping_keys: dict[str, WrappingKey]

    @classmethod
    async def create(cls, hierarchy: Hierarchy, storage: Storage) -> "Moving":
        managers = {"memory": MemoryKeyManager(), "other": MemoryKeyManager(binds_aad=False)}
        roots = {name: (await each.create_root_key(name)).identifier for name, each in managers.items()}
        instance = replace(an_instance(roots["memory"], storage=storage), hierarchy=hierarchy)
        world = cls(managers, SteadyClock(), None, instance, roots, {})  # type: ignore[arg-type]
        world.restart()
        if hierarchy is Hierarchy.TWO_LEVEL:
            world.wrapping_keys[instance.identifier] = await world.vault.seal_wrapping_key(instance, "wrapping-1", 1)
        return world

    def restart(self) -> None:
        root = material(b"integrity root" * 3)
        terms = {"memory": Terms(opening=0.2, patience=0.05)}

        async def wrapping_keys(instance: str) -> WrappingKey | None:
            return self.wrapping_keys.get(instance)

        self.vault = Vault(self.managers, root, DEPLOYMENT, self.clock, terms=terms, wrapping_keys=wrapping_keys)

    async def sealed(self, unique_identifier: str = "object-1") -> ManagedObject:
        managed = an_object(unique_identifier)
        with material(KEK) as secret:
            blob = await self.vault.seal_new(self.instance, context_of(managed), secret)
        return replace(
            managed, sealed=blob, standard_key=await self.vault.store(self.instance, blob, unique_identifier)
        )

    async def opened(self, managed: ManagedObject) -> bytes:
        return bytes((await self.vault.open(self.instance, managed)).reveal())

    def begin_move(self) -> None:
        """As ``change-root-key`` does first of all."""
        self.instance = replace(
            self.instance, key_manager="other", root_key=self.roots["other"], former=self.instance.home
        )


@pytest.fixture(params=list(Hierarchy))
async def moving(request: pytest.FixtureRequest) -> Moving:
    return await Moving.create(request.param, Storage.KEY_MANAGER)


@pytest.fixture
async def two_level() -> Moving:
    return await Moving.create(Hierarchy.TWO_LEVEL, Storage.CATALOG)


async def test_during_a_move_keys_of_both_homes_open(moving: Moving) -> None:
    """Those that were moved, those that were not, and those that are new."""
    old, to_move = [await moving.sealed(f"object-{number}") for number in (1, 2)]
    moving.begin_move()
    if moving.wrapping_keys:
        (wrapping_key,) = moving.wrapping_keys.values()
        resealed = await moving.vault.reseal(moving.instance, wrapping_key)
        moving.wrapping_keys[moving.instance.identifier] = wrapping_key.changed(sealed=resealed)
    blob = await moving.vault.reseal(moving.instance, to_move)
    moved = to_move.changed(
        sealed=blob, standard_key=await moving.vault.put(moving.instance.home, blob, to_move.unique_identifier)
    )
    new = await moving.sealed("object-3")
    moving.restart()

    assert [KEK] * 3 == [await moving.opened(each) for each in (old, moved, new)]
    homes = [moving.vault.home_of(moving.instance, each).key_manager for each in (old, moved, new)]
    assert ["memory", "other", "other"] == homes


async def test_after_a_move_the_old_home_opens_nothing(moving: Moving) -> None:
    """A wrapped key of the former home, put back into the catalog, is refused."""
    old = await moving.sealed()
    moving.begin_move()
    moving.instance = replace(moving.instance, former=None)
    if moving.wrapping_keys:
        (wrapping_key,) = moving.wrapping_keys.values()
        with pytest.raises(CryptographicFailure):
            await moving.vault.verify(moving.instance, wrapping_key)
    moving.restart()

    with pytest.raises(CryptographicFailure):
        await moving.vault.open(moving.instance, old)


class Unbinding(MemoryKeyManager):
    """Does not bind ciphertexts to strings, and refuses to be sent any."""

    async def binds(self, root_key: str) -> bool:
        return False

    async def wrap(self, root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        assert not aad
        return await super().wrap(root_key, plaintext, aad)

    async def unwrap(self, root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Unwrapped:
        assert not aad
        return await super().unwrap(root_key, ciphertext, aad)


async def test_a_key_manager_that_binds_nothing_is_sent_nothing() -> None:
    """The hash inside the plaintext binds alone, and the wrapped key says so."""
    manager = Unbinding(binds_aad=False)
    instance = an_instance((await manager.create_root_key("root")).identifier)
    vault = Vault({"memory": manager}, material(b"integrity root" * 3), DEPLOYMENT, SteadyClock())
    one, other = an_object("object-1"), an_object("object-2")
    with material(KEK) as secret:
        one = replace(one, sealed=await vault.seal_new(instance, context_of(one), secret))
        other = replace(other, sealed=await vault.seal_new(instance, context_of(other), secret))
    vault.purge()
    blob, foreign = [vault.wrapping.verified(instance.identifier, each.sealed) for each in (one, other)]

    assert not blob.header.bound
    assert KEK == bytes((await vault.open(instance, one)).reveal())
    moved = blobs.unauthenticated(
        blob.header.encode(), foreign.wrapped_by, foreign.wrapped, blob.body, blob.check_value
    )
    moved += vault.wrapping._integrity.mac(instance.identifier, moved)
    vault.purge()
    with pytest.raises(CryptographicFailure, match="belongs to another"):
        await vault.open(instance, replace(one, sealed=moved))


async def test_two_levels_open_many_keys_with_one_unwrap(two_level: Moving) -> None:
    """A cold start of a thousand keys."""
    managed = [await two_level.sealed(f"object-{number}") for number in range(200)]
    two_level.restart()
    manager = two_level.managers["memory"]
    manager.calls.clear()
    manager.delay = 0.01

    opened = await asyncio.gather(*(two_level.opened(each) for each in managed * 2))

    assert {KEK} == set(opened)
    assert {"unwrap": 1} == dict(manager.calls)


async def test_two_levels_hang_on_the_lease_of_the_root_key(two_level: Moving) -> None:
    """A disabled root key stops every key under the wrapping key, once it is asked."""
    managed = await two_level.sealed()
    await two_level.managers["memory"].disable_root_key(two_level.instance.root_key)
    two_level.clock.advance(30)

    with pytest.raises(CryptographicFailure):
        await two_level.vault.open(two_level.instance, managed)
    assert two_level.vault.cached(two_level.instance, managed) is None


async def test_a_withheld_wrapping_key_withholds_all_that_it_wraps(two_level: Moving) -> None:
    """Its standard key was deleted: that revokes the whole instance."""
    managed = await two_level.sealed()
    (wrapping_key,) = two_level.wrapping_keys.values()
    two_level.wrapping_keys[two_level.instance.identifier] = wrapping_key.changed(withheld_at=5)
    two_level.vault.purge(two_level.instance.identifier)

    with pytest.raises(PermissionDenied):
        await two_level.vault.open(two_level.instance, managed)


async def test_a_key_under_another_wrapping_key_does_not_open(two_level: Moving) -> None:
    """Also where both wrapping keys are of this instance."""
    managed = await two_level.sealed()
    other = await two_level.vault.seal_wrapping_key(two_level.instance, "wrapping-2", 1)
    two_level.wrapping_keys[two_level.instance.identifier] = other
    two_level.restart()

    with pytest.raises(CryptographicFailure):
        await two_level.vault.open(two_level.instance, managed)


async def test_a_direct_instance_opens_nothing_of_two_levels(two_level: Moving) -> None:
    """The level is authenticated, and must be the instance's."""
    managed = await two_level.sealed()
    two_level.instance = replace(two_level.instance, hierarchy=Hierarchy.DIRECT)
    two_level.restart()

    with pytest.raises(CryptographicFailure):
        await two_level.vault.open(two_level.instance, managed)


async def test_nothing_is_to_rewrap_under_a_wrapping_key(two_level: Moving) -> None:
    """A rotation of the root key concerns the wrapping key alone."""
    managed = await two_level.sealed()
    (wrapping_key,) = two_level.wrapping_keys.values()
    rotated = await two_level.managers["memory"].rotate_root_key(two_level.instance.root_key)

    assert managed.sealed == await two_level.vault.rewrap(two_level.instance, managed)
    assert two_level.vault.wrapped_by(two_level.instance, managed) is None
    rewrapped = wrapping_key.changed(sealed=await two_level.vault.rewrap(two_level.instance, wrapping_key))
    assert rotated.version == two_level.vault.wrapped_by(two_level.instance, rewrapped)
    two_level.wrapping_keys[two_level.instance.identifier] = rewrapped
    two_level.restart()
    assert KEK == await two_level.opened(managed)


async def test_a_listed_standard_key_need_not_be_read(moving: Moving) -> None:
    """An unwrap alone, until something happens to the object or the listing grows old."""
    managed = await moving.sealed()
    manager = moving.managers["memory"]

    async def reads() -> int:
        """How many standard keys a cold Get reads."""
        manager.calls.clear()
        moving.vault.purge()
        assert KEK == await moving.opened(managed)
        return manager.calls["get_standard_key"]

    assert 1 == await reads()
    moving.vault.presence.listed(moving.instance.identifier, 1_700_000_001, age=0, holds=90)
    assert 0 == await reads()
    moving.vault.forget(managed.unique_identifier)
    assert 1 == await reads()
    moving.clock.advance(10)
    moving.vault.presence.listed(moving.instance.identifier, 1_700_000_011, age=1, holds=90)
    assert 0 == await reads()
    moving.clock.advance(90)
    assert 1 == await reads()


async def test_an_object_made_after_the_listing_is_asked_for(moving: Moving) -> None:
    """The listing cannot have seen it."""
    managed = await moving.sealed()
    moving.vault.presence.listed(moving.instance.identifier, 1_700_000_000, age=0, holds=90)
    moving.vault.purge()
    moving.managers["memory"].calls.clear()

    await moving.opened(managed)

    assert 1 == moving.managers["memory"].calls["get_standard_key"]


async def test_a_cold_get_gives_up_before_a_client_does(moving: Moving) -> None:
    """All calls together have so much time; then the caller is told, and the cause is kept for the journal."""
    managed = await moving.sealed()
    moving.restart()
    moving.managers["memory"].delay = 60

    with pytest.raises(GeneralFailure) as raised:
        async with asyncio.timeout(5):
            await moving.vault.open(moving.instance, managed)

    assert "timeout" == raised.value.cause


async def test_a_warm_get_does_not_wait_for_a_silent_key_manager(moving: Moving) -> None:
    """The lease has ended, the probe hangs: the grace bridges it within the patience."""
    managed = await moving.sealed()
    moving.clock.advance(60)
    moving.managers["memory"].delay = 60

    async with asyncio.timeout(1):
        assert KEK == await moving.opened(managed)
    assert moving.vault.cached(moving.instance, managed) is not None


async def test_the_cause_of_a_refusal_is_kept_for_the_journal(moving: Moving) -> None:
    """The client is told in words; the auditor reads why, and what the key manager calls it."""
    managed = await moving.sealed()
    moving.restart()
    moving.managers["memory"].fail("unwrap", Fault.REFUSE)

    with pytest.raises(CryptographicFailure) as raised:
        await moving.vault.open(moving.instance, managed)

    assert "unwrap is refused, as told" in raised.value.cause
