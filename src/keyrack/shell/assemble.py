"""Wires the house: the one place that knows which adapter stands behind which port."""

import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from keyrack.adapters.catalogs.sqlite import SqliteCatalog
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreError
from keyrack.embedded.root_keys.unlock import KeyFile, Passphrase
from keyrack.service.administration import Administration, Administrator
from keyrack.service.batch import Desk
from keyrack.service.envelope import Vault
from keyrack.shell.config import Config, EmbeddedKeyManagerTable, Kmip, Unlock
from keyrack.shell.config_problems import ConfigError, Problem
from keyrack.shell.kmip_server import KmipServer
from keyrack.shell.limits import Limits
from keyrack.shell.tls import TlsError, TlsSettings
from keyrack.shell.trusted import Trusted

AskPassphrase = Callable[[str], bytearray]
"""Asks a person; the prompt says for what."""


@dataclass(frozen=True, slots=True)
class Office:
    """What an administrator's command works with."""

    config: Config
    catalog: SqliteCatalog
    key_managers: Mapping[str, EmbeddedKeyManager]
    administration: Administration

    @property
    def now(self) -> int:
        """The time, in seconds since 1970."""
        return int(time.time())


@asynccontextmanager
async def open_office(
    config: Config, administrator: Administrator, *, root_keys: bool = False, ask: AskPassphrase | None = None
) -> AsyncIterator[Office]:
    """Open the catalog, and with ``root_keys`` the key managers too; a server may serve meanwhile."""
    managers = open_key_managers(config, ask) if root_keys else {}
    try:
        catalog = open_catalog(config, chain="administration")
        try:
            administration = Administration(catalog, managers, administrator, clock)
            yield Office(config, catalog, managers, administration)
        finally:
            await catalog.close()
    finally:
        for manager in managers.values():
            await manager.close()


@dataclass(frozen=True, slots=True)
class House:
    """Everything that serves. The server listens once it is given a socket."""

    config: Config
    catalog: SqliteCatalog
    key_managers: Mapping[str, EmbeddedKeyManager]
    desk: Desk
    trusted: Trusted
    server: KmipServer

    async def watch_trust(self) -> None:
        """Act on changed certificates and instances, for ever."""
        await self.trusted.watch(self._changed)

    async def _changed(self, gone: frozenset[str]) -> None:
        self.desk.sessions.forget()
        self.server.drop(gone)


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
            yield House(config, catalog, managers, desk, trusted, _server(config, desk, trusted))
        finally:
            await catalog.close()
    finally:
        for manager in managers.values():
            await manager.close()


def _server(config: Config, desk: Desk, trusted: Trusted) -> KmipServer:
    kmip = config.kmip
    tls = TlsSettings(
        certificate=config.path(kmip.certificate), key=config.path(kmip.key), legacy_rsa_kx=kmip.legacy_rsa_kx
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


def clock() -> int:
    """The time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def open_catalog(config: Config, *, chain: str) -> SqliteCatalog:
    """The catalog of the configuration; one that is not there is an error, only ``keyrack init`` makes one.

    ``chain`` is the name under which this process writes in the journal.
    """
    path = config.catalog_path
    if not path.is_file():
        raise ConfigError(
            [
                Problem(
                    where="catalog.url",
                    what=f"{path} is not there",
                    why="a deployment keeps its catalog",
                    instead="restore it from a backup, correct the path, or make a new deployment with 'keyrack init'",
                )
            ]
        )
    return SqliteCatalog(path, chain)


def open_key_managers(config: Config, ask: AskPassphrase | None = None) -> dict[str, EmbeddedKeyManager]:
    """Every configured key manager, opened; raises :class:`ConfigError` with each that does not open."""
    opened: dict[str, EmbeddedKeyManager] = {}
    problems: list[Problem] = []
    for name, table in config.key_managers.items():
        try:
            opened[name] = EmbeddedKeyManager.open(config.path(table.keystore), opener(config, name, table, ask))
        except ConfigError as error:
            problems.extend(error.problems)
        except (KeystoreError, OSError) as error:
            what, _, instead = str(error).rpartition(": ")
            problems.append(
                Problem(where=f"key_managers.{name}", what="it does not open", why=what or instead, instead=instead)
            )
    if problems:
        raise ConfigError(problems)
    return opened


def opener(
    config: Config, name: str, table: EmbeddedKeyManagerTable, ask: AskPassphrase | None
) -> KeyFile | Passphrase:
    """What opens a keystore, as its configuration says; a passphrase that is nowhere is asked for, if one can ask."""
    unlock = table.unlock
    if unlock.key_file is not None:
        return KeyFile(config.path(unlock.key_file))
    return Passphrase(Secret(_passphrase(config, name, unlock, ask)))


def _passphrase(config: Config, name: str, unlock: Unlock, ask: AskPassphrase | None) -> bytearray:
    if unlock.passphrase_file is not None:
        return first_line(config.path(unlock.passphrase_file))
    variable = str(unlock.passphrase_environment)
    if variable in os.environ:
        return bytearray(os.environ[variable].encode())
    if ask is not None:
        return ask(f"Passphrase of the keystore {name!r}")
    raise ConfigError(
        [
            Problem(
                where=f"key_managers.{name}.unlock.passphrase_environment",
                what=f"${variable} is not set",
                why="the keystore opens with the passphrase in it, and nobody is at a terminal to be asked",
                instead=f"set {variable}, or write unlock = {{ passphrase_file = ... }}",
            )
        ]
    )


def first_line(path: Path) -> bytearray:
    """The first line of a file, without its end, in memory that can be wiped."""
    content = bytearray(path.stat().st_size)
    with open(path, "rb", buffering=0) as file:
        file.readinto(content)
    end = content.find(b"\n")
    if end >= 0:
        content[end:] = bytes(len(content) - end)
        del content[end:]
    return content
