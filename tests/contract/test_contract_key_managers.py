"""Every key manager under the one contract."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.testing.key_manager_contract import Administered, KeyManagerContract


class TestMemory(KeyManagerContract):
    @pytest.fixture
    def key_manager(self) -> Administered:
        return MemoryKeyManager()


class TestEmbedded(KeyManagerContract):
    @pytest.fixture
    async def key_manager(self, tmp_path: Path) -> AsyncIterator[Administered]:
        unlock = KeyFile(tmp_path / "keystore.key")
        unlock.create()
        manager = EmbeddedKeyManager.create(tmp_path / "keystore", unlock)
        yield manager
        await manager.close()
