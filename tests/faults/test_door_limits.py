"""What slow, silent, greedy and rude peers can do to the listener: nothing to the others, little for themselves."""

import concurrent.futures
import contextlib
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyrack.service.identity import Peer
from keyrack.shell.kmip.limits import Limits
from keyrack.testing.certificates import Identity, client, client_context
from keyrack.testing.client import Client, ConnectionEnded
from keyrack.testing.listener import EchoDesk, Listener, Pins, listening

pytestmark = pytest.mark.alone
HEADER = b"\x42\x00\x78\x01"
FRAME = HEADER + b"\x00\x00\x00\x08" + b"question"

QUICK = Limits(handshake=0.4, message=0.4, linger=0.4, patience=0.2)
"""The limits of real life, twenty-five times as fast."""


def message(length: int) -> bytes:
    """A request message of a length in all."""
    return HEADER + (length - 8).to_bytes(4, "big") + b"\x2a" * (length - 8)


@pytest.fixture
def me() -> Identity:
    """A trusted client."""
    return client(name="me")


def connected(listener: Listener, me: Identity, tls: ssl.TLSVersion | None = None) -> Client:
    """A trusted client, connected."""
    return Client(listener.address, client_context(me, [listener.identity.pem], tls=tls))


def plain(listener: Listener, source: str = "127.0.0.1") -> socket.socket:
    """A TCP connection that has not begun TLS."""
    return socket.create_connection(listener.address, 5, source_address=(source, 0))


def closed_after(sock: socket.socket) -> float:
    """Seconds until the server closes."""
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while sock.recv(4096):
            pass
    return time.monotonic() - began


# Slow and silent ----------------------------------------------------------------------------------------------------


def test_a_silent_connection_ends_with_the_handshakes_time(tmp_path: Path, me: Identity) -> None:
    """It says nothing, and is closed on time, without a word in return."""
    with listening(tmp_path, Pins(me), limits=QUICK) as listener, plain(listener) as silent:
        assert closed_after(silent) == pytest.approx(0.45, abs=0.25)
        assert 1 == listener.count("ended: too slow a handshake")


def test_a_handshake_that_drips_ends_with_the_handshakes_time(tmp_path: Path, me: Identity) -> None:
    """Each byte that comes buys no more time."""
    with listening(tmp_path, Pins(me), limits=QUICK) as listener, plain(listener) as dripping:
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200):
                dripping.sendall(bytes([byte]))
                time.sleep(0.03)

        assert time.monotonic() - began < 2
        assert 1 == listener.count("ended: too slow a handshake")


@pytest.mark.parametrize("begun", [FRAME[:1], FRAME[:8], FRAME[:-1]])
def test_a_message_once_begun_must_be_complete_in_time(tmp_path: Path, me: Identity, begun: bytes) -> None:
    """One byte of the header is a beginning; bytes that drip buy no more time."""
    with listening(tmp_path, Pins(me), limits=QUICK) as listener, connected(listener, me) as slow:
        slow.send(begun)
        with pytest.raises(ConnectionEnded):
            slow.receive()
        assert 1 == listener.count("ended: too slow")


def test_an_idle_connection_is_kept(tmp_path: Path, me: Identity) -> None:
    """Closing idle sessions is how other servers lose their clients: several times the limits, and it still answers."""
    with listening(tmp_path, Pins(me), limits=QUICK) as listener, connected(listener, me) as idle:
        assert FRAME == idle.exchange(FRAME)
        time.sleep(3 * QUICK.message)
        assert FRAME == idle.exchange(FRAME)


def test_an_idle_connection_is_kept_before_its_first_request_too(tmp_path: Path, me: Identity) -> None:
    """vCenter opens connections and says nothing on them for a while."""
    with listening(tmp_path, Pins(me), limits=QUICK) as listener, connected(listener, me) as idle:
        time.sleep(3 * QUICK.handshake)
        assert FRAME == idle.exchange(FRAME)


class LargeDesk:
    """Answers with more than the kernel takes at once."""

    def __init__(self) -> None:
        self.answers: list[bytearray] = []

    async def answer(self, frame: bytes, peer: Peer) -> bytearray | None:
        """Eight mebibytes that can be recognised."""
        self.answers.append(bytearray(bytes(range(256)) * (8 * 1024 * 4)))
        return self.answers[-1]


