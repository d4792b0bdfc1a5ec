"""IBM's adapters keep the contract of a key manager, through real HTTPS, against Keyrack's face of IBM's API."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.ibm.hpcs import Hpcs
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Settings
from keyrack.testing.ibm_grounds import IbmFace, ibm_face
from keyrack.testing.key_houses import INSTANCE
from keyrack.testing.key_manager_contract import Administered, KeyManagerContract


@pytest.fixture
def face(tmp_path: Path) -> Iterator[IbmFace]:
    """An empty key manager."""
    with ibm_face(tmp_path) as served:
        yield served


@pytest.fixture
def settings(face: IbmFace) -> Settings:
    """With room for a suite that asks for much at once."""
    return Settings(
        name="kp",
        url=face.address.url,
        instance=INSTANCE,
        iam=IamSettings(source=ApiKey(face.api_key), url=face.address.url),
        ca_bundle=face.address.authority,
        waiting=2000,
        answer_seconds=30,
        write_seconds=60,
    )


class TestKeyProtect(KeyManagerContract):
    @pytest.fixture
    async def key_manager(self, settings: Settings) -> AsyncIterator[Administered]:
        manager = KeyProtect(settings)
        yield manager
        await manager.close()


class TestHpcs(KeyManagerContract):
    @pytest.fixture
    async def key_manager(self, settings: Settings) -> AsyncIterator[Administered]:
        manager = Hpcs(settings)
        yield manager
        await manager.close()
