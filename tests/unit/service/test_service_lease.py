"""The lease: keys are served only while their root key was proved usable a moment ago."""

import asyncio
import os
from dataclasses import replace

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.domain.errors import CryptographicFailure, GeneralFailure
from keyrack.ports.key_manager import KeyManagerUnavailable
from keyrack.service.vault.lease import Lease, Terms
from keyrack.testing.vaults import SteadyClock, VaultWorld, an_instance

KEK = bytes(range(32))


@pytest.fixture
async def world() -> VaultWorld:
    return await VaultWorld.create()


async def settled() -> None:
    """Let what runs in the background come to an end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_within_the_lease_nobody_asks_the_key_manager(world: VaultWorld) -> None:
    """A thousand Gets in the first half of a lease cost no call."""
    managed = await world.sealed(KEK)
    world.manager.calls.clear()
    world.clock.advance(14)

    for _ in range(1000):
        assert world.vault.cached(world.instance, managed) is not None

    assert {} == dict(world.manager.calls)


async def test_after_the_lease_one_probe_serves_all(world: VaultWorld) -> None:
    """For all callers and all keys of the root key; nothing is unwrapped again."""
    managed = [await world.sealed(KEK, f"object-{number}") for number in range(50)]
    world.manager.calls.clear()
    world.manager.delay = 0.01
    world.clock.advance(30)
    assert world.vault.cached(world.instance, managed[0]) is None

    opened = await asyncio.gather(*(world.opened(each) for each in managed * 4))

    assert {KEK} == set(opened)
    assert {"probe": 1} == dict(world.manager.calls)


async def test_in_the_second_half_of_a_lease_it_is_renewed_beside(world: VaultWorld) -> None:
    """Nobody waits for the probe, and the lease then runs from the probe's beginning."""
    managed = await world.sealed(KEK)
    world.manager.calls.clear()
    world.clock.advance(16)

    for _ in range(10):
        assert world.vault.cached(world.instance, managed) is not None
    await settled()

    assert {"probe": 1} == dict(world.manager.calls)
    world.clock.advance(29)
    assert world.vault.cached(world.instance, managed) is not None


async def test_a_disabled_root_key_is_refused_within_the_lease(world: VaultWorld) -> None:
    """And then at once for every key under it, whether in memory or not."""
    one, other = [await world.sealed(KEK, f"object-{number}") for number in (1, 2)]
    await world.manager.disable_root_key(world.instance.root_key)
    world.clock.advance(30)

    with pytest.raises(CryptographicFailure):
        await world.vault.open(world.instance, one)

    assert 0 == len(world.vault._cache)
    assert world.vault.cached(world.instance, other) is None


async def test_a_refused_unwrap_stops_what_is_in_memory_at_once(world: VaultWorld) -> None:
    """The key manager has spoken: the rest of the lease does not count."""
    one, other = [await world.sealed(KEK, f"object-{number}") for number in (1, 2)]
    world.vault.forget("object-1")
    await world.manager.disable_root_key(world.instance.root_key)

    with pytest.raises(CryptographicFailure):
        await world.vault.open(world.instance, one)

    assert world.vault.cached(world.instance, other) is None
    assert 0 == len(world.vault._cache)


async def test_one_refused_ciphertext_does_not_cost_the_others_their_place(world: VaultWorld) -> None:
    """Where a probe shows that the root key works, the fault is the one key's."""
    one, other = [await world.sealed(KEK, f"object-{number}") for number in (1, 2)]
    world.vault.forget("object-1")
    world.manager.fail("unwrap", Fault.REFUSE)

    with pytest.raises(CryptographicFailure):
        await world.vault.open(world.instance, one)

    assert world.vault.cached(world.instance, other) is not None


async def test_another_root_key_is_not_touched_by_a_denial(world: VaultWorld) -> None:
    """Each root key has a lease of its own."""
    root_key = await world.manager.create_root_key("other")
    instance = an_instance(root_key.identifier, "instance-2")
    mine, theirs = await world.sealed(KEK), await world.sealed(KEK, "object-2", instance)
    await world.manager.disable_root_key(world.instance.root_key)
    world.clock.advance(30)
    with pytest.raises(CryptographicFailure):
        await world.vault.open(world.instance, mine)

    opened = await world.vault.open(instance, theirs)

    assert KEK == bytes(opened.reveal())


