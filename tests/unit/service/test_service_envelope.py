"""The vault: what is sealed comes back, what was changed or moved never does, and failures are told apart."""

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.domain.errors import CryptographicFailure, GeneralFailure, InvalidField, KmipError
from keyrack.domain.instances import Storage
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import Unwrapped, Wrapped
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.envelope import context_of
from keyrack.service.vault.standard_keys import name_of
from keyrack.testing.vaults import VaultWorld, an_instance, an_object, material


@pytest.fixture
async def world() -> VaultWorld:
    return await VaultWorld.create()


@pytest.fixture
async def kept() -> VaultWorld:
    """A world whose instance keeps its wrapped keys in the key manager too."""
    return await VaultWorld.create(storage=Storage.KEY_MANAGER)


@pytest.mark.parametrize("length", [0, 1, 16, 24, 32, 64, 65, 1000, 32_768, 65_536])
async def test_material_of_any_length_comes_back(world: VaultWorld, length: int) -> None:
    """Keys under the root key itself, longer objects under a data key; from memory and unwrapped anew."""
    octets = os.urandom(length)
    managed = await world.sealed(octets)

    from_memory = await world.opened(managed)
    world.restart()
    unwrapped = await world.opened(managed)

    assert (octets, octets) == (from_memory, unwrapped)


async def test_longer_material_is_refused_with_its_length(world: VaultWorld) -> None:
    """What is too long is said to be, before anything is wrapped."""
    with pytest.raises(InvalidField, match="65537"):
        await world.sealed(bytes(65_537))

    assert 0 == world.manager.calls["wrap"]


async def test_equal_keys_do_not_show(world: VaultWorld) -> None:
    """Two wrapped keys of equal material share neither ciphertext nor check value."""
    octets = os.urandom(32)
    one, other = [await world.sealed(octets, uid) for uid in ("object-1", "object-2")]

    first, second = blobs.parse(one.sealed or b""), blobs.parse(other.sealed or b"")

    assert first.check_value != second.check_value
    assert first.wrapped != second.wrapped


async def test_a_wrapped_key_tells_what_a_rebuild_needs(world: VaultWorld) -> None:
    """Without the catalog: whose it is, what it is, and how to open it."""
    managed = await world.sealed(os.urandom(32))

    header = blobs.parse(managed.sealed or b"").header

    assert context_of(an_object()) == header.context
    assert ("memory", "keyrack-1", "instance-1", world.instance.root_key) == (
        header.provider,
        header.deployment,
        header.instance,
        header.root_key,
    )


async def test_10_000_flipped_bits_give_no_wrong_key(world: VaultWorld) -> None:
    """A changed wrapped key, direct or under a data key, is refused; it is never another key."""
    randomness = random.Random(2)
    for octets in (os.urandom(32), os.urandom(100)):
        managed = await world.sealed(octets)
        sealed = managed.sealed or b""
        world.restart()
        for _ in range(5000):
            changed = bytearray(sealed)
            bit = randomness.randrange(8 * len(changed))
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CryptographicFailure):
                await world.vault.open(world.instance, replace(managed, sealed=bytes(changed)))
        assert octets == await world.opened(managed)


