"""The door of the key manager's API: TLS, bounds, floods, faults. Each request comes over a real connection."""

import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keyrack.domain.secret import Secret
from keyrack.embedded import actions, lookup, tenancy
from keyrack.embedded.errors import KeeperUnavailable, KeyRootRequired
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.shell.rest.floodgate import Floodgate, home
from keyrack.shell.rest.protection import PROTECTING
from keyrack.testing.clock import Clock
from keyrack.testing.key_houses import INSTANCE, a_house
from keyrack.testing.key_protect import Address, User, key_protect, new_user

NEVER = Rate(each_second=0.001, burst=3)
CANARY = "canary-of-a-fault"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = a_house(tmp_path_factory.mktemp("keyrack"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """One API with the usual bounds."""
    with key_protect(house, tmp_path_factory.mktemp("api")) as served:
        yield served


@pytest.fixture
def manager(address: Address, house: House) -> User:
    return new_user(address, house, Role.MANAGER)


@contextmanager
def bounded(house: House, directory: Path, **bounds: object) -> Iterator[Address]:
    """An API with other bounds."""
    with key_protect(house, directory, bounds=Bounds(**bounds)) as served:  # type: ignore[arg-type]  # any of its fields
        yield served


def raw(address: Address, sent: bytes) -> bytes:
    """What comes back for these bytes, until the server closes."""
    with (
        socket.create_connection((address.host, address.port), 10) as plain,
        address.context.wrap_socket(plain, server_hostname=address.host) as tls,
    ):
        tls.sendall(sent)
        received = b""
        while piece := tls.recv(65_536):
            received += piece
        return received


def connected(address: Address) -> ssl.SSLSocket:
    """A connection, to be closed."""
    plain = socket.create_connection((address.host, address.port), 10)
    return address.context.wrap_socket(plain, server_hostname=address.host)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_new_and_nothing_is_resumed(address: Address, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(address.authority))
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection((address.host, address.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=address.host) as tls,
    ):
        tls.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert tls.recv(4096).startswith(b"HTTP/1.1 200")
        assert "http/1.1" in (tls.selected_alpn_protocol() or "http/1.1")
        assert tls.session is None or not tls.session.has_ticket


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(address: Address) -> None:
    context = ssl.create_default_context(cafile=str(address.authority))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection((address.host, address.port), 10) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain, server_hostname=address.host)


@pytest.mark.parametrize("suites", ["ECDHE+SHA256:ECDHE+SHA384:!AESGCM:!CHACHA20:!AESCCM", "kRSA", "DHE:!ECDHE"])
def test_suites_without_forward_secrecy_or_authentication_are_refused(address: Address, suites: str) -> None:
    context = ssl.create_default_context(cafile=str(address.authority))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(suites)
    with socket.create_connection((address.host, address.port), 10) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain, server_hostname=address.host)


def test_plain_http_is_no_way_in(address: Address) -> None:
    with socket.create_connection((address.host, address.port), 10) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        try:
            told = plain.recv(4096)
        except ConnectionResetError:
            told = b""
    assert b"HTTP" not in told


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/api/v2/keys", 401),
        ("GET", "/api/v2/keys/", 404),
        ("DELETE", "/health", 405),
        ("POST", "/identity/token", 400),
    ],
)
def test_every_answer_is_json_that_nobody_keeps_and_says_nothing_of_the_server(
    address: Address, method: str, path: str, status: int
) -> None:
    told = address.ask(method, path)

    assert status == told.status
    assert "application/json" == told.headers["content-type"]
    for name, value in PROTECTING:
        assert value.decode() == told.headers[name.decode()]
    assert {"server", "x-powered-by"}.isdisjoint(told.headers)
    assert "uvicorn" not in str(told)
    assert "date" in told.headers


def test_a_path_or_method_that_there_is_not_gets_ibms_envelope(address: Address) -> None:
    nowhere, wrong = address.ask("GET", "/api/v2/nothing"), address.ask("PUT", "/api/v2/keys")

    assert "Not Found: There is nothing at this path" == nowhere.resource["errorMsg"]
    assert "GET, HEAD, POST" == wrong.headers["allow"]
    assert wrong.resource["errorMsg"].startswith("Method Not Allowed:")


