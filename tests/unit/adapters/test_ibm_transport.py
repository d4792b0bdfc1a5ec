"""Connections: kept, noticed when closed, opened through a proxy, bounded in number; and answers nobody waits for."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.adapters.ibm_script import Asked, Script, Stage, Talk, answer, error, read_request, stage

from keyrack.adapters.key_managers.ibm.exchange import Request
from keyrack.adapters.key_managers.ibm.pool import FRESH, GRACE, IDLE, NotAsked, Pool
from keyrack.adapters.key_managers.ibm.reading import Answer
from keyrack.adapters.key_managers.ibm.settings import Origin
from keyrack.adapters.key_managers.ibm.wire import CLEANSE_PLAINTEXT, Route, context_of
from keyrack.ports.key_manager import KeyManagerUnavailable, Reason


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        made.script = lambda asked: answer(200, asked.path.encode())
        yield made


@contextmanager
def a_pool(there: Stage, *, proxy: Origin | None = None, connections: int = 4, waiting: int = 4) -> Iterator[Pool]:
    route = Route(origin=Origin.of(there.url), context=context_of(there.ca), proxy=proxy, connect_seconds=2)
    pool = Pool("test", route, connections=connections, waiting=waiting)
    try:
        yield pool
    finally:
        pool.close()


async def ask(pool: Pool, path: str = "/", *, method: str = "GET", seconds: float = 3, harmless: bool = True) -> bytes:
    """The body of an answer."""
    body = bytearray(b"{}") if method == "POST" else None
    request = Request(method=method, path=path, body=body, harmless=harmless)
    told = await pool.ask(request, time.monotonic() + seconds)
    return bytes(told.body)


def test_tls_is_no_older_than_1_2_and_cleans_up_behind_itself(there: Stage) -> None:
    context = context_of(there.ca)

    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (ssl.CERT_REQUIRED, True) == (context.verify_mode, context.check_hostname)
    assert context.options & CLEANSE_PLAINTEXT


def test_a_bundle_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(ssl.SSLError):
        context_of(tmp_path / "empty.pem")


async def test_one_connection_serves_one_call_after_the_other(there: Stage) -> None:
    with a_pool(there) as pool:
        told = [await ask(pool, f"/{number}") for number in range(20)]

    assert [f"/{number}".encode() for number in range(20)] == told
    assert 1 == there.connections


async def test_calls_at_the_same_time_have_a_connection_each(there: Stage) -> None:
    """But not more than are configured."""
    there.script = _late(0.05, b"")
    with a_pool(there, connections=3, waiting=20) as pool:
        told = await asyncio.gather(*(ask(pool, f"/{number}") for number in range(15)))

    assert {f"/{number}".encode() for number in range(15)} == set(told)
    assert 3 == there.connections


async def test_a_connection_that_was_idle_for_long_is_not_used(there: Stage) -> None:
    """Sooner for what must not be sent twice: the other side may be closing it in this very moment."""
    ahead = 0.0
    route = Route(origin=Origin.of(there.url), context=context_of(there.ca))
    pool = Pool("test", route, connections=1, waiting=1, clock=lambda: time.monotonic() + ahead)

    async def connections_after(idle: float, *, harmless: bool) -> int:
        nonlocal ahead
        ahead += idle
        request = Request(method="GET", path="/", harmless=harmless)
        await pool.ask(request, time.monotonic() + ahead + 3)
        return there.connections

    assert 1 == await connections_after(0, harmless=True)
    assert 1 == await connections_after(IDLE - 5, harmless=True)
    assert 2 == await connections_after(IDLE + 1, harmless=True)
    assert 2 == await connections_after(0, harmless=False)
    assert 3 == await connections_after(FRESH + 1, harmless=False)
    pool.close()


class TestClosedByTheServer:
    """A server closes idle connections; that is no failure."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_it_is_noticed_before_anything_is_sent(self, there: Stage, method: str) -> None:
        """So it does not matter whether the request is harmless."""
        with a_pool(there) as pool:
            await ask(pool)
            there.hang_up()
            await asyncio.sleep(0.05)
            await ask(pool, method=method, harmless=False)

        assert (2, 2) == (there.connections, len(there.asked))

    async def test_in_the_very_moment_of_a_request_it_is_made_again(self, there: Stage) -> None:
        """A harmless one, on a new connection, where the old one had not been used for some seconds."""
        there.script = _ClosingSecond()
        ahead = 0.0
        route = Route(origin=Origin.of(there.url), context=context_of(there.ca))
        pool = Pool("test", route, connections=1, waiting=1, clock=lambda: time.monotonic() + ahead)
        for path in ("/first", "/second", "/third"):
            ahead += 3
            request = Request(method="GET", path=path, harmless=True)
            told = await pool.ask(request, time.monotonic() + ahead + 3)
            assert path.encode() == told.body
        pool.close()

        assert ["/first", "/second", "/second", "/third"] == [each.path for each in there.asked]

    async def test_what_is_not_harmless_is_not_made_again(self, there: Stage) -> None:
        """Nobody knows whether it was done."""
        there.script = _ClosingSecond()
        with a_pool(there) as pool:
            await ask(pool, "/first")
            with pytest.raises(KeyManagerUnavailable):
                await ask(pool, "/second", method="POST", harmless=False)

        assert ["/first", "/second"] == [each.path for each in there.asked]

    async def test_a_new_connection_that_is_closed_is_a_failure(self, there: Stage) -> None:
        """Else one would go on for ever."""
        there.script = lambda _: _nothing
        with a_pool(there) as pool, pytest.raises(KeyManagerUnavailable) as caught:
            await ask(pool)

        assert (Reason.UNREACHABLE, 1) == (caught.value.reason, len(there.asked))


