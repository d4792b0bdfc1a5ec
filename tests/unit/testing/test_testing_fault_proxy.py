"""The fault proxy does the harm that it says, to the requests that it is told, and records what went through it."""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from keyrack.embedded.iam.rights import Role
from keyrack.testing.fault_proxy import FaultProxy, await_seen, fault_proxy
from keyrack.testing.fault_proxy_http import CANNED
from keyrack.testing.fault_proxy_process import fault_proxy_process
from keyrack.testing.fault_proxy_rules import Fault, Rule, by_path, counted, read_only
from keyrack.testing.key_houses import INSTANCE, a_house
from keyrack.testing.key_protect import Address, User, key_protect, new_api_key

ROOT_KEY = {"metadata": {"collectionType": "application/vnd.ibm.kms.key+json", "collectionTotal": 1}}
KEYS = "/api/v2/keys"
SOON = 0.4
"""Seconds after which these tests give up waiting for an answer."""


class World:
    """A key manager, a proxy in front of it, and a caller behind the proxy."""

    def __init__(self, face: Address, proxy: FaultProxy, api_key: str) -> None:
        self.face, self.proxy, self.api_key = face, proxy, api_key
        self.user = User(proxy.address, api_key, INSTANCE)
        self.proxy.forget()

    def names(self) -> list[str]:
        """What the key manager holds, asked past the proxy."""
        listed = User(self.face, self.api_key, INSTANCE).ask("GET", "/keys").json
        return [each["name"] for each in listed.get("resources", [])]

    def create(self, name: str = "a key") -> int:
        """Ask for a standard key; the status."""
        resource = {"type": "application/vnd.ibm.kms.key+json", "name": name, "extractable": True, "payload": "eA=="}
        return self.user.ask("POST", "/keys", {**ROOT_KEY, "resources": [resource]}).status


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("faults")
    house = a_house(directory)
    with key_protect(house, directory) as face, fault_proxy(face, directory / "proxy", seed=1) as proxy:
        yield World(face, proxy, new_api_key(house, Role.MANAGER))
    house.close()


@pytest.fixture(autouse=True)
def no_rules(world: World) -> Iterator[None]:
    yield
    world.proxy.set()
    world.proxy.forget()


def impatient(world: World, method: str = "GET", path: str = KEYS, timeout: float = SOON) -> http.client.HTTPResponse:
    """Ask on a new connection, and wait only a moment for each part of an answer."""
    address = world.proxy.address
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=timeout, context=address.context)
    signed = {"Authorization": f"Bearer {world.user.token}", "Bluemix-Instance": INSTANCE}
    connection.request(method, path, headers=signed)
    return connection.getresponse()


def test_without_rules_nothing_is_changed(world: World) -> None:
    """The answer is the key manager's, and both requests are recorded."""
    assert world.create("plain") == 201
    assert "plain" in [each["name"] for each in world.user.ask("GET", "/keys?limit=10").json["resources"]]

    seen = world.proxy.seen()

    assert {("POST", KEYS): 1, ("GET", KEYS): 1} == by_path(seen)
    assert [(each.status, each.forwarded, each.fault, each.query) for each in seen] == [
        (201, True, None, ""),
        (200, True, None, "limit=10"),
    ]


@pytest.mark.parametrize("fault", [fault for fault in CANNED if fault is not Fault.AAD_REFUSED])
def test_answers_in_the_place_of_the_key_manager(world: World, fault: Fault) -> None:
    """With the status of each, and the key manager is not asked."""
    world.proxy.set(Rule(fault=fault, path=KEYS))

    told = world.user.ask("GET", "/keys")

    assert told.status == CANNED[fault].status
    assert [(False, False, told.status)] == [(each.forwarded, each.done, each.status) for each in world.proxy.seen()]


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.NO_CONNECTION])
def test_a_reset_before_leaves_nothing_done(world: World, fault: Fault) -> None:
    world.proxy.set(Rule(fault=fault))

    with pytest.raises(ConnectionResetError):
        world.create("before")

    world.proxy.set()
    assert "before" not in world.names()


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.RESET_AFTER, ConnectionResetError),
        (Fault.ANSWER_LOST, http.client.RemoteDisconnected),
        (Fault.HALF_ANSWER, http.client.IncompleteRead),
    ],
)
def test_what_is_lost_afterwards_was_done(world: World, fault: Fault, error: type[Exception]) -> None:
    world.proxy.set(Rule(fault=fault, method="POST", path=KEYS))

    with pytest.raises(error):
        world.create(fault)

    assert world.names().count(fault) == 1


