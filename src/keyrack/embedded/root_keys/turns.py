"""A lock that is handed on in the order of asking: ``threading.Lock`` lets who comes first again starve the others."""

import threading
import time
from collections import deque


class Turns:
    """One caller at a time, first come, first served."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self, deadline: float) -> bool:
        """Wait for the turn until ``deadline`` of the monotonic clock; ``False`` where it did not come."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        came = False
        try:
            came = mine.acquire(timeout=max(deadline - time.monotonic(), 0.0))
        finally:
            if not came:
                self._leave(mine)
        return came

    def give(self) -> None:
        """Hand the turn to who has waited longest."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def _leave(self, mine: threading.Lock) -> None:
        with self._guard:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return
        self.give()  # It came in the last moment.
