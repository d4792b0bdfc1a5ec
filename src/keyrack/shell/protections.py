"""What shall open the keystore of a new deployment: four ways, each with its lines of the configuration."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrack.service.office.refusals import Unusable

if TYPE_CHECKING:
    from keyrack.embedded.root_keys.unlock import Passphrase, Unlock

LEAST_PASSPHRASE: Final = 12
VARIABLE: Final = "KEYRACK_PASSPHRASE"
KINDS: Final = ("key-file", "passphrase", "unseal", "hsm")
KEY_FILE: Final = "keystore.key"
_HSM_TABLE: Final = """
[key_managers.embedded.hsm]
library = {library}
token = {token}
pin_file = {pin_file}
"""


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


def by_key_file(directory: Path) -> Protection:
    """A file of random bytes beside the keystore."""
    from keyrack.embedded.root_keys.unlock import KeyFile  # noqa: PLC0415 - who lists commands needs no cipher

    path = directory / KEY_FILE
    return Protection(
        kind="key-file",
        unlock=f"{{ key_file = {in_toml(KEY_FILE)} }}",
        opener=KeyFile(path),
        told=str(path),
        warning="whoever has the keystore and its key file has every key; keep a copy of both, apart from each other",
    )


def by_passphrase(passphrase: "Passphrase", file: Path | None) -> Protection:
    """A passphrase that the server reads from a file, or else from the environment."""
    if file is not None:
        table = f"{{ passphrase_file = {in_toml(file.expanduser().absolute())} }}"
    else:
        table = f'{{ passphrase_environment = "{VARIABLE}" }}'
    return Protection(
        kind="passphrase",
        unlock=table,
        opener=passphrase,
        told="a passphrase",
        warning="without the passphrase every key is lost; keep it where the keystore is not",
    )


def by_people(passphrase: "Passphrase") -> Protection:
    """A passphrase that somebody types after each start."""
    return Protection(
        kind="unseal",
        unlock="{ unseal = true }",
        opener=passphrase,
        told="a passphrase that is typed after each start, with 'keyrack unseal'",
        warning="after each start nothing is served until somebody has typed the passphrase: run two endpoints, and "
        "let several people know it, or shares of it ('keyrack keystore export')",
    )


def by_hsm(library: Path, token: str, pin_file: Path) -> Protection:
    """A key in an HSM that never leaves it, and root keys there too; nothing is asked of it yet."""
    from keyrack.embedded.root_keys.pkcs11 import Pkcs11Keeper, TokenSettings  # noqa: PLC0415 - an optional weight
    from keyrack.embedded.root_keys.token_unlock import TokenUnlock  # noqa: PLC0415

    library, pin_file = (path.expanduser().absolute() for path in (library, pin_file))
    keeper = Pkcs11Keeper(TokenSettings(library=library, token=token, pin_file=pin_file))
    return Protection(
        kind="hsm",
        unlock="{ hsm = true }",
        opener=TokenUnlock(keeper),
        hsm=_HSM_TABLE.format(library=in_toml(library), token=in_toml(token), pin_file=in_toml(pin_file)),
        told=f"the HSM's token {token!r}",
        warning="without the HSM every key is lost; back it up as its vendor says, together with the keystore and the "
        "database beside it",
        close=keeper.close,
    )


def in_toml(text: object) -> str:
    """A text as a string of TOML, whatever is in it: JSON's escapes are TOML's."""
    return json.dumps(str(text))


def strong(passphrase: bytearray) -> bytearray:
    """The same, if it is long enough to be a passphrase; raises :class:`Unusable`."""
    if len(passphrase) < LEAST_PASSPHRASE:
        raise Unusable(
            "the passphrase is too short", hint=f"use at least {LEAST_PASSPHRASE} characters", field="passphrase"
        )
    return passphrase
