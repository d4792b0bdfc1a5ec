"""What opens a keystore, found as the configuration says: in files, in the environment, in an HSM, or by asking."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keyrack.domain.secret import Secret, wipe
from keyrack.embedded.errors import KeystoreLocked
from keyrack.embedded.root_keys.keystore import Keystore
from keyrack.embedded.root_keys.port import Keeper
from keyrack.embedded.root_keys.token_unlock import TokenUnlock
from keyrack.embedded.root_keys.unlock import KeyFile, Passphrase, Recovered, Unlock
from keyrack.shell.config.key_managers import EmbeddedKeyManagerTable
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config

LONGEST_LINE = 4096
"""Bytes of the longest passphrase that is read from a file."""


@dataclass(frozen=True, slots=True)
class Question:
    """Asks for what opens one keystore."""

    key_manager: str
    """Its name in the configuration."""
    keystore: Path

    def __str__(self) -> str:
        return f"Passphrase of the keystore {self.key_manager!r}"


AskPassphrase = Callable[[Question], Passphrase | Recovered]
"""Asks a person, who answers with a passphrase or with shares; the caller wipes the answer."""


@contextmanager
def opened(
    config: Config,
    name: str,
    table: EmbeddedKeyManagerTable,
    ask: AskPassphrase | None,
    hsm: Keeper | None = None,
) -> Iterator[Unlock | Recovered]:
    """What opens a keystore, wiped at the end; a passphrase that is nowhere is asked for, if one can ask.

    ``hsm`` is that of :func:`hsm_of`. Raises :class:`ConfigError` for what is missing, and ``OSError``.
    """
    unlock = _found(config, name, table, ask, hsm)
    try:
        yield unlock
    finally:
        if isinstance(unlock, Passphrase | Recovered):
            unlock.wipe()


def embedded_one(config: Config, name: str | None = None, *, there: str = "") -> tuple[str, EmbeddedKeyManagerTable]:
    """The embedded key manager of this configured name, or the only one; raises :class:`ConfigError`.

    ``there`` is IBM's command for the same, if there is one.
    """
    embedded = config.embedded
    if name is None and len(embedded) == 1:
        name = next(iter(embedded))
    if name is not None and name in embedded:
        return name, embedded[name]
    raise ConfigError([_none_such(config, name, there)])


def _none_such(config: Config, name: str | None, there: str) -> Problem:
    embedded = ", ".join(config.embedded)
    named = f", or name an embedded one with --key-manager: {embedded}" if embedded else ""
    does = f"'{there}' does the same there" if there else "IBM's console and 'ibmcloud kp' do there what can be done"
    if name in config.of_ibm or (name is None and not embedded):
        name = name or next(iter(config.of_ibm))
        product = config.of_ibm[name].product
        return Problem(
            where=f"key_managers.{name}",
            what=f"it is {product}",
            why="this is about a keystore, a database and an API of this machine, which the embedded key manager has",
            instead=does + named,
        )
    return Problem(
        where="key_managers",
        what=f"there is no key manager {name!r}" if name else "there is more than one embedded key manager",
        why=f"configured are {', '.join(config.key_managers)}",
        instead="name one of them with --key-manager",
    )


def questions(config: Config) -> list[Question]:
    """What a person would be asked, if all key managers were opened now."""
    return [
        Question(name, config.path(table.keystore))
        for name, table in config.embedded.items()
        if table.unlock.unseal or (variable := table.unlock.passphrase_environment) and variable not in os.environ
    ]


def out_of_hand(config: Config, name: str) -> str:
    """Why a command that asks nobody cannot open this key manager, though the server may have; empty where it can."""
    within = "run this within it, as docs/keystore.md tells"
    table = config.embedded.get(name)
    if table is None:
        wants = any(iam.api_key_credential for iam in config.of_ibm[name].identities)
        missing = wants and "CREDENTIALS_DIRECTORY" not in os.environ
        return f"its API key is a credential of the service alone; {within}" if missing else ""
    unlock, variable = table.unlock, table.unlock.passphrase_environment
    if unlock.unseal:
        return "its passphrase is typed at each start, and nobody is asked for it here"
    if variable is not None and variable not in os.environ:
        return f"${variable}, which opens it, is not set here"
    pin = table.hsm.pin_credential if table.hsm is not None else None
    if (unlock.credential is not None or pin is not None) and "CREDENTIALS_DIRECTORY" not in os.environ:
        return f"it opens with a credential of the service alone; {within}"
    return ""


def _found(
    config: Config, name: str, table: EmbeddedKeyManagerTable, ask: AskPassphrase | None, hsm: Keeper | None
) -> Unlock | Recovered:
    unlock, where = table.unlock, f"key_managers.{name}.unlock"
    if unlock.key_file is not None:
        return KeyFile(config.path(unlock.key_file))
    if unlock.credential is not None:
        return KeyFile(credential(unlock.credential, f"{where}.credential"))
    if unlock.hsm and hsm is not None:
        return TokenUnlock(hsm)
    if unlock.passphrase_file is not None:
        return Passphrase(Secret(first_line(config.path(unlock.passphrase_file))))
    variable = unlock.passphrase_environment
    if variable is not None and variable in os.environ:
        return Passphrase(Secret(bytearray(os.environ[variable].encode())))
    if ask is not None:
        return ask(Question(name, config.path(table.keystore)))
    raise ConfigError([_nobody_to_ask(where, variable)])


def exchanged(keystore: Path, answer: Passphrase | Recovered) -> Recovered:
    """The key of a keystore, for a passphrase or shares, which are wiped; raises ``KeystoreError``.

    A process that needs to open a keystore again keeps this and no passphrase.
    """
    try:
        opened_one = Keystore.open(keystore, answer)
    finally:
        answer.wipe()
    try:
        return Recovered(opened_one.key())
    finally:
        opened_one.close()


def credential(name: str, where: str) -> Path:
    """The file of a credential of systemd; ``where`` names the key of the configuration that wants it."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ConfigError(
            [
                Problem(
                    where=where,
                    what="$CREDENTIALS_DIRECTORY is not set",
                    why="only systemd hands out credentials, to the services that it starts",
                    instead=f"start keyrack as a service with LoadCredentialEncrypted={name}:FILE, or name a file here",
                )
            ]
        )
    return Path(directory) / name


