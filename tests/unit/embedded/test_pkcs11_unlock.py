"""An HSM that opens a keystore: its master key is sealed by a key that never leaves the HSM."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.embedded.errors import KeeperUnavailable, KeystoreDamaged, KeystoreLocked
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper
from keyrack.embedded.root_keys.token_unlock import TokenUnlock
from keyrack.embedded.root_keys.unlock import KeyFile, Unlock
from keyrack.testing.softhsm import SoftHsm, absent

pytestmark = pytest.mark.skipif(absent() is not None, reason=str(absent()))


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    return SoftHsm.create(tmp_path / "hsm")


@pytest.fixture(params=["gcm", "kwp"])
def keeper(hsm: SoftHsm, request: pytest.FixtureRequest) -> Iterator[Pkcs11Keeper]:
    keeper = Pkcs11Keeper(hsm.settings(timeout=20.0, mechanism=request.param))
    yield keeper
    keeper.close()


def test_it_gives_the_same_master_key_again(keeper: Pkcs11Keeper) -> None:
    """Out of parameters that do not hold it."""
    unlock: Unlock = TokenUnlock(keeper)

    parameters = unlock.prepare()

    with unlock.master_key(parameters) as one, unlock.master_key(json.loads(json.dumps(dict(parameters)))) as other:
        assert one.matches(other)
        assert 32 == len(one)
        assert one.reveal().hex() not in json.dumps(dict(parameters))


def test_each_keystore_has_a_master_key_of_its_own(keeper: Pkcs11Keeper) -> None:
    """And a key in the HSM of its own; what is sealed under one does not open under another."""
    unlock = TokenUnlock(keeper)
    one, other = unlock.prepare(), unlock.prepare()

    with unlock.master_key(one) as first, unlock.master_key(other) as second:
        assert not first.matches(second)
    with pytest.raises(KeystoreLocked):
        unlock.master_key({**one, "key": other["key"]})
    with pytest.raises(KeystoreLocked, match="has no key"):
        unlock.master_key({**one, "key": "7c4d9e57-28a5-4b56-9c7c-000000000000"})


@pytest.mark.parametrize(
    "change", [{"key": None}, {"key": "x"}, {"iv": "zz"}, {"sealed": 7}, {"sealed": "abc"}, {"iv": None}]
)
def test_parameters_of_another_form_are_damage(keeper: Pkcs11Keeper, change: dict[str, object]) -> None:
    """The keystore's file may come from anywhere."""
    unlock = TokenUnlock(keeper)

    with pytest.raises(KeystoreDamaged):
        unlock.master_key({**unlock.prepare(), **change})


def test_a_keystore_opens_with_its_hsm_alone(hsm: SoftHsm, keeper: Pkcs11Keeper, tmp_path: Path) -> None:
    """Another HSM, or none, leaves it closed; its own opens it again."""
    with Keystore.create(tmp_path / "keystore", TokenUnlock(keeper), at=1).derived("rows") as derived:
        rows = bytes(derived.reveal())
    stranger = Pkcs11Keeper(SoftHsm.create(tmp_path / "stranger").settings(timeout=20.0))

    with pytest.raises(KeystoreLocked, match="has no key"):
        Keystore.open(tmp_path / "keystore", TokenUnlock(stranger))
    stranger.close()
    hsm.lose()
    lost = Pkcs11Keeper(hsm.settings(timeout=20.0))
    with pytest.raises(KeeperUnavailable, match="see whether the HSM is connected"):
        Keystore.open(tmp_path / "keystore", TokenUnlock(lost))
    hsm.put_back()

    with Keystore.open(tmp_path / "keystore", TokenUnlock(lost)).derived("rows") as derived:
        assert rows == derived.reveal()
    lost.close()


def test_a_key_file_gives_way_to_an_hsm(keeper: Pkcs11Keeper, tmp_path: Path) -> None:
    """Everything derived from the keystore stays, and the key file opens it no more."""
    key_file = KeyFile(tmp_path / "keystore.key")
    key_file.create()
    keystore = Keystore.create(tmp_path / "keystore", key_file, at=1)

    keystore.change_unlock(TokenUnlock(keeper))

    again = Keystore.open(tmp_path / "keystore", TokenUnlock(keeper))
    with keystore.derived("rows") as before, again.derived("rows") as after:
        assert before.matches(after)
    with pytest.raises(KeystoreLocked):
        Keystore.open(tmp_path / "keystore", key_file)


@pytest.mark.skipif(shutil.which("pkcs11-tool") is None, reason="no pkcs11-tool: apt install opensc")
def test_an_administrator_finds_the_sealing_key(hsm: SoftHsm, keeper: Pkcs11Keeper) -> None:
    """Apart from root keys."""
    parameters = TokenUnlock(keeper).prepare()

    shown = hsm.tool("--list-objects", "--type", "secrkey", "--id", parameters["key"].replace("-", ""))

    assert "keyrack keystore" in shown
    assert "never extractable" in shown