async def test_flipped_bits_are_refused_even_by_one_who_can_make_the_mac(world: VaultWorld) -> None:
    """With the integrity key an attacker still makes no wrong key: the wrapping and the check value hold."""
    octets, randomness = os.urandom(32), random.Random(3)
    managed = await world.sealed(octets)
    sealed = managed.sealed or b""
    world.restart()
    body = len(sealed) - blobs.MAC
    for _ in range(2000):
        changed = bytearray(sealed[:body])
        bit = randomness.randrange(8 * body)
        changed[bit // 8] ^= 1 << bit % 8
        forged = bytes(changed) + world.vault.wrapping._integrity.mac(world.instance.identifier, bytes(changed))
        try:
            opened = await world.opened(replace(managed, sealed=forged))
        except CryptographicFailure:
            world.restart()
        else:
            # The version that is noted beside the ciphertext is for people: to change it changes no key.
            assert octets == opened


async def test_an_object_of_another_instance_does_not_open(world: VaultWorld) -> None:
    """Not from memory and not by unwrapping, though both instances share the root key."""
    managed = await world.sealed(os.urandom(32))
    stranger = an_instance(world.instance.root_key, "instance-2")

    assert world.vault.cached(stranger, managed) is None
    with pytest.raises(CryptographicFailure):
        await world.vault.open(stranger, managed)


async def test_a_wrapped_key_moved_to_another_object_does_not_open(world: VaultWorld) -> None:
    """A writer of the database who swaps two blobs gets neither key."""
    one, other = [await world.sealed(os.urandom(32), uid) for uid in ("object-1", "object-2")]

    with pytest.raises(CryptographicFailure):
        await world.vault.open(world.instance, replace(one, sealed=other.sealed))


async def test_every_long_object_has_a_data_key_of_its_own(world: VaultWorld) -> None:
    """Of 32 random bytes; a fixed one would open all bodies."""
    wrap, data_keys = world.manager.wrap, set()

    async def watched(root_key: str, plaintext: Secret, aad: Sequence[str]) -> Wrapped:
        data_keys.add(bytes(plaintext.reveal()[:32]))
        return await wrap(root_key, plaintext, aad)

    world.manager.wrap = watched  # type: ignore[method-assign]

    for _ in range(20):
        await world.sealed(bytes(100))

    assert 20 == len(data_keys)
    assert bytes(32) not in data_keys


async def test_a_key_manager_that_gives_back_another_plaintext_makes_no_key(world: VaultWorld) -> None:
    """What was wrapped is unwrapped and compared before anything is answered."""

    async def other_plaintext(root_key: str, ciphertext: bytes, aad: object) -> Unwrapped:
        return Unwrapped(Secret(bytearray(48)), "v1")

    world.manager.unwrap = other_plaintext  # type: ignore[method-assign]

    with pytest.raises(CryptographicFailure, match="give back"):
        await world.sealed(os.urandom(32))


@pytest.mark.parametrize("method", ["wrap", "unwrap"])
@pytest.mark.parametrize(
    ("fault", "failure"),
    [(Fault.REFUSE, CryptographicFailure), (Fault.UNAVAILABLE, GeneralFailure), (Fault.LOSE_ANSWER, GeneralFailure)],
)
async def test_a_failing_key_manager_makes_no_key(
    world: VaultWorld, method: str, fault: Fault, failure: type[KmipError]
) -> None:
    """A refusal is told from silence, in the standard's words."""
    world.manager.fail(method, fault)

    with pytest.raises(failure):
        await world.sealed(os.urandom(32))


async def test_many_who_wait_for_one_key_share_one_unwrap(world: VaultWorld) -> None:
    """A boot storm of hosts that ask for one key is one call."""
    octets = os.urandom(32)
    managed = await world.sealed(octets)
    world.restart()
    world.manager.calls.clear()
    world.manager.delay = 0.01

    opened = await asyncio.gather(*(world.opened(managed) for _ in range(200)))

    assert {octets} == set(opened)
    assert 1 == world.manager.calls["unwrap"]


async def test_a_caller_who_goes_away_does_not_take_the_others_along(world: VaultWorld) -> None:
    """The first of many is cancelled while the key manager works."""
    octets = os.urandom(32)
    managed = await world.sealed(octets)
    world.restart()
    world.manager.delay = 0.02
    waiting = [asyncio.create_task(world.opened(managed)) for _ in range(5)]
    await asyncio.sleep(0.01)

    waiting[0].cancel()

    opened = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(opened[0], asyncio.CancelledError)
    assert [octets] * 4 == opened[1:]


async def test_an_object_without_material_says_so(world: VaultWorld) -> None:
    """A destroyed object has none."""
    with pytest.raises(CryptographicFailure, match="destroyed"):
        await world.vault.open(world.instance, an_object())


async def test_an_instance_of_an_unknown_key_manager_is_a_general_failure(world: VaultWorld) -> None:
    """The configuration has lost it; the text names it."""
    managed = await world.sealed(os.urandom(32))
    world.restart()

    with pytest.raises(GeneralFailure, match="gone"):
        await world.vault.open(replace(world.instance, key_manager="gone"), managed)


async def test_storage_catalog_puts_nothing_into_the_key_manager(world: VaultWorld) -> None:
    """One billed root key, and no billed key for each object."""
    managed = await world.sealed(os.urandom(32))

    assert managed.standard_key is None
    assert 0 == world.manager.calls["put_standard_key"]


async def test_the_standard_key_holds_the_same_bytes_under_the_objects_name(kept: VaultWorld) -> None:
    """The customer sees it there, and either copy alone rebuilds the other."""
    managed = await kept.sealed(os.urandom(32))

    standard_key = await kept.manager.get_standard_key(managed.standard_key or "")

    assert ("vmware_kmip_object-1", managed.sealed) == (standard_key.name, standard_key.payload)


@pytest.mark.parametrize("method", ["put_standard_key", "get_standard_key"])
@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.UNAVAILABLE])
async def test_a_lost_answer_makes_no_second_standard_key(kept: VaultWorld, method: str, fault: Fault) -> None:
    """Before a put is repeated, what the first one left is looked for by name and compared."""
    kept.manager.fail(method, fault)

    managed = await kept.sealed(os.urandom(32))

    listed = [key.identifier async for key in kept.manager.list_standard_keys(name_of("object-1"))]
    assert [managed.standard_key] == listed


