"""A crowd that shakes hands: one signature after the other, with everything else on the event loop in between."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from keyrack.embedded.house import House
from keyrack.shell.rest import listener
from keyrack.shell.rest.bounds import Bounds
from keyrack.testing.key_houses import a_house
from keyrack.testing.key_protect import Address, key_protect

CROWD = 24


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = a_house(tmp_path_factory.mktemp("keyrack"))
    yield made
    made.close()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The round of the event loop in which each handshake begins."""
    begun: list[int] = []
    rounds = [0]
    real = asyncio.base_events.BaseEventLoop.connect_accepted_socket

    def count(loop: asyncio.AbstractEventLoop) -> None:
        rounds[0] += 1
        loop.call_soon(count, loop)

    async def noted(loop: Any, *arguments: Any, **options: Any) -> Any:
        if not begun:
            loop.call_soon(count, loop)
        begun.append(rounds[0])
        return await real(loop, *arguments, **options)

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "connect_accepted_socket", noted)
    return begun


@pytest.fixture
def address(house: House, begun: list[int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    bounds = Bounds(handshake=3.0)
    with key_protect(house, tmp_path_factory.mktemp("api"), bounds=bounds) as served:
        yield served


def test_handshakes_do_not_come_all_at_once(address: Address, begun: list[int]) -> None:
    """KMIP, on the same event loop, would be answered after the last of them."""
    together = threading.Barrier(CROWD)

    def connect(_: int) -> str:
        with socket.create_connection((address.host, address.port), 10) as plain:
            together.wait(10)
            with address.context.wrap_socket(plain, server_hostname=address.host) as tls:
                return tls.version() or ""

    with ThreadPoolExecutor(CROWD) as pool:
        versions = list(pool.map(connect, range(CROWD)))

    assert ["TLSv1.3"] * CROWD == versions
    assert CROWD == len(begun)
    assert min(later - earlier for earlier, later in zip(begun, begun[1:], strict=False)) >= 2


def test_whoever_is_silent_takes_no_turn(address: Address, begun: list[int]) -> None:
    silent = [socket.create_connection((address.host, address.port), 10) for _ in range(20)]
    try:
        assert 200 == address.ask("GET", "/health").status
        assert 1 == len(begun)
    finally:
        for each in silent:
            each.close()


def test_whoever_stops_in_the_middle_holds_nobody_up(address: Address) -> None:
    """A record that promises more than comes, then nothing: the turn is over, and the handshake's time runs out."""
    halting = [socket.create_connection((address.host, address.port), 10) for _ in range(10)]
    for each in halting:
        each.sendall(bytes.fromhex("1603010200010001fc0303"))

    assert 200 == address.ask("GET", "/health").status
    for each in halting:
        each.settimeout(10)
        with each:
            assert b"" == each.recv(1)


def test_one_that_is_gone_before_its_turn_is_forgotten(address: Address) -> None:
    for _ in range(200):
        with socket.create_connection((address.host, address.port), 10) as plain:
            plain.sendall(b"\x16")
    time.sleep(0.5)

    assert [200] * 3 == [address.ask("GET", "/health").status for _ in range(3)]


def test_a_network_of_ipv6_has_the_connections_of_one_address(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has 2^64 addresses would have all connections; here two addresses stand for one network."""
    monkeypatch.setattr(listener, "home", lambda address: address.rpartition(".")[0])
    with key_protect(house, tmp_path, bounds=Bounds(connections_per_address=2)) as served, ExitStack() as open_ones:
        for source in ("127.0.0.1", "127.0.0.2"):
            open_ones.enter_context(connected(served, source))
        with pytest.raises(OSError, match=r"."):
            open_ones.enter_context(connected(served, "127.0.0.3"))


@contextmanager
def connected(address: Address, source: str) -> Iterator[None]:
    with (
        socket.create_connection((address.host, address.port), 10, (source, 0)) as plain,
        address.context.wrap_socket(plain, server_hostname=address.host),
    ):
        yield
