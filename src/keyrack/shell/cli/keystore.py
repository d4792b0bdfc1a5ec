"""``keyrack keystore``: share its key among people, prove and use the shares, and change what opens it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import ConfigFile, account, ask_passphrase
from keyrack.shell.cli.resealing import NewUnlock, Place, chosen, place_of, present_key, reseal

if TYPE_CHECKING:
    from keyrack.embedded.house import House
    from keyrack.embedded.root_keys.unlock import Recovered

app = typer.Typer(name="keystore", help="The keystore: shares of its key, and what opens it.", no_args_is_help=True)

KeyManagerName = Annotated[
    str | None, typer.Option("--key-manager", metavar="NAME", help="The key manager, if more than one is configured.")
]
Shares = Annotated[list[Path], typer.Argument(metavar="SHARE", help="Files of shares, as many as are needed.")]
NewKeyFile = Annotated[
    Path | None, typer.Option("--key-file", metavar="FILE", help="Seal it under a new key file, which is made here.")
]
NewPassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", help="Seal it under the first line of this file; else you are asked."
    ),
]
NewHsm = Annotated[bool, typer.Option("--hsm", help="Seal it under a key in the HSM of the configuration.")]


@app.command()
def export(
    directory: Annotated[Path, typer.Option("--directory", metavar="DIR", help="Where the files are written.")],
    shares: Annotated[int, typer.Option("--shares", min=2, max=16, metavar="N", help="How many shares are made.")] = 5,
    needed: Annotated[int, typer.Option("--needed", min=2, max=16, metavar="M", help="How many give the key.")] = 3,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Share the keystore's key among people.

    Any M of them together have it. Each share is a small text file, and all are proved to open the keystore before the
    command says that it is done.
    """
    from keyrack.embedded.root_keys.shares import split
    from keyrack.shell.office import open_house_of
    from keyrack.shell.sealed import sharing

    if needed > shares:
        raise WrongUse(f"{needed} of {shares} shares cannot be had; write --needed {shares} or less")
    place = place_of(config, key_manager)
    paths = sharing.free_paths(directory, place.name, shares)
    house = open_house_of(place.config, place.name, ask_passphrase if sys.stdin.isatty() else None)
    try:
        with house.keystore.key() as key:
            made = split(key, keystore=house.keystore.identifier, needed=needed, total=shares, at=house.now)
        # Written down before anybody holds a share.
        _note(house, "keyrack.keystore.export", made[0].export, needed=needed, shares=shares)
    finally:
        house.close()
    try:
        sharing.write(made, paths)
    finally:
        for share in made:
            share.body.wipe()
    try:
        _, tried = sharing.prove(place.path, paths)
    except BaseException:
        sharing.take_back(paths)
        raise
    if json:
        told = {"keystore": made[0].keystore, "export": made[0].export, "needed": needed, "tried": tried}
        screen.as_json(told | {"shares": [str(path) for path in paths]})
        return
    for path in paths:
        screen.say(str(path))
    _advise(place, needed, shares, tried)


def _advise(place: Place, needed: int, shares: int, tried: int) -> None:
    database = place.path.with_name(f"{place.path.name}.db")
    ways = "the one choice" if tried == 1 else f"{tried} choices"
    screen.say(f"Proved: {ways} of {needed} shares gave the key that opens {place.path}.")
    screen.say()
    screen.say(
        f"Give each of {shares} people one file, by a way of its own, and remove it here: {needed} of them together"
    )
    screen.say("have every key, fewer have nothing. 'keyrack keystore verify SHARE...' tries them at any time.")
    screen.say(f"Back up {database} and {place.path} as well: the shares open them and do not replace them.")
    if place.table.hsm is not None:
        screen.say("Root keys that the HSM keeps are not in it: back them up as the HSM's vendor says.")
    screen.say("The shares stay good when what opens the keystore is changed.")


@app.command()
def verify(
    shares: Shares, key_manager: KeyManagerName = None, config: ConfigFile = None, json: screen.Json = False
) -> None:
    """Prove that shares open the keystore, changing nothing."""
    from keyrack.shell.sealed import sharing

    place = place_of(config, key_manager)
    first, tried = sharing.prove(place.path, shares)
    if json:
        told = {"keystore": first.keystore, "export": first.export, "needed": first.needed, "tried": tried}
        screen.as_json({"opens": True, **told, "created_at": screen.instant(first.created_at)})
        return
    screen.say(f"These {len(shares)} shares open {place.path}; nothing was changed.")
    screen.pairs([("export", first.export), ("made", screen.instant(first.created_at)), ("needed", first.needed)])


