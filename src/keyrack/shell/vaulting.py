"""The vault as the configuration wants it: with the integrity root, and the terms of each key manager."""

from keyrack.adapters.key_managers.registry import KeyManagers
from keyrack.domain.secret import Secret
from keyrack.embedded.errors import KeystoreError
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.ports.catalog import Catalog
from keyrack.service.vault.envelope import Vault
from keyrack.service.vault.lease import Terms
from keyrack.shell.config.key_managers import KeyManagerTable
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.sealed.openers import credential


def vault_of(config: Config, managers: KeyManagers, catalog: Catalog) -> Vault:
    """The vault of a deployment; the caller closes it. Raises :class:`ConfigError` where the integrity root is not."""
    cache = config.cache
    return Vault(
        managers,
        integrity_root(config, managers),
        config.deployment.id,
        terms={name: terms_of(table) for name, table in config.key_managers.items()},
        wrapping_keys=catalog.wrapping_key,
        entry_seconds=cache.entry_hours * 3600,
        most_entries=cache.most_keys if cache.mode == "lease" else 0,
    )


def terms_of(table: KeyManagerTable) -> Terms:
    """How long a proof of this key manager counts."""
    lease = table.lease
    return Terms(
        lease=lease.lease_seconds, probe_timeout=lease.probe_timeout_seconds, outage_grace=lease.outage_grace_seconds
    )


def integrity_root(config: Config, managers: KeyManagers) -> Secret:
    """What wrapped keys are authenticated with; the caller wipes it. Raises :class:`ConfigError`.

    A table says where it is; else the embedded key manager that is named first has it.
    """
    table = config.integrity
    if table is None:
        return next(iter(managers.embedded().values())).integrity_root()
    if table.credential is not None:
        where = "integrity.credential"
        path = credential(table.credential, where)
    else:
        assert table.key_file is not None
        where, path = "integrity.key_file", config.path(table.key_file)
    try:
        return KeyFile(path).master_key({})
    except (KeystoreError, OSError) as error:
        problem = Problem(
            where=where,
            what="it cannot be used",
            why=str(error),
            instead="put it back from its backup: wrapped keys that were made with another one do not verify",
        )
        raise ConfigError([problem]) from error
