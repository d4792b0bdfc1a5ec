"""Standard keys: durable, private, paged."""

import sqlite3
import stat
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager, standard_keys_path
from keyrack.embedded.errors import InvalidField, KeyDeleted, KeyNotFound
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.embedded.store import StandardKeys
from keyrack.ports.key_manager import KeyManagerUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "standard-keys.db"


@pytest.fixture
def store(path: Path) -> StandardKeys:
    return StandardKeys(path)


def test_the_store_syncs_before_it_answers_and_is_its_owners_alone(path: Path, store: StandardKeys) -> None:
    """WAL with synchronous FULL; all of its files have mode 0600."""
    store.put([("vmware_kmip_1", b"x")], at=1)

    pragmas = [store._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert ["wal", 2] == pragmas
    assert {0o600} == {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}


def test_what_was_put_is_there_after_opening_it_again(path: Path, store: StandardKeys) -> None:
    """With its name and payload."""
    (identifier,) = store.put([("vmware_kmip_1", b"payload")], at=7)
    store.close()

    kept = StandardKeys(path).get(identifier)

    assert ("vmware_kmip_1", b"payload", 7) == (kept.name, kept.payload, kept.created_at)


def test_a_group_is_kept_whole_or_not_at_all(store: StandardKeys) -> None:
    """One bad payload keeps the good ones out; the adapter then puts them one by one."""
    with pytest.raises(InvalidField):
        store.put([("vmware_kmip_1", b"x"), ("vmware_kmip_2", bytes(7501))], at=1)

    assert [] == store.page("")


@pytest.mark.parametrize("name", ["", "x", "x" * 91])
def test_a_name_has_2_to_90_characters(store: StandardKeys, name: str) -> None:
    """As in Key Protect."""
    with pytest.raises(InvalidField):
        store.put([(name, b"x")], at=1)


def test_a_deleted_key_is_told_from_an_unknown_one(store: StandardKeys) -> None:
    """410 and 404."""
    (identifier,) = store.put([("vmware_kmip_1", b"x")], at=1)
    store.delete(identifier, at=2)

    with pytest.raises(KeyDeleted):
        store.get(identifier)
    with pytest.raises(KeyNotFound):
        store.get("absent")


async def test_a_store_that_fails_is_unavailable_and_not_a_refusal(tmp_path: Path) -> None:
    """The root key is not denied because a disk is full: nothing is purged."""
    unlock = KeyFile(tmp_path / "keystore.key")
    unlock.create()
    manager = EmbeddedKeyManager.create(tmp_path / "keystore", unlock)
    root_key = await manager.create_root_key("root")
    with sqlite3.connect(standard_keys_path(tmp_path / "keystore")) as database:
        database.execute("DROP TABLE standard_keys")

    with pytest.raises(KeyManagerUnavailable):
        await manager.put_standard_key("vmware_kmip_1", b"x")
    (tmp_path / "keystore").unlink()
    with pytest.raises(KeyManagerUnavailable):
        await manager.probe(root_key.identifier)
    await manager.close()
