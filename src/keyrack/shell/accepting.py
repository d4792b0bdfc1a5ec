"""Takes a key manager's database that is older than what was seen of it for the newest one, by a person's word."""

import sqlite3

from keyrack.embedded.call import Call, Caller
from keyrack.embedded.errors import KeystoreError
from keyrack.embedded.house import House
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.store.database import Database, database_path
from keyrack.shell.config.problems import ConfigError
from keyrack.shell.config.whole import Config
from keyrack.shell.nodes.change_logs import log_of
from keyrack.shell.office import does_not_open
from keyrack.shell.sealed.openers import AskPassphrase, embedded_one, hsm_of, opened

ACTION = "kms.database.accept"


def accept(config: Config, name: str | None, identity: str, ask: AskPassphrase | None = None) -> int:
    """Accept, and write into the key manager's journal who did; the number of the change that it stands at.

    Raises :class:`ConfigError` for a key manager that is not configured or does not open, and ``KeystoreError`` for a
    database that is none.
    """
    name, table = embedded_one(config, name)
    path = config.path(table.keystore)
    hsm = hsm_of(config, name, table)
    try:
        with opened(config, name, table, ask, hsm) as unlock:
            keystore = Keystore.open(path, unlock)
            try:
                revision = Database.accept(database_path(path), keystore, log_of(config, name))
            finally:
                keystore.close()
            house = House.open(path, unlock, hsm=hsm, log=log_of(config, name))
    except (KeystoreError, OSError, sqlite3.Error) as error:
        if hsm is not None:
            hsm.close()
        raise ConfigError([does_not_open(name, error)]) from error
    try:
        with house.noting(Call(caller=Caller(identity=identity), instance=""), ACTION, str(revision)):
            pass
    finally:
        house.close()
    return revision
