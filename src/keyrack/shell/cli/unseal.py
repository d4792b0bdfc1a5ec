"""``keyrack unseal``: bring a sealed server what opens its keystores, so that its start goes on."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile

if TYPE_CHECKING:
    from keyrack.shell.sealed.unsealing import Outcome

TRIES = 3
"""How often a person at a terminal may mistype."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(unseal)


def unseal(
    passphrase_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File whose first line is the passphrase; without it you are asked."),
    ] = None,
    shares: Annotated[
        list[Path] | None,
        typer.Option(
            "--share", metavar="FILE", help="A share of the keystore; as many as are needed.", show_default=False
        ),
    ] = None,
    key_manager: Annotated[
        str | None, typer.Option(metavar="NAME", help="The key manager, if more than one is sealed.")
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Open the keystore of a server that has started sealed.

    With the passphrase, or with shares. The start goes on when every keystore is open.
    """
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.private_memory import keep_memory_private
    from keyrack.shell.sealed.unsealing import SOCKET, look

    if shares and passphrase_file:
        raise WrongUse("a passphrase or shares open a keystore, not both; leave one out")
    keep_memory_private()
    place = load(find(config)).run_directory / SOCKET
    sealed = look(place)
    if key_manager is not None and key_manager not in sealed:
        raise Failed(f"the keystore of {key_manager!r} is not sealed; sealed are: {', '.join(sealed)}")
    if shares:
        outcome = _with_shares(place, sealed, key_manager, shares)
    else:
        names = [key_manager] if key_manager else list(sealed)
        if passphrase_file and len(names) > 1:
            raise WrongUse(f"name the keystore that this passphrase opens with --key-manager: {', '.join(names)}")
        for name in names:
            outcome = _with_passphrase(place, name, passphrase_file)
    _print(outcome, json)


def _with_passphrase(place: Path, name: str, file: Path | None) -> "Outcome":
    """Where a person types it, a mistake may be made good."""
    from keyrack.domain.secret import wipe
    from keyrack.shell.sealed.unsealing import bring_passphrase

    if file is None and not sys.stdin.isatty():
        raise WrongUse("nobody is at a terminal to be asked; use --passphrase-file FILE or --share FILE")
    for left in reversed(range(TRIES)):
        passphrase = _passphrase(name, file)
        try:
            outcome = bring_passphrase(place, name, passphrase)
        finally:
            wipe(passphrase)
        if outcome.right:
            return outcome
        if file is not None or not left:
            break
        screen.warn(outcome.told)
    raise Failed(outcome.told)


def _passphrase(name: str, file: Path | None) -> bytearray:
    import getpass

    from keyrack.shell.cli.protection import in_file

    if file is not None:
        return in_file(file)
    return bytearray(getpass.getpass(f"Passphrase of the keystore {name!r}: ").encode())


def _with_shares(place: Path, sealed: Mapping[str, str], name: str | None, files: Sequence[Path]) -> "Outcome":
    """The shares say themselves whose they are; they are looked at before they are sent."""
    from keyrack.shell.sealed.sharing import reading
    from keyrack.shell.sealed.unsealing import bring_shares

    with reading(files) as (read, texts):
        fitting = [manager for manager, keystore in sealed.items() if keystore == read[0].keystore]
        if name is None and not fitting:
            raise Failed(
                f"these are shares of the keystore {read[0].keystore}, and sealed are: "
                + ", ".join(f"{keystore} ({manager})" for manager, keystore in sealed.items())
            )
        outcome = bring_shares(place, name or fitting[0], texts)
    if not outcome.right:
        raise Failed(outcome.told)
    return outcome


def _print(outcome: "Outcome", json: bool) -> None:
    if json:
        screen.as_json({"opened": True, "sealed": list(outcome.sealed)})
        return
    screen.say(outcome.told)
    if outcome.sealed:
        screen.say(f"still sealed: {', '.join(outcome.sealed)}")
    else:
        screen.say("the server starts; see 'keyrack status'")
