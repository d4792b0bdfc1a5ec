"""An expired root key goes on unwrapping: the day it expires no virtual machine stays without its disks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.secret import Secret
from keyrack.embedded.creation import NewKey, create
from keyrack.embedded.house import DAY
from keyrack.embedded.keys import Key
from keyrack.ports.key_manager import KeyManagerRefused
from keyrack.testing.key_houses import INSTANCE, a_call, a_house, go_on

BOUND = ("instance", "key")


@pytest.fixture
async def manager(tmp_path: Path) -> AsyncIterator[EmbeddedKeyManager]:
    made = EmbeddedKeyManager(a_house(tmp_path), INSTANCE)
    yield made
    await made.close()


@pytest.fixture
def root_key(manager: EmbeddedKeyManager) -> Key:
    """One that expires tomorrow."""
    wanted = NewKey(name="short-lived", extractable=False, expires_at=manager.house.now + DAY)
    return create(manager.house, a_call(), wanted)


async def test_it_is_proved_usable_and_opens_what_it_has_wrapped(manager: EmbeddedKeyManager, root_key: Key) -> None:
    """So a lease on it goes on; new keys are refused."""
    wrapped = await manager.wrap(root_key.identifier, Secret(bytearray(b"kek")), BOUND)
    go_on(manager.house, DAY)

    await manager.probe(root_key.identifier)
    with (await manager.unwrap(root_key.identifier, wrapped.ciphertext, BOUND)).plaintext as opened:
        assert opened.reveal() == b"kek"
    with pytest.raises(KeyManagerRefused):
        await manager.wrap(root_key.identifier, Secret(bytearray(b"kek")), BOUND)


async def test_a_disabled_one_is_not_proved_usable(manager: EmbeddedKeyManager, root_key: Key) -> None:
    """Nor a deleted one: what revokes a key reaches every key under it."""
    await manager.disable_root_key(root_key.identifier)
    with pytest.raises(KeyManagerRefused):
        await manager.probe(root_key.identifier)
    await manager.delete_root_key(root_key.identifier)
    with pytest.raises(KeyManagerRefused):
        await manager.probe(root_key.identifier)
