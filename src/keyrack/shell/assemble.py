"""Wires the house: one function puts every room behind its port, from the files to the listener."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from keyrack.adapters.key_managers.registry import KeyManagers
from keyrack.domain.errors import KmipError
from keyrack.ports.catalog import CatalogUnavailable, RollbackMode
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.batch import Desk
from keyrack.service.care.care import Care
from keyrack.service.care.endings import Endings
from keyrack.service.care.reconcile import reconcile
from keyrack.service.care.validation import Heard, every
from keyrack.service.care.withdrawals import Withdrawals
from keyrack.service.moves.rewraps import Rewraps
from keyrack.service.office.expiry import LOOK_EVERY as EXPIRY_EVERY
from keyrack.service.office.expiry import raise_alarms
from keyrack.service.office.seals import Seals
from keyrack.service.stale import Stale
from keyrack.service.vault.envelope import Vault
from keyrack.shell.catalogs import open_catalog
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config, Kmip
from keyrack.shell.kmip.connection import Desk as Answering
from keyrack.shell.kmip.doorkeeping import Doorkeeping
from keyrack.shell.kmip.limits import Limits
from keyrack.shell.kmip.server import KmipServer
from keyrack.shell.kmip.taken import Taken
from keyrack.shell.kmip.tls import Outdated, TlsError, TlsSettings
from keyrack.shell.kmip.trusted import Trusted
from keyrack.shell.metrics.calls import metered
from keyrack.shell.metrics.serving import serving
from keyrack.shell.nodes.rolled_back import Doubt
from keyrack.shell.nodes.staleness import stale_of
from keyrack.shell.office import clock, open_key_managers
from keyrack.shell.sealed.openers import AskPassphrase
from keyrack.shell.server_pair import ServerPair
from keyrack.shell.tracing import metering
from keyrack.shell.vaulting import vault_of

log = logging.getLogger(__name__)

RECONCILE_EVERY: Final = 60.0
"""Seconds between two looks for what a crash has left between the key manager and the catalog."""


@dataclass(frozen=True, slots=True)
class House:
    """Everything that serves. The server listens once it is given a socket."""

    config: Config
    catalog: WholeCatalog
    key_managers: KeyManagers
    vault: Vault
    desk: Desk
    trusted: Trusted
    seals: Seals
    endings: Endings
    server: KmipServer
    doorkeeping: Doorkeeping
    doubt: Doubt
    rewraps: Rewraps
    stale: Stale | None = None

    async def look_again(self) -> None:
        """Bring everything up to date that a watcher keeps so; raises ``CatalogUnavailable``."""
        gone = await self.trusted.refresh()
        await self._changed(gone or frozenset())
        await self.seals.look()
        await self.endings.look()

    async def watch_trust(self) -> None:
        """Act on changed certificates and instances, for ever."""
        await self.trusted.watch(self._changed)

    async def reconcile(self) -> None:
        """Settle what crashes have left, now and then, for ever; one process of a deployment is enough."""
        while True:
            try:
                if await self._rests():
                    await asyncio.sleep(RECONCILE_EVERY)
                    continue
                outcome = await reconcile(self.catalog, self.vault, now=int(time.time()))
                if outcome.completed or outcome.ended:
                    log.info("reconciled", extra={"completed": outcome.completed, "ended": outcome.ended})
            except (KmipError, CatalogUnavailable) as error:
                log.warning("reconciling is put off: %s", error)
            await asyncio.sleep(RECONCILE_EVERY)

    async def watch_withdrawals(self) -> None:
        """Let go of keys that the key manager has taken out of use, for ever."""
        await Withdrawals(self.vault, self.key_managers).watch(self.catalog.news)

    async def watch_endings(self) -> None:
        """Let go of what was destroyed or purged, by whomever, for ever."""
        await self.endings.watch(self.catalog.news)

    async def watch_seals(self) -> None:
        """Let go of what an administrator has sealed, for ever."""
        await self.seals.watch()

    async def hear(self) -> None:
        """Tell the vault what was found out about key managers, in whatever process, for ever."""
        await Heard(self.catalog, self.vault, every(self._seconds)).watch()

    async def care(self) -> None:
        """Look after key managers, for ever; one process of a deployment is enough."""
        await Care(
            self.catalog,
            self.key_managers,
            self.vault,
            seconds=self._seconds,
            rewrap=self.rewraps.run,
            rests=self._rests,
        ).watch()

    async def _rests(self) -> bool:
        """Whether the catalog is rolled back: what it says is old, and nothing is to be made of it anywhere."""
        return await self.catalog.rollback() is not None

    @property
    def _seconds(self) -> Mapping[str, float]:
        return {name: table.lease.existence_seconds for name, table in self.config.key_managers.items()}

    def metrics(self, process: str) -> str:
        """What this process has counted, in the text form of Prometheus; ``process`` is its name."""
        return serving(
            process,
            meter=self.desk.meter,
            listener=self.server,
            managers=self.key_managers,
            memory=self.vault,
        ).text()

    async def _changed(self, gone: frozenset[str]) -> None:
        self.desk.sessions.forget()
        self.doorkeeping.changed(gone)

    async def watch_expiry(self) -> None:
        """Raise alarms about certificates that come to their end, for ever; one process of a deployment is enough."""
        kmip = self.config.kmip
        pair = ServerPair(self.config.path(kmip.certificate), self.config.path(kmip.key))
        while True:
            try:
                await raise_alarms(self.catalog, pair.lapsing(), clock)
            except RollbackMode as error:
                log.debug("no expiry alarms are raised: %s", error)
            except CatalogUnavailable as error:
                log.warning("expiry alarms are put off: %s", error)
            await asyncio.sleep(EXPIRY_EVERY)

    async def watch_certificate(self) -> None:
        """Show the server's certificate as its files hold it, for ever."""
        kmip = self.config.kmip
        await self.doorkeeping.watch_files(self.config.path(kmip.certificate), self.config.path(kmip.key))