@app.command()
def recover(
    shares: Shares,
    key_file: NewKeyFile = None,
    passphrase_file: NewPassphraseFile = None,
    hsm: NewHsm = False,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Open the keystore with shares, and seal it anew.

    Under a new key file, passphrase or HSM. The old file is kept beside it.
    """
    import time

    from keyrack.embedded.root_keys.keystore import Keystore
    from keyrack.shell.sealed import sharing

    place = place_of(config, key_manager)
    recovered = sharing.recovered_from(place.path, shares)
    try:
        Keystore.open(place.path, recovered).close()  # before anybody thinks of a new passphrase
        keep = place.path.with_name(f"{place.path.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        new = chosen(place, key_file, passphrase_file, hsm=hsm)
        reseal(place, recovered, new, keep)
        _note_if_possible(place, recovered, "keyrack.keystore.recover")
    finally:
        recovered.wipe()
    _print(place, new, keep, json)


@app.command("change-unlock")
def change_unlock(
    key_file: NewKeyFile = None,
    passphrase_file: NewPassphraseFile = None,
    hsm: NewHsm = False,
    key_manager: KeyManagerName = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Change what opens the keystore.

    It is sealed under a new key file, passphrase or HSM, and opened with what opens it now. A running server goes on.
    """
    place = place_of(config, key_manager)
    with present_key(place) as key:
        new = chosen(place, key_file, passphrase_file, hsm=hsm)
        reseal(place, key, new)
        _note_if_possible(place, key, "keyrack.keystore.change-unlock")
    _print(place, new, None, json)


def _print(place: Place, new: NewUnlock, kept: Path | None, json: bool) -> None:
    stays = _unlock_of(new.line) == place.table.unlock.model_dump(mode="json")
    if json:
        told = {"keystore": str(place.path), "kept": str(kept) if kept else None}
        screen.as_json(told | {"config": str(place.file), "table": f"key_managers.{place.name}", "line": new.line})
        return
    screen.say(f"{place.path} is sealed anew.")
    if kept is not None:
        screen.say(
            f"The file from before is {kept}: it opens as it did; remove it once you have seen the new one open."
        )
    else:
        screen.say("Copies from before open with what has opened them: backups of the keystore among them.")
    if new.told:
        screen.say(new.told)
    screen.say()
    if stays:
        screen.say(f"{place.file} stays as it is; the server opens the keystore so from its next start on.")
        return
    screen.say(
        f"Now change this line in {place.file}, under [key_managers.{place.name}], before the server starts again:"
    )
    screen.say(f"  {new.line}")


def _unlock_of(line: str) -> object:
    import tomllib

    from keyrack.shell.config.key_managers import Unlock

    return Unlock.model_validate(tomllib.loads(line)["unlock"]).model_dump(mode="json")


def _note(house: "House", action: str, target: str, **detail: int) -> None:
    """Write into the key manager's journal what is about to be done; raises where that cannot be."""
    import sqlite3

    from keyrack.embedded import tenancy
    from keyrack.embedded.call import Call, Caller

    caller = Caller(identity=f"local-user-{account()}")
    try:
        call = Call(caller=caller, instance=tenancy.instances(house)[0].identifier)
        with house.database.noting() as unit:
            unit.note(house.entry(call, action, target, "success", **detail))
    except sqlite3.Error as error:
        raise Failed(f"the key manager's journal cannot be written: {error}; nothing was done") from error


def _note_if_possible(place: Place, key: "Recovered", action: str) -> None:
    """A keystore is sealed anew all the same where its database is lost or damaged; then somebody has to know."""
    from keyrack.embedded.errors import KeystoreError
    from keyrack.embedded.house import House

    try:
        house = House.open(place.path, key)
        try:
            _note(house, action, house.keystore.identifier)
        finally:
            house.close()
    except (KeystoreError, OSError, Failed) as error:
        screen.warn(f"done, and not in the journal: {error}")
