"""IBM's adapters keep the contract of a key manager, through real HTTPS, against Keyrack's face of IBM's API."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.contract.ibm_sdk import SdkKeyManager

from keyrack.adapters.key_managers.ibm.hpcs import Hpcs
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Settings
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import KeyManagerRefused, Reason
from keyrack.testing.ibm_grounds import IbmFace, ibm_face
from keyrack.testing.key_houses import INSTANCE
from keyrack.testing.key_manager_contract import AAD, Administered, KeyManagerContract, a_secret
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process


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


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyManagerProcess]:
    """Keyrack's key manager in a process of its own, as customers run it."""
    waits = {f"KEYRACK_KEY_MANAGERS__EMBEDDED__WAITS__{name}_SECONDS": "0" for name in ("STATE_CHANGE", "ROTATE")}
    with key_manager_process(tmp_path_factory.mktemp("key-manager"), **waits) as process:
        yield process


@pytest.mark.parametrize("kind", [KeyProtect, Hpcs])
async def test_ibm_s_own_sdk_sees_the_same(running: KeyManagerProcess, tmp_path: Path, kind: type[KeyProtect]) -> None:
    """What the adapter makes, IBM's client lists, reads and unwraps, and the other way round."""
    name = kind.__name__.lower()
    key_file = tmp_path / "api-key"
    key_file.write_text(running.new_api_key(f"adapter-{name}", "Manager"))
    ours = kind(
        Settings(
            name=name,
            url=running.address.url,
            instance=running.instance,
            iam=IamSettings(source=ApiKey(key_file), url=running.address.url),
            ca_bundle=running.address.authority,
            answer_seconds=10,
        )
    )
    theirs = SdkKeyManager(running.address, running.new_api_key(f"sdk-{name}", "Manager"), running.instance)
    secret = a_secret()

    root_keys = [await ours.create_root_key("ours"), await theirs.create_root_key("theirs")]
    imported = await ours.import_root_key("imported", Secret(bytearray(range(32))))
    for root_key in (*root_keys, imported):
        for one, other in ((ours, theirs), (theirs, ours)):
            wrapped = await one.wrap(root_key.identifier, secret, AAD)
            unwrapped = await other.unwrap(root_key.identifier, wrapped.ciphertext, AAD)
            assert unwrapped.plaintext.matches(secret)
            assert root_key.version == wrapped.version == unwrapped.version
    assert [each.identifier for each in await theirs.list_root_keys()][-3:] == [
        each.identifier for each in (*root_keys, imported)
    ]
    assert [(each.identifier, each.state, each.version) for each in await theirs.list_root_keys()] == [
        (each.identifier, each.state, each.version) for each in await ours.list_root_keys()
    ]

    put = (
        await ours.put_standard_key(f"vmware_kmip_{name}", b"ours"),
        await theirs.put_standard_key(f"x{name}", b"theirs"),
    )
    assert b"ours" == (await theirs.get_standard_key(put[0])).payload
    assert b"theirs" == (await ours.get_standard_key(put[1])).payload
    assert [put[1]] == [each.identifier for each in await ours.find_standard_keys(f"x{name}")]
    await theirs.delete_standard_key(put[0])
    with pytest.raises(KeyManagerRefused) as caught:
        await ours.get_standard_key(put[0])
    assert Reason.DELETED is caught.value.reason
    await ours.close()
