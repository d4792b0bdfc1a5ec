"""How quickly the disk syncs, and so who waits for it: the loop itself, or a thread."""

import time
from typing import Final

QUICK: Final = 0.003
"""Seconds: while a commit takes less on average, waiting for it costs less than handing it to a thread and back."""
SLOW: Final = 0.006
"""Seconds: from here on a thread waits, so that the loop goes on with handshakes and reads."""
WEIGHT: Final = 0.1
"""Of the newest commit in the average."""


class Pace:
    """A moving average of what commits take. It begins in doubt: the first commits go to the thread."""

    __slots__ = ("_began", "_mean", "quick")

    def __init__(self) -> None:
        """Know nothing of the disk yet."""
        self._mean = 10 * SLOW
        self._began = 0.0
        self.quick = False
        """Whether the loop may wait for a commit itself."""

    def begin(self) -> None:
        """A commit begins."""
        self._began = time.perf_counter()

    def end(self) -> None:
        """It is over."""
        self._mean += WEIGHT * (time.perf_counter() - self._began - self._mean)
        self.quick = self._mean < (SLOW if self.quick else QUICK)
