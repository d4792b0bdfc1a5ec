"""``keyrack root-key move``: versions of root keys from the keystore into the HSM, with a bar that shows how far."""

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from keyrack.shell.cli import FAILED, screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.options import ConfigFile
from keyrack.shell.cli.root_key_desk import InstanceOf, KeyManagerName, Where, open_desk

if TYPE_CHECKING:
    from keyrack.embedded.moving import Moved
    from keyrack.shell.cli.root_key_desk import Desk

HSM = "pkcs11"
"""The keeper that people call the HSM."""
_WIDTH = 30


def move(
    to: Annotated[Literal["hsm"], typer.Option(help="Where to.", show_default=False)],
    keys: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY", help="The root keys, by identifier, alias or name.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every root key of every instance.")] = False,
    instance: InstanceOf = None,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Move root keys into the HSM.

    Each version is tried there before the keystore forgets it, and works all the time. Broken off, the same command
    goes on where it was. There is no way back.
    """
    if bool(keys) == everything:
        raise WrongUse("say which root keys to move: name them, or take --all")
    with open_desk(Where(config, key_manager, instance, None)) as desk:
        if HSM not in desk.house.keepers:
            raise WrongUse(
                f"no HSM is configured for the key manager {desk.key_manager!r}; "
                f"write a table [key_managers.{desk.key_manager}.hsm], see docs/configuration.md"
            )
        moved = _moved(desk, [None] if everything else [desk.find(key).identifier for key in keys or ()])
    if json:
        screen.as_json(_json(moved))
    else:
        _tell(moved)
    if moved.not_moved:
        raise typer.Exit(FAILED)


def _moved(desk: "Desk", keys: "list[str | None]") -> "Moved":
    from keyrack.embedded.moving import Moved, move_versions

    bar = _Bar()
    answers = []
    try:
        for key in keys:
            answers.append(move_versions(desk.house, desk.call, HSM, bar.show, key))
    except BaseException:
        bar.end()
        if bar.began:
            screen.note("What was moved has moved; the same command goes on from there.")
        raise
    bar.end()
    return Moved(
        sum(answer.versions for answer in answers),
        sum(answer.there for answer in answers),
        tuple(each for answer in answers for each in answer.not_moved),
    )


class _Bar:
    """How far the work is, on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self.began = False
        self._shown = False
        self._visible = sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        """So many of so many are done."""
        self.began = self.began or done > 0
        if not self._visible or not total:
            return
        full = _WIDTH * done // total
        print(f"\r  [{'#' * full}{'-' * (_WIDTH - full)}] {done} of {total}", end="", file=sys.stderr, flush=True)
        self._shown = True

    def end(self) -> None:
        """Leave the line."""
        if self._shown:
            print(file=sys.stderr)
        self._shown = False


def _tell(moved: "Moved") -> None:
    for each in moved.not_moved:
        screen.say(f"{screen.paint('✗', 'red')} {each.key}, version {each.version}, stays where it is: {each.reason}")
    there = f"; {moved.there} {'was' if moved.there == 1 else 'were'} there already" if moved.there else ""
    screen.say(f"{screen.count(moved.versions, 'version')} moved into the HSM, each tried there first{there}.")
    if moved.versions:
        screen.say("Older backups of the database still hold them, sealed by the keystore: rotate where that matters.")


def _json(moved: "Moved") -> dict[str, object]:
    return {
        "moved": moved.versions,
        "there_already": moved.there,
        "not_moved": [{"key": each.key, "version": each.version, "why": each.reason} for each in moved.not_moved],
    }