def test_what_hangs_goes_on_when_the_rule_is_lifted(world: World) -> None:
    """And what was given up does not."""
    world.proxy.set(Rule(fault=Fault.HANG))
    with pytest.raises(TimeoutError):
        impatient(world, "DELETE", f"{KEYS}/nothing")
    given_up, hung = Waiting(world), Waiting(world)
    given_up.close()
    await_seen(world.proxy, lambda seen: len(seen) == 3)

    world.proxy.set()

    assert hung.answer().status == 200
    assert await_seen(world.proxy, lambda seen: counted(each for each in seen if each.forwarded)) == 1


def test_what_comes_late_is_done_though_the_client_is_gone(world: World) -> None:
    world.proxy.set(Rule(fault=Fault.LATE, method="POST", seconds=0.3))
    resource = {"type": "application/vnd.ibm.kms.key+json", "name": "late", "extractable": True, "payload": "eA=="}
    address = world.proxy.address
    connection = http.client.HTTPSConnection(address.host, address.port, timeout=0.1, context=address.context)
    signed = {"Authorization": f"Bearer {world.user.token}", "Bluemix-Instance": INSTANCE}
    connection.request("POST", KEYS, json.dumps({**ROOT_KEY, "resources": [resource]}), signed)
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    assert "late" not in world.names()

    await_seen(world.proxy, lambda seen: seen[0].done)

    assert "late" in world.names()


class Waiting:
    """A request whose answer nobody reads yet."""

    def __init__(self, world: World) -> None:
        before = len(world.proxy.seen())
        self._connection = world.proxy.address.connect()
        signed = {"Authorization": f"Bearer {world.user.token}", "Bluemix-Instance": INSTANCE}
        self._connection.request("GET", KEYS, headers=signed)
        await_seen(world.proxy, lambda seen: len(seen) > before)

    def answer(self) -> http.client.HTTPResponse:
        """Read it."""
        return self._connection.getresponse()

    def close(self) -> None:
        """Go away."""
        self._connection.close()


def test_an_answer_that_is_held_belongs_to_something_that_was_done(world: World) -> None:
    world.proxy.set(Rule(fault=Fault.ANSWER_HELD))
    waiting = Waiting(world)
    await_seen(world.proxy, lambda seen: seen[-1].done)
    world.proxy.set()

    assert waiting.answer().status == 200


@pytest.mark.parametrize("fault", [Fault.BLACK_HOLE, Fault.UNTRUSTED, Fault.DRIP, Fault.ENDLESS])
def test_connections_of_no_use(world: World, fault: Fault) -> None:
    """Each in its own way."""
    world.proxy.set(Rule(fault=fault, seconds=0.005))
    ways: dict[Fault, Callable[[], object]] = {
        Fault.BLACK_HOLE: lambda: pytest.raises(TimeoutError, impatient, world),
        Fault.UNTRUSTED: lambda: pytest.raises(ssl.SSLCertVerificationError, impatient, world),
        Fault.DRIP: lambda: _dripped(world),
        Fault.ENDLESS: lambda: len(impatient(world).read(5_000_000)) == 5_000_000 or pytest.fail("it ends"),
    }
    ways[fault]()


def _dripped(world: World) -> None:
    began = time.monotonic()
    answer = impatient(world, "GET", f"{KEYS}?limit=1")
    assert answer.status == 200
    assert time.monotonic() - began > 1


def test_a_black_hole_swallows_what_is_open_too(world: World) -> None:
    """And gives it back."""
    connection = world.proxy.address.connect()
    signed = {"Authorization": f"Bearer {world.user.token}", "Bluemix-Instance": INSTANCE}
    connection.request("GET", KEYS, headers=signed)
    connection.getresponse().read()
    world.proxy.set(Rule(fault=Fault.BLACK_HOLE))
    connection.request("GET", KEYS, headers=signed)
    await_seen(world.proxy, lambda seen: len(seen) == 2)
    assert not world.proxy.seen()[-1].forwarded

    world.proxy.set()

    assert connection.getresponse().status == 200


