"""The embedded key manager behind its port, on two nodes: what one has just done is no refusal on the other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.secret import Secret
from keyrack.embedded.store import following
from keyrack.ports.key_manager import KeyManagerRefused, KeyManagerUnavailable, Reason
from keyrack.testing.key_houses import INSTANCE, a_copy, a_house, opened_again
from keyrack.testing.shared_logs import NodesLog, SharedLog


@pytest.fixture
async def managers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[EmbeddedKeyManager, EmbeddedKeyManager]]:
    """Two that hear nothing of one another: each looks at the log when it must."""
    monkeypatch.setattr(following, "STALE", 60.0)
    (tmp_path / "one").mkdir()
    a_house(tmp_path / "one").close()
    shared = SharedLog()
    opened_again(tmp_path / "one", log=shared.of_a_node()).close()
    a_copy(tmp_path / "one", tmp_path / "two")
    made = [
        EmbeddedKeyManager(opened_again(tmp_path / name, log=NodesLog(shared, blind=True), rotate=0), INSTANCE)
        for name in ("one", "two")
    ]
    yield made[0], made[1]
    for each in made:
        await each.close()


def log_of(manager: EmbeddedKeyManager) -> NodesLog:
    shared = manager.house.database._following
    assert shared is not None
    assert isinstance(shared._log, NodesLog)
    return shared._log


async def test_a_key_that_was_made_a_moment_ago_is_used_on_the_other_node(
    managers: tuple[EmbeddedKeyManager, EmbeddedKeyManager],
) -> None:
    one, two = managers
    root = (await one.create_root_key("root")).identifier
    with Secret(bytearray(b"a key")) as key:
        wrapped = await two.wrap(root, key, ("aad",))
    await one.rotate_root_key(root)
    with Secret(bytearray(b"another")) as key:
        newer = await one.wrap(root, key, ("aad",))

    with (await two.unwrap(root, newer.ciphertext, ("aad",))).plaintext as opened:
        assert b"another" == bytes(opened.reveal())
    with (await one.unwrap(root, wrapped.ciphertext, ("aad",))).plaintext as opened:
        assert b"a key" == bytes(opened.reveal())
    assert (await one.describe_root_key(root)) == (await two.describe_root_key(root))


async def test_a_standard_key_that_was_put_a_moment_ago_is_there(
    managers: tuple[EmbeddedKeyManager, EmbeddedKeyManager],
) -> None:
    """Else a Get on the other node would take the key for one that is lost."""
    one, two = managers
    kept = await one.put_standard_key("vmware_kmip_one", b"payload")

    assert b"payload" == (await two.get_standard_key(kept)).payload
    later = await one.put_standard_key("vmware_kmip_two", b"payload")
    assert [later] == [each.identifier for each in await two.find_standard_keys("vmware_kmip_two")]


async def test_a_list_that_begins_now_has_all(managers: tuple[EmbeddedKeyManager, EmbeddedKeyManager]) -> None:
    one, two = managers
    kept = await one.put_standard_key("vmware_kmip_one", b"payload")
    root = (await one.create_root_key("root")).identifier

    assert [kept] == [each.identifier async for each in two.list_standard_keys("vmware")]
    assert root in [each.identifier for each in await two.list_root_keys()]


async def test_what_is_nowhere_is_refused(managers: tuple[EmbeddedKeyManager, EmbeddedKeyManager]) -> None:
    _, two = managers
    with pytest.raises(KeyManagerRefused) as refused:
        await two.get_standard_key("00000000-0000-4000-8000-000000000000")
    assert Reason.ABSENT is refused.value.reason


async def test_a_refusal_that_cannot_be_looked_at_again_is_an_outage(
    managers: tuple[EmbeddedKeyManager, EmbeddedKeyManager],
) -> None:
    """It would purge what is cached, and withhold keys that are there."""
    one, two = managers
    root = (await one.create_root_key("root")).identifier
    log_of(two).cut = True

    with pytest.raises(KeyManagerUnavailable):
        await two.describe_root_key(root)
    with pytest.raises(KeyManagerUnavailable):
        await two.list_root_keys()
    log_of(two).cut = False
    await two.describe_root_key(root)


async def test_a_node_that_sees_nothing_is_an_outage(
    managers: tuple[EmbeddedKeyManager, EmbeddedKeyManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = managers
    root = (await one.create_root_key("root")).identifier
    await two.describe_root_key(root)
    log_of(two).cut = True
    monkeypatch.setattr(following, "STALE", -1.0)

    with pytest.raises(KeyManagerUnavailable):
        await two.probe(root)
    monkeypatch.setattr(following, "STALE", 60.0)
    assert root == (await one.describe_root_key(root)).identifier
