"""The line to the process that holds the HSM: one question at a time, each with a deadline; a dead process is replaced.

The process is started by the first question. Where it dies, hangs or says nonsense it is killed, the question is asked
once more of a new one, and then given up. A token that does not come up is tried at most about once a second.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from keyrack.embedded.errors import KeeperUnavailable
from keyrack.embedded.root_keys.token_frames import (
    Answer,
    Asked,
    BrokenFrame,
    Channel,
    Field,
    Heard,
)
from keyrack.embedded.root_keys.turns import Turns

MODULE = "keyrack.embedded.root_keys.token_process"
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
END_WITHIN = 1.0
"""Seconds that the process has to log out; a killed one, to be gone."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Which token, and how to log in to it."""

    library: Path
    """The PKCS#11 library of the HSM's maker."""
    token: str
    """The token's label."""
    pin_file: Path
    """Holds the user's PIN in one line; nobody else may read it."""
    timeout: float = 5.0
    """Seconds that a call may take, waiting, starting the process and logging in included."""
    mechanism: Literal["auto", "gcm", "kwp"] = "auto"
    """AES-GCM, or AES key wrap, for new keys; each key goes on with its own."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Variables for the library, beside those of the server."""


class _Lost(Exception):
    """The process is gone, and with it the answer."""