@asynccontextmanager
async def open_house(config: Config, ask: AskPassphrase | None = None, *, worker: int = 0) -> AsyncIterator[House]:
    """Open key managers and catalog and put the rooms together; ``worker`` numbers the processes of a deployment."""
    async with AsyncExitStack() as stack:
        managers = open_key_managers(config, ask)
        stack.push_async_callback(managers.close)
        meter = stack.enter_context(metering(config, f"kmip-{worker}"))
        managers.watch(metered(meter))
        catalog = await open_catalog(config, f"kmip-{worker}")
        stack.push_async_callback(catalog.close)
        # Before anybody is let in: what was destroyed or removed since a copy was made stays so.
        doubt = Doubt(config, catalog)
        await doubt.look()
        vault = vault_of(config, managers, catalog)
        stack.callback(vault.close)
        rewraps = Rewraps(catalog, vault, managers)
        stack.push_async_callback(rewraps.rest)
        desk = Desk(catalog, vault, batch_limit=config.kmip.limits.batch_items, meter=meter)
        trusted = Trusted(catalog)
        await trusted.refresh()
        seals = Seals(catalog, vault, doubt.now)
        await seals.look()
        endings = Endings(catalog, vault)
        await endings.look()
        stale = await stale_of(config, catalog, desk, vault=vault, trusted=trusted, worker=worker)
        server = _server(config, stale or desk, trusted)
        doorkeeping = Doorkeeping(catalog, server, trusted, Taken(config.run_directory))
        yield House(
            config, catalog, managers, vault, desk, trusted, seals, endings, server, doorkeeping, doubt, rewraps, stale
        )


def _server(config: Config, desk: Answering, trusted: Trusted) -> KmipServer:
    kmip = config.kmip
    tls = TlsSettings(
        certificate=config.path(kmip.certificate),
        key=config.path(kmip.key),
        outdated=Outdated(kmip.expired_clients),
        legacy_rsa_kx=kmip.legacy_rsa_kx,
    )
    try:
        return KmipServer(desk, trusted, tls, limits_of(kmip), trusted)
    except TlsError as error:
        raise ConfigError(
            [
                Problem(
                    where="kmip.certificate, kmip.key",
                    what="they cannot be used",
                    why=str(error),
                    instead="put the files back, or make a new deployment with 'keyrack init'",
                )
            ]
        ) from None


def limits_of(kmip: Kmip) -> Limits:
    """The listener's limits, as configured."""
    limits = kmip.limits
    return Limits(
        handshake=limits.handshake_seconds,
        message=limits.message_seconds,
        max_message=limits.message_bytes,
        connections=limits.connections,
        connections_per_address=limits.connections_per_address,
    )
