"""The administrator's part of the house: catalog and key managers, without anything that serves.

With ``assemble`` the one place that knows which adapter stands behind which port; apart from it, so that a command of a
moment does not import a server.
"""

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.ibm.settings import Settings
from keyrack.adapters.key_managers.registry import Configured, KeyManagers
from keyrack.embedded.errors import (
    KeeperUnavailable,
    KeystoreDiverged,
    KeystoreError,
    KeystoreMissing,
    KeystoreRolledBack,
    LogUnavailable,
)
from keyrack.embedded.house import DAY, House, Waits
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.keys import Windows
from keyrack.service.vault.envelope import Vault
from keyrack.shell.catalogs import file_catalog, open_catalog
from keyrack.shell.config.ibm import IbmTable
from keyrack.shell.config.key_managers import EmbeddedKeyManagerTable
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.ibm import open_ibm, settings_of
from keyrack.shell.nodes.change_logs import log_of
from keyrack.shell.sealed.openers import AskPassphrase, embedded_one, hsm_of, opened
from keyrack.shell.vaulting import vault_of


@dataclass(frozen=True, slots=True)
class Office:
    """What an administrator's command works with."""

    config: Config
    catalog: WholeCatalog
    key_managers: KeyManagers
    administration: Administration
    opened_vault: Vault | None = field(default=None, repr=False)
    """``None`` where the key managers were not opened."""

    @property
    def vault(self) -> Vault:
        """Seals and opens keys, as the server does; there in an office that was opened with ``root_keys``."""
        if self.opened_vault is None:
            raise RuntimeError("this office was opened without root keys")
        return self.opened_vault

    @property
    def now(self) -> int:
        """The time, in seconds since 1970."""
        return int(time.time())


@asynccontextmanager
async def open_office(
    config: Config,
    administrator: Administrator,
    *,
    root_keys: bool = False,
    ask: AskPassphrase | None = None,
    catalog_path: Path | None = None,
) -> AsyncIterator[Office]:
    """Open the catalog, and with ``root_keys`` the key managers too; a server may serve meanwhile.

    ``catalog_path`` is a file in the place of the configured one, and is made where it is not there.
    """
    async with AsyncExitStack() as stack:
        managers = open_key_managers(config, ask) if root_keys else KeyManagers({})
        stack.push_async_callback(managers.close)
        chain = "administration"
        catalog = await (open_catalog(config, chain) if catalog_path is None else file_catalog(catalog_path, chain))
        stack.push_async_callback(catalog.close)
        vault = None
        if root_keys:
            vault = vault_of(config, managers, catalog)
            stack.callback(vault.close)
        administration = Administration(catalog, managers, administrator, clock, vault)
        yield Office(config, catalog, managers, administration, vault)


def windows_of(config: Config) -> Windows:
    """For how long destroyed keys are kept, as configured."""
    return Windows(destroyed=config.keys.destroy_days * DAY, purge=int(config.keys.purge_hours * 3600))


def clock() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def open_key_managers(config: Config, ask: AskPassphrase | None = None) -> KeyManagers:
    """Every configured key manager, opened; raises :class:`ConfigError` with each that does not open.

    IBM's are not asked for anything yet.
    """
    embedded: dict[str, EmbeddedKeyManager] = {}
    settings: dict[str, Settings] = {}
    problems: list[Problem] = []
    for name, table in config.key_managers.items():
        try:
            if isinstance(table, IbmTable):
                settings[name] = settings_of(config, name, table)
            else:
                embedded[name] = EmbeddedKeyManager.first_of(open_house_of(config, name, ask))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        for manager in embedded.values():
            manager.house.close()
        raise ConfigError(problems)
    # In the order of the configuration: the first embedded one has the integrity root.
    return KeyManagers(
        {
            name: embedded[name] if name in embedded else open_ibm(settings[name], config.of_ibm[name])
            for name in config.key_managers
        }
    )


def open_key_manager(config: Config, name: str, ask: AskPassphrase | None = None) -> Configured:
    """The key manager of this configured name; raises :class:`ConfigError`. IBM's is not asked for anything yet."""
    table = config.key_managers.get(name)
    if isinstance(table, IbmTable):
        return open_ibm(settings_of(config, name, table), table)
    return EmbeddedKeyManager.first_of(open_house_of(config, name, ask))


def open_house_of(config: Config, name: str | None = None, ask: AskPassphrase | None = None) -> House:
    """The embedded key manager of this configured name, or the only one; raises :class:`ConfigError`."""
    name, table = embedded_one(config, name)
    try:
        hsm = hsm_of(config, name, table)
        try:
            with opened(config, name, table, ask, hsm) as unlock:
                path, log = config.path(table.keystore), log_of(config, name)
                return House.open(path, unlock, hsm=hsm, waits=waits_of(table), log=log)
        except BaseException:
            if hsm is not None:
                hsm.close()
            raise
    except (KeystoreError, OSError, sqlite3.Error) as error:
        raise ConfigError([does_not_open(name, error)]) from error


_TELLS = KeeperUnavailable | KeystoreMissing | KeystoreRolledBack | KeystoreDiverged | LogUnavailable


def does_not_open(name: str, error: Exception) -> Problem:
    """Why the key manager of this name does not open, and what to do about it."""
    # These say themselves what to do, and where.
    told = isinstance(error, _TELLS)
    instead = "" if told else "correct keystore or unlock there, or put the files back"
    return Problem(where=f"key_managers.{name}", what="it does not open", why=str(error), instead=instead)


def waits_of(table: EmbeddedKeyManagerTable) -> Waits:
    """The waits of the configuration, in seconds."""
    waits = table.waits
    return Waits(
        state_change=waits.state_change_seconds,
        rotate=waits.rotate_seconds,
        purge=waits.purge_seconds,
        restore=waits.restore_days * DAY,
        purge_schedule=waits.purge_days * DAY,
    )
