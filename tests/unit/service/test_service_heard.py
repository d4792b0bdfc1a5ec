"""What each process of a deployment hears of what one of them has found out about key managers."""

from collections.abc import AsyncIterator

import pytest

from keyrack.adapters.key_managers.memory import Fault
from keyrack.ports.key_manager import KeyManagerRefused, Reason, StandardKey
from keyrack.service.care.validation import Heard, every
from keyrack.testing.house import Refused
from keyrack.testing.tended import Tended


@pytest.fixture
async def tended() -> Tended:
    return await Tended.create()


async def heard(tended: Tended) -> Heard:
    """Another process's part, with the same vault and clock."""
    return Heard(tended.catalog, tended.house.vault, every({}), tended.house.clock)


async def test_after_a_sync_no_standard_key_is_read_for_a_get(tended: Tended) -> None:
    """A host that boots costs one unwrap a key; a key that is new since is still asked for."""
    old = await tended.client().made()
    await tended.round()
    young = await tended.client().made()
    hearing = await heard(tended)
    await hearing.look()
    for uid, reads in ((old, 0), (young, 1)):
        tended.house.vault.purge()
        tended.manager.calls.clear()
        assert await tended.client().material(uid)
        assert reads == tended.manager.calls["get_standard_key"], uid


async def test_a_sync_that_is_long_ago_says_nothing(tended: Tended) -> None:
    uid = await tended.client().made()
    await tended.round()
    tended.house.clock.now += 91
    await (await heard(tended)).look()
    tended.house.vault.purge()
    tended.manager.calls.clear()

    assert await tended.client().material(uid)
    assert 1 == tended.manager.calls["get_standard_key"]


async def test_a_sync_from_the_future_says_nothing(tended: Tended) -> None:
    """The time of day was set back since."""
    uid = await tended.client().made()
    await tended.round()
    tended.house.clock.now -= 30
    await (await heard(tended)).look()
    tended.house.vault.purge()
    tended.manager.calls.clear()

    assert await tended.client().material(uid)
    assert 1 == tended.manager.calls["get_standard_key"]


async def test_a_refusal_that_one_process_has_heard_is_bridged_by_none(tended: Tended) -> None:
    """The key manager falls silent before it has told the others: their leases would go on for the outage's grace."""
    uid = await tended.client().made()
    hearing = await heard(tended)
    await tended.round()
    await tended.manager.disable_root_key((await tended.instance()).root_key)
    await tended.round()
    tended.manager.down = Fault.UNAVAILABLE
    assert await tended.client().material(uid), "the control: this process has not been told"

    await hearing.look()

    with pytest.raises(Refused):
        await tended.client().material(uid)


async def test_a_refusal_is_heard_once(tended: Tended) -> None:
    """Whoever has unwrapped since was allowed to."""
    uid = await tended.client().made()
    hearing = await heard(tended)
    root_key = (await tended.instance()).root_key
    await tended.manager.disable_root_key(root_key)
    await tended.round()
    await hearing.look()
    await tended.manager.enable_root_key(root_key)
    assert await tended.client().material(uid)
    tended.manager.calls.clear()

    await hearing.look()

    assert await tended.client().material(uid)
    assert 0 == tended.manager.calls["unwrap"]


async def test_a_listing_that_is_refused_withdraws_nothing(tended: Tended) -> None:
    """The root key is as usable as before."""
    uid = await tended.client().made()
    hearing = await heard(tended)

    async def refused(prefix: str) -> AsyncIterator[StandardKey]:
        raise KeyManagerRefused("it takes the role Reader", Reason.PERMISSION)
        yield

    tended.manager.list_standard_keys = refused  # type: ignore[method-assign]
    await tended.round()
    tended.manager.calls.clear()

    await hearing.look()

    assert await tended.client().material(uid)
    assert 0 == tended.manager.calls["unwrap"]