def test_a_large_answer_arrives_whole_and_is_wiped(tmp_path: Path, me: Identity) -> None:
    """Partial writes go on where they stopped; afterwards nothing of the answer is left in memory."""
    desk = LargeDesk()
    with listening(tmp_path, Pins(me), desk) as listener, connected(listener, me) as talking:
        talking.send(FRAME)
        time.sleep(0.2)
        received = talking._exactly(8 * 1024 * 1024)

        assert bytes(range(256)) * (8 * 1024 * 4) == received
        assert listener.eventually(lambda: not any(desk.answers[0]))


def test_a_client_that_does_not_read_its_answer_is_given_up(tmp_path: Path, me: Identity) -> None:
    """And the answer that it did not take is wiped."""
    desk = LargeDesk()
    with listening(tmp_path, Pins(me), desk, limits=QUICK) as listener, connected(listener, me) as deaf:
        deaf.send(FRAME)

        assert listener.eventually(lambda: listener.server.counts["ended: too slow"] == 1)
        assert not any(desk.answers[0])


def test_each_answer_is_wiped_once_it_is_sent(tmp_path: Path, me: Identity) -> None:
    """Key material does not outlive its answer."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk) as listener, connected(listener, me) as talking:
        assert FRAME == talking.exchange(FRAME)
        assert listener.eventually(lambda: desk.answers == [bytearray(len(FRAME))])


# Greedy -------------------------------------------------------------------------------------------------------------


def test_a_message_of_the_limit_is_answered(tmp_path: Path, me: Identity) -> None:
    """64 KiB, header included, in several TLS records."""
    whole = message(64 * 1024)
    with listening(tmp_path, Pins(me)) as listener, connected(listener, me) as talking:
        assert whole == talking.exchange(whole)


@pytest.mark.parametrize("length", [64 * 1024 + 8, 2**31, 2**32 - 8])
def test_a_longer_message_ends_the_connection_at_its_header(tmp_path: Path, me: Identity, length: int) -> None:
    """Nothing of it is kept; the close is a proper one."""
    with listening(tmp_path, Pins(me), limits=QUICK) as listener, connected(listener, me) as talking:
        talking.send(HEADER + (length - 8 & 0xFFFFFFFF).to_bytes(4, "big"))
        with pytest.raises(ConnectionEnded):
            talking.receive()
        assert listener.eventually(lambda: listener.server.counts["ended: not a request"] == 1)


@pytest.mark.parametrize("junk", [b"\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x42\x00\x7b\x01\x00\x00\x00\x00"])
def test_bytes_that_are_no_request_end_the_connection(tmp_path: Path, me: Identity, junk: bytes) -> None:
    """There is no way to find the next message behind them."""
    with listening(tmp_path, Pins(me)) as listener, connected(listener, me) as talking:
        talking.send(junk)
        with pytest.raises(ConnectionEnded):
            talking.receive()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", bytes(64), b"\x16\x03\x01\xff\xff" + b"x" * 64, FRAME])
def test_bytes_that_are_no_tls_are_refused_without_noise(
    tmp_path: Path, me: Identity, caplog: pytest.LogCaptureFixture, junk: bytes
) -> None:
    """A browser, a scanner, a client that forgot TLS: counted, a line of information at most, no harm."""
    with listening(tmp_path, Pins(me), limits=QUICK) as listener:
        with plain(listener) as odd:
            odd.sendall(junk)
            closed_after(odd)
        with connected(listener, me) as talking:
            assert FRAME == talking.exchange(FRAME)

        assert 1 == listener.count("refused")
        assert [] == [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")]


def test_requests_sent_ahead_are_answered_one_by_one_in_order(tmp_path: Path, me: Identity) -> None:
    """Strictly request, response: a client may send ahead, its requests wait."""
    desk = EchoDesk()
    frames = [HEADER + b"\x00\x00\x00\x08" + b"%08d" % number for number in range(300)]
    with listening(tmp_path, Pins(me), desk) as listener, connected(listener, me) as ahead:
        ahead.send(b"".join(frames))

        assert frames == [ahead.receive() for _ in frames]
        assert 1 == desk.most_under_way


def test_a_client_far_ahead_is_not_read_any_further(tmp_path: Path, me: Identity) -> None:
    """What waits in our memory is bounded by about one message; then the client's own writes stall."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk) as listener, connected(listener, me) as greedy:
        listener.call(desk.open.clear)
        greedy._socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            greedy.send(message(32 * 1024) * 1000)
        (connection,) = listener.call(listener.server._admission.all)

        assert connection._framing.buffered <= 64 * 1024
        listener.call(desk.open.set)