def test_rules_choose_by_method_path_number_and_chance(world: World) -> None:
    world.proxy.set(
        Rule(fault=Fault.UNAVAILABLE, method="GET", path=KEYS, after=1, times=2),
        Rule(fault=Fault.BAD_GATEWAY, path="/api/v2/instance/*"),
        Rule(fault=Fault.TEAPOT, method="HEAD", chance=0.5),
    )

    assert [world.user.ask("GET", "/keys").status for _ in range(5)] == [200, 503, 503, 200, 200]
    assert world.user.ask("GET", "/instance/policies").status == 502
    tried = [world.user.ask("HEAD", "/keys").status for _ in range(40)]
    assert 8 < tried.count(418) < 32


def test_patience_is_asked_for_in_seconds_and_as_a_date(world: World) -> None:
    told = {}
    for as_date in (False, True):
        world.proxy.set(Rule(fault=Fault.TOO_MANY_REQUESTS, retry_after=7, as_date=as_date))
        told[as_date] = world.user.ask("GET", "/keys").headers["retry-after"]

    assert told[False] == "7"
    assert 4 < parsedate_to_datetime(told[True]).timestamp() - time.time() < 8
    world.proxy.set(Rule(fault=Fault.TOO_MANY_REQUESTS))
    assert "retry-after" not in world.user.ask("GET", "/keys").headers


@pytest.mark.parametrize(("fault", "status"), [(Fault.STALE_TOKEN, 401), (Fault.STALE_TOKEN_400, 400)])
def test_a_stale_token_is_refused_and_a_fresh_one_is_good(world: World, fault: Fault, status: int) -> None:
    world.proxy.set(Rule(fault=fault, path="/api/*"))

    assert [world.user.ask("GET", "/keys").status for _ in range(2)] == [status, status]
    assert User(world.proxy.address, world.api_key, INSTANCE).ask("GET", "/keys").status == 200


def test_strings_are_taken_out_or_refused(world: World) -> None:
    """Without them a ciphertext opens under others."""
    made = world.user.ask("POST", "/keys", {**ROOT_KEY, "resources": [{"name": "root", "extractable": False}]}).resource
    actions = f"/keys/{made['id']}/actions"
    world.proxy.set(Rule(fault=Fault.AAD_IGNORED, path=f"{KEYS}/*/actions/*"))
    wrapped = world.user.ask("POST", f"{actions}/wrap", {"plaintext": "eHh4eHh4eHh4eHh4eHh4eA==", "aad": ["a"]}).json

    opened = world.user.ask("POST", f"{actions}/unwrap", {"ciphertext": wrapped["ciphertext"], "aad": ["b"]})
    world.proxy.set(Rule(fault=Fault.AAD_REFUSED))
    refused = world.user.ask("POST", f"{actions}/unwrap", {"ciphertext": wrapped["ciphertext"], "aad": ["b"]})
    without = world.user.ask("POST", f"{actions}/unwrap", {"ciphertext": wrapped["ciphertext"]})

    assert (200, 400, "BAD_BODY_ERR", 200) == (opened.status, refused.status, refused.code, without.status)


def test_another_clock(world: World) -> None:
    """Of the header Date and of a token's end."""
    world.proxy.set(Rule(fault=Fault.SKEWED_CLOCK, seconds=-7200))
    form = f"grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey={world.api_key}"

    told = world.proxy.address.ask("POST", "/identity/token", form)
    straight = world.face.ask("POST", "/identity/token", form)

    assert -7203 < json.loads(told.body)["expiration"] - json.loads(straight.body)["expiration"] < -7197
    assert told.json["expires_in"] == straight.json["expires_in"]
    assert -7203 < parsedate_to_datetime(told.headers["date"]).timestamp() - time.time() < -7197


def test_latency_comes_before_what_else_befalls_a_request(world: World) -> None:
    world.proxy.set(Rule(fault=Fault.LATENCY, seconds=0.2), read_only())
    began = time.monotonic()

    assert (world.create("slow"), world.user.ask("GET", "/keys").status) == (503, 200)
    assert time.monotonic() - began > 0.4
    assert "slow" not in world.names()


def test_it_does_the_same_in_a_process_of_its_own(world: World, tmp_path: Path) -> None:
    with fault_proxy_process(world.face, tmp_path) as proxy:
        user = User(proxy.address, world.api_key, INSTANCE)
        proxy.forget()
        proxy.set(Rule(fault=Fault.UNAVAILABLE, times=1))
        statuses = [user.ask("GET", "/keys").status for _ in range(2)]
        seen = proxy.seen()

    assert statuses == [503, 200]
    assert [(Fault.UNAVAILABLE, 503), (None, 200)] == [(each.fault, each.status) for each in seen]
