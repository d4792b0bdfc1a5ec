"""What shall open the keystore that ``keyrack init`` makes: four ways, each with its lines of the configuration."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import WrongUse

if TYPE_CHECKING:
    from keyrack.embedded.root_keys.unlock import Passphrase, Unlock

LEAST_PASSPHRASE = 12
VARIABLE = "KEYRACK_PASSPHRASE"
_HSM_TABLE = """
[key_managers.embedded.hsm]
library = {library}
token = {token}
pin_file = {pin_file}
"""
KINDS = ("key-file", "passphrase", "unseal", "hsm")


@dataclass(frozen=True, slots=True, kw_only=True)
class HsmOptions:
    """What the options say of an HSM; either all are given or none."""

    library: Path | None = None
    token: str | None = None
    pin_file: Path | None = None

    def given(self) -> bool:
        """Whether an HSM is meant."""
        return self.library is not None or self.token is not None or self.pin_file is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """One way, chosen. ``close`` lets go of what making the keystore needed."""

    kind: str
    unlock: str
    """The table ``unlock`` of the configuration, in TOML."""
    opener: "Unlock"
    hsm: str = ""
    """The table ``hsm`` of the configuration, in TOML, or nothing."""
    told: str
    """How people are told what opens it."""
    warning: str
    close: Callable[[], None] = lambda: None


def chosen(kind: str, directory: Path, passphrase_file: Path | None, hsm: HsmOptions, *, ask: bool) -> Protection:
    """The protection of this kind; raises :class:`WrongUse`."""
    makers: dict[str, Callable[[], Protection]] = {
        "key-file": lambda: _key_file(directory),
        "passphrase": lambda: _passphrase(passphrase_file, ask),
        "unseal": lambda: _unseal(passphrase_file, ask),
        "hsm": lambda: _hsm(_completed(hsm) if ask else hsm),
    }
    if kind not in makers:
        raise WrongUse(f"{kind!r} does not open a keystore; use one of {', '.join(KINDS)}")
    # What would be left out in silence is refused: somebody relies on it.
    if hsm.given() and kind != "hsm":
        raise WrongUse(f"--hsm, --token and --pin-file go with --protect hsm alone, and not with {kind}")
    if passphrase_file is not None and kind not in ("passphrase", "unseal"):
        raise WrongUse(f"--passphrase-file goes with --protect passphrase or unseal, and not with {kind}")
    return makers[kind]()


def _key_file(directory: Path) -> Protection:
    from keyrack.embedded.root_keys.unlock import KeyFile

    path = directory / "keystore.key"
    return Protection(
        kind="key-file",
        unlock='{ key_file = "keystore.key" }',
        opener=KeyFile(path),
        told=str(path),
        warning="whoever has the keystore and its key file has every key; keep a copy of both, apart from each other",
    )


def _passphrase(file: Path | None, ask: bool) -> Protection:
    if file is not None:
        table = f"{{ passphrase_file = {in_toml(file.expanduser().absolute())} }}"
    else:
        table = f'{{ passphrase_environment = "{VARIABLE}" }}'
    return Protection(
        kind="passphrase",
        unlock=table,
        opener=_typed(file, ask),
        told="a passphrase",
        warning="without the passphrase every key is lost; keep it where the keystore is not",
    )


def _unseal(file: Path | None, ask: bool) -> Protection:
    return Protection(
        kind="unseal",
        unlock="{ unseal = true }",
        opener=_typed(file, ask),
        told="a passphrase that is typed after each start, with 'keyrack unseal'",
        warning="after each start nothing is served until somebody has typed the passphrase: run two endpoints, and "
        "let several people know it, or shares of it ('keyrack keystore export')",
    )


def _completed(options: HsmOptions) -> HsmOptions:
    """With what the person at the terminal says where an option is missing."""

    def asked(question: str) -> str:
        return str(typer.prompt(question, err=True))

    return HsmOptions(
        library=options.library or Path(asked("PKCS#11 library of the HSM")),
        token=options.token or asked("Label of its token"),
        pin_file=options.pin_file or Path(asked("File whose first line is the PIN of the token's user")),
    )


def _hsm(options: HsmOptions) -> Protection:
    if options.library is None or options.token is None or options.pin_file is None:
        raise WrongUse("an HSM needs all of --hsm LIBRARY, --token LABEL and --pin-file FILE")
    from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper, TokenSettings
    from keyrack.embedded.root_keys.token_unlock import TokenUnlock

    library, pin_file = (path.expanduser().absolute() for path in (options.library, options.pin_file))
    keeper = Pkcs11Keeper(TokenSettings(library=library, token=options.token, pin_file=pin_file))
    return Protection(
        kind="hsm",
        unlock="{ hsm = true }",
        opener=TokenUnlock(keeper),
        hsm=_HSM_TABLE.format(library=in_toml(library), token=in_toml(options.token), pin_file=in_toml(pin_file)),
        told=f"the HSM's token {options.token!r}",
        warning="without the HSM every key is lost; back it up as its vendor says, together with the keystore and the "
        "database beside it",
        close=keeper.close,
    )


def _typed(file: Path | None, ask: bool) -> "Passphrase":
    from keyrack.domain.secret import Secret
    from keyrack.embedded.root_keys.unlock import Passphrase

    if file is not None:
        return Passphrase(Secret(strong(in_file(file))))
    if VARIABLE in os.environ:
        return Passphrase(Secret(strong(bytearray(os.environ[VARIABLE].encode()))))
    if not ask:
        raise WrongUse(f"there is no passphrase; set ${VARIABLE} or use --passphrase-file FILE")
    return Passphrase(Secret(typed("Passphrase")))


def in_toml(text: object) -> str:
    """A text as a string of TOML, whatever is in it: JSON's escapes are TOML's."""
    return json.dumps(str(text))


def in_file(file: Path) -> bytearray:
    """The passphrase in a file; that others can read it is told, and not refused: container platforms do so."""
    from keyrack.shell.sealed.openers import first_line

    if file.stat().st_mode & 0o007:
        screen.warn(f"others can read {file}; they may have the passphrase: chmod 600 {file}")
    return first_line(file)


def typed(prompt: str) -> bytearray:
    """A new passphrase from the terminal, typed twice without echo."""
    given = typer.prompt(
        f"{prompt}, at least {LEAST_PASSPHRASE} characters", hide_input=True, confirmation_prompt=True, err=True
    )
    return strong(bytearray(given.encode()))


def strong(passphrase: bytearray) -> bytearray:
    """The same, if it is long enough to be a passphrase; raises :class:`WrongUse`."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise WrongUse(f"the passphrase is too short; use at least {LEAST_PASSPHRASE} characters")
    return passphrase