def test_a_client_that_resets_while_its_request_is_under_way_does_not_keep_the_loop_busy(
    tmp_path: Path, me: Identity
) -> None:
    """The kernel reports a hang-up for ever; it must be heard once."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk) as listener:
        listener.call(desk.open.clear)
        rude = connected(listener, me)
        rude.send(FRAME * 3)
        assert listener.eventually(lambda: desk.under_way == 1)
        rude._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        rude._socket.close()

        assert listener.eventually(lambda: listener.server.connections == 0)
        listener.call(desk.open.set)


# Many ---------------------------------------------------------------------------------------------------------------


def test_silent_connections_of_one_address_do_not_keep_others_out(tmp_path: Path, me: Identity) -> None:
    """A crowd from one address stays at its limit; another address gets in as if it were alone."""
    limits = Limits(handshaking_per_address=8, handshaking=12)
    with listening(tmp_path, Pins(me), limits=limits) as listener, contextlib.ExitStack() as crowd:
        for _ in range(40):
            crowd.enter_context(plain(listener, "127.0.0.2"))
        with connected(listener, me) as talking:
            assert FRAME == talking.exchange(FRAME)
        assert 32 == listener.count("turned away: handshaking_per_address")


def test_a_client_behind_the_crowds_own_address_gets_in_when_the_crowd_has_stalled(
    tmp_path: Path, me: Identity
) -> None:
    """Who keeps us waiting makes room: an address, or all of them, cannot be shut by connections that say nothing."""
    limits = Limits(handshaking_per_address=8, patience=0.2)
    with listening(tmp_path, Pins(me), limits=limits) as listener, contextlib.ExitStack() as crowd:
        for _ in range(8):
            crowd.enter_context(plain(listener))
        time.sleep(0.3)
        with connected(listener, me) as talking:
            assert FRAME == talking.exchange(FRAME)
        assert 1 == listener.count("ended: made room")


def test_connections_beyond_the_total_are_turned_away_and_the_rest_served(tmp_path: Path, me: Identity) -> None:
    """At the limit a newcomer is closed at once, and comes in when another has gone."""
    with listening(tmp_path, Pins(me), limits=Limits(connections=3)) as listener:
        inside = [connected(listener, me) for _ in range(3)]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connected(listener, me)
        inside.pop().close()
        assert listener.eventually(lambda: listener.server.connections == 2)

        with connected(listener, me) as talking:
            assert FRAME == talking.exchange(FRAME)
        assert [FRAME] * 2 == [each.exchange(FRAME) for each in inside]
        for each in inside:
            each.close()


def test_connections_of_one_address_are_limited(tmp_path: Path, me: Identity) -> None:
    """The limit of an address counts open connections too, and is not that of another address."""
    with listening(tmp_path, Pins(me), limits=Limits(connections_per_address=2)) as listener:
        with (
            plain(listener, "127.0.0.2"),
            connected(listener, me),
            connected(listener, me),
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            connected(listener, me)
        assert 1 == listener.count("turned away: connections_per_address")


def test_hostile_crowds_do_not_slow_a_good_client(tmp_path: Path, me: Identity) -> None:
    """Silent, dripping and half-message peers in their hundreds: a good client's request takes well under 100 ms."""
    half = client(name="half")
    with listening(tmp_path, Pins(me, half)) as listener, contextlib.ExitStack() as crowd:
        for number in range(300):
            crowd.enter_context(plain(listener, f"127.0.1.{number // 50 + 1}"))
        for number in range(100):
            crowd.enter_context(plain(listener, f"127.0.2.{number // 50 + 1}")).sendall(b"\x16\x03\x01\x02")
        for _ in range(40):
            crowd.enter_context(connected(listener, half)).send(FRAME[:9])
        times = []
        with connected(listener, me) as talking:
            for _ in range(200):
                began = time.monotonic()
                assert FRAME == talking.exchange(FRAME)
                times.append(time.monotonic() - began)

        assert sorted(times)[197] < 0.1


