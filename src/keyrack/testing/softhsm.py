"""A private SoftHSM2 token in a directory: an HSM for tests, real PKCS#11 without hardware.

Needs the Debian package ``softhsm2``; tests skip where :func:`absent` gives a reason.
"""

import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from keyrack.embedded.root_keys.pkcs11 import TokenSettings

LIBRARIES = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),
    Path("/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"),
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),
)
_CONFIGURATION = """\
directories.tokendir = {tokens}
objectstore.backend = file
log.level = ERROR
slots.removable = false
"""


def absent() -> str | None:
    """Why there can be no token here, or ``None``."""
    if shutil.which("softhsm2-util") is None or _library() is None:
        return "SoftHSM2 is not installed: apt install softhsm2"
    try:
        import pkcs11  # noqa: F401, PLC0415 - an extra that may be missing
    except ImportError:
        return "python-pkcs11 is not installed: pip install 'keyrack[hsm]'"
    return None


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """A token in a directory of its own; ``environment`` is what every program that uses it needs."""

    directory: Path
    library: Path
    token: str
    pin_file: Path

    @classmethod
    def create(cls, directory: Path, token: str = "keyrack") -> Self:
        """Initialise a token with a random PIN, below ``directory``, which is made if it is not there."""
        library = _library()
        if library is None:
            raise FileNotFoundError("libsofthsm2.so")
        hsm = cls(directory, library, token, directory / "pin")
        hsm.tokens.mkdir(parents=True)
        hsm._configuration.write_text(_CONFIGURATION.format(tokens=hsm.tokens))
        pin = secrets.token_hex(8)
        hsm.write_pin(pin)
        # A PIN on a command line is for everybody to see; this one guards nothing but tests.
        hsm.run("softhsm2-util", "--init-token", "--free", "--label", token, "--pin", pin, "--so-pin", pin[::-1])
        shutil.copy(hsm._token_file, hsm._copy)
        return hsm

    @property
    def environment(self) -> Mapping[str, str]:
        """Where SoftHSM2 finds its configuration."""
        return {"SOFTHSM2_CONF": str(self._configuration)}

    @property
    def tokens(self) -> Path:
        """The directory that is the HSM: moved away, the token is lost; put back, it is there again."""
        return self.directory / "tokens"

    @property
    def _token_file(self) -> Path:
        return next(self.tokens.glob("*/token.object"))

    @property
    def _copy(self) -> Path:
        return self.directory / "token.object.copy"

    @property
    def _configuration(self) -> Path:
        return self.directory / "softhsm2.conf"

    def settings(self, **changed: Any) -> TokenSettings:
        """How a keeper finds the token; any field may be given otherwise."""
        found: dict[str, Any] = {
            "library": self.library,
            "token": self.token,
            "pin_file": self.pin_file,
            "environment": self.environment,
        }
        return TokenSettings(**{**found, **changed})

    def pin(self) -> str:
        """What stands in the PIN file."""
        return self.pin_file.read_text().strip()

    def write_pin(self, pin: str) -> None:
        """Put another PIN into the file; the token's own stays."""
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(f"{pin}\n")

    def lose(self) -> None:
        """Pull the HSM out."""
        self.tokens.rename(self.directory / "lost")

    def put_back(self) -> None:
        """Plug it in again."""
        (self.directory / "lost").rename(self.tokens)

    def mend(self) -> bool:
        """Put the token's own file back where a killed process has left it empty; whether it had.

        SoftHSM2 truncates that file at each login and writes it anew. A token without it is lost with all its keys.
        """
        whole = self._copy.read_bytes()
        if len(self._token_file.read_bytes()) == len(whole):
            return False
        self._token_file.write_bytes(whole)
        return True

    def tool(self, *words: str) -> str:
        """What ``pkcs11-tool`` of OpenSC says, logged in to the token; its errors too."""
        login = ("--module", str(self.library), "--token-label", self.token, "--login", "--pin", self.pin())
        return self.run("pkcs11-tool", *login, *words, check=False)

    def run(self, *words: str, check: bool = True) -> str:
        """Run a program on this HSM; all that it says."""
        done = subprocess.run(
            words,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=30,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"{words[0]}: exit {done.returncode}\n{done.stdout}")
        return done.stdout


def _library() -> Path | None:
    return next((path for path in LIBRARIES if path.exists()), None)
