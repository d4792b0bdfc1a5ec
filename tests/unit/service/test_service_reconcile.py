"""Instances whose wrapped keys are standard keys: what a key manager's failure and a crash at each step leave."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.domain.errors import GeneralFailure
from keyrack.domain.instances import Storage
from keyrack.ports.catalog import CatalogUnavailable, OutcomeUnknown, Unit
from keyrack.ports.key_manager import StandardKey
from keyrack.service.care.reconcile import SETTLED, Outcome, reconcile
from keyrack.spec.enumerations import BatchErrorContinuationOption, ObjectType, ResultReason, ResultStatus
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import Client, create, destroy, get, name, register, register_opaque
from keyrack.testing.house import House, memory_house
from keyrack.wire.objects import Template


@pytest.fixture(params=["memory", "sqlite"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    """A house whose instance ``a`` keeps its wrapped keys in the key manager as well."""
    on_disk = request.param == "sqlite"
    built = memory_house(await catalog_at(tmp_path / "catalog.sqlite", "kmip-0") if on_disk else None)
    await built.admit("a", storage=Storage.KEY_MANAGER)
    yield built
    await built.catalog.close()


@pytest.fixture
def manager(house: House) -> MemoryKeyManager:
    """The key manager."""
    assert isinstance(house.key_manager, MemoryKeyManager)
    return house.key_manager


@pytest.fixture
def client(house: House) -> Client:
    """A client of ``a``."""
    return Client(house)


async def standard_keys(manager: MemoryKeyManager) -> list[StandardKey]:
    """What the customer sees there."""
    listing: AsyncIterator[StandardKey] = manager.list_standard_keys("")
    return [key async for key in listing]


async def later(house: House) -> Outcome:
    """Let the reconciler run when everything is settled."""
    house.clock.now += SETTLED + 1
    return await reconcile(house.catalog, house.vault, now=int(house.clock()))


async def actions(house: House) -> list[tuple[str, str]]:
    """Action and outcome of every entry of the journal."""
    records = [json.loads(record.text) for record in await house.catalog.journal()]
    return [(record["action"], record["outcome"]) for record in records]


async def test_a_key_is_in_both_places(client: Client, manager: MemoryKeyManager) -> None:
    """Under a name that carries its identifier, and with the same bytes as in the catalog; no intent is left."""
    uid = await client.made()

    (key,) = await standard_keys(manager)
    kept = await client.house.catalog.stored_blob("instance-a", uid)

    assert f"vmware_kmip_{uid}" == key.name
    assert kept == (await manager.get_standard_key(key.identifier)).payload
    assert [] == list(await client.house.catalog.intents())


async def test_an_intent_precedes_the_first_outside_call(client: Client, manager: MemoryKeyManager) -> None:
    """The journal has it before the Create, and the catalog before the put."""
    seen = []

    async def watched(name: str, payload: bytes) -> str:
        seen.append([intent.sealed for intent in await client.house.catalog.intents()] == [payload])
        return await put(name, payload)

    put, manager.put_standard_key = manager.put_standard_key, watched  # type: ignore[method-assign]
    await client.made()

    assert [True] == seen
    assert [("standard-key.intent", "success"), ("Create", "success")] == (await actions(client.house))[-2:]


async def test_a_template_needs_no_key_manager(client: Client, manager: MemoryKeyManager) -> None:
    """It has nothing to seal."""
    manager.down = Fault.UNAVAILABLE

    assert await client.made(register(ObjectType.TEMPLATE, Template(attribute=()), {"Name": name("t")}))


# --- a key manager that refuses, or does not answer ---

FAILURES = [
    (("wrap", Fault.REFUSE, 1), ResultReason.CRYPTOGRAPHIC_FAILURE),
    (("wrap", Fault.UNAVAILABLE, 1), ResultReason.GENERAL_FAILURE),
    (("unwrap", Fault.REFUSE, 1), ResultReason.CRYPTOGRAPHIC_FAILURE),
    (("unwrap", Fault.UNAVAILABLE, 1), ResultReason.GENERAL_FAILURE),
    (("put_standard_key", Fault.REFUSE, 1), ResultReason.CRYPTOGRAPHIC_FAILURE),
    (("put_standard_key", Fault.UNAVAILABLE, 3), ResultReason.GENERAL_FAILURE),
    (("get_standard_key", Fault.REFUSE, 1), ResultReason.CRYPTOGRAPHIC_FAILURE),
]


@pytest.mark.parametrize(("failure", "reason"), FAILURES)
async def test_a_create_that_the_key_manager_fails_leaves_nothing(
    client: Client, manager: MemoryKeyManager, failure: tuple[str, Fault, int], reason: ResultReason
) -> None:
    """Refusal: Cryptographic Failure; no answer: General Failure; no object, no standard key, no intent, not later."""
    manager.fail(*failure)
    refused = await client.refused(create({"Name": name("k")}))

    assert reason == refused
    assert Outcome() == await later(client.house)
    assert ([], []) == (await client.located(), await standard_keys(manager))
    assert await client.made(create({"Name": name("k")}))


async def test_a_lost_answer_is_not_a_lost_key(client: Client, manager: MemoryKeyManager) -> None:
    """The put was done, its answer lost: it is found by its name, and there is one standard key."""
    manager.fail("put_standard_key", Fault.LOSE_ANSWER)

    uid = await client.made()

    assert [f"vmware_kmip_{uid}"] == [key.name for key in await standard_keys(manager)]


async def test_a_get_that_the_key_manager_fails_is_refused_with_the_right_reason(
    client: Client, manager: MemoryKeyManager
) -> None:
    """And given again when it is back; the lease and the cache are emptied in between."""
    uid = await client.made()
    for fault, reason in (
        (Fault.REFUSE, ResultReason.CRYPTOGRAPHIC_FAILURE),
        (Fault.UNAVAILABLE, ResultReason.GENERAL_FAILURE),
    ):
        client.house.vault.purge()
        manager.down = fault
        assert reason == await client.refused(get(uid))
        manager.down = None

    assert 32 == len(await client.material(uid))


async def test_a_standard_key_that_was_deleted_there_is_revoked_here(client: Client, manager: MemoryKeyManager) -> None:
    """The customer's way to take one disk away: Cryptographic Failure."""
    uid = await client.made()
    (key,) = await standard_keys(manager)
    await manager.delete_standard_key(key.identifier)
    client.house.vault.purge()

    assert ResultReason.CRYPTOGRAPHIC_FAILURE == await client.refused(get(uid))