def test_the_correlation_comes_back_where_it_can_be_logged(address: Address) -> None:
    told = address.ask("GET", "/health", headers={"Correlation-Id": "my-trace:1"})
    odd = address.ask("GET", "/health", headers={"Correlation-Id": "a\tb" + "x" * 200})

    assert "my-trace:1" == told.headers["correlation-id"]
    assert 36 == len(odd.headers["correlation-id"])


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n" + b"x: y\r\n" * 6000 + b"\r\n",
        b"POST /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /health HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_http_gets_ibms_envelope_too(address: Address, sent: bytes) -> None:
    head, _, body = raw(address, sent).partition(b"\r\n\r\n")

    assert head.split(b" ")[1] in (b"400", b"501")
    if head.split(b" ")[1] == b"400":
        assert "Bad Request" in json.loads(body)["resources"][0]["errorMsg"]
        assert b"content-type: application/json" in head.lower()
        assert all(name + b": " + value.lower() in head.lower() for name, value in PROTECTING)


def test_a_malformed_chunk_ends_the_request_it_is_in(address: Address, manager: User) -> None:
    """Answered once, and the application, which waits for the rest, answers no second time."""
    head = (
        f"POST /api/v2/keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {manager.token}\r\n"
        f"bluemix-instance: {INSTANCE}\r\ntransfer-encoding: chunked\r\n\r\n"
    )

    received = raw(address, head.encode() + b"5\r\n{....\r\nZZ\r\n")

    assert 1 == received.count(b"HTTP/1.1")
    assert received.startswith(b"HTTP/1.1 400")


def test_a_body_beyond_the_bound_is_refused_whether_or_not_its_length_is_told(manager: User) -> None:
    long = b"x" * 70_000
    connection = manager.address.connect()
    headers = {"Authorization": f"Bearer {manager.token}", "Bluemix-Instance": INSTANCE}
    try:
        connection.request("POST", "/api/v2/keys", iter([long]), headers, encode_chunked=True)
        chunked = connection.getresponse().status
    finally:
        connection.close()

    told = manager.ask("POST", "/keys", long)

    assert (413, 413, "BODY_TOO_LONG_ERR") == (chunked, told.status, told.code)


def test_a_compressed_body_is_refused(manager: User) -> None:
    told = manager.ask("POST", "/keys", b"\x1f\x8b", Content_Encoding="gzip")

    assert (400, "INVALID_FIELD_ERR") == (told.status, told.code)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /api/v2/keys HTTP/1.1\r\nhost",
        b"POST /identity/token HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\nx",
    ],
)
def test_whoever_dribbles_a_request_is_cut_off(house: House, tmp_path: Path, sent: bytes) -> None:
    """After the time of a request, in its head as in its body, and whatever trickles in meanwhile."""
    with bounded(house, tmp_path, request=0.5) as served, connected(served) as tls:
        began = time.monotonic()
        tls.sendall(sent)
        while _is_open(tls):
            time.sleep(0.1)
        assert 0.4 < time.monotonic() - began < 3


def _is_open(tls: ssl.SSLSocket) -> bool:
    """Whether one more byte can be sent, and nothing comes back."""
    tls.settimeout(0.05)
    try:
        tls.sendall(b"x")
        return bool(tls.recv(1))
    except TimeoutError:
        return True
    except OSError:
        return False


def test_a_connection_between_two_requests_is_kept(house: House, tmp_path: Path) -> None:
    with bounded(house, tmp_path, request=0.3) as served, connected(served) as tls:
        for _ in range(3):
            tls.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            told = b""
            while not told.endswith(b"}"):
                told += tls.recv(4096)
            assert told.startswith(b"HTTP/1.1 200")
            time.sleep(0.5)


def test_whoever_does_not_end_the_handshake_is_cut_off(house: House, tmp_path: Path) -> None:
    with (
        bounded(house, tmp_path, handshake=0.5) as served,
        socket.create_connection((served.host, served.port), 10) as plain,
    ):
        began = time.monotonic()
        assert b"" == plain.recv(1)
        assert time.monotonic() - began < 5


