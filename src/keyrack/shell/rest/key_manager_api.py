"""The Key Protect API as its configuration says: beside KMIP in ``keyrack serve``, or alone in a process of its own."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509

from keyrack.adapters.key_managers.registry import KeyManagers, name_for
from keyrack.ports.catalog import Catalog
from keyrack.service.office.adapters import Rooms
from keyrack.service.vault.generation import check_health
from keyrack.shell.address_files import told_in
from keyrack.shell.catalogs import open_catalog
from keyrack.shell.chores import keep_schedule, verify
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import API_ADDRESS_FILE, Config
from keyrack.shell.duties import kept
from keyrack.shell.kmip.tls import TlsError
from keyrack.shell.nodes.leaders import led
from keyrack.shell.office import clock, open_key_managers
from keyrack.shell.private_memory import keep_memory_private
from keyrack.shell.rest.key_protect.app import KeyProtectFace
from keyrack.shell.rest.key_protect.premises import Premises
from keyrack.shell.rest.serving import Listening, Open, serving
from keyrack.shell.sealed.asked import AskedOnce
from keyrack.shell.sealed.openers import AskPassphrase, embedded_one
from keyrack.shell.sealed.unsealing import StillSealed
from keyrack.shell.service_manager import notify

log = logging.getLogger(__name__)

CHAIN: Final = "key-manager-api"
"""The name under which a process of its own writes in the catalog's journal."""
_ANY: Final = ("0.0.0.0", "::")


@asynccontextmanager
async def key_manager_api(
    config: Config,
    managers: KeyManagers,
    catalog: Catalog,
    *,
    key_manager: str | None = None,
    forget: Callable[[str], None] = lambda unique_identifier: None,
) -> AsyncIterator[Open]:
    """Serve the API of a key manager, the one that is configured first without a name, as long as the block lasts.

    ``forget`` lets go of a destroyed key's plaintext, in a process that holds any. Raises :class:`ConfigError`, and
    ``OSError`` where the address cannot be bound.
    """
    name = served_by(config, key_manager)
    first = managers.embedded()[name]
    premises = Premises(
        house=first.house,
        private=config.key_manager_api.network == "private",
        rooms=Rooms(catalog=catalog, key_managers=managers, clock=clock, forget=forget),
        name_of=lambda instance: name_for(name, first, instance),
    )
    listening = listening_of(config)
    try:
        async with serving(KeyProtectFace(premises), listening) as opened:
            if listening.host in _ANY:
                premises.url = f"https://{_name_in(listening.certificate)}:{opened.port}"
            with _announced(config, opened):
                yield opened
    except TlsError as error:
        raise ConfigError([_unusable(error)]) from None


def served_by(config: Config, key_manager: str | None) -> str:
    """The embedded key manager whose API it is: the first one, if none is named. Raises :class:`ConfigError`."""
    return embedded_one(config, key_manager or next(iter(config.embedded), None))[0]


def listening_of(config: Config) -> Listening:
    """Where the API listens, as configured."""
    table = config.key_manager_api
    return Listening(
        host=table.host, port=table.port, certificate=config.path(table.certificate), key=config.path(table.key)
    )


def serve(
    config: Config,
    ready: Callable[[Open], None],
    *,
    key_manager: str | None = None,
    ask: AskPassphrase | None = None,
) -> int:
    """Serve the API alone until SIGTERM or SIGINT; the exit code. SIGHUP reads the certificate again.

    ``ready`` is called once it takes connections. Raises what keeps it from starting.
    """
    keep_memory_private()
    check_health()
    served_by(config, key_manager)
    with AskedOnce(ask) as once:
        try:
            once.unseal(config)
        except StillSealed as told:
            log.info("%s", told)
            return 0
        asyncio.run(_serve(config, ready, key_manager, once.answers))
    return 0


async def _serve(
    config: Config, ready: Callable[[Open], None], key_manager: str | None, ask: AskPassphrase | None
) -> None:
    managers = open_key_managers(config, ask)
    try:
        catalog = await open_catalog(config, CHAIN)
        try:
            async with key_manager_api(config, managers, catalog, key_manager=key_manager) as opened:
                duties = (led(catalog, "schedule", lambda: keep_schedule(managers)), lambda: verify(managers))
                chores = [asyncio.create_task(kept(duty)) for duty in duties]
                ready(opened)
                notify("READY=1")
                await _told_to_end(opened)
                for chore in chores:
                    chore.cancel()
                await asyncio.gather(*chores, return_exceptions=True)
        finally:
            await catalog.close()
    finally:
        await managers.close()
    log.info("stopped")


async def _told_to_end(opened: Open) -> None:
    """Wait for SIGTERM or SIGINT; meanwhile SIGHUP renews the certificate."""

    def reload() -> None:
        try:
            opened.reload()
            log.info("certificate read again")
        except TlsError as error:
            log.error("the certificate stays as it was: %s", error)

    end, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    await end.wait()


@contextmanager
def _announced(config: Config, opened: Open) -> Iterator[None]:
    """Tell the address, in the log and in a file that is there as long as the listener is."""
    log.info("the key manager's API listens", extra={"address": opened.address})
    with told_in(config.run_directory / API_ADDRESS_FILE, opened.address):
        yield


def _name_in(certificate: Path) -> str:
    """What clients of a listener on all addresses connect to: the first name that its certificate is for."""
    names = x509.load_pem_x509_certificates(certificate.read_bytes())[0].extensions
    try:
        told = names.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "localhost"
    hosts = told.get_values_for_type(x509.DNSName)
    addresses = [
        f"[{address}]" if address.version == 6 else str(address) for address in told.get_values_for_type(x509.IPAddress)
    ]
    return next(iter([*hosts, *addresses]), "localhost")


def _unusable(error: TlsError) -> Problem:
    return Problem(
        where="key_manager_api.certificate, key_manager_api.key",
        what="they cannot be used",
        why=str(error),
        instead="put the files back, or name others",
    )
