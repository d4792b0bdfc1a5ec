"""A lock that is handed on in the order of asking: ``threading.Lock`` lets who comes first again starve the others."""

import threading
import time
from collections import deque


class Turns:
    """One caller at a time, first come, first served."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._whose: threading.Lock | None = None

    def take(self, deadline: float) -> bool:
        """Wait for the turn until ``deadline`` of the monotonic clock; ``False`` where it did not come."""
        mine = threading.Lock()
        mine.acquire()
        try:
            with self._guard:
                if self._whose is None:
                    self._whose = mine
                    return True
                self._waiting.append(mine)
            if mine.acquire(timeout=max(deadline - time.monotonic(), 0.0)):
                return True
        except BaseException:  # A signal handler's, which may come when the turn just has.
            self._leave(mine)
            raise
        self._leave(mine)
        return False

    def give(self) -> None:
        """Hand the turn to who has waited longest."""
        with self._guard:
            self._hand_on()

    def _leave(self, mine: threading.Lock) -> None:
        with self._guard:
            if self._whose is mine:
                self._hand_on()  # It came in the last moment.
            elif mine in self._waiting:
                self._waiting.remove(mine)

    def _hand_on(self) -> None:
        self._whose = self._waiting.popleft() if self._waiting else None
        if self._whose is not None:
            self._whose.release()
