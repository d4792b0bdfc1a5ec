"""Calls that hold a connection, or a core, for long: so many at one time of one person, and of all together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from keyrack.shell.rest.v1.problems import Problem

AGAIN: Final = 5
"""Seconds after which to come again."""


class Turns:
    """Counts who is at it. Used on the event loop's thread alone."""

    def __init__(self, of_one: int, in_all: int) -> None:
        """At most ``of_one`` at one time of one person, whichever keys and log-ins it has, and ``in_all``."""
        self._of_one = of_one
        self._in_all = in_all
        self._taken: Counter[str] = Counter()

    def check(self, who: str) -> None:
        """Raise :class:`Problem` (429) where there is no turn left."""
        mine = self._taken[who] >= self._of_one
        if mine or self._taken.total() >= self._in_all:
            told = f"you have {self._of_one} of these under way" if mine else "too many of these are under way"
            raise Problem(
                "too-many-requests",
                f"{told}; come again when one has ended",
                headers={"retry-after": str(AGAIN)},
            )

    @contextmanager
    def taken(self, who: str) -> Iterator[None]:
        """Have a turn as long as the block lasts; raises as :meth:`check` does."""
        self.check(who)
        self._taken[who] += 1
        try:
            yield
        finally:
            self._taken[who] -= 1
            self._taken = +self._taken
