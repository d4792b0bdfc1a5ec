"""Wires the house: one function puts every room behind its port, from the files to the listener."""

import asyncio
import itertools
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from keyrack.adapters.catalogs.sqlite import SqliteCatalog
from keyrack.adapters.key_managers.registry import KeyManagers
from keyrack.domain.errors import KmipError
from keyrack.embedded import schedule
from keyrack.embedded.errors import KeystoreError
from keyrack.embedded.house import House as KeyHouse
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.service.batch import Desk
from keyrack.service.envelope import Vault
from keyrack.service.reconcile import reconcile
from keyrack.service.withdrawals import Withdrawals
from keyrack.shell.config import Config, Kmip
from keyrack.shell.config_problems import ConfigError, Problem
from keyrack.shell.kmip_server import KmipServer
from keyrack.shell.limits import Limits
from keyrack.shell.office import open_catalog, open_key_managers
from keyrack.shell.openers import AskPassphrase
from keyrack.shell.tls import Outdated, TlsError, TlsSettings
from keyrack.shell.trusted import Trusted

log = logging.getLogger(__name__)

RECONCILE_EVERY: Final = 60.0
"""Seconds between two looks for what a crash has left between the key manager and the catalog."""
SCHEDULE_EVERY: Final = 60.0
"""Seconds between two looks for root keys that are due for rotation, and deleted keys for their purge."""
VERIFY_ROUNDS: Final = 60
"""Such looks between two walks through all records of a key manager: an hour."""


@dataclass(frozen=True, slots=True)
class House:
    """Everything that serves. The server listens once it is given a socket."""

    config: Config
    catalog: SqliteCatalog
    key_managers: KeyManagers
    vault: Vault
    desk: Desk
    trusted: Trusted
    server: KmipServer

    async def watch_trust(self) -> None:
        """Act on changed certificates and instances, for ever."""
        await self.trusted.watch(self._changed)

    async def reconcile(self) -> None:
        """Settle what crashes have left, now and then, for ever; one process of a deployment is enough."""
        while True:
            try:
                outcome = await reconcile(self.catalog, self.vault, now=int(time.time()))
                if outcome.completed or outcome.ended:
                    log.info("reconciled", extra={"completed": outcome.completed, "ended": outcome.ended})
            except (KmipError, CatalogUnavailable) as error:
                log.warning("reconciling is put off: %s", error)
            await asyncio.sleep(RECONCILE_EVERY)

    async def watch_withdrawals(self) -> None:
        """Let go of keys that the key manager has taken out of use, for ever."""
        await Withdrawals(self.vault, self.key_managers).watch()

    async def keep_schedule(self) -> None:
        """Rotate what is due, purge what was deleted long ago, and verify, for ever; one process does it for all."""
        for round_ in itertools.count():
            for name, manager in self.key_managers.items():
                await asyncio.to_thread(_kept_schedule, name, manager.house)
                if round_ % VERIFY_ROUNDS == VERIFY_ROUNDS - 1:
                    await asyncio.to_thread(_verified, name, manager.house)
            await asyncio.sleep(SCHEDULE_EVERY)

    async def _changed(self, gone: frozenset[str]) -> None:
        self.desk.sessions.forget()
        self.server.drop(gone)


def _kept_schedule(name: str, house: KeyHouse) -> None:
    """Each due thing for itself: an HSM that is away must not keep deleted keys from their purge."""
    for what, due in (("rotated", schedule.rotate_due), ("purged", schedule.purge_due)):
        try:
            if done := due(house):
                log.info("kept the schedule", extra={"key_manager": name, what: len(done)})
        except (KeystoreError, sqlite3.Error, OSError) as error:
            log.warning("the schedule of key manager %s is put off: %s", name, error)


def _verified(name: str, house: KeyHouse) -> None:
    """Opening has verified it; this finds what was put back since."""
    try:
        house.database.verify()
    except (KeystoreError, sqlite3.Error, OSError) as error:
        log.error("the database of key manager %s is not as it was written: %s", name, error)


@asynccontextmanager
async def open_house(config: Config, ask: AskPassphrase | None = None, *, worker: int = 0) -> AsyncIterator[House]:
    """Open key managers and catalog and put the rooms together; ``worker`` numbers the processes of a deployment."""
    managers = open_key_managers(config, ask)
    try:
        catalog = open_catalog(config, chain=f"kmip-{worker}")
        try:
            # The deployment's integrity root lies in the key manager that is named first.
            root = next(iter(managers.values())).integrity_root()
            vault = Vault(managers, root, config.deployment.id)
            desk = Desk(catalog, vault, batch_limit=config.kmip.limits.batch_items)
            trusted = Trusted(catalog)
            await trusted.refresh()
            yield House(config, catalog, managers, vault, desk, trusted, _server(config, desk, trusted))
        finally:
            await catalog.close()
    finally:
        for manager in managers.values():
            await manager.close()


def _server(config: Config, desk: Desk, trusted: Trusted) -> KmipServer:
    kmip = config.kmip
    tls = TlsSettings(
        certificate=config.path(kmip.certificate),
        key=config.path(kmip.key),
        outdated=Outdated(kmip.expired_clients),
        legacy_rsa_kx=kmip.legacy_rsa_kx,
    )
    try:
        return KmipServer(desk, trusted, tls, limits_of(kmip))
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
