"""Times on a command line: a day, an instant, or how long ago."""

import re
from datetime import UTC, datetime

from keyrack.shell.cli.failures import WrongUse

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
HELP = "2026-08-01, 2026-08-01T12:00Z, or how long ago: 90d, 12h, 30m, 2w"


def moment(text: str | None, now: int) -> int | None:
    """Seconds since 1970; a time without a zone is UTC. Raises :class:`WrongUse`."""
    if text is None:
        return None
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    if ago:
        return max(0, now - int(ago[1]) * _UNITS[ago[2]])
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUse(f"{text!r} is not a time; write for example {HELP}") from None
    return int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp())