def test_connections_are_bounded_by_address(house: House, tmp_path: Path) -> None:
    """Those that are there go on being served, and one that ends makes room."""
    with bounded(house, tmp_path, connections_per_address=2) as served:
        first, second = connected(served), connected(served)
        with pytest.raises((ssl.SSLError, OSError)):
            connected(served)
        first.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
        first.close()
        time.sleep(0.3)
        assert 200 == served.ask("GET", "/health").status
        second.close()


def test_silent_connections_are_bounded_before_tls(house: House, tmp_path: Path) -> None:
    with bounded(house, tmp_path, handshaking_per_address=2) as served:
        silent = [socket.create_connection((served.host, served.port), 10) for _ in range(2)]
        time.sleep(0.2)
        with pytest.raises((ssl.SSLError, OSError)):
            connected(served)
        for each in silent:
            each.close()


def test_an_address_that_comes_too_often_is_told_when_to_come_again(house: House, tmp_path: Path) -> None:
    with bounded(house, tmp_path, per_address=NEVER) as served:
        statuses = [served.ask("GET", "/health").status for _ in range(3)]
        told = served.ask("GET", "/health")

    assert [200] * 3 == statuses
    assert (429, "TOO_MANY_REQUESTS_ERR") == (told.status, told.code)
    assert int(told.headers["retry-after"]) >= 1


def test_a_caller_that_comes_too_often_slows_nobody_else_down(house: House, tmp_path: Path) -> None:
    with bounded(house, tmp_path, per_caller=NEVER) as served:
        hasty, calm = new_user(served, house, Role.READER), new_user(served, house, Role.READER)
        statuses = [hasty.ask("GET", "/keys").status for _ in range(4)]
        other = calm.ask("GET", "/keys").status

    assert ([200, 200, 200, 429], 200) == (statuses, other)


