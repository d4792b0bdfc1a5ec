"""The real web process beside a real server: it holds nothing that unwraps, ends with the server, and ends nothing."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyrack.domain.rights import Grant, Role
from keyrack.domain.secret import Secret
from keyrack.embedded.root_keys.unlock import Passphrase
from keyrack.shell.sealed.openers import exchanged
from keyrack.testing.canaries import in_memory
from keyrack.testing.catalogs import over_postgres
from keyrack.testing.certificates import server
from keyrack.testing.process import Deployment, deployed
from keyrack.testing.web_process import WITH_API, WebProcess, beside, ended, is_there, kill, web_process

PASSPHRASE = "correct-horse-battery-staple-3141"
ADMINISTRATOR = Grant(Role.ADMINISTRATOR)
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="the processes keep their memory private; only root may look")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """A server whose passphrase was brought after its start, with an instance, and its web process."""
    directory = tmp_path_factory.mktemp("web")
    file = directory / "passphrase"
    file.touch(mode=0o600)
    file.write_text(PASSPHRASE + "\n")
    deployment = Deployment(directory=directory / "d", environment=WITH_API)
    deployment.initialise("--protect", "unseal", "--passphrase-file", str(file))
    deployment.forget_address()
    with deployment.log.open("ab") as log:
        deployment.process = subprocess.Popen(
            [*deployment.command, "serve", "--config", str(deployment.configuration)],
            env={**deployment.served_environment(), "KEYRACK_KEPT_SECRET": PASSPHRASE},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        while not (deployment.directory / "run" / "unseal").exists():
            assert is_there(deployment.process.pid), deployment.log.read_text()
            time.sleep(0.02)
        deployment.run("unseal", "--passphrase-file", str(file))
        process = deployment.process
        deployment.await_address(lambda: process.poll() is None)
        running = beside(deployment)
        mara = running.person("mara", ADMINISTRATOR)
        assert running.ask("GET", "/health/live").status == 200
        made = running.ask("GET", "/api/v1/key-managers/embedded/root-keys", mara)
        assert made.status == 200, made.body
        yield running
    finally:
        deployment.stop(signal.SIGKILL)


def opened_by(pid: int) -> set[str]:
    """What a process has open, as /proc names it."""
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(path))
    return found


@root_only
def test_the_web_process_has_nothing_that_unwraps(sealed: WebProcess) -> None:
    """Neither the keystore's files, nor its key, nor a root key, nor the passphrase; the serving process has them."""
    deployment = sealed.deployment
    assert deployment.process is not None
    serving, web = deployment.process.pid, sealed.pid
    keystore = deployment.directory / "keystore"
    with exchanged(keystore, Passphrase(Secret(bytearray(PASSPHRASE.encode())))).key as key:
        canaries = [bytes(key.reveal()), PASSPHRASE.encode()]
    # The search finds them where they are.
    assert in_memory(canaries[:1], serving)[canaries[0]] > 0
    assert any(name.endswith("keystore.db") for name in opened_by(serving))

    assert {} == {each: found for each, found in in_memory(canaries, web).items() if found}
    assert not [name for name in opened_by(web) if "keystore" in name]
    assert over_postgres() or any(name.endswith("catalog.db") for name in opened_by(web))
    environment = Path(f"/proc/{web}/environ").read_bytes()
    assert PASSPHRASE.encode() not in environment
    assert b"KEYRACK_KEPT_SECRET" not in environment
    assert PASSPHRASE.encode() not in Path(f"/proc/{web}/cmdline").read_bytes()


@root_only
def test_it_has_none_after_it_has_made_an_instance(sealed: WebProcess) -> None:
    """What needs a key manager went over the line; nothing of it came back but words."""
    zora = sealed.person("zora", ADMINISTRATOR)
    before = sealed.ask("GET", "/api/v1/key-managers/embedded/root-keys", zora).json()["items"]
    made = sealed.ask("POST", "/api/v1/instances", zora, {"name": "prod", "new_root_key": True})
    assert (201, "Installed") == (made.status, made.json()["status"])
    after = sealed.ask("GET", "/api/v1/key-managers/embedded/root-keys", zora).json()["items"]
    assert len(before) + 1 == len(after)
    keystore = sealed.deployment.directory / "keystore"
    with exchanged(keystore, Passphrase(Secret(bytearray(PASSPHRASE.encode())))).key as key:
        assert sum(in_memory([bytes(key.reveal())], sealed.pid).values()) == 0