async def test_another_key_of_the_same_name_is_not_taken_for_ours(kept: VaultWorld) -> None:
    """Names are not unique in a key manager: the payload is compared."""
    stranger = await kept.manager.put_standard_key("vmware_kmip_object-1", b"something else")
    kept.manager.fail("put_standard_key", Fault.LOSE_ANSWER)

    managed = await kept.sealed(os.urandom(32))

    assert managed.standard_key not in (None, stranger)
    assert 2 == kept.manager.calls["put_standard_key"]


async def test_a_key_manager_that_keeps_other_bytes_makes_no_key(kept: VaultWorld) -> None:
    """What was put is read back and compared."""
    put = kept.manager.put_standard_key

    async def spoiled(name: str, payload: bytes) -> str:
        return await put(name, payload[:-1] + b"\0")

    kept.manager.put_standard_key = spoiled  # type: ignore[method-assign]

    with pytest.raises(CryptographicFailure, match="other bytes"):
        await kept.sealed(os.urandom(31) + b"\1")


async def test_a_key_manager_that_stays_silent_makes_no_key(kept: VaultWorld) -> None:
    """After the last attempt it is a General Failure."""
    kept.manager.fail("put_standard_key", Fault.UNAVAILABLE, times=99)

    with pytest.raises(GeneralFailure):
        await kept.sealed(os.urandom(32))


async def test_an_object_too_long_for_the_key_manager_is_told_where_it_fits(kept: VaultWorld) -> None:
    """A standard key holds 7,500 bytes; the message names the way out."""
    with pytest.raises(InvalidField, match="storage is catalog"):
        await kept.sealed(bytes(8000))


async def test_a_standard_key_deleted_in_the_key_manager_revokes_that_key_alone(kept: VaultWorld) -> None:
    """IBM documents this as the way to revoke one disk; the copy in the catalog must not defeat it."""
    revoked, other = [await kept.sealed(bytes([number]) * 32, f"object-{number}") for number in (1, 2)]
    await kept.manager.delete_standard_key(revoked.standard_key or "")
    kept.vault.purge()

    with pytest.raises(CryptographicFailure, match="revoked"):
        await kept.vault.open(kept.instance, revoked)
    assert bytes([2]) * 32 == await kept.opened(other)