class _ClosingSecond:
    """Closes the connection instead of answering ``/second``, the first time."""

    def __init__(self) -> None:
        self.closed = False

    def __call__(self, asked: Asked) -> bytes | Talk:
        if asked.path == "/second" and not self.closed:
            self.closed = True
            return _nothing
        return answer(200, asked.path.encode())


def _nothing(connection: socket.socket) -> None:
    """Say nothing, and so close the connection."""


def _late(seconds: float, told: bytes) -> Script:
    def script(asked: Asked) -> bytes:
        time.sleep(seconds)
        return told or answer(200, asked.path.encode())

    return script


async def test_after_a_timeout_no_kept_connection_is_used(there: Stage) -> None:
    """A firewall that has forgotten them says nothing on any of them."""
    there.script = _late(0.05, answer(200))
    with a_pool(there) as pool:
        await asyncio.gather(*(ask(pool) for _ in range(4)))
        assert 4 == there.connections
        there.script = lambda _: lambda _: time.sleep(0.5)
        with pytest.raises(KeyManagerUnavailable):
            await ask(pool, seconds=0.2)
        there.script = lambda _: answer(200)
        await ask(pool)

    assert 5 == there.connections


async def test_more_than_may_wait_are_refused_at_once(there: Stage) -> None:
    """And room is made as soon as others end."""
    there.script = _late(0.3, answer(200))
    with a_pool(there, connections=2, waiting=3) as pool:
        tasks = [asyncio.create_task(ask(pool)) for _ in range(5)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        with pytest.raises(NotAsked) as caught:
            await ask(pool)
        assert time.monotonic() - began < 0.05
        assert Reason.OVERLOADED == caught.value.reason
        await asyncio.gather(*tasks)
        await ask(pool)


async def test_who_waits_too_long_is_not_asked_for(there: Stage) -> None:
    """Its request is not made when its turn comes at last."""
    there.script = _late(0.4, answer(200))
    with a_pool(there, connections=1, waiting=4) as pool:
        first = asyncio.create_task(ask(pool, "/first"))
        await asyncio.sleep(0.05)
        with pytest.raises(KeyManagerUnavailable):
            await ask(pool, "/second", seconds=0.1)
        await first
        await ask(pool, "/third")

    assert ["/first", "/third"] == [each.path for each in there.asked]


async def test_an_answer_that_nobody_waits_for_is_wiped(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread reads it to its end, and hands it to nobody."""
    wiped = threading.Event()

    class Watched(Answer):
        def wipe(self) -> None:
            super().wipe()
            if len(self.body) == 6 and not any(self.body):
                wiped.set()

    monkeypatch.setattr("keyrack.adapters.key_managers.ibm.reading.Answer", Watched)
    there.script = _late(0.2, answer(200, b"secret"))
    with a_pool(there) as pool:
        task = asyncio.create_task(ask(pool))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wiped.wait, 2)

    assert wiped.is_set()


async def test_a_closed_pool_asks_nothing(there: Stage) -> None:
    with a_pool(there) as pool:
        await ask(pool)
    with pytest.raises(NotAsked):
        await ask(pool)


async def test_the_time_is_kept_where_a_thread_does_not_keep_it(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lookup of a name has no deadline of its own: whoever waits does not wait for it."""

    def sleepy(*_: object, **__: object) -> list[object]:
        time.sleep(0.8)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", sleepy)
    with a_pool(there) as pool:
        began = time.monotonic()
        with pytest.raises(KeyManagerUnavailable) as caught:
            await ask(pool, seconds=0.2)

    assert 0.2 <= time.monotonic() - began < 0.2 + GRACE + 0.2
    assert Reason.UNREACHABLE == caught.value.reason


class TestProxy:
    """A proxy is asked to CONNECT; TLS is spoken with the key manager, not with it."""

    async def test_it_connects(self, there: Stage) -> None:
        with _proxy() as (proxy, asked), a_pool(there, proxy=proxy) as pool:
            assert b"/x" == await ask(pool, "/x")
            assert b"/y" == await ask(pool, "/y")

        assert [f"CONNECT 127.0.0.1:{there.port} HTTP/1.1"] == asked

    async def test_it_refuses(self, there: Stage) -> None:
        """That is told as it is."""
        refusing = pytest.raises(KeyManagerUnavailable)
        with _proxy(answer(407)) as (proxy, _), a_pool(there, proxy=proxy) as pool, refusing as caught:
            await ask(pool)

        assert Reason.UNREACHABLE == caught.value.reason
        assert "407" in str(caught.value)
        assert 0 == there.connections

    async def test_it_dribbles(self, there: Stage) -> None:
        """Its answer is bounded in time and length like any other."""
        for told in (b"HTTP/1.1 200 " + b"x" * 40_000, b"nonsense\r\n\r\n"):
            refusing = pytest.raises(KeyManagerUnavailable)
            with _proxy(told) as (proxy, _), a_pool(there, proxy=proxy) as pool, refusing:
                await ask(pool)


@contextmanager
def _proxy(told: bytes | None = None) -> Iterator[tuple[Origin, list[str]]]:
    """A proxy that connects, or says something else."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(client: socket.socket) -> None:
            with contextlib.suppress(OSError), client:
                request = read_request(client)
                assert request is not None
                asked.append(f"{request.method} {request.path} HTTP/1.1")
                if told is not None:
                    client.sendall(told)
                    return
                host, _, port = request.path.rpartition(":")
                with socket.create_connection((host, int(port))) as server:
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()
                    _pass_on(client, server)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield Origin("127.0.0.1", listener.getsockname()[1]), asked
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


async def test_addresses_of_a_name_are_tried_one_by_one(there: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody answers at does not take the time of the others."""
    real = socket.getaddrinfo

    def two(host: str, port: int, **more: int) -> list[object]:
        found = real("127.0.0.1", port, **more)
        # TEST-NET-1: nobody is there, or nobody even knows the way.
        return [(*found[0][:4], ("192.0.2.1", port)), *found]

    monkeypatch.setattr(socket, "getaddrinfo", two)
    with a_pool(there) as pool:
        assert b"/" == await ask(pool)


async def test_ibm_s_refusals_keep_the_connection(there: Stage) -> None:
    """They are answers like others."""
    there.script = lambda _: error(404, "KEY_NOT_FOUND_ERR")
    with a_pool(there) as pool:
        for _ in range(3):
            await ask(pool)

    assert 1 == there.connections
