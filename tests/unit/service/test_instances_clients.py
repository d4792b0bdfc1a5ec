"""What clients meet of what their instance is held to: quotas of keys and requests, username and password."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyrack.adapters.key_managers.memory import Fault, MemoryKeyManager
from keyrack.domain.instances import Credential, Instance, InstanceStatus, Quotas, Storage
from keyrack.ports.catalog import Unit
from keyrack.service.credentials import Credentials
from keyrack.service.office.seals import Seals
from keyrack.service.people.passwords import Passwords, normal
from keyrack.service.sessions import Session
from keyrack.service.throttling import Refusals, Throttle
from keyrack.spec.enumerations import CredentialType, ResultReason, ResultStatus
from keyrack.spec.types import CustomValue, ItemType
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.conversation import (
    Item,
    activate,
    add_attribute,
    create,
    destroy,
    discover_versions,
    get,
    get_attributes,
    register_key,
)
from keyrack.testing.house import House, frame_of, memory_house, read_items
from keyrack.testing.people import CHEAP
from keyrack.wire.credentials import Authentication, Device, UsernameAndPassword
from keyrack.wire.credentials import Credential as Shown
from keyrack.wire.messages import RequestMessage, ResponseBatchItem

RIGHT = ("vSphere", b"correct horse")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house over a real catalog, with the instance ``a``."""
    catalog = await catalog_at(tmp_path / "catalog.db", "kmip-0")
    house = memory_house(catalog)
    await house.admit("a")
    yield house
    house.vault.close()
    await catalog.close()


async def hold(house: House, **fields: object) -> Instance:
    """Hold the instance to something else; every process has seen it."""
    (found,) = await house.catalog.instances()
    changed = replace(found, **fields)  # type: ignore[arg-type]
    await house.catalog.commit(Unit(entries=(), instances=(changed,)))
    house.desk.sessions.forget()
    return changed


async def ask(house: House, *items: Item, shown: tuple[str, bytes | None] | None = None) -> list[ResponseBatchItem]:
    """Ask with a credential in the header, or without."""
    header = {}
    if shown is not None:
        value = UsernameAndPassword(username=shown[0], password=bytearray(shown[1]) if shown[1] is not None else None)
        credential = Shown(credential_type=CredentialType.USERNAME_AND_PASSWORD, credential_value=value)
        header = {"authentication": Authentication(credential=(credential,))}
    return read_items(await house.said(frame_of(items, **header)))  # type: ignore[arg-type]


async def asked(house: House, item: Item, shown: tuple[str, bytes | None] | None = None) -> str:
    """The Result Reason of one item; ``ok`` where it has succeeded."""
    (answer,) = await ask(house, item, shown=shown)
    if answer.result_status == ResultStatus.SUCCESS:
        return "ok"
    return answer.result_reason.title if isinstance(answer.result_reason, ResultReason) else str(answer.result_reason)


async def made(house: House, shown: tuple[str, bytes | None] | None = None) -> str:
    (answer,) = await ask(house, create(), shown=shown)
    payload: Any = answer.response_payload
    return str(payload.unique_identifier)


async def journal(house: House, action: str) -> list[dict[str, object]]:
    entries = [json.loads(record.text) for record in await house.catalog.journal()]
    return [each for each in entries if each["action"] == action]


# Keys


@pytest.mark.parametrize("storage", list(Storage))
async def test_an_instance_that_is_full_gets_no_more_keys(house: House, storage: Storage) -> None:
    """Whether made or brought; it is told what, how many, and who raises it. A destroyed one makes room."""
    await hold(house, quotas=Quotas(keys=2), storage=storage)
    first = await made(house)
    await made(house)

    (full,) = await ask(house, create())
    assert full.result_reason == ResultReason.PERMISSION_DENIED
    assert full.result_message == (
        "instance 'a' has 2 keys, and its quota is 2: destroy some, or have an administrator raise it with "
        "'keyrack instance quota a --keys NUMBER'"
    )
    assert await asked(house, register_key(bytes(32))) == "Permission Denied"
    assert (await journal(house, "Create"))[-1]["detail"]["cause"] == "quota of 2 keys"  # type: ignore[index]
    assert await asked(house, get(first)) == "ok"
    await ask(house, destroy(first))
    assert await asked(house, create()) == "ok"


