"""Every key manager under the one contract: in memory, root keys in software, root keys in a real PKCS#11 token."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest
from tests.contract.ibm_sdk import SdkKeyManager

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.adapters.key_managers.registry import KeyManagers, name_for
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper
from keyrack.embedded.root_keys.port import Keeper
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.testing.key_houses import INSTANCE, OTHER_INSTANCE, a_house, an_instance
from keyrack.testing.key_manager_contract import AAD, Administered, KeyManagerContract, a_secret, refused_by
from keyrack.testing.key_protect import key_protect, new_api_key
from keyrack.testing.softhsm import SoftHsm, absent

UNHURRIED = Bounds(
    waiting=10_000, per_address=Rate(each_second=1e5, burst=10**5), per_caller=Rate(each_second=1e5, burst=10**5)
)
"""Bounds that a suite does not meet."""


def without_waits(directory: Path, hsm: Keeper | None = None) -> EmbeddedKeyManager:
    """Key Protect makes people wait between two changes of a key; a contract should not."""
    return EmbeddedKeyManager.first_of(a_house(directory, hsm=hsm, state_change=0, rotate=0))


class TestMemory(KeyManagerContract):
    @pytest.fixture
    def key_manager(self) -> Administered:
        return MemoryKeyManager()


class TestSoftware(KeyManagerContract):
    @pytest.fixture
    async def key_manager(self, tmp_path: Path) -> AsyncIterator[Administered]:
        manager = without_waits(tmp_path)
        yield manager
        await manager.close()


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    if reason := absent():
        pytest.skip(reason)
    return SoftHsm.create(tmp_path_factory.mktemp("token"))


class InToken(KeyManagerContract):
    """Root keys in SoftHSM2, by one of the two mechanisms."""

    mechanism: Literal["gcm", "kwp"]

    @pytest.fixture
    async def key_manager(self, tmp_path: Path, token: SoftHsm) -> AsyncIterator[Administered]:
        keeper = Pkcs11Keeper(token.settings(mechanism=self.mechanism))
        manager = without_waits(tmp_path, keeper)
        yield manager
        await manager.close()


class TestTokenGcm(InToken):
    mechanism = "gcm"


class TestTokenKeyWrap(InToken):
    mechanism = "kwp"


class TestRestFace(KeyManagerContract):
    """The same through HTTPS, spoken by IBM's SDK."""

    @pytest.fixture
    def key_manager(self, tmp_path: Path) -> Iterator[Administered]:
        house = a_house(tmp_path, state_change=0, rotate=0)
        with key_protect(house, tmp_path, bounds=UNHURRIED) as address:
            yield SdkKeyManager(address, new_api_key(house, Role.MANAGER), INSTANCE)
        house.close()


async def test_one_instance_does_not_use_the_keys_of_another(tmp_path: Path) -> None:
    """Neither its root keys nor its standard keys, though one house holds both; each lists its own alone."""
    first = without_waits(tmp_path)
    an_instance(first.house, OTHER_INSTANCE)
    managers = KeyManagers({"embedded": first})
    other = managers[name_for("embedded", first, OTHER_INSTANCE)]
    assert isinstance(other, EmbeddedKeyManager)
    async with contextlib.aclosing(_Closing(first)):
        root_key = (await first.create_root_key("root")).identifier
        wrapped = await first.wrap(root_key, a_secret(), AAD)
        standard_key = await first.put_standard_key("vmware_kmip_1", b"x")

        assert ["wrap", "unwrap", "rewrap", "probe"] == await refused_by(other, root_key, wrapped.ciphertext)
        assert list(await other.list_root_keys()) == []
        assert [each async for each in other.list_standard_keys("vmware")] == []
        assert [each.identifier async for each in first.list_standard_keys("vmware")] == [standard_key]
        assert managers["embedded"] is managers[f"embedded/{first.instance}"] is first


async def test_withdrawals_are_told_once(tmp_path: Path) -> None:
    """What is disabled or deleted, by identifier and by name; nothing twice."""
    manager = without_waits(tmp_path)
    async with contextlib.aclosing(_Closing(manager)):
        disabled, deleted, kept = [(await manager.create_root_key("root")).identifier for _ in range(3)]
        standard_key = await manager.put_standard_key("vmware_kmip_1", b"x")
        before = await manager.withdrawn(None)
        await manager.disable_root_key(disabled)
        await manager.delete_root_key(deleted)
        await manager.delete_standard_key(standard_key)
        await manager.rotate_root_key(kept)

        told = await manager.withdrawn(before.cursor)

        assert (before.root_keys, before.standard_keys) == ((), ())
        assert set(told.root_keys) == {disabled, deleted}
        assert list(told.standard_keys) == ["vmware_kmip_1"]
        assert await manager.withdrawn(told.cursor) == type(told)(told.cursor)


class _Closing:
    def __init__(self, manager: EmbeddedKeyManager) -> None:
        self._manager = manager

    async def aclose(self) -> None:
        await self._manager.close()
