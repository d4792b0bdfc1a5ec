"""``serve``: one process with its listener, from the first look at the files to the last answer."""

import asyncio
import contextlib
import ctypes
import logging
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from keyrack.shell.assemble import House, open_house
from keyrack.shell.config import ADDRESS_FILE, Config
from keyrack.shell.kmip_server import bound
from keyrack.shell.office import AskPassphrase
from keyrack.shell.pki import fingerprint_of_file
from keyrack.shell.tls import TlsError

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that requests under way may take once the server is told to stop."""
_PR_SET_DUMPABLE = 4


@dataclass(frozen=True, slots=True)
class Ready:
    """A server that serves: where, and with which certificate."""

    host: str
    port: int
    fingerprint: str
    """SHA-256 of the server's certificate."""
    certificates: int
    """Client certificates in force."""

    @property
    def address(self) -> str:
        """Host and port as one text; an IPv6 address stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


async def serve(config: Config, ready: Callable[[Ready], None], ask: AskPassphrase | None = None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the server's certificate again."""
    keep_memory_private()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_house(config, ask) as house, listening(house) as told:
        loop.add_signal_handler(signal.SIGHUP, _reload, house)
        ready(told)
        notify("READY=1")
        await stop.wait()
        log.info("stopping", extra={"connections": house.server.connections})
        notify("STOPPING=1")
    log.info("stopped")


@asynccontextmanager
async def listening(house: House) -> AsyncIterator[Ready]:
    """The house with its listener open and its trust kept fresh; the address stands in ``run/kmip.address``."""
    config = house.config
    await house.server.start(bound(config.kmip.host, config.kmip.port))
    watching = asyncio.create_task(house.watch_trust())
    host, port = house.server.addresses[0]
    ready = Ready(host, port, fingerprint_of_file(config.path(config.kmip.certificate)), len(house.trusted))
    file = config.run_directory / ADDRESS_FILE
    _tell(file, ready.address)
    log.info("listening", extra={"address": ready.address, "server_certificate": ready.fingerprint})
    try:
        yield ready
    finally:
        file.unlink(missing_ok=True)
        await house.server.stop(GRACE)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def keep_memory_private() -> None:
    """No core file and no reading of this process's memory by other processes of the same user."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def notify(state: str) -> None:
    """Tell the service manager, where one listens (sd_notify(3))."""
    where = os.environ.get("NOTIFY_SOCKET")
    if not where:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + where[1:] if where.startswith("@") else where)
        sock.sendall(state.encode())


def _tell(file: Path, address: str) -> None:
    # Written beside and renamed: whoever waits for the file never reads half of it.
    file.parent.mkdir(mode=0o755, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(address + "\n", encoding="ascii")
    beside.replace(file)


def _reload(house: House) -> None:
    try:
        house.server.reload()
        certificate = fingerprint_of_file(house.config.path(house.config.kmip.certificate))
        log.info("the server certificate was read again", extra={"server_certificate": certificate})
    except (TlsError, OSError, ValueError) as error:
        log.error("the server certificate was not changed: %s", error)
