"""A wrapped key is bound to its owner twice; here each binding stands alone, and the attack works where both are gone.

The attacker is strong: it writes the database and the key manager, and knows the integrity key, so the MAC is no help.
It moves a ciphertext from the victim's object to one of its own.
"""

import os
from dataclasses import replace

import pytest

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Instance
from keyrack.domain.objects import ManagedObject
from keyrack.service.vault import blob as blobs
from keyrack.service.vault import sealing
from keyrack.service.vault.blob import Header, SealContext
from keyrack.testing.vaults import VaultWorld, an_instance, an_object, material

KEK = bytes(range(32))

TARGETS = ["unique_identifier", "key_version", "algorithm", "instance", "root_key"]


@pytest.fixture
def no_inner_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes the hash out of the wrapped plaintext: sealed and opened without it."""
    monkeypatch.setattr(sealing, "BOUND", 0)


async def moved(world: VaultWorld, target: str) -> tuple[Instance, ManagedObject]:
    """The victim's ciphertext in an authentic blob that differs in one thing that it is bound to."""
    victim = blobs.parse((await world.sealed(KEK)).sealed or b"")
    instance, context, header = world.instance, victim.header.context, victim.header
    if target == "instance":
        instance = an_instance(world.instance.root_key, "instance-2")
        header = replace(header, instance="instance-2")
    elif target == "root_key":
        # Another root key of the same material, as a customer gets who imports one key twice.
        shared = world.manager._root_keys[world.instance.root_key].materials[0][1]
        other = await world.manager.create_root_key("twin", shared)
        instance = replace(world.instance, root_key=other.identifier)
        header = replace(header, root_key=other.identifier)
    else:
        forged: dict[str, SealContext] = {
            "unique_identifier": replace(context, unique_identifier="object-2"),
            "key_version": replace(context, key_version=2),
            "algorithm": replace(context, algorithm=4),
        }
        header = replace(header, context=forged[target])
    world.restart()
    sealed = _authentic(world, instance, header, victim.wrapped)
    return instance, replace(an_object(header.context.unique_identifier, instance.identifier), sealed=sealed)


def _authentic(world: VaultWorld, instance: Instance, header: Header, wrapped: bytes) -> bytes:
    encoded = header.encode()
    with material(KEK) as kek:
        check_value = sealing.check_value(kek, blobs.context_hash(encoded))
    octets = blobs.unauthenticated(encoded, "v1", wrapped, b"", check_value)
    return octets + world.vault.wrapping._integrity.mac(instance.identifier, octets)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.usefixtures("no_inner_hash")
async def test_the_strings_alone_hold_a_ciphertext_in_its_place(target: str) -> None:
    """The key manager itself refuses; the hash inside is taken away."""
    world = await VaultWorld.create(binds_aad=True)
    instance, managed = await moved(world, target)

    with pytest.raises(CryptographicFailure, match="bound to other strings"):
        await world.vault.open(instance, managed)


@pytest.mark.parametrize("target", TARGETS)
async def test_the_hash_inside_alone_holds_a_ciphertext_in_its_place(target: str) -> None:
    """The key manager ignores the strings and unwraps; what comes out says that it belongs elsewhere."""
    world = await VaultWorld.create(binds_aad=False)
    instance, managed = await moved(world, target)

    with pytest.raises(CryptographicFailure, match="belongs to another object, instance or root key"):
        await world.vault.open(instance, managed)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.usefixtures("no_inner_hash")
async def test_without_both_bindings_the_attack_works(target: str) -> None:
    """The control: were this to fail, the two tests above would prove nothing."""
    world = await VaultWorld.create(binds_aad=False)
    instance, managed = await moved(world, target)

    opened = await world.vault.open(instance, managed)

    assert KEK == bytes(opened.reveal())


async def test_the_body_is_bound_to_its_object_too() -> None:
    """Long material lies under a data key, and its ciphertext is bound to the context like the data key itself."""
    world = await VaultWorld.create()
    one, other = [await world.sealed(os.urandom(100), uid) for uid in ("object-1", "object-2")]
    mine, theirs = blobs.parse(one.sealed or b""), blobs.parse(other.sealed or b"")
    octets = blobs.unauthenticated(mine.header.encode(), "v1", mine.wrapped, theirs.body, mine.check_value)
    world.restart()

    with pytest.raises(CryptographicFailure, match="body does not open"):
        await world.vault.open(
            world.instance,
            replace(one, sealed=octets + world.vault.wrapping._integrity.mac(world.instance.identifier, octets)),
        )


async def test_the_mac_alone_stops_a_changed_description() -> None:
    """Names in a wrapped key are not secret, and still nobody else's to change."""
    world = await VaultWorld.create()
    managed = await world.sealed(KEK)
    sealed = managed.sealed or b""
    world.restart()

    with pytest.raises(CryptographicFailure, match="MAC"):
        await world.vault.open(world.instance, replace(managed, sealed=sealed[:-1] + bytes([sealed[-1] ^ 1])))


async def test_the_key_check_value_stops_a_key_that_is_not_the_one_that_was_sealed() -> None:
    """A writer who is inside the key manager wraps a key of its own choice, with the right strings and hash."""
    world = await VaultWorld.create()
    managed = await world.sealed(KEK)
    blob = blobs.parse(managed.sealed or b"")
    with material(bytes(32) + blob.context_hash[: sealing.BOUND]) as chosen:
        wrapped = await world.manager.wrap(world.instance.root_key, chosen, blob.header.aad())
    octets = blobs.unauthenticated(blob.header.encode(), "v1", wrapped.ciphertext, b"", blob.check_value)
    world.restart()

    with pytest.raises(CryptographicFailure, match="key check value"):
        await world.vault.open(
            world.instance,
            replace(managed, sealed=octets + world.vault.wrapping._integrity.mac(world.instance.identifier, octets)),
        )