def hsm_of(config: Config, name: str, table: EmbeddedKeyManagerTable) -> Keeper | None:
    """The keeper in the HSM that the configuration names, which starts when it is first used; the caller closes it."""
    hsm = table.hsm
    if hsm is None:
        return None
    from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper, TokenSettings  # noqa: PLC0415 - an optional weight

    if hsm.pin_credential is not None:
        pin = credential(hsm.pin_credential, f"key_managers.{name}.hsm.pin_credential")
    else:
        pin = config.path(hsm.pin_file or Path())
    library = config.path(hsm.library)
    return Pkcs11Keeper(TokenSettings(library=library, token=hsm.token, pin_file=pin, timeout=hsm.timeout_seconds))


def first_line(path: Path) -> bytearray:
    """The first line of a file, without its end, in memory that can be wiped."""
    content = bytearray(LONGEST_LINE)
    with open(path, "rb", buffering=0) as file, memoryview(content) as room:
        filled = 0
        # A pipe gives what it has, a piece at a time.
        while filled < len(room) and (read := file.readinto(room[filled:])):
            filled += read
    end = content.find(b"\n")
    length = filled if end < 0 else end
    line = content[: length - content.endswith(b"\r", 0, length)]
    wipe(content)
    if length == LONGEST_LINE:
        wipe(line)
        raise KeystoreLocked(f"the first line of {path} is longer than {LONGEST_LINE - 1} bytes: it is another file")
    return line


def _nobody_to_ask(where: str, variable: str | None) -> Problem:
    if variable is None:
        return Problem(
            where=f"{where}.unseal",
            what="nobody is at a terminal to be asked",
            why="the passphrase of this keystore is typed each time",
            instead="run the command at a terminal; a server is opened with 'keyrack unseal'",
        )
    return Problem(
        where=f"{where}.passphrase_environment",
        what=f"${variable} is not set",
        why="the keystore opens with the passphrase in it, and nobody is at a terminal to be asked",
        instead=f"set {variable}, or write unlock = {{ passphrase_file = ... }}",
    )