def test_a_burst_of_refused_handshakes_is_ordinary_life(
    tmp_path: Path, me: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted and remembered once; nothing above the level of information is logged, and nobody is banned."""
    caplog.set_level("DEBUG")
    stranger = client(name="a stranger")
    with listening(tmp_path, Pins(me)) as listener:
        for _ in range(50):
            with (
                contextlib.suppress(ssl.SSLError, ConnectionError, ConnectionEnded),
                connected(listener, stranger) as each,
            ):
                each.receive()
        with connected(listener, me) as talking:
            assert FRAME == talking.exchange(FRAME)
        (seen,) = listener.call(listener.server.strangers)

        assert (stranger.fingerprint, "CN=a stranger", 50) == (seen.fingerprint, seen.subject, seen.count)
        assert 1 == sum("handshake refused" in each.message for each in caplog.records)
        assert [] == [each for each in caplog.records if each.levelname in ("WARNING", "ERROR")]


def test_a_bare_connection_is_silent(tmp_path: Path, me: Identity, caplog: pytest.LogCaptureFixture) -> None:
    """A health check connects, or shakes hands, and closes: not a line of log."""
    caplog.set_level("DEBUG", logger="keyrack")
    with listening(tmp_path, Pins(me)) as listener:
        plain(listener).close()
        connected(listener, me).close()
        assert listener.eventually(lambda: listener.server.counts["accepted"] == 2 and not listener.server.connections)

        assert [] == [each.message for each in caplog.records]


def test_a_removed_stranger_is_forgotten_when_it_is_trusted(tmp_path: Path, me: Identity) -> None:
    """The list of strangers holds strangers."""
    pins = Pins()
    with listening(tmp_path, pins) as listener:
        with contextlib.suppress(ssl.SSLError, ConnectionError, ConnectionEnded), connected(listener, me) as refused:
            refused.receive()
        assert 1 == len(listener.call(listener.server.strangers))
        pins.fingerprints.add(me.fingerprint)
        with connected(listener, me) as talking:
            assert FRAME == talking.exchange(FRAME)

        assert () == listener.call(listener.server.strangers)


# Faults of our own --------------------------------------------------------------------------------------------------


class FaultyDesk:
    """Fails on the first request, has nothing to say to the second, answers the third."""

    def __init__(self) -> None:
        self.asked = 0

    async def answer(self, frame: bytes, peer: Peer) -> bytearray | None:
        """Whatever comes next."""
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("a fault")
        return bytearray(frame) if self.asked > 2 else None


def test_a_fault_in_the_desk_ends_one_connection_and_no_other(tmp_path: Path, me: Identity) -> None:
    """An exception and a ``None`` both close the connection that asked; the next is served."""
    with listening(tmp_path, Pins(me), FaultyDesk()) as listener:
        for _ in range(2):
            with connected(listener, me) as talking, pytest.raises(ConnectionEnded):
                talking.exchange(FRAME)
        with connected(listener, me) as talking:
            assert FRAME == talking.exchange(FRAME)


@contextlib.contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    """Leave the process only so many file descriptors more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.dup(0))
        for _ in range(spare):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in held:
            os.close(each)


