"""Which keystore a command means, what opens it now, and under what it is to be sealed."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keyrack.shell.cli.failures import Failed, WrongUse

if TYPE_CHECKING:
    from keyrack.embedded.root_keys.unlock import Recovered, Unlock
    from keyrack.shell.config.key_managers import EmbeddedKeyManagerTable
    from keyrack.shell.config.whole import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A configured keystore."""

    config: "Config"
    file: Path
    """The configuration's."""
    name: str
    """The key manager's."""
    table: "EmbeddedKeyManagerTable"

    @property
    def path(self) -> Path:
        """The keystore's file."""
        return self.config.path(self.table.keystore)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUnlock:
    """What the keystore is to be sealed under."""

    unlock: "Unlock"
    line: str
    """The line of the configuration that opens it so."""
    told: str = ""
    """What else is to be done."""
    close: Callable[[], None] = lambda: None


def place_of(config: Path | None, key_manager: str | None) -> Place:
    """The keystore of the named key manager, or of the only one."""
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.sealed.openers import embedded_one

    file = find(config)
    loaded = load(file)
    name, table = embedded_one(loaded, key_manager)
    return Place(config=loaded, file=file, name=name, table=table)


@contextmanager
def present_key(place: Place) -> Iterator["Recovered"]:
    """The keystore's key, opened as the configuration says, and wiped at the end; raises ``KeystoreError``."""
    from keyrack.embedded.root_keys.keystore import Keystore
    from keyrack.embedded.root_keys.unlock import Recovered
    from keyrack.shell.cli.options import ask_passphrase
    from keyrack.shell.sealed.openers import hsm_of, opened

    hsm = hsm_of(place.config, place.name, place.table)
    try:
        ask = ask_passphrase if sys.stdin.isatty() else None
        with opened(place.config, place.name, place.table, ask, hsm) as unlock:
            keystore = Keystore.open(place.path, unlock)
    finally:
        if hsm is not None:
            hsm.close()
    key = Recovered(keystore.key())
    keystore.close()
    try:
        yield key
    finally:
        key.wipe()


def chosen(place: Place, key_file: Path | None, passphrase_file: Path | None, *, hsm: bool) -> NewUnlock:
    """What the options say; without any a passphrase is asked for. Raises :class:`WrongUse`."""
    if (key_file is not None) + (passphrase_file is not None) + hsm > 1:
        raise WrongUse("one thing opens a keystore; give one of --key-file, --passphrase-file and --hsm")
    if key_file is not None:
        return _key_file(place, key_file)
    return _hsm(place) if hsm else _passphrase(place, passphrase_file)


def reseal(place: Place, key: "Recovered", new: NewUnlock, keep: Path | None = None) -> None:
    """Seal the keystore under another unlock; the file from before is kept as ``keep``.

    Whatever fails, a new key file stays where it was made: nobody may remove what perhaps opens a keystore.
    """
    from keyrack.embedded.root_keys.keystore import Keystore

    try:
        keystore = Keystore.open(place.path, key)
        try:
            keystore.change_unlock(new.unlock, keep=keep)
        finally:
            keystore.close()
    finally:
        new.close()


def _key_file(place: Place, path: Path) -> NewUnlock:
    from keyrack.embedded.root_keys.unlock import KeyFile

    path = path.expanduser().absolute()
    directory = place.config.directory
    written = path.relative_to(directory) if path.is_relative_to(directory) else path
    unlock = KeyFile(path)
    unlock.create()
    return NewUnlock(
        unlock=unlock,
        line=f"unlock = {{ key_file = {json.dumps(str(written))} }}",
        told=f"Keep a copy of {path} apart from the keystore.",
    )


def _passphrase(place: Place, file: Path | None) -> NewUnlock:
    from keyrack.domain.secret import Secret
    from keyrack.embedded.root_keys.unlock import Passphrase
    from keyrack.shell.cli.protection import in_file, strong, typed

    if file is not None:
        unlock = Passphrase(Secret(strong(in_file(file))))
        line = f"unlock = {{ passphrase_file = {json.dumps(str(file.expanduser().absolute()))} }}"
        return NewUnlock(unlock=unlock, line=line, close=unlock.wipe)
    if not sys.stdin.isatty():
        raise WrongUse("say what shall open it: --key-file FILE, --passphrase-file FILE or --hsm")
    unlock = Passphrase(Secret(typed("New passphrase")))
    variable = place.table.unlock.passphrase_environment
    if variable is not None:
        line, told = f'unlock = {{ passphrase_environment = "{variable}" }}', f"${variable} has to hold the new one."
        return NewUnlock(unlock=unlock, line=line, told=told, close=unlock.wipe)
    told = "After each start of the server, type it with 'keyrack unseal'."
    return NewUnlock(unlock=unlock, line="unlock = { unseal = true }", told=told, close=unlock.wipe)


def _hsm(place: Place) -> NewUnlock:
    from keyrack.embedded.root_keys.token_unlock import TokenUnlock
    from keyrack.shell.sealed.openers import hsm_of

    keeper = hsm_of(place.config, place.name, place.table)
    if keeper is None:
        raise Failed(
            f"{place.file} names no HSM; write a table [key_managers.{place.name}.hsm] with library, token and pin_file"
        )
    return NewUnlock(
        unlock=TokenUnlock(keeper),
        line="unlock = { hsm = true }",
        told="Without this HSM only shares open the keystore: make some with 'keyrack keystore export'.",
        close=keeper.close,
    )
