"""What shall open the keystore that ``keyrack init`` makes: four ways, each with its lines of the configuration."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from keyrack.shell import protections as kinds
from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.protections import KINDS, LEAST_PASSPHRASE, VARIABLE, Protection

if TYPE_CHECKING:
    from keyrack.embedded.root_keys.unlock import Passphrase


@dataclass(frozen=True, slots=True, kw_only=True)
class HsmOptions:
    """What the options say of an HSM; either all are given or none."""

    library: Path | None = None
    token: str | None = None
    pin_file: Path | None = None

    def given(self) -> bool:
        """Whether an HSM is meant."""
        return self.library is not None or self.token is not None or self.pin_file is not None


def chosen(kind: str, directory: Path, passphrase_file: Path | None, hsm: HsmOptions, *, ask: bool) -> Protection:
    """The protection of this kind; raises :class:`WrongUse`."""
    makers: dict[str, Callable[[], Protection]] = {
        "key-file": lambda: kinds.by_key_file(directory),
        "passphrase": lambda: kinds.by_passphrase(_typed(passphrase_file, ask), passphrase_file),
        "unseal": lambda: kinds.by_people(_typed(passphrase_file, ask)),
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
    return kinds.by_hsm(options.library, options.token, options.pin_file)


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
    from keyrack.service.office.refusals import Unusable

    try:
        return kinds.strong(passphrase)
    except Unusable as error:
        raise WrongUse(str(error)) from None
