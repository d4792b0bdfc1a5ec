"""Logging in to a token with the PIN of a file, so carefully that Keyrack never locks a token."""

import fcntl
import os
import stat
from contextlib import suppress
from typing import Any

from pkcs11 import (
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    TokenFlag,
    UserPinNotInitialized,
)

from keyrack.domain.secret import wipe
from keyrack.embedded.root_keys.token_frames import Answer, Told

LONGEST_PIN = 256
_OPEN_TO_OTHERS = 0o037
"""A service manager's credentials are 0440 in a directory that only the service enters; nothing wider is needed."""


def log_in(token: Any, pin_file: str) -> Any:
    """A session for reading and writing; raises ``Told``, and ``PKCS11Error`` where the token does not work."""
    try:
        descriptor = os.open(pin_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Told(
            Answer.UNUSABLE,
            f"the PIN file {pin_file} cannot be read ({error.strerror}): put it back, or correct it",
        ) from None
    try:
        # One process after the other, so that several with a wrong PIN do not use up the tries between look and try.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        pin = _read(descriptor, pin_file)
        check_tries(token.slot.get_token().flags, pin_file)
        return _opened(token, pin, pin_file)
    finally:
        os.close(descriptor)


def check_tries(flags: TokenFlag, pin_file: str) -> None:
    """Raise ``Told`` where one more wrong PIN would lock the token, or it is locked: the last try is a person's."""
    if flags & TokenFlag.USER_PIN_LOCKED:
        raise Told(Answer.UNUSABLE, "its PIN is locked after too many wrong ones: its security officer sets a new PIN")
    if flags & TokenFlag.USER_PIN_FINAL_TRY:
        raise Told(
            Answer.UNUSABLE,
            f"one more wrong PIN locks it, so Keyrack does not try: put the right PIN into {pin_file}, then log in once"
            " by hand (pkcs11-tool --login), which gives all tries back",
        )


def _read(descriptor: int, pin_file: str) -> str:
    if stat.S_IMODE(os.fstat(descriptor).st_mode) & _OPEN_TO_OTHERS:
        raise Told(Answer.UNUSABLE, f"the PIN file {pin_file} is open to other users: chmod 600 {pin_file}")
    content = bytearray(LONGEST_PIN + 1)
    try:
        length = os.readv(descriptor, [content])
        pin = str(memoryview(content)[:length], "utf-8").partition("\n")[0].rstrip("\r")
    except UnicodeDecodeError:
        raise Told(Answer.UNUSABLE, f"the PIN file {pin_file} does not hold UTF-8 text") from None
    finally:
        wipe(content)
    if not pin or length > LONGEST_PIN:
        raise Told(Answer.UNUSABLE, f"the PIN file {pin_file} does not begin with a line that holds a PIN")
    return pin


def _opened(token: Any, pin: str, pin_file: str) -> Any:
    try:
        return token.open(rw=True, user_pin=pin)
    except (PinIncorrect, PinInvalid, PinLenRange):
        raise Told(
            Answer.PIN_REFUSED,
            f"the PIN in {pin_file} is wrong: write the right one there. It is not tried again until the file changes,"
            " since a few wrong tries lock a token",
        ) from None
    except (PinLocked, PinExpired, UserPinNotInitialized) as error:
        raise Told(
            Answer.UNUSABLE,
            f"its PIN is not to be used ({_REASONS[type(error)]}): its security officer sets a new one",
        ) from None


_REASONS: dict[type[PKCS11Error], str] = {
    PinLocked: "locked after too many wrong ones",
    PinExpired: "expired",
    UserPinNotInitialized: "never set",
}