async def test_a_full_instance_costs_its_key_manager_nothing(house: House) -> None:
    """Nothing is wrapped for a key that is not made."""
    await hold(house, quotas=Quotas(keys=0))
    assert isinstance(house.key_manager, MemoryKeyManager)
    house.key_manager.fail("wrap", Fault.UNAVAILABLE)

    assert await asked(house, create()) == "Permission Denied"


async def test_no_key_of_a_deactivated_instance_stays_in_memory(house: House) -> None:
    """Each process lets go of them when it sees it, four times a second."""
    seals = Seals(house.catalog, house.vault)
    await seals.look()
    uid = await made(house)
    await ask(house, get(uid))
    (instance,) = await house.catalog.instances()
    managed = await house.catalog.load(instance.identifier, uid)
    assert managed is not None
    assert house.vault.cached(instance, managed) is not None

    await hold(house, status=InstanceStatus.INACTIVE)
    await seals.look()

    assert house.vault.cached(instance, managed) is None
    await hold(house, status=InstanceStatus.INSTALLED)
    assert await asked(house, get(uid)) == "ok"


@pytest.mark.parametrize("storage", list(Storage))
async def test_nobody_is_quick_enough_for_a_quota(house: House, storage: Storage) -> None:
    """Of many at once, in one message and in many, as many are made as there is room for, and nothing is left over."""
    await hold(house, quotas=Quotas(keys=5), storage=storage)

    answers = await asyncio.gather(*(ask(house, create(), create()) for _ in range(8)))

    outcomes = [item.result_status for answer in answers for item in answer]
    assert (outcomes.count(ResultStatus.SUCCESS), await house.catalog.living("instance-a")) == (5, 5)
    reasons = {item.result_reason for answer in answers for item in answer} - {None}
    assert reasons == {ResultReason.PERMISSION_DENIED}
    assert await house.catalog.intents() == []
    assert isinstance(house.key_manager, MemoryKeyManager)
    copies = [each async for each in house.key_manager.list_standard_keys("")]
    assert len(copies) == (5 if storage is Storage.KEY_MANAGER else 0)


# Requests


class Ticks:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_more_requests_than_the_quota_are_refused(house: House) -> None:
    """After a pause twice as many; a batch counts its items; a second later there is room again."""
    ticks = Ticks()
    house.desk.throttle = Throttle(ticks)
    await hold(house, quotas=Quotas(requests=5))

    outcomes = [await asked(house, discover_versions()) for _ in range(13)]
    assert outcomes == ["ok"] * 10 + ["General Failure"] * 3
    (refused,) = await ask(house, discover_versions())
    assert "instance 'a' asks more than the 5 requests a second" in str(refused.result_message)
    assert "keyrack instance quota a --requests NUMBER" in str(refused.result_message)

    ticks.now += 1
    assert [await asked(house, discover_versions()) for _ in range(6)] == ["ok"] * 5 + ["General Failure"]
    ticks.now += 60
    await ask(house, *[discover_versions()] * 10)
    assert await asked(house, discover_versions()) == "General Failure"


async def test_one_instance_does_not_take_another_one_s_room(house: House) -> None:
    """Each has a bucket of its own."""
    house.desk.throttle = Throttle(Ticks())
    await hold(house, quotas=Quotas(requests=1))
    await house.admit("b")
    assert [await asked(house, discover_versions()) for _ in range(3)] == ["ok", "ok", "General Failure"]

    answers = read_items(await house.said(frame_of([discover_versions()]), "b"))
    assert [each.result_status for each in answers] == [ResultStatus.SUCCESS]