class Line:
    """Asks one process, in the order of the callers. Thread-safe; raises ``KeeperUnavailable`` alone."""

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._turns = Turns()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._lifeline: int | None = None
        """The writing end of a pipe that nobody writes to: where it closes, the process is killed."""
        self._number = 0
        self._failures = 0
        self._failed_at = 0.0
        self._failure = ""
        self._refused: tuple[int, ...] | None = None
        """The state of the PIN file whose PIN was refused."""
        self._closed = False

    def ask(self, word: Asked, *fields: Field) -> Heard:
        """The answer: any but ``LOST``, ``UNUSABLE`` and ``PIN_REFUSED``."""
        began = time.monotonic()
        deadline = began + self._settings.timeout
        if not self._turns.take(deadline):
            raise self._unavailable(f"too many wait for it, or it hangs: no turn within {self._settings.timeout:g} s")
        try:
            try:
                return self._asked(word, fields, began, deadline)
            except _Lost:
                if time.monotonic() >= deadline:
                    raise
                return self._asked(word, fields, began, deadline)
        except _Lost as lost:
            raise self._unavailable(str(lost)) from None
        finally:
            self._turns.give()

    def close(self) -> None:
        """End the process; there is no other one afterwards."""
        self._closed = True
        took = self._turns.take(time.monotonic() + END_WITHIN)
        channel, process = self._channel, self._process
        if not took:
            if process is not None:
                process.kill()  # Whoever waits for its answer hears that it is gone, and clears up.
            return
        try:
            if channel is not None and process is not None:
                with suppress(OSError, subprocess.TimeoutExpired):
                    channel.send(0, Asked.END, (), time.monotonic() + END_WITHIN)
                    process.wait(END_WITHIN)
            self._drop()
        finally:
            self._turns.give()

    def abandon(self) -> None:
        """Let go of this end. After a fork, that is what a copy does: the process is the other one's."""
        channel, self._channel = self._channel, None
        lifeline, self._lifeline = self._lifeline, None
        if channel is not None:
            channel.close()
        if lifeline is not None:
            os.close(lifeline)

    def _asked(self, word: Asked, fields: Sequence[Field], began: float, deadline: float) -> Heard:
        if self._channel is None:
            self._begin(began, deadline)
        heard = self._exchange(word, fields, deadline)
        if heard.word == Answer.LOST:
            self._note_failure(heard.text())
            self._drop()
            raise _Lost(self._failure)
        self._failures = 0
        return heard

    def _exchange(self, word: Asked, fields: Sequence[Field], deadline: float) -> Heard:
        """Ask and hear. Whatever goes wrong in between, the process goes: its answer would be taken for the next."""
        channel = self._channel
        assert channel is not None
        self._number = (self._number + 1) & 0xFFFFFFFF
        try:
            channel.send(self._number, word, fields, deadline)
            frame = channel.receive(deadline)
            if frame.number != self._number:
                frame.wipe()
                raise BrokenFrame("it answers another question")
            return frame.moved()
        except (OSError, BrokenFrame) as error:
            self._drop()
            self._note_failure(_what_happened(error, self._settings.timeout))
            raise _Lost(self._failure) from None
        except BaseException:
            self._drop()
            raise

    def _begin(self, began: float, deadline: float) -> None:
        """Start the process and log in."""
        if self._closed:
            raise self._unavailable("it was closed: the server is ending")
        stamp = _stamp(self._settings.pin_file)
        if self._refused is not None and self._refused == stamp:
            raise self._unavailable(self._failure)
        self._pause(began, deadline)
        self._start()
        settings = self._settings
        order = (str(settings.library), settings.token, str(settings.pin_file), settings.mechanism)
        heard = self._exchange(Asked.BEGIN, [text.encode() for text in order], deadline)
        if heard.word == Answer.DONE:
            self._refused = None
            return
        self._note_failure(heard.text())
        self._refused = stamp if heard.word == Answer.PIN_REFUSED else None
        self._drop()
        if heard.word == Answer.LOST:
            raise _Lost(self._failure)
        raise self._unavailable(self._failure)

    def _pause(self, began: float, deadline: float) -> None:
        """A token that does not come up is not tried by each caller: who was waiting then has the same answer."""
        if self._failures > 1 and began < self._failed_at:
            raise self._unavailable(self._failure)
        pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE) if self._failures > 1 else 0.0
        left = self._failed_at + pause - time.monotonic()
        if left > 0:
            if time.monotonic() + left >= deadline:
                raise self._unavailable(self._failure)
            time.sleep(left)

    def _note_failure(self, text: str) -> None:
        self._failures = min(self._failures + 1, 16)
        self._failed_at = time.monotonic()
        self._failure = text

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        held, lifeline = os.pipe()
        inherited = (theirs.fileno(), held)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", MODULE, *map(str, inherited)],
                pass_fds=inherited,
                env=_environment(self._settings.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        except OSError as error:
            ours.close()
            os.close(lifeline)
            self._note_failure(f"the process for it does not start ({error.strerror})")
            raise self._unavailable(self._failure) from None
        finally:
            theirs.close()
            os.close(held)
        self._channel, self._lifeline = Channel(ours), lifeline

    def _drop(self) -> None:
        self.abandon()
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with suppress(subprocess.TimeoutExpired):  # What the kernel holds fast is reaped when it lets go.
                process.wait(END_WITHIN)

    def _unavailable(self, text: str) -> KeeperUnavailable:
        return KeeperUnavailable(f"the HSM token {self._settings.token!r} is not usable now: {text}")


def _what_happened(error: Exception, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return (
            f"it did not answer within {timeout:g} s, and its process was stopped; the next request starts a new one."
            " See whether the HSM is reached, or give it more time with 'timeout_seconds'"
        )
    if isinstance(error, BrokenFrame):
        return f"its process said something that cannot be understood ({error}); the next request starts a new one"
    return "its process ended; the next request starts a new one. The system's log may say why the library fails"


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes when the file does."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _environment(added: Mapping[str, str]) -> dict[str, str]:
    """The server's environment without Keyrack's secrets, and a heap that is overwritten when it is freed.

    python-pkcs11 and the library leave plaintexts in memory that they free; the allocator of glibc can clear it.
    """
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("KEYRACK_", "CREDENTIALS_"))
    }
    environment |= added
    tunables = (environment.get("GLIBC_TUNABLES"), "glibc.malloc.perturb=165", "glibc.malloc.tcache_count=0")
    environment["GLIBC_TUNABLES"] = ":".join(filter(None, tunables))
    environment["PYTHONMALLOC"] = "malloc"
    return environment