# --- what comes to nothing after the key manager has it ---


async def test_an_undone_batch_takes_its_standard_keys_back(client: Client, manager: MemoryKeyManager) -> None:
    """Nothing remains, now or after the reconciler has run."""
    answers = await client.batch(
        create(), create(), get("nobody"), batch_error_continuation_option=BatchErrorContinuationOption.UNDO
    )

    assert ResultStatus.OPERATION_UNDONE == answers[0].result_status
    assert [] == await standard_keys(manager)
    assert [] == list(await client.house.catalog.intents())
    assert Outcome() == await later(client.house)
    assert [] == await client.located()


async def test_an_answer_that_does_not_fit_takes_its_standard_key_back(
    client: Client, manager: MemoryKeyManager
) -> None:
    """Response Too Large: the key was made already, and goes."""
    (item,) = await client.batch(create(), maximum_response_size=100)

    assert ResultReason.RESPONSE_TOO_LARGE == item.result_reason
    assert ([], []) == (await standard_keys(manager), list(await client.house.catalog.intents()))


async def test_what_cannot_be_taken_back_is_never_seen(client: Client, manager: MemoryKeyManager) -> None:
    """The key manager does not answer just then: an unused standard key stays there, and no object of it ever is."""
    manager.fail("delete_standard_key", Fault.UNAVAILABLE)

    await client.batch(create(), maximum_response_size=100)

    assert Outcome() == await later(client.house)
    assert (1, []) == (len(await standard_keys(manager)), await client.located())