async def test_refusals_are_written_down_in_sums(house: House) -> None:
    """The first at once, the others as a number: whoever asks far too often does not fill the journal."""
    house.desk.throttle = Throttle(Ticks())
    house.desk._refusals = Refusals(house.catalog, house.clock, sum_up=0.05)
    await hold(house, quotas=Quotas(requests=1))
    for _ in range(52):
        await asked(house, discover_versions())
    told = await journal(house, "instance.throttle")
    assert [each["detail"] for each in told] == [{"cause": "more than 1 requests a second", "count": 1}]

    await asyncio.sleep(0.2)
    told = await journal(house, "instance.throttle")
    assert [each["detail"]["count"] for each in told] == [1, 49]  # type: ignore[index]
    assert told[0]["outcome"] == "General Failure"


# Username and password


@pytest.fixture
async def passwords() -> Passwords:
    """Hashes that take no time."""
    return Passwords(CHEAP)


async def credential_of(house: House, passwords: Passwords, *, required: bool = False) -> Credential:
    """Give the instance the credential of :data:`RIGHT`."""
    house.desk.credentials = Credentials(passwords, Ticks())
    made = Credential(username=RIGHT[0], password=await passwords.encoded(normal(RIGHT[1].decode())), required=required)
    await hold(house, credential=made)
    return made


@pytest.mark.parametrize("required", [False, True])
async def test_a_wrong_credential_is_refused(house: House, passwords: Passwords, required: bool) -> None:
    """Whether name, password or both are wrong, wherever it comes; the right one is served."""
    await credential_of(house, passwords, required=required)
    for wrong in (("vSphere", b"wrong horse"), ("root", RIGHT[1]), ("vSphere", b""), ("vSphere", None)):
        assert await asked(house, create(), wrong) == "Authentication Not Successful"
    house.desk.credentials = Credentials(passwords)
    assert await asked(house, discover_versions(), ("vSphere", b"wrong horse")) == "Authentication Not Successful"
    assert await asked(house, create(), RIGHT) == "ok"
    assert await house.catalog.living("instance-a") == 1


async def test_none_is_refused_where_vcenter_would_send_it(house: House, passwords: Passwords) -> None:
    """And only where it is required: vCenter greets, reads its tags and tags keys without."""
    uid = await made(house)
    await credential_of(house, passwords, required=True)
    tag, date = (
        add_attribute(uid, "x-Product", CustomValue(ItemType.TEXT_STRING, "vc")),
        add_attribute(uid, "Contact Information", "me"),
    )

    for item in (create(), get(uid), activate(uid), destroy(uid), register_key(bytes(16)), date):
        assert await asked(house, item) == "Authentication Not Successful"
    for item in (discover_versions(), get_attributes(uid), tag):
        assert await asked(house, item) == "ok"
    assert [each.result_reason for each in await ask(house, get_attributes(uid), get(uid))] == [
        ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    ] * 2
    await credential_of(house, passwords)
    assert await asked(house, get(uid)) == "ok"


async def test_what_nobody_asks_for_is_not_looked_at(house: House, passwords: Passwords) -> None:
    """A vCenter may have a user entered for its own sake."""
    assert await asked(house, create(), ("vSphere", b"anything")) == "ok"
    assert passwords.computed == 0


async def test_a_credential_of_another_kind_is_none(house: House, passwords: Passwords) -> None:
    """A device's serial number proves nothing here."""
    await credential_of(house, passwords, required=True)
    device = Shown(credential_type=CredentialType.DEVICE, credential_value=Device(device_serial_number="1"))
    frame = frame_of([create()], authentication=Authentication(credential=(device,)))

    (answer,) = read_items(await house.said(frame))
    assert answer.result_reason == ResultReason.AUTHENTICATION_NOT_SUCCESSFUL


async def test_one_proof_serves_all(house: House, passwords: Passwords) -> None:
    """Hundreds of hosts that start at once cost one hash; each process proves for itself."""
    await credential_of(house, passwords)
    outcomes = await asyncio.gather(*(asked(house, create(), RIGHT) for _ in range(50)))
    assert (set(outcomes), passwords.computed) == ({"ok"}, 1)

    house.desk.credentials = Credentials(passwords)
    await asked(house, create(), RIGHT)
    assert passwords.computed == 2