async def test_an_outage_is_bridged_for_the_grace_and_no_longer(world: VaultWorld) -> None:
    """Fifteen minutes since the last proof; then even what is in memory is not served."""
    managed = await world.sealed(KEK)
    world.manager.down = Fault.UNAVAILABLE

    for _ in range(29):
        world.clock.advance(30)
        assert KEK == await world.opened(managed)
    world.clock.advance(30)

    with pytest.raises(GeneralFailure):
        await world.vault.open(world.instance, managed)
    assert world.vault.cached(world.instance, managed) is None


async def test_after_an_outage_everything_goes_on(world: VaultWorld) -> None:
    """Nothing was purged, nothing has to be unwrapped."""
    managed = await world.sealed(KEK)
    world.manager.down = Fault.UNAVAILABLE
    world.clock.advance(901)
    with pytest.raises(GeneralFailure):
        await world.vault.open(world.instance, managed)
    world.manager.down = None
    world.manager.calls.clear()

    assert KEK == await world.opened(managed)
    assert {"probe": 1} == dict(world.manager.calls)


async def test_an_outage_is_probed_every_few_seconds_not_at_every_get(world: VaultWorld) -> None:
    """A dead key manager must not slow down what memory can serve."""
    managed = await world.sealed(KEK)
    world.manager.down = Fault.UNAVAILABLE
    world.clock.advance(30)
    world.manager.calls.clear()

    for _ in range(100):
        assert KEK == await world.opened(managed)

    assert {"probe": 1} == dict(world.manager.calls)


async def test_a_denial_within_the_grace_ends_it(world: VaultWorld) -> None:
    """Unreachable is bridged, a refusal never."""
    managed = await world.sealed(KEK)
    world.manager.down = Fault.UNAVAILABLE
    world.clock.advance(60)
    assert KEK == await world.opened(managed)
    world.manager.down = Fault.REFUSE
    world.clock.advance(5)
    world.vault.cached(world.instance, managed)  # Served still, while the key manager is asked beside.
    await settled()

    with pytest.raises(CryptographicFailure):
        await world.vault.open(world.instance, managed)

    world.manager.down = Fault.UNAVAILABLE
    with pytest.raises(GeneralFailure):
        await world.vault.open(world.instance, managed)


async def test_without_a_grace_an_outage_is_felt_after_the_lease() -> None:
    """For those who want it strict: outage_grace 0."""
    world = await VaultWorld.create(terms={"memory": Terms(outage_grace=0)})
    managed = await world.sealed(KEK)
    world.manager.down = Fault.UNAVAILABLE
    world.clock.advance(29)
    assert world.vault.cached(world.instance, managed) is not None
    world.clock.advance(1)

    with pytest.raises(GeneralFailure):
        await world.vault.open(world.instance, managed)


async def test_a_probe_that_takes_too_long_counts_as_silence() -> None:
    """It is bridged like an outage, and nobody waits longer than the probe's time."""
    world = await VaultWorld.create(terms={"memory": Terms(probe_timeout=0.02)})
    managed = await world.sealed(KEK)
    world.clock.advance(30)
    world.manager.delay = 60

    async with asyncio.timeout(5):
        assert KEK == await world.opened(managed)


async def test_a_proof_is_as_old_as_the_beginning_of_its_call(world: VaultWorld) -> None:
    """The answer of a probe that was long on its way tells of the time when it was sent, at best."""
    managed = await world.sealed(KEK)
    lease = world.vault._homes.lease(world.instance.home)
    world.clock.advance(30)
    world.manager.delay = 0.01
    opening = asyncio.create_task(world.opened(managed))
    await settled()
    began = world.clock()
    world.clock.advance(4)

    await opening

    assert began + 30 == lease.until


async def test_an_unwrap_proves_the_root_key_too(world: VaultWorld) -> None:
    """The first Get after a start takes one call, the second none."""
    managed = await world.sealed(KEK)
    world.restart()
    await world.opened(managed)
    world.manager.calls.clear()

    await world.opened(managed)

    assert {} == dict(world.manager.calls)


async def test_a_lease_without_a_grace_left_says_that_nobody_answers() -> None:
    """And does not fall silently into asking for every key."""

    async def silent() -> None:
        raise KeyManagerUnavailable("lost")

    clock = SteadyClock()
    lease = Lease(silent, lambda: None, clock, Terms(outage_grace=60))
    lease.proved(clock())
    clock.advance(59)
    await lease.hold()
    clock.advance(1)

    with pytest.raises(KeyManagerUnavailable, match="bridging"):
        await lease.hold()