async def test_a_certificate_removed_meanwhile_leaves_nothing(client: Client, manager: MemoryKeyManager) -> None:
    """Between the put and the commit: no object and no standard key."""
    house = client.house

    async def removing(name: str, payload: bytes) -> str:
        identifier = await put(name, payload)
        await house.catalog.commit(Unit(entries=(), removed_certificates=(house.peers["a"].fingerprint,)))
        return identifier

    put, manager.put_standard_key = manager.put_standard_key, removing  # type: ignore[method-assign]
    refused = await client.refused(create())

    assert ResultReason.AUTHENTICATION_NOT_SUCCESSFUL == refused
    assert ([], []) == (await standard_keys(manager), list(await house.catalog.intents()))


# --- crashes ---


class Crash(BaseException):
    """The process ends here."""


async def _crash(*arguments: Any) -> Any:
    raise Crash


Preparation = Callable[[House, MemoryKeyManager], Awaitable[None]]


async def before_the_put(house: House, manager: MemoryKeyManager) -> None:
    """The intent is durable, the key manager was not asked."""
    manager.put_standard_key = _crash  # type: ignore[assignment]


async def after_the_put(house: House, manager: MemoryKeyManager) -> None:
    """The key manager has it, nobody read it back."""
    manager.get_standard_key = _crash  # type: ignore[assignment]


async def before_the_commit(house: House, manager: MemoryKeyManager) -> None:
    """Both have it, the catalog did not insert it."""
    commit = house.catalog.commit

    async def crashing(unit: Unit) -> None:
        if unit.inserted:
            raise Crash
        await commit(unit)

    house.catalog.commit = crashing  # type: ignore[method-assign]


async def crashed(house: House, manager: MemoryKeyManager, preparation: Preparation) -> None:
    """Make a Create die at a step, and let a new process begin on what is left."""
    put, read, commit = manager.put_standard_key, manager.get_standard_key, house.catalog.commit
    await preparation(house, manager)
    with pytest.raises(Crash):
        await Client(house).made(create({"Name": name("k")}))
    manager.put_standard_key, manager.get_standard_key = put, read  # type: ignore[method-assign]
    house.catalog.commit = commit  # type: ignore[method-assign]
    house.vault.purge()


async def test_a_crash_before_the_put_leaves_nothing(house: House, manager: MemoryKeyManager, client: Client) -> None:
    """The intent is ended, and no object appears."""
    await crashed(house, manager, before_the_put)
    before = await reconcile(house.catalog, house.vault, now=int(house.clock()))

    assert (Outcome(), Outcome(ended=1), Outcome()) == (before, await later(house), await later(house))
    assert ([], []) == (await client.located(), list(await house.catalog.intents()))
    assert ("standard-key.reconcile", "ended") in await actions(house)


@pytest.mark.parametrize("preparation", [after_the_put, before_the_commit])
async def test_a_crash_after_the_put_is_completed(
    house: House, manager: MemoryKeyManager, client: Client, preparation: Preparation
) -> None:
    """The object is there, whole: found by its name, its material opens, and its standard key is the one there."""
    await crashed(house, manager, preparation)
    hidden = await client.located()

    assert ([], Outcome(completed=1)) == (hidden, await later(house))
    (uid,) = await client.located({"Name": name("k")})
    assert 32 == len(await client.material(uid))
    assert [f"vmware_kmip_{uid}"] == [key.name for key in await standard_keys(manager)]
    assert Outcome() == await later(house)
    assert ("standard-key.reconcile", "completed") in await actions(house)