async def test_a_standard_key_of_another_object_is_noticed(kept: VaultWorld) -> None:
    """Somebody has put another wrapped key in its place."""
    one, other = [await kept.sealed(os.urandom(32), uid) for uid in ("object-1", "object-2")]
    kept.manager.replace_standard_key(one.standard_key or "", other.sealed or b"")
    kept.vault.purge()

    with pytest.raises(CryptographicFailure, match="another key"):
        await kept.vault.open(kept.instance, one)


async def test_a_standard_key_that_is_a_generation_behind_still_opens(kept: VaultWorld) -> None:
    """After a rewrap the two copies differ for a while, and are of the same key."""
    octets = os.urandom(32)
    managed = await kept.sealed(octets)
    await kept.manager.rotate_root_key(kept.instance.root_key)
    rewrapped = replace(managed, sealed=await kept.vault.rewrap(kept.instance, managed))
    kept.vault.purge()

    assert octets == await kept.opened(rewrapped)


async def test_discard_deletes_the_standard_key_and_forgets_the_plaintext(kept: VaultWorld) -> None:
    """Twice is not an error."""
    managed = await kept.sealed(os.urandom(32))

    await kept.vault.discard(kept.instance, managed)
    await kept.vault.discard(kept.instance, managed)

    assert kept.vault.cached(kept.instance, managed) is None
    assert [] == [key async for key in kept.manager.list_standard_keys("vmware")]


@pytest.mark.parametrize("length", [32, 500])
async def test_a_rewrapped_key_is_the_same_key_under_the_newest_version(world: VaultWorld, length: int) -> None:
    """Nobody who uses it notices a rotation."""
    octets = os.urandom(length)
    managed = await world.sealed(octets)
    rotated = await world.manager.rotate_root_key(world.instance.root_key)
    world.restart()
    assert octets == await world.opened(managed)

    rewrapped = replace(managed, sealed=await world.vault.rewrap(world.instance, managed))

    world.restart()
    assert octets == await world.opened(rewrapped)
    assert rotated.version == blobs.parse(rewrapped.sealed or b"").wrapped_by


async def test_a_key_manager_that_rewraps_another_key_spoils_none(world: VaultWorld) -> None:
    """What it gives is opened before it takes the place of what is there."""
    one, other = [await world.sealed(os.urandom(32), uid) for uid in ("object-1", "object-2")]
    theirs = blobs.parse(other.sealed or b"").header
    with material(bytes(48)) as chosen:
        wrapped = await world.manager.wrap(world.instance.root_key, chosen, theirs.aad())

    async def another(root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        with material(bytes(48)) as chosen:
            return await world.manager.wrap(root_key, chosen, aad)

    async def elsewhere(root_key: str, ciphertext: bytes, aad: Sequence[str]) -> Wrapped:
        return wrapped

    for rewrap in (another, elsewhere):
        world.manager.rewrap = rewrap  # type: ignore[method-assign]
        with pytest.raises(CryptographicFailure):
            await world.vault.rewrap(world.instance, one)


async def test_the_vault_takes_nothing_from_its_caller(world: VaultWorld) -> None:
    """A caller who wipes its own material, as it should, does not wipe the vault's."""
    octets = os.urandom(32)
    secret = material(octets)
    blob = await world.vault.seal_new(world.instance, context_of(an_object()), secret)

    secret.wipe()

    assert octets == await world.opened(replace(an_object(), sealed=blob))


async def test_a_caller_who_wipes_what_is_not_its_own_spoils_no_later_answer(world: VaultWorld) -> None:
    """Zeros or nothing must never leave for a key."""
    octets = os.urandom(32)
    managed = await world.sealed(octets)

    (await world.vault.open(world.instance, managed)).wipe()

    assert octets == await world.opened(managed)
