"""What one caller may take from the others: threads, memory and the event loop that KMIP is served on too."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from keyrack.embedded import lookup
from keyrack.embedded.creation import NewKey, create
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.instances import PolicyType
from keyrack.embedded.lookup import Page
from keyrack.embedded.policies import set_instance_policies
from keyrack.shell.rest.bounds import Bounds
from keyrack.shell.rest.key_protect import answer
from keyrack.testing.key_houses import OTHER_INSTANCE, a_call, a_house, an_instance
from keyrack.testing.key_protect import Address, User, key_protect, new_user

MANY = 3000
"""Keys with long descriptions: their list is longer than all that lies between the server and a client that sleeps."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = a_house(tmp_path_factory.mktemp("keyrack"))
    first = create(made, a_call(), NewKey(name="first", extractable=True))
    with made.database.change() as unit:
        for number in range(MANY):
            identifier = f"00000000-0000-4000-8000-{number:012d}"
            unit.put_key(replace(first, identifier=identifier, tags=("\U0001f512" * 30,) * 30))
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    bounds = Bounds(request=1.0, of_one_caller=3)
    with key_protect(house, tmp_path_factory.mktemp("api"), bounds=bounds) as served:
        yield served


@pytest.fixture
def reader(address: Address, house: House) -> User:
    return new_user(address, house, Role.READER)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lists take their time; how many were worked on at each beginning."""
    seen: list[int] = []
    inside = [0]

    def page(*_: object) -> Page:
        inside[0] += 1
        seen.append(inside[0])
        time.sleep(0.4)
        inside[0] -= 1
        return Page([])

    monkeypatch.setattr(lookup, "page", page)
    monkeypatch.setattr(lookup, "registrations", lambda *_, **__: (page().keys, 0))
    return seen


def test_a_caller_with_very_many_requests_is_refused_and_others_are_not(
    address: Address, house: House, reader: User, slow: list[int]
) -> None:
    other = new_user(address, house, Role.READER)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(reader.ask, "GET", "/keys") for _ in range(5)]
        time.sleep(0.2)
        beside = other.ask("HEAD", "/keys").status
        statuses = sorted(each.result().status for each in asked)

    assert ([200, 200, 200, 429, 429], 200) == (statuses, beside)
    assert 200 == reader.ask("GET", "/keys").status


@pytest.mark.parametrize(
    ("path", "most"), [("/keys?limit=5000", 1), ("/keys?limit=200", 3), ("/keys/registrations", 1)]
)
def test_long_lists_of_a_caller_come_one_after_the_other(reader: User, slow: list[int], path: str, most: int) -> None:
    with ThreadPoolExecutor(3) as pool:
        statuses = [told.status for told in pool.map(lambda _: reader.ask("GET", path), range(3))]

    assert ([200] * 3, most) == (statuses, max(slow))


def test_long_lists_of_many_callers_leave_threads_to_others(address: Address, house: House, slow: list[int]) -> None:
    readers = [new_user(address, house, Role.READER) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        statuses = [told.status for told in pool.map(lambda each: each.ask("GET", "/keys?limit=5000"), readers)]

    assert ([200] * 4, 1) == (statuses, max(slow))


def test_a_long_list_is_written_beside_the_event_loop_and_in_small_pieces(
    reader: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``json`` lets no other thread run until it is done."""
    written: list[tuple[str, int]] = []
    real: Callable[[object], bytearray] = answer.encoded

    def noted(content: object) -> bytearray:
        text = real(content)
        written.append((threading.current_thread().name, len(text)))
        return text

    monkeypatch.setattr(answer, "encoded", noted)
    told = reader.ask("GET", "/keys?limit=5000").json

    assert MANY < len(told["resources"]) == told["metadata"]["collectionTotal"]
    assert "key-protect" not in {thread for thread, _ in written}
    assert max(length for _, length in written) < 10_000


def test_an_empty_list_has_no_resources(reader: User) -> None:
    told = reader.ask("GET", "/keys?search=nothing-is-called-so").json

    assert (0, False) == (told["metadata"]["collectionTotal"], "resources" in told)


def test_whoever_does_not_take_a_long_answer_is_cut_off_and_lets_go_of_it(address: Address, reader: User) -> None:
    """Else a few that sleep would hold gigabytes, and all further lists of that caller."""
    head = f"Authorization: Bearer {reader.token}\r\nBluemix-Instance: {reader.instance}\r\nHost: h\r\n\r\n"
    with (
        socket.create_connection((address.host, address.port), 10) as plain,
        address.context.wrap_socket(plain, server_hostname=address.host) as tls,
    ):
        tls.sendall(f"GET /api/v2/keys?limit=5000 HTTP/1.1\r\n{head}".encode())
        time.sleep(0.5)
        assert 200 == reader.ask("GET", "/keys?limit=201").status  # It waits for the turn of the one that sleeps.
        received = 0
        while octets := tls.recv(1 << 20):
            received += len(octets)

    whole = int(reader.ask("GET", "/keys?limit=5000").headers["content-length"])
    assert 10_000_000 < whole
    assert received < whole


def test_the_description_is_written_once(address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[object] = []
    monkeypatch.setattr(answer, "encoded", written.append)

    told = [address.ask("GET", "/api/v2/openapi.json") for _ in range(2)]

    assert [] == written
    assert "3.1.0" == json.loads(told[1].body)["openapi"]


def test_anothers_instance_and_none_at_all_are_alike(address: Address, house: House, reader: User) -> None:
    """Also where the other one's policies would turn the request away for where it comes from."""
    an_instance(house, OTHER_INSTANCE)
    own = a_call(instance=OTHER_INSTANCE)
    set_instance_policies(house, own, {PolicyType.ALLOWED_IP: (True, {"allowed_ip": ["192.0.2.0/24"]})})

    absent = "11111111-2222-4333-8444-555555555555"
    told = [reader.ask("GET", "/keys", Bluemix_Instance=each) for each in (OTHER_INSTANCE, absent)]

    assert told[0].body == told[1].body
    assert [(401, "UNAUTHORIZED_ERR")] * 2 == [(each.status, each.code) for each in told]


def test_bounds_leave_room_for_kmip() -> None:
    assert Bounds().workers <= 4


def test_an_answer_that_is_cut_off_is_wiped(tmp_path: Path) -> None:
    """See ``test_rest_answer``; here only that a failing send does not keep it."""
    made = answer.Answer({"a": "b" * 200_000})

    async def send(message: object) -> None:
        raise OSError

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    with pytest.raises(OSError, match=r"^$"):
        made({"type": "http"}, receive, send).send(None)
    assert bytes(len(made.body)) == bytes(made.body)
