"""A deployment, looked at without a server: its catalog, and those of its key managers that open without a person."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from keyrack.adapters.key_managers.registry import Configured, KeyManagers
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.health.findings import Finding, Level
from keyrack.service.health.health import Health, examine
from keyrack.service.health.remedies import Acts
from keyrack.service.health.whole import Terms, whole
from keyrack.service.journal.notary import missing_since
from keyrack.service.office.administration import Administrator
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config
from keyrack.shell.journal_room import exported_of
from keyrack.shell.office import Office, open_key_manager, open_office, windows_of
from keyrack.shell.sealed.openers import out_of_hand
from keyrack.shell.vaulting import terms_of


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was opened."""

    office: Office
    key_managers: KeyManagers
    closed: Sequence[Finding] = field(default=())
    """Key managers that were not opened, and why: one for which the means lack here may be well all the same."""

    async def health(self, at: int) -> Health:
        """All findings about catalog, instances, root keys and clients; ``at`` is seconds since 1970."""
        config = self.office.config
        terms = {name: terms_of(table) for name, table in config.key_managers.items()}
        catalog = self.office.catalog
        health = await examine(catalog, self.key_managers, at, terms=terms, acts=acts_of(config))
        rest = await whole(catalog, await whole_terms(config, catalog), at)
        return Health([*health.findings, *_stale(config), *rest], health.numbers)


def _stale(config: Config) -> Sequence[Finding]:
    """What a setting does to the bound of every removal."""
    seconds = config.catalog.serve_stale_seconds
    if config.catalog_path is not None or not seconds:
        return ()
    told = (
        f"a node that is cut off from PostgreSQL gives out keys that it has in memory for {seconds:g} s: for as long a "
        "certificate that was removed elsewhere, a destroyed key or a sealed instance may be served there"
    )
    return (Finding("catalog", Level.OK, told),)


@asynccontextmanager
async def inspection(config: Config, administrator: Administrator) -> AsyncIterator[Inspection]:
    """Open what opens; raises :class:`ConfigError` and ``CatalogUnavailable`` where the catalog does not."""
    async with open_office(config, administrator) as office:
        opened: dict[str, Configured] = {}
        closed: list[Finding] = []
        for name in config.key_managers:
            if why := out_of_hand(config, name):
                closed.append(Finding("key manager", Level.WARNING, f"{name!r} was not looked at: {why}"))
                continue
            try:
                opened[name] = open_key_manager(config, name)
            except ConfigError as error:
                closed.append(Finding("key manager", Level.FAILED, str(error)))
        managers = KeyManagers(opened)
        try:
            yield Inspection(office, managers, closed)
        finally:
            await managers.close()


async def whole_terms(config: Config, catalog: WholeCatalog) -> Terms:
    """What the configuration says of keys, journal and people, and what was exported of the journal."""
    journal = config.journal
    try:
        missing = await missing_since(catalog, await asyncio.to_thread(exported_of(config).last))
    except (OSError, ValueError) as error:
        missing = f"{config.path(journal.checkpoint_file)} cannot be read: {error}"
    return Terms(
        windows=windows_of(config),
        checkpoint_seconds=journal.checkpoint_seconds,
        sinks={name: each.required for name, each in journal.sinks.items()},
        alarms={name: each.lag_alarm_seconds for name, each in journal.sinks.items()},
        missing=missing,
        oldest_backup=config.backup.oldest,
        oldest_proof=config.backup.oldest_proof,
        has_own_backups=config.catalog_path is not None,
        administered=config.api.enabled,
    )


def acts_of(config: Config) -> Mapping[str, Acts]:
    """What a customer does in the key managers that are IBM's, reason by reason, by configured name."""
    if not config.of_ibm:
        return {}
    from keyrack.adapters.key_managers.ibm.advice import BY_REASON  # noqa: PLC0415 - an optional weight

    return dict.fromkeys(config.of_ibm, BY_REASON)


def now() -> int:
    """The time, in seconds since 1970."""
    return int(time.time())
