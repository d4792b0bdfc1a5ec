"""The door alone: the listener before a desk with canned answers, to measure against the floor.

    python bench/door.py --cert server.pem --key server.key --client client.pem [--loop uvloop] [--poller loop]

It answers Get, Create, Activate, Locate and Discover Versions as ``bench/load/floor.c`` does, so what it costs is TLS,
framing and the event loop.
"""

import argparse
import asyncio
import select
import signal
import sys
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from keyrack.service.identity import Peer
from keyrack.shell.kmip.limits import Limits
from keyrack.shell.kmip.server import KmipServer, bound
from keyrack.shell.kmip.tls import TlsSettings
from keyrack.testing import ttlv

CREATE, GET, ACTIVATE, DISCOVER = 1, 10, 18, 30
OPERATION, UID = 0x42005C, 0x420094


def _version() -> ttlv.Item:
    return ttlv.structure(0x420069, ttlv.integer(0x42006A, 1), ttlv.integer(0x42006B, 4))


def _payload(operation: int, uid: str) -> ttlv.Item:
    name = ttlv.text(UID, uid)
    if operation == GET:
        key = ttlv.structure(
            0x420040,
            ttlv.enumeration(0x420042, 1),
            ttlv.structure(0x420045, ttlv.octets(0x420043, bytes(range(32)))),
            ttlv.enumeration(0x420028, 3),
            ttlv.integer(0x42002A, 256),
        )
        return ttlv.structure(0x42007C, ttlv.enumeration(0x420057, 2), name, ttlv.structure(0x42008F, key))
    if operation == CREATE:
        return ttlv.structure(0x42007C, ttlv.enumeration(0x420057, 2), name)
    if operation == DISCOVER:
        return ttlv.structure(0x42007C, _version())
    return ttlv.structure(0x42007C, name)


class CannedDesk:
    """Answers at once, whatever is asked."""

    async def answer(self, frame: bytes, peer: Peer) -> bytearray:
        """Take operation and identifier from where they must be; the rest stays unread."""
        at = frame.index(b"\x42\x00\x5c\x05") + 8
        operation = int.from_bytes(frame[at : at + 4], "big")
        at = frame.find(b"\x42\x00\x94\x07")
        uid = "1"
        if at > 0:
            length = int.from_bytes(frame[at + 4 : at + 8], "big")
            uid = frame[at + 8 : at + 8 + length].decode()
        key = (operation, uid)
        if key not in CANNED:
            CANNED[key] = ttlv.structure(
                0x42007B,
                ttlv.structure(
                    0x42007A, _version(), ttlv.date_time(0x420092, int(time.time())), ttlv.integer(0x42000D, 1)
                ),
                ttlv.structure(
                    0x42000F,
                    ttlv.enumeration(OPERATION, operation),
                    ttlv.enumeration(0x42007F, 0),
                    _payload(operation, uid),
                ),
            ).encode()
        return bytearray(CANNED[key])


CANNED: dict[tuple[int, str], bytes] = {}


class One:
    """Trusts what it was told."""

    def __init__(self, fingerprints: set[str]) -> None:
        self._fingerprints = fingerprints

    def known(self, fingerprint: str) -> bool:
        return fingerprint in self._fingerprints


async def serve(options: argparse.Namespace) -> None:
    fingerprints = {
        x509.load_pem_x509_certificate(Path(each).read_bytes()).fingerprint(hashes.SHA256()).hex()
        for each in options.client
    }
    limits = Limits(handshaking_per_address=5000, handshaking=5000, connections_per_address=9000, connections=9000)
    settings = TlsSettings(certificate=Path(options.cert), key=Path(options.key))
    server = KmipServer(CannedDesk(), One(fingerprints), settings, limits)
    await server.start(bound("127.0.0.1", options.port))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("listening", server.addresses, flush=True)
    await stop.wait()
    await server.stop()
    print(dict(server.counts), file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--client", action="append", required=True)
    parser.add_argument("--port", type=int, default=5700)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--poller", choices=["epoll", "loop"], default="epoll")
    options = parser.parse_args()
    if options.poller == "loop":
        del select.epoll  # as on systems that have none: readers and writers of the loop itself
    factory = None
    if options.loop == "uvloop":
        import uvloop  # noqa: PLC0415 - only where it is asked for

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