async def test_another_credential_is_proved_anew(house: House, passwords: Passwords) -> None:
    """What was right counts no more from the change on."""
    kept = await credential_of(house, passwords)
    assert await asked(house, create(), RIGHT) == "ok"
    changed = replace(kept, password=await passwords.encoded(normal("another staple")))
    await hold(house, credential=changed)

    assert await asked(house, create(), RIGHT) == "Authentication Not Successful"
    assert await asked(house, create(), ("vSphere", b"another staple")) == "ok"


async def test_guessing_is_slow(house: House, passwords: Passwords) -> None:
    """Five at once, then one every twelve seconds; who has proved the right one before is served all the while."""
    await credential_of(house, passwords)
    ticks = Ticks()
    house.desk.credentials = Credentials(passwords, ticks)
    assert await asked(house, create(), RIGHT) == "ok"
    for number in range(20):
        await asked(house, create(), ("vSphere", b"guess %d" % number))
    assert passwords.computed == 1 + 5
    (last,) = await ask(house, create(), shown=("vSphere", b"guess"))
    assert "too many wrong passwords" in str(last.result_message)

    assert await asked(house, create(), RIGHT) == "ok"
    ticks.now += 25
    for number in range(5):
        await asked(house, create(), ("vSphere", b"later %d" % number))
    assert passwords.computed == 1 + 5 + 2


async def test_guesses_are_written_down_without_what_was_guessed(house: House, passwords: Passwords) -> None:
    """In sums, as operations that were refused."""
    await credential_of(house, passwords, required=True)
    house.desk._refusals = Refusals(house.catalog, house.clock, sum_up=0.05)
    for _ in range(4):
        await asked(house, create(), ("someuser", b"top secret"))
    await asked(house, get("x"))
    await asyncio.sleep(0.15)

    told = await journal(house, "Create")
    assert [(each["outcome"], each["detail"]) for each in told] == [
        ("Authentication Not Successful", {"cause": "wrong credential", "count": 1}),
        ("Authentication Not Successful", {"cause": "wrong credential", "count": 3}),
    ]
    (none,) = await journal(house, "Get")
    assert none["detail"] == {"cause": "no credential", "count": 1}
    texts = "".join(record.text for record in await house.catalog.journal())
    assert "someuser" not in texts
    assert "top secret" not in texts


async def test_a_hash_is_never_computed_on_the_loop(house: House, passwords: Passwords) -> None:
    """Others are answered meanwhile, whatever it costs."""
    await credential_of(house, passwords)
    passwords = house.desk.credentials._passwords = Passwords()
    await hold(house, credential=Credential(username="vSphere", password=await passwords.encoded(normal("x" * 12))))
    proving = asyncio.create_task(asked(house, create(), RIGHT))
    answered = 0
    while not proving.done():
        await asyncio.sleep(0)
        answered += 1

    assert await proving == "Authentication Not Successful"
    assert answered > 20


class Remembering(Credentials):
    """Keeps the messages that it has seen."""

    def __init__(self, passwords: Passwords) -> None:
        super().__init__(passwords)
        self.seen: list[RequestMessage] = []

    async def check(self, session: Session, credential: Credential, message: RequestMessage) -> None:
        self.seen.append(message)
        await super().check(session, credential, message)


async def test_passwords_of_requests_are_overwritten(house: House, passwords: Passwords) -> None:
    """Whatever becomes of the request."""
    await credential_of(house, passwords)
    house.desk.credentials = remembering = Remembering(passwords)
    for password in (RIGHT[1], b"wrong horse"):
        await asked(house, create(), ("vSphere", password))

    kept = [
        bytes(each.credential_value.password or b"")
        for message in remembering.seen
        for each in (message.request_header.authentication or Authentication()).credential
        if isinstance(each.credential_value, UsernameAndPassword)
    ]
    assert kept == [bytes(13), bytes(11)]