async def test_a_probe_that_began_before_a_denial_does_not_revive_the_lease(world: VaultWorld) -> None:
    """Answers overtake each other: the later word counts."""
    managed = await world.sealed(KEK)
    lease = world.vault._homes.lease(world.instance.home)
    began = world.clock()
    world.clock.advance(1)
    lease.deny()

    lease.proved(began)

    assert world.vault.cached(world.instance, managed) is None


async def test_plaintext_has_an_age_whatever_the_lease_says() -> None:
    """After eight hours a key is unwrapped anew."""
    world = await VaultWorld.create(entry_seconds=100)
    managed = await world.sealed(KEK)
    world.manager.calls.clear()
    for _ in range(4):
        world.clock.advance(24)
        await world.opened(managed)
    assert 0 == world.manager.calls["unwrap"]
    world.clock.advance(4)

    await world.opened(managed)

    assert 1 == world.manager.calls["unwrap"]


async def test_the_least_used_key_leaves_memory_first() -> None:
    """With room for three, the one that was served stays."""
    world = await VaultWorld.create(most_entries=3)
    managed = [await world.sealed(KEK, f"object-{number}") for number in range(3)]
    world.vault.cached(world.instance, managed[0])

    managed.append(await world.sealed(KEK, "object-3"))

    cached = [world.vault.cached(world.instance, each) is not None for each in managed]
    assert [True, False, True, True] == cached


async def test_memory_is_bounded_in_bytes_too() -> None:
    """Long objects do not add up to gigabytes."""
    world = await VaultWorld.create(most_bytes=100_000)

    managed = [await world.sealed(os.urandom(30_000), f"object-{number}") for number in range(5)]

    cached = [world.vault.cached(world.instance, each) is not None for each in managed]
    assert [False, False, True, True, True] == cached


async def test_what_has_left_memory_makes_room() -> None:
    """The bound counts what is there, however often it was exchanged."""
    world = await VaultWorld.create(most_bytes=1000)

    for _ in range(100):
        managed = await world.sealed(bytes(100))

    assert world.vault.cached(world.instance, managed) is not None
    other = await world.sealed(bytes(900), "object-2")
    assert [True, True] == [world.vault.cached(world.instance, each) is not None for each in (managed, other)]


async def test_a_changed_blob_is_not_served_from_memory(world: VaultWorld) -> None:
    """What is in memory was opened from other bytes than the catalog holds now."""
    managed = await world.sealed(KEK)

    assert world.vault.cached(world.instance, replace(managed, sealed=(managed.sealed or b"") + b"\0")) is None


async def test_purge_takes_an_instance_or_a_root_key_or_all(world: VaultWorld) -> None:
    """Nothing more and nothing less."""
    root_key = await world.manager.create_root_key("other")
    instances = [
        world.instance,
        an_instance(world.instance.root_key, "instance-2"),
        an_instance(root_key.identifier, "instance-3"),
    ]

    async def cached_after(**chosen: str) -> list[bool]:
        managed = [await world.sealed(KEK, f"object-of-{each.identifier}", each) for each in instances]
        world.vault.purge(**chosen)
        return [
            world.vault.cached(instance, each) is not None for instance, each in zip(instances, managed, strict=True)
        ]

    assert [True, False, True] == await cached_after(instance_id="instance-2")
    assert [False, False, True] == await cached_after(root_key=world.instance.root_key)
    assert [True, True, True] == await cached_after(instance_id="instance-2", root_key=root_key.identifier)
    assert [False, False, False] == await cached_after()


async def test_what_is_being_unwrapped_during_a_purge_does_not_stay(world: VaultWorld) -> None:
    """Who was authorised before gets the key; memory does not."""
    managed = await world.sealed(KEK)
    world.restart()
    world.manager.delay = 0.01
    opening = asyncio.create_task(world.opened(managed))
    await asyncio.sleep(0.005)

    world.vault.purge()

    assert KEK == await opening
    assert world.vault.cached(world.instance, managed) is None


async def test_an_answer_on_its_way_is_not_wiped_by_a_purge(world: VaultWorld) -> None:
    """Zeros for a key would be worse than the key: who holds it last wipes it."""
    managed = await world.sealed(KEK)
    held = (await world.vault.open(world.instance, managed)).reveal()

    world.vault.purge()

    assert KEK == bytes(held)