def test_running_out_of_file_descriptors_is_survived_and_said_once(
    tmp_path: Path, me: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    """New connections wait, open ones are served, and when descriptors are free again so is the door."""
    with listening(tmp_path, Pins(me)) as listener, connected(listener, me) as inside:
        assert FRAME == inside.exchange(FRAME)
        crowd = [socket.socket() for _ in range(30)]
        with few_descriptors(2):
            for each in crowd:
                each.connect(listener.address)
            time.sleep(1.2)
            assert FRAME == inside.exchange(FRAME)
        assert listener.count("out of breath") > 1
        for each in crowd:
            each.close()
        with connected(listener, me) as late:
            assert FRAME == late.exchange(FRAME)

    assert 1 == sum("file descriptors" in each.message for each in caplog.records)


# Stopping -----------------------------------------------------------------------------------------------------------


def test_stop_answers_what_is_under_way_and_says_goodbye(tmp_path: Path, me: Identity) -> None:
    """The request that was taken is answered, an idle client sees a proper close, a newcomer is refused."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk, limits=QUICK) as listener:
        idle, busy = connected(listener, me), connected(listener, me)
        listener.call(desk.open.clear)
        busy.send(FRAME)
        assert listener.eventually(lambda: desk.under_way == 1)
        threading.Timer(0.3, listener.call, (desk.open.set,)).start()

        listener.run(listener.server.stop(5))

        assert FRAME == busy.receive()
        for each in (idle, busy):
            with pytest.raises(ConnectionEnded):  # an end without close_notify would be an SSLError
                each.receive()
        with pytest.raises(ConnectionError):
            plain(listener)


def test_stop_does_not_wait_longer_than_its_grace(tmp_path: Path, me: Identity) -> None:
    """A request that never ends is given up, and its connection closed."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk) as listener, connected(listener, me) as busy:
        listener.call(desk.open.clear)
        busy.send(FRAME)
        assert listener.eventually(lambda: desk.under_way == 1)
        began = time.monotonic()

        listener.run(listener.server.stop(0.3))

        assert time.monotonic() - began < 1
        assert 0 == listener.server.connections


def test_accepted_sockets_have_no_delay_and_keep_alive(tmp_path: Path, me: Identity) -> None:
    """Set on the listening socket, and handed on by the kernel: without it, TLS 1.3 stalls for 40 ms."""
    with listening(tmp_path, Pins(me)) as listener, connected(listener, me) as talking:
        assert FRAME == talking.exchange(FRAME)
        (connection,) = listener.call(listener.server._admission.all)
        sock = connection._socket

        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert 60 == sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)


@pytest.mark.parametrize(
    ("host", "target", "shown"), [("::1", "::1", "[::1]:"), ("::", "::1", "[::1]:"), ("::", "127.0.0.1", "127.0.0.1:")]
)
def test_ipv6_is_served_and_clients_are_named_as_they_came(
    tmp_path: Path, me: Identity, host: str, target: str, shown: str
) -> None:
    """The host "::" is everybody's address; an IPv4 client on it is not shown as an IPv6 one."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk, host=host) as listener:
        context = client_context(me, [listener.identity.pem])
        with Client((target, listener.address[1]), context) as talking:
            assert FRAME == talking.exchange(FRAME)

    assert desk.peers[0].address.startswith(shown)


def test_many_clients_at_once_all_get_their_own_answers(tmp_path: Path, me: Identity) -> None:
    """Sixteen threads, connections that come and go: no answer goes to the wrong one."""

    def life(number: int) -> bool:
        own = HEADER + b"\x00\x00\x00\x08" + b"%08d" % number
        for _ in range(5):
            with connected(listener, me) as talking:
                if any(talking.exchange(own) != own for _ in range(10)):
                    return False
        return True

    with listening(tmp_path, Pins(me)) as listener, concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert [True] * 16 == list(pool.map(life, range(16)))


def test_a_request_under_way_when_its_certificate_is_dropped_is_not_answered(tmp_path: Path, me: Identity) -> None:
    """The connection closes at once; the answer is wiped when it comes, and goes nowhere."""
    desk = EchoDesk()
    with listening(tmp_path, Pins(me), desk) as listener, connected(listener, me) as talking:
        listener.call(desk.open.clear)
        talking.send(FRAME)
        assert listener.eventually(lambda: desk.under_way == 1)

        assert 1 == listener.call(listener.server.drop, [me.fingerprint])

        listener.call(desk.open.set)
        with pytest.raises(ConnectionEnded):
            talking.receive()
        assert listener.eventually(lambda: desk.answers == [bytearray(len(FRAME))])


def test_a_loop_without_epoll_serves_as_well(tmp_path: Path, me: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems than Linux use the loop's own readers and writers."""
    monkeypatch.delattr("select.epoll")
    desk = LargeDesk()
    with listening(tmp_path, Pins(me), desk) as listener, connected(listener, me) as talking:
        talking.send(FRAME)

        assert bytes(range(256)) * (8 * 1024 * 4) == talking._exactly(8 * 1024 * 1024)
