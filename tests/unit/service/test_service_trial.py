"""A key manager that is tried out through its port: each step is told, and nothing is left behind."""

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.ports.key_manager import Checked, KeyManager, StandardKey, Verdict
from keyrack.service.health.trial import trial


async def tried(manager: KeyManager, root_key: str | None = None, *, write: bool = True) -> list[Checked]:
    """All steps."""
    return [each async for each in trial(manager, root_key, write=write)]


def verdicts(checks: list[Checked]) -> dict[str, str]:
    """What each step has come to."""
    return {each.what: str(each.verdict) for each in checks}


@pytest.fixture
async def manager() -> MemoryKeyManager:
    """One with a root key."""
    manager = MemoryKeyManager()
    await manager.create_root_key("root")
    return manager


async def test_one_that_does_everything_is_well_and_as_it_was(manager: MemoryKeyManager) -> None:
    """The standard key that was made is gone."""
    checks = await tried(manager)

    assert dict.fromkeys(("root key", "wrap and unwrap", "binding", "standard keys"), "well") == verdicts(checks)
    assert [] == [each async for each in manager.list_standard_keys("")]


async def test_without_writing_no_standard_key_is_made(manager: MemoryKeyManager) -> None:
    """The step says that it was left out."""
    manager.fail("put_standard_key", Fault.REFUSE)

    checks = await tried(manager, write=False)

    assert "skipped" == verdicts(checks)["standard keys"]


async def test_one_without_root_keys_says_how_to_make_one() -> None:
    """That is no failure: nothing was asked that cannot be."""
    checks = await tried(MemoryKeyManager())

    assert {"root key": "skipped", "standard keys": "well"} == verdicts(checks)
    assert "keyrack root-key create NAME" in checks[0].told


async def test_a_disabled_root_key_fails(manager: MemoryKeyManager) -> None:
    """And nothing is tried with it."""
    (root_key,) = await manager.list_root_keys()
    await manager.disable_root_key(root_key.identifier)

    checks = await tried(manager, root_key.identifier, write=False)

    assert {"root key": "failed", "standard keys": "skipped"} == verdicts(checks)


async def test_one_that_binds_nothing_is_remarked() -> None:
    """The hash in each wrapped key still does."""
    manager = MemoryKeyManager(binds_aad=False)
    await manager.create_root_key("root")

    checks = await tried(manager, write=False)

    assert (Verdict.REMARK, "its only binding") == (checks[2].verdict, checks[2].told[-16:])


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("describe_root_key", "root key"),
        ("wrap", "wrap and unwrap"),
        ("unwrap", "wrap and unwrap"),
        ("put_standard_key", "standard keys"),
        ("get_standard_key", "standard keys"),
        ("delete_standard_key", "standard keys"),
    ],
)
async def test_what_the_key_manager_says_is_told_and_not_raised(
    manager: MemoryKeyManager, method: str, what: str
) -> None:
    """Whoever tries it out wants to see the other steps too."""
    (root_key,) = await manager.list_root_keys()
    manager.fail(method, Fault.REFUSE)

    checks = await tried(manager, root_key.identifier)

    assert "failed" == verdicts(checks)[what]


async def test_a_standard_key_that_cannot_be_deleted_is_named(manager: MemoryKeyManager) -> None:
    """Somebody has to do it by hand."""
    manager.fail("delete_standard_key", Fault.REFUSE)

    *_, last = await tried(manager)

    (left,) = [each async for each in manager.list_standard_keys("keyrack-check-")]
    assert f"the standard key {left.name} ({left.identifier}) is left: delete it there" in last.told


async def test_a_payload_that_comes_back_changed_fails(manager: MemoryKeyManager) -> None:
    """A key manager that keeps something else is of no use."""

    class Changing(MemoryKeyManager):
        async def get_standard_key(self, identifier: str) -> StandardKey:
            kept = await super().get_standard_key(identifier)
            return StandardKey(kept.identifier, kept.name, kept.payload + b"!")

    *_, last = await tried(Changing())

    assert (Verdict.FAILED, "what is read is not what was kept") == (last.verdict, last.told)
