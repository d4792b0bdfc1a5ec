"""The circuit breaker: who has failed five times in a row is left in peace, and tried again now and then. Pure."""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

FAILURES: Final = 5
"""Failures in a row after which the circuit opens."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 5.0
"""Seconds until a call is let through as a trial; doubled after each trial that fails."""
LONGEST_HOLD: Final = 60.0
"""Seconds for which the other side can ask to be left in peace."""

CLOSED: Final = "closed"
OPEN: Final = "open"
HALF_OPEN: Final = "half-open"


class Admission(Enum):
    """As what a call is let through; the one who makes it tells the circuit how it went."""

    CALL = auto()
    TRIAL = auto()
    """One of a circuit that is open: no other is let through until it has come to an end."""


class Circuit:
    """Counts failures in a row. ``spread`` gives numbers from 0 to 1, so that many clients do not come back at once."""

    def __init__(self, spread: Callable[[], float]) -> None:
        """Begin closed."""
        self._spread = spread
        self._failures = 0
        self._pauses = 0
        self._open_until: float | None = None
        self._held_until = 0.0
        self._trying = False

    def state(self, now: float) -> str:
        """``"closed"``, ``"open"``, or ``"half-open"`` once a trial may be made or is being made."""
        if self.wait(now) > 0:
            return OPEN
        return CLOSED if self._open_until is None else HALF_OPEN

    def wait(self, now: float) -> float:
        """Seconds until a call may be made; 0: at once, or after the trial that is being made."""
        return max((self._open_until or now) - now, self._held_until - now, 0.0)

    def admit(self, now: float) -> Admission | None:
        """Let a call through; ``None``: not now."""
        if self.wait(now) > 0 or self._trying:
            return None
        if self._open_until is None:
            return Admission.CALL
        self._trying = True
        return Admission.TRIAL

    def succeeded(self, admission: Admission) -> None:
        """The call was answered, be it by a refusal: the circuit closes."""
        self.let_go(admission)
        self._failures = self._pauses = 0
        self._open_until = None

    def failed(self, admission: Admission, now: float) -> bool:
        """The call came to nothing; whether the circuit has opened by it."""
        self.let_go(admission)
        self._failures += 1
        # What was under way when it opened is no news.
        late = self._open_until is not None and admission is Admission.CALL
        if late or self._failures < FAILURES:
            return False
        pause = min(FIRST_PAUSE * 2**self._pauses, LONGEST_PAUSE)
        self._open_until = now + pause * (1 - self._spread() / 4)
        self._pauses = min(self._pauses + 1, 8)
        return True

    def let_go(self, admission: Admission) -> None:
        """The call says nothing about the other side: it was given up, or not made."""
        if admission is Admission.TRIAL:
            self._trying = False

    def hold(self, now: float, seconds: float) -> None:
        """The other side asks not to be called for a while."""
        self._held_until = max(self._held_until, now + min(seconds, LONGEST_HOLD))
