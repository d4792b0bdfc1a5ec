"""The web process: the administration API over the catalog, and never a key manager."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from cryptography import x509

from keyrack.service.people.door import Ends
from keyrack.shell.address_files import told_in
from keyrack.shell.catalogs import open_catalog
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import WEB_ADDRESS_FILE, Config
from keyrack.shell.console.showing import warm
from keyrack.shell.duties import kept
from keyrack.shell.kmip.tls import TlsError
from keyrack.shell.private_memory import keep_memory_private
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.shell.rest.serving import Listening, Open, serving
from keyrack.shell.rest.v1.app import AdministrationFace
from keyrack.shell.rest.v1.premises import BOUNDS, Premises
from keyrack.shell.service_manager import notify
from keyrack.shell.watched_files import watch_files
from keyrack.shell.web.back_office_client import BackOfficeLine

log = logging.getLogger(__name__)

CHAIN: Final = "web"
"""The name under which this process writes in the journal."""
HEAD: Final = 65_536
"""Bytes of a head that are read at all; a longer one than the bounds allow is told so up to here."""
UNFIT: Final = (TlsError, ValueError, OSError)
"""What is raised of a certificate and key that cannot be shown."""
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def serve(config: Config, ready: Callable[[Open], None], *, lifeline: int | None = None) -> int:
    """Serve the administration API until SIGTERM, SIGINT or the end of ``lifeline``, a file descriptor; the exit code.

    SIGHUP reads the certificate again. Raises what keeps it from starting: :class:`ConfigError`, ``OSError`` and
    ``CatalogUnavailable``.
    """
    keep_memory_private()
    asyncio.run(_serve(config, ready, lifeline))
    return 0


@asynccontextmanager
async def web(config: Config) -> AsyncIterator[Open]:
    """The API with its listener open, as long as the block lasts. Raises :class:`ConfigError` and ``OSError``."""
    listening = listening_of(config)
    catalog = await open_catalog(config, CHAIN)
    try:
        premises = Premises(
            catalog=catalog,
            back_office=BackOfficeLine(config.run_directory),
            ends=Ends(idle=config.api.session_minutes * 60, longest=config.api.session_hours * 3600),
            config=config,
            bounds=bounds_of(config),
        )
        try:
            premises.hosts = hosts_of(config, listening.certificate)
            async with serving(AdministrationFace(premises), listening) as opened, _watched(premises):
                with _announced(config, opened):
                    yield replace(opened, reload=lambda: _reload(premises, config, listening, opened))
        except (TlsError, ValueError) as error:
            raise ConfigError([_unusable(error)]) from None
    finally:
        await catalog.close()


@asynccontextmanager
async def _watched(premises: Premises) -> AsyncIterator[None]:
    """What the plots of the overview are drawn from is gathered as long as the block lasts."""
    watching = asyncio.create_task(kept(premises.sampler.watch))
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


def listening_of(config: Config) -> Listening:
    """Where the API listens, as configured."""
    return Listening(
        host=config.api.host,
        port=config.api.port,
        certificate=config.path(config.api.certificate or config.kmip.certificate),
        key=config.path(config.api.key or config.kmip.key),
        bounds=replace(BOUNDS, head=HEAD),
    )


def bounds_of(config: Config) -> Bounds:
    """What one person and one address may take."""
    each_second = config.api.requests_per_second
    rate = Rate(each_second=each_second, burst=6 * each_second)
    strangers = Rate(each_second=each_second / 50, burst=each_second)
    return replace(BOUNDS, per_address=rate, per_caller=rate, logins=strangers)


def hosts_of(config: Config, certificate: Path) -> frozenset[str]:
    """What the server may be called: as its certificate, its configuration and this machine call it.

    Raises ``ValueError`` for a file that is no certificate, and ``OSError``.
    """
    named = {host.lower().rstrip(".") for host in (*names_in(certificate), *config.api.hosts, *LOOPBACK)}
    with contextlib.suppress(ValueError):
        if not (address := ipaddress.ip_address(config.api.host)).is_unspecified:
            named.add(str(address))
    return frozenset(named)


def names_in(certificate: Path) -> Sequence[str]:
    """The names and addresses that a certificate is for."""
    try:
        found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
        told = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, OSError):
        return ()
    return [
        *told.get_values_for_type(x509.DNSName),
        *(str(each) for each in told.get_values_for_type(x509.IPAddress)),
    ]


async def _serve(config: Config, ready: Callable[[Open], None], lifeline: int | None) -> None:
    async with web(config) as opened:
        gc.collect()
        gc.freeze()  # what is loaded stays: to walk it again took longer than any request
        ready(opened)
        notify("READY=1")
        watching = asyncio.create_task(kept(lambda: _watch_certificate(config, opened)))
        warming = asyncio.create_task(warm())
        try:
            await _told_to_end(opened, lifeline)
        finally:
            for task in (watching, warming):
                task.cancel()
            await asyncio.gather(watching, warming, return_exceptions=True)
    log.info("stopped")


async def _told_to_end(opened: Open, lifeline: int | None) -> None:
    end, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    loop.add_signal_handler(signal.SIGHUP, _reload_told, opened)
    if lifeline is not None:
        os.set_blocking(lifeline, False)
        loop.add_reader(lifeline, _heard, lifeline, end)
    await end.wait()


def _heard(lifeline: int, end: asyncio.Event) -> None:
    """Nothing is ever said on the line: its end is what counts."""
    with contextlib.suppress(BlockingIOError):
        if not os.read(lifeline, 4096):
            end.set()


async def _watch_certificate(config: Config, opened: Open) -> None:
    """A certificate that was renewed is shown without anybody's signal."""
    listening = listening_of(config)
    await watch_files((listening.certificate, listening.key), opened.reload, UNFIT)


def _reload_told(opened: Open) -> None:
    try:
        opened.reload()
        log.info("certificate read again")
    except UNFIT as error:
        log.error("the certificate stays as it was: %s", error)


def _reload(premises: Premises, config: Config, listening: Listening, opened: Open) -> None:
    opened.reload()
    premises.hosts = hosts_of(config, listening.certificate)


@contextmanager
def _announced(config: Config, opened: Open) -> Iterator[None]:
    """Tell the address, in the log and in a file that is there as long as the listener is."""
    log.info("the administration API listens", extra={"address": opened.address})
    with told_in(config.run_directory / WEB_ADDRESS_FILE, opened.address):
        yield


def _unusable(error: Exception) -> Problem:
    return Problem(
        where="api.certificate, api.key",
        what="they cannot be used",
        why=str(error),
        instead="put the files back, or name others",
    )
