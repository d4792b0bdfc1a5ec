"""A load of HTTPS requests over connections that stay open, a thread each, as light as Python has it."""

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from bench.measured import Spent, cpu_of

PATIENCE = 60.0
_addresses = itertools.count(2)


class WrongAnswer(SystemExit):
    """A server gave another answer than the one that was asked for: figures of that mean nothing."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server on loopback, and the process whose CPU counts."""

    port: int
    process: int
    context: ssl.SSLContext


@dataclass(slots=True)
class Connection:
    """A connection that stays open. Each comes from an address of its own: servers bound what one address may do."""

    target: Target
    _socket: ssl.SSLSocket = field(init=False)

    def __post_init__(self) -> None:
        number = next(_addresses)
        source = f"127.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        plain = socket.create_connection(("127.0.0.1", self.target.port), PATIENCE, (source, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = self.target.context.wrap_socket(plain, server_hostname="127.0.0.1")

    def ask(self, request: bytes, status: bytes) -> bytes:
        """The body of the answer, which must have this status."""
        self._socket.sendall(request)
        told = b""
        while (end := told.find(b"\r\n\r\n")) < 0:
            told += self._more()
        head, body = told[:end].lower(), told[end + 4 :]
        if told[9:12] != status:
            raise WrongAnswer(f"bench: {told[:1000].decode(errors='replace')}")
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._more()
        return body

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _more(self) -> bytes:
        received = self._socket.recv(65_536)
        if not received:
            raise WrongAnswer("bench: a server has closed a connection that should stay open")
        return received


def context_of(authority: Path) -> ssl.SSLContext:
    """What trusts an authority."""
    return ssl.create_default_context(cafile=str(authority))


def load(
    target: Target,
    requests: Callable[[int], Iterable[bytes]],
    status: bytes,
    connections: int,
    seconds: float,
    *,
    most: int = 10**9,
) -> Spent:
    """Ask over so many connections for a while, ``most`` times each; the CPU is the server's.

    ``requests`` gives those of a connection, by its number, without end.
    """
    opened = [Connection(target) for _ in range(connections)]
    waits: list[float] = []
    faults: list[BaseException] = []
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        try:
            own = itertools.islice(requests(number), most)
            now = time.perf_counter()
            while now < end and (request := next(own, None)) is not None:
                opened[number].ask(request, status)
                done = time.perf_counter()
                waits.append(done - now)
                now = done
        except (OSError, WrongAnswer) as fault:
            faults.append(fault)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    began, cpu = time.perf_counter(), cpu_of(target.process)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed, cpu = time.perf_counter() - began, cpu_of(target.process) - cpu
    for connection in opened:
        connection.close()
    if faults:
        raise faults[0]
    return Spent(len(waits), elapsed, cpu, sorted(waits))
