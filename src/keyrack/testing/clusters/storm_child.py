"""One process of a storm: connections that each fetch a list of keys as fast as they are answered.

``python -m keyrack.testing.clusters.storm_child``: what to do as a line of JSON on standard input, a second line to
begin; on standard output a line of JSON twice in a second with the number of keys that were fetched so far, the last
one with everything. It reads answers by their bytes, to cost little beside what is measured; that they are well-formed
is for other tests to see.
"""

import hashlib
import json
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.client import Ask, request
from keyrack.testing.ttlv import text

TOLD_EVERY: Final = 0.5
PATIENCE: Final = 10.0
_MATERIAL: Final = bytes.fromhex("4200430800000020")
"""How a key of 32 bytes begins in an answer."""


class NoKey(Exception):
    """An answer without the right key; the text says what it is instead."""


@dataclass(slots=True)
class Host:
    """One connection at a time, to one of the endpoints."""

    endpoints: Sequence[tuple[str, int]]
    context: ssl.SSLContext
    at: int
    times: list[float] = field(default_factory=list)
    """Seconds of each fetch, with its retry."""
    retries: int = 0
    failures: list[str] = field(default_factory=list)
    _socket: ssl.SSLSocket | None = None

    def run(self, wanted: Sequence[tuple[bytes, str]]) -> None:
        """Fetch them in this order: frames to send, with the digests of the keys that must come."""
        for frame, digest in wanted:
            began = time.perf_counter()
            try:
                self._fetch(frame, digest)
            except (OSError, NoKey) as first:
                self.retries += 1
                self._leave()
                try:
                    self._fetch(frame, digest)
                except (OSError, NoKey) as second:
                    self._leave()
                    self.failures.append(f"{first}; {second}"[:500])
            self.times.append(time.perf_counter() - began)
        self._hang_up()

    def _fetch(self, frame: bytes, digest: str) -> None:
        if self._socket is None:
            self._socket = self._connected()
        self._socket.sendall(frame)
        head = self._exactly(8)
        answer = self._exactly(int.from_bytes(head[4:], "big"))
        found = answer.find(_MATERIAL) + len(_MATERIAL)
        if found < len(_MATERIAL) or hashlib.sha256(answer[found : found + 32]).hexdigest() != digest:
            raise NoKey(ascii(bytes(each for each in answer if 32 <= each < 127)[-300:]))

    def _connected(self) -> ssl.SSLSocket:
        plain = socket.create_connection(self.endpoints[self.at], PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return self.context.wrap_socket(plain)
        except BaseException:
            plain.close()
            raise

    def _exactly(self, size: int) -> bytes:
        assert self._socket is not None
        gathered = b""
        while len(gathered) < size:
            part = self._socket.recv(size - len(gathered))
            if not part:
                raise ConnectionError("the server closed the connection")
            gathered += part
        return gathered

    def _leave(self) -> None:
        """To the other endpoint."""
        self._hang_up()
        self.at = (self.at + 1) % len(self.endpoints)

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def main() -> None:
    """One order."""
    order: Mapping[str, Any] = json.loads(sys.stdin.readline())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(order["authority"])
    context.load_cert_chain(*order["identity"])
    frames = [
        (request(Ask(Operation.GET, (text(Tag.UNIQUE_IDENTIFIER, uid),))), digest) for uid, digest in order["keys"]
    ]
    endpoints = [(host, port) for host, port in order["endpoints"]]
    chance = random.Random(order["seed"])
    hosts = [Host(endpoints, context, number % len(endpoints)) for number in range(order["connections"])]
    threads = [
        threading.Thread(target=each.run, args=(chance.sample(frames, len(frames)) * order["times"],), daemon=True)
        for each in hosts
    ]
    _tell({"ready": True})
    sys.stdin.readline()
    began = time.monotonic()
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        time.sleep(TOLD_EVERY if len(frames) > 100 else 0.05)
        _tell({"done": sum(len(each.times) for each in hosts)})
    _tell(
        {
            "began": began,
            "ended": time.monotonic(),
            "times": [each for host in hosts for each in host.times],
            "retries": sum(each.retries for each in hosts),
            "failures": [each for host in hosts for each in host.failures],
        }
    )


def _tell(what: Mapping[str, Any]) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - the answer to the order


if __name__ == "__main__":
    main()