def test_more_requests_than_can_be_worked_on_are_refused_and_not_queued_for_ever(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()

    def slow(*_: object) -> object:
        held.wait(10)
        return tenancy.instances(house)

    with bounded(house, tmp_path, workers=1, waiting=0) as served:
        user = new_user(served, house, Role.MANAGER)
        monkeypatch.setattr(lookup, "total", slow)
        waiting = threading.Thread(target=user.ask, args=("HEAD", "/keys"))
        waiting.start()
        time.sleep(0.5)
        told = user.ask("GET", "/keys")
        held.set()
        waiting.join()

    assert (429, "1") == (told.status, told.headers["retry-after"])


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """A use case that raises what a test puts here."""
    problems: list[Exception] = []

    def fail(*_: object) -> object:
        raise problems[0]

    monkeypatch.setattr(lookup, "page", fail)
    return problems


def test_a_fault_of_ours_is_told_by_its_correlation_alone(
    manager: User, faulty: list[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """No text of the fault, no trace: not in the answer, and in the log no value either."""
    faulty.append(ValueError(CANARY))

    with caplog.at_level(logging.INFO):
        told = manager.ask("GET", "/keys", Correlation_Id="find-me")

    assert 500 == told.status
    assert "find-me" in told.resource["errorMsg"]
    assert CANARY not in str(told)
    assert "Traceback" not in str(told)
    (record,) = [record for record in caplog.records if record.getMessage() == "unforeseen"]
    assert ("ValueError", "find-me") == (vars(record)["error"], vars(record)["correlation"])
    assert any("key_protect" in frame for frame in vars(record)["trace"])
    assert CANARY not in str([vars(each) for each in caplog.records])


@pytest.mark.parametrize("problem", [KeeperUnavailable("the token is away"), OSError(28, "no space left")])
def test_what_may_pass_is_answered_503_with_the_time_to_come_again(
    manager: User, faulty: list[Exception], problem: Exception
) -> None:
    faulty.append(problem)

    told = manager.ask("GET", "/keys")

    assert (503, "5") == (told.status, told.headers["retry-after"])
    assert "Service Unavailable" in told.resource["errorMsg"]
    assert "token" not in str(told.body)


def test_the_access_log_has_no_query_no_token_and_nothing_of_a_body(
    manager: User, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        manager.ask("GET", f"/keys?search={CANARY}")
        manager.ask("POST", "/keys", {CANARY: CANARY})

    told = str([vars(record) for record in caplog.records])
    assert "GET" in told
    assert manager.token not in told
    assert CANARY not in told


def journal(house: House) -> list[str]:
    with house.reading() as reading:
        return [line.text for line in reading.journal(limit=10_000)]


def test_a_refused_request_is_in_the_journal(house: House, manager: User, address: Address) -> None:
    """With who, what and why; of somebody unknown too."""
    manager.ask("GET", "/keys/no-such-key", Correlation_Id="known")
    address.ask("GET", "/api/v2/keys", headers={"Correlation-Id": "no-one", "Bluemix-Instance": CANARY})

    (known,) = [json.loads(line) for line in journal(house) if '"known"' in line]
    (unknown,) = [json.loads(line) for line in journal(house) if '"no-one"' in line]
    assert {"kms.secrets.read", "KEY_NOT_FOUND_ERR", "no-such-key"} <= set(map(str, known.values()))
    assert {"kms.secrets.list", "UNAUTHORIZED_ERR", "unknown"} <= set(map(str, unknown.values()))
    assert CANARY not in str(unknown)


def test_nobody_says_by_a_header_where_a_request_comes_from(house: House, address: Address) -> None:
    """The address counts for the policy allowedIP, and stands in the journal."""
    spoofed = {"X-Forwarded-For": "192.0.2.66", "Forwarded": "for=192.0.2.66", "X-Real-IP": "192.0.2.66"}
    address.ask("GET", "/api/v2/keys", headers={"Correlation-Id": "spoofed", **spoofed})

    (told,) = [line for line in journal(house) if '"spoofed"' in line]
    assert "127.0.0.1" in told
    assert "192.0.2.66" not in told


def test_key_material_of_a_request_is_wiped_at_its_end(manager: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came in and what went out, also where the request is refused."""
    seen: list[Secret] = []

    def looked_at(house: object, call: object, name: str, plaintext: Secret, aad: object) -> object:
        assert b"0123456789abcdef" == plaintext.reveal()
        made = Secret(bytearray(b"fedcba9876543210"))
        seen.extend((plaintext, made))
        if name == "refused":
            raise KeyRootRequired("no")
        return actions.WrapAnswer(b"ciphertext", "version", made)

    monkeypatch.setattr(actions, "wrap", looked_at)
    body = {"plaintext": "MDEyMzQ1Njc4OWFiY2RlZg=="}

    answered = manager.ask("POST", "/keys/answered/actions/wrap", body)
    manager.ask("POST", "/keys/refused/actions/wrap", body)

    assert "ZmVkY2JhOTg3NjU0MzIxMA==" == answered.json["plaintext"]
    assert [0, 0, 0] == [len(secret) for secret in seen[:3]]


def test_a_flood_of_refusals_does_not_fill_the_journal(house: House, tmp_path: Path) -> None:
    with bounded(house, tmp_path, refusals=NEVER) as served:
        before = len(journal(house))
        statuses = {served.ask("GET", "/api/v2/keys").status for _ in range(10)}

    assert ({401}, 3) == (statuses, len(journal(house)) - before)


def test_neither_does_one_from_many_addresses() -> None:
    gate = Floodgate(NEVER, Clock())

    assert [0, 0, 0] == [gate.take("") for _ in range(3)]
    assert gate.take("") > 0


def test_a_bucket_fills_again() -> None:
    clock = Clock()
    gate = Floodgate(Rate(each_second=2, burst=2), clock)

    assert [0, 0, 1] == [gate.take("a") for _ in range(3)]
    assert 0 == gate.take("b")
    clock.go_on(0.5)
    assert [0, 1] == [gate.take("a") for _ in range(2)]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_counts_as_one_address(address: str, expected: str) -> None:
    assert expected == home(address)


def test_requests_under_way_are_answered_when_the_face_ends(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[int] = []
    begun = threading.Event()

    def slow(*_: object) -> int:
        begun.set()
        time.sleep(0.5)
        return 7

    with bounded(house, tmp_path) as served:
        user = new_user(served, house, Role.MANAGER)
        monkeypatch.setattr(lookup, "total", slow)
        asking = threading.Thread(target=lambda: answered.append(user.ask("HEAD", "/keys").status))
        asking.start()
        begun.wait(5)
    asking.join(5)

    assert [200] == answered