async def test_a_name_that_was_taken_meanwhile_is_not_given_twice(
    house: House, manager: MemoryKeyManager, client: Client
) -> None:
    """The client asked again, as clients do: the first attempt is ended, not completed."""
    await crashed(house, manager, before_the_commit)
    uid = await client.made(create({"Name": name("k")}))

    assert Outcome(ended=1) == await later(house)
    assert [uid] == await client.located({"Name": name("k")})
    assert [] == list(await house.catalog.intents())


async def test_an_intent_under_way_is_left_alone(house: House, manager: MemoryKeyManager) -> None:
    """For a minute it may be a request that just takes its time."""
    await crashed(house, manager, before_the_commit)

    assert Outcome() == await reconcile(house.catalog, house.vault, now=int(house.clock()) + SETTLED - 1)
    assert 1 == len(await house.catalog.intents())


async def test_a_key_manager_that_does_not_answer_ends_no_intent(
    house: House, manager: MemoryKeyManager, client: Client
) -> None:
    """The next round tries again."""
    await crashed(house, manager, before_the_commit)
    manager.down = Fault.UNAVAILABLE
    with pytest.raises(GeneralFailure):
        await later(house)
    manager.down = None

    assert Outcome(completed=1) == await later(house)
    assert 1 == len(await client.located())


@pytest.mark.parametrize("kept", [True, False])
async def test_a_commit_whose_outcome_nobody_knows_loses_no_key(
    house: House, manager: MemoryKeyManager, client: Client, kept: bool
) -> None:
    """The client is told General Failure; what was kept stays kept, what was not is completed."""
    commit = house.catalog.commit

    async def doubtful(unit: Unit) -> None:
        if unit.inserted and kept:
            await commit(unit)
        if unit.inserted:
            raise OutcomeUnknown
        await commit(unit)

    house.catalog.commit = doubtful  # type: ignore[method-assign]
    refused = await client.refused(create())
    house.catalog.commit = commit  # type: ignore[method-assign]

    assert ResultReason.GENERAL_FAILURE == refused
    assert Outcome(completed=0 if kept else 1) == await later(house)
    (uid,) = await client.located()
    assert 32 == len(await client.material(uid))


async def test_a_full_disk_before_the_intent_asks_the_key_manager_for_nothing(
    house: House, manager: MemoryKeyManager, client: Client
) -> None:
    """No intent, no standard key."""
    await client.made()
    commit = house.catalog.commit

    async def full(unit: Unit) -> None:
        raise CatalogUnavailable

    house.catalog.commit = full  # type: ignore[method-assign]
    refused = await client.refused(register_opaque(b"1"))
    house.catalog.commit = commit  # type: ignore[method-assign]

    assert ResultReason.GENERAL_FAILURE == refused
    assert 1 == len(await standard_keys(manager))


async def test_destroying_leaves_the_standard_key_to_the_administrator(
    client: Client, manager: MemoryKeyManager
) -> None:
    """Nothing in a key manager is removed by a client."""
    uid = await client.made()
    await client(destroy(uid))

    assert 1 == len(await standard_keys(manager))


async def test_a_clock_that_is_set_forward_takes_no_standard_key_from_an_object(
    house: House, manager: MemoryKeyManager, client: Client
) -> None:
    """The reconciler takes what is under way for what a crash has left, and completes it before its own request."""
    put, hours = manager.put_standard_key, [3600]

    async def overtaken(name: str, payload: bytes) -> str:
        identifier = await put(name, payload)
        if hours:
            await reconcile(house.catalog, house.vault, now=int(house.clock()) + hours.pop())
        return identifier

    manager.put_standard_key = overtaken  # type: ignore[method-assign]
    uid = await client.made(create())

    held = await house.catalog.objects("instance-a", "")
    assert uid in {each.unique_identifier for each in held}
    assert {each.standard_key for each in held} == {each.identifier for each in await standard_keys(manager)}
