"""What ``keyrack init`` writes into the configuration of how the keystore opens."""

import tomllib
from pathlib import Path

from keyrack.shell.cli.protection import HsmOptions, chosen


def test_whatever_a_label_holds_the_configuration_gives_it_back(tmp_path: Path) -> None:
    """Quotation marks, backslashes and accents: the maker of a token chooses its label."""
    token, library = 'a "key" \\ rack é', tmp_path / 'lib "x".so'
    made = chosen(
        "hsm", tmp_path, None, HsmOptions(library=library, token=token, pin_file=tmp_path / "p\\n"), ask=False
    )
    made.close()

    told = tomllib.loads(made.hsm)["key_managers"]["embedded"]["hsm"]

    assert told == {"library": str(library), "token": token, "pin_file": str(tmp_path / "p\\n")}
