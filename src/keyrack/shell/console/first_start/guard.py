"""Who may use the wizard: the one browser that has shown the link's token first, and for as long as it is at work."""

import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from keyrack.service.office.refusals import NotRecognised, TooManyAttempts
from keyrack.shell.console.words import mark
from keyrack.shell.rest.bounds import Rate
from keyrack.shell.rest.floodgate import Floodgate, home

COOKIE: Final = "__Host-keyrack-setup"
LASTS: Final = 3600.0
"""Seconds for which the link counts; and afterwards, for which the browser may do nothing."""
WRONG_TOKENS: Final = Rate(each_second=0.1, burst=5)
"""Of one address; one more has to wait."""


class Guard:
    """Lets one browser in."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Make the link's token."""
        self.token: Final = secrets.token_urlsafe(32)
        self._clock = clock
        self._cookie = ""
        self._until = clock() + LASTS
        self._wrong = Floodgate(WRONG_TOKENS, clock)

    def let_in(self, token: str, address: str) -> str:
        """The cookie for the browser that shows the link's token first.

        Raises :class:`NotRecognised`, and :class:`TooManyAttempts` where that address has shown too many wrong ones:
        then the right one is not looked at either.
        """
        guest = home(address)
        if wait := self._wrong.wait(guest):
            raise TooManyAttempts(mark("there were too many wrong attempts; wait a little, then try again"), wait=wait)
        if self.is_over or not hmac.compare_digest(token.encode(), self.token.encode()):
            self._wrong.take(guest)
            raise NotRecognised(
                mark("this is not the link that the terminal shows, or its hour is over"),
                hint=mark("copy it whole from the terminal in which 'keyrack setup' runs"),
                field="token",
            )
        if self._cookie:
            raise NotRecognised(
                mark("the link was used already, and lets nobody else in"),
                hint=mark(
                    "go on in the browser that was first; if that is none of yours, press Ctrl-C at the terminal and "
                    "begin again"
                ),
                field="token",
            )
        self._cookie = secrets.token_urlsafe(32)
        self._until = self._clock() + LASTS
        return self._cookie

    def knows(self, cookie: str) -> bool:
        """Whether it is the browser that was let in; each time gives it another hour."""
        if not self._cookie or self.is_over or not hmac.compare_digest(cookie.encode(), self._cookie.encode()):
            return False
        self._until = self._clock() + LASTS
        return True

    @property
    def is_over(self) -> bool:
        """Whether nobody has come, or done anything, for an hour."""
        return self._clock() >= self._until

    @property
    def left(self) -> float:
        """Seconds until it is over."""
        return max(0.0, self._until - self._clock())
