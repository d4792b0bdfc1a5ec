"""When a call is repeated: how long to wait before, how many repetitions there are in all. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

ATTEMPTS: Final = 3
FIRST_PAUSE: Final = 0.05
"""Seconds; doubled for each further repetition, and then drawn from 0 to that ("full jitter")."""
BUDGET: Final = 10.0
"""Repetitions that are there at the beginning, and at most."""
EACH_CALL: Final = 0.1
"""Repetitions that each call adds: one call in ten may be repeated in the long run."""
_SECONDS = re.compile(r"[0-9]{1,9}")


class Budget:
    """Repetitions that may be made: where everything fails, repeating everything would only make it worse."""

    def __init__(self) -> None:
        """Begin with a full bucket."""
        self._left = BUDGET

    def earn(self) -> None:
        """A call is made."""
        self._left = min(self._left + EACH_CALL, BUDGET)

    def spend(self) -> bool:
        """Take one repetition; whether there was one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def pause(repetition: int, chance: float) -> float:
    """Seconds to wait before a repetition, the first one being 0; ``chance`` is drawn from 0 to 1."""
    return FIRST_PAUSE * 2.0**repetition * chance


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds for which an answer asks to be left in peace: a number, or a date of HTTP; ``None`` where it does not.

    A date is compared with the answer's own Date where there is one, else with ``now``, in seconds since 1970.
    """
    text = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    moment = http_date(text)
    if moment is None:
        return None
    told = http_date(headers.get("date", ""))
    return max(moment - (now if told is None else told), 0.0)


def http_date(text: str) -> float | None:
    """A date of HTTP as seconds since 1970; ``None`` where it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
