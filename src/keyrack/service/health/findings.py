"""What was looked at, and whether it is well."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How grave a finding is; only ``FAILED`` makes the house unhealthy."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: Level
    told: str
    """What was found."""
    act: str = ""
    """Where it is not well, what to do."""
    cause: str = ""
    """Of what kind the trouble is, for machines; a value of ``ports.key_manager.Reason`` where there is one."""

    def __str__(self) -> str:
        if not self.act:
            return self.told
        return f"{self.told}{'. ' if self.act[0].isupper() else '; '}{self.act}"


def counted(number: int, noun: str) -> str:
    """``1 key is``, ``2 keys are``."""
    return f"{number} {noun} is" if number == 1 else f"{number} {noun}s are"


def ago(seconds: float) -> str:
    """A length of time in its largest unit: ``35 s``, ``15 min``, ``3 h``, ``2 d``."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and not seconds % size):
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