def test_a_stranger_reads_neither_its_memory_nor_its_core(sealed: WebProcess) -> None:
    limits = Path(f"/proc/{sealed.pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]


# Its life -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """Two serving processes and a web process."""
    with web_process(tmp_path_factory.mktemp("web") / "d", KEYRACK_KMIP__WORKERS="2") as served:
        yield served


def test_it_is_started_again_and_kmip_does_not_notice(running: WebProcess) -> None:
    host, port = running.deployment.await_address(lambda: True)
    first = running.pid
    running.address  # noqa: B018 - it listens
    kill(first)
    assert ended(first)
    socket.create_connection((host, port), 5).close()
    until = time.monotonic() + 15
    while running.pid == first:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert running.ask("GET", "/health/live").status == 200
    assert running.deployment.process is not None
    assert running.deployment.process.poll() is None


def test_health_tells_of_every_process(running: WebProcess) -> None:
    mara = running.person("mara", ADMINISTRATOR)
    told = running.ask("GET", "/api/v1/health", mara).json()
    assert [(each["worker"], each["listening"], each["committing"]) for each in told["workers"]] == [
        (0, True, True),
        (1, True, True),
    ]
    assert running.ask("GET", "/health/ready").json() == {"status": "ready"}
    assert running.ask("GET", "/health/ready").headers["cache-control"] == "no-store"


def test_a_renewed_certificate_is_shown_without_a_restart(running: WebProcess) -> None:
    def shown() -> bytes | None:
        with (
            socket.create_connection(running.address, 5) as sock,
            running.tls.wrap_socket(sock, server_hostname="localhost") as tls,
        ):
            return tls.getpeercert(binary_form=True)

    before, pair = shown(), server(running.deployment.authority)
    (running.deployment.directory / "tls" / "server.pem").write_bytes(pair.pem)
    (running.deployment.directory / "tls" / "server.key").write_bytes(pair.key_pem)
    os.kill(running.pid, signal.SIGHUP)
    until = time.monotonic() + 10
    while shown() == before:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_certificate_whose_key_is_missing_cuts_nobody_off(running: WebProcess) -> None:
    """Half of a renewal was read: the old pair is shown until the other half is there."""
    tls = running.deployment.directory / "tls"
    before, pair = (tls / "server.pem").read_bytes(), server(running.deployment.authority)
    (tls / "server.pem").write_bytes(pair.pem)
    told = running.deployment.log.read_text().count("the certificate stays as it was")
    os.kill(running.pid, signal.SIGHUP)
    until = time.monotonic() + 10
    while running.deployment.log.read_text().count("the certificate stays as it was") == told:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert running.ask("GET", "/health/live").status == 200
    (tls / "server.pem").write_bytes(before)


def test_who_dribbles_a_body_is_cut_off_and_holds_nobody_up(running: WebProcess) -> None:
    """Half a head, half a body, and a body longer than told: each alone, all at once with who behaves."""
    heads = (
        b"GET /health/live HTTP/1.1\r\nHost: localho",
        b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100000\r\n\r\n{",
    )
    with contextlib.ExitStack() as stack:
        slow: list[ssl.SSLSocket] = []
        for head in heads * 10:
            sock = stack.enter_context(socket.create_connection(running.address, 5))
            tls = stack.enter_context(running.tls.wrap_socket(sock, server_hostname="localhost"))
            tls.sendall(head)
            slow.append(tls)
        began = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: running.ask("GET", "/health/live").status, range(20)))
        assert (answers, time.monotonic() - began < 5) == ([200] * 20, True)


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", b"400"),
        (b"GET https://evil.example/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n", b"40"),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 30_000 + b"\r\n\r\n", b"431"),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 200_000 + b"\r\n\r\n", b"400"),
        (b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: b\rSet-Cookie: c=d\r\n\r\n", b"400"),
        (
            b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"
            b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
            b"400",
        ),
    ],
)
def test_what_is_no_request_of_ours_is_answered_in_our_form(running: WebProcess, said: bytes, status: bytes) -> None:
    with (
        socket.create_connection(running.address, 5) as sock,
        running.tls.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.settimeout(5)
        answer = b""
        # The server need not hear it to its end.
        with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
            tls.sendall(said)
        with contextlib.suppress(TimeoutError, OSError):
            while b"\r\n\r\n" not in answer and (read := tls.recv(65_536)):
                answer += read
    assert answer.split(b" ")[1].startswith(status), answer[:300]
    assert b"application/problem+json" in answer
    assert b"set-cookie" not in answer.lower()
    assert b"smuggled" not in running.deployment.log.read_bytes()


def test_it_ends_with_the_server_whatever_ends_that(tmp_path: Path) -> None:
    with web_process(tmp_path / "d") as served:
        web = served.pid
        served.address  # noqa: B018 - it listens
        assert served.deployment.process is not None
        kill(served.deployment.process.pid)
        served.deployment.process.wait(10)
        assert ended(web)
        assert not (tmp_path / "d" / "run" / "api.address").exists()


def test_what_keeps_it_from_starting_keeps_nobody_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with web_process(tmp_path / "d", KEYRACK_API__PORT=port) as served:
            until = time.monotonic() + 15
            while "the administration API cannot start" not in served.deployment.log.read_text():
                assert time.monotonic() < until
                time.sleep(0.05)
            socket.create_connection(served.deployment.await_address(lambda: True), 5).close()
            served.deployment.run("instance", "create", "prod")


def test_it_serves_alone_and_says_what_lacks(tmp_path: Path) -> None:
    """Without a serving process the catalog's part works, and what needs a key manager is told to lack one."""
    deployment = deployed(tmp_path / "d", WITH_API)
    web = beside(deployment)
    mara = web.person("mara", ADMINISTRATOR)
    process = subprocess.Popen(
        [sys.executable, "-m", "keyrack", "web", "--config", str(deployment.configuration)],
        env=deployment.served_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert web.ask("GET", "/api/v1/instances", mara).json() == {"items": [], "next": None}
        lacks = web.ask("GET", "/api/v1/key-managers", mara)
        assert (lacks.status, lacks.code) == (503, "back-office-unavailable")
        ready = web.ask("GET", "/health/ready")
        assert (ready.status, ready.code) == (503, "not-ready")
    finally:
        process.terminate()
        assert process.wait(15) == 0
