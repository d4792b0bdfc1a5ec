"""What goes wrong, and how often: every seed draws a weather of its own, in which some kinds of faults never happen.

A run with all faults at once hides many mistakes behind the few that always strike first; so each is left out of half
of the runs.
"""

from dataclasses import dataclass, fields, replace
from enum import Enum, auto
from random import Random
from typing import Final


class Fate(Enum):
    """What becomes of one call."""

    WELL = auto()
    REFUSED = auto()
    """It is not done, and the caller is told so."""
    LOST = auto()
    """It never arrives; the caller does not know."""
    ANSWER_LOST = auto()
    """It is done; the caller does not know."""
    LATE = auto()
    """It is done long after the caller has given up."""
    TWICE = auto()
    """It is done twice."""
    OVERLOADED = auto()
    FAILING = auto()
    HANGING = auto()
    """It is done, or not, and nobody answers for long."""
    GARBLED = auto()
    """What is kept, or answered, is not what was given."""
    CRASH_BEFORE = auto()
    """The caller dies before it is done."""
    CRASH_AFTER = auto()
    """The caller dies once it is done."""


CATALOG_FATES: Final = (
    Fate.REFUSED,
    Fate.LOST,
    Fate.ANSWER_LOST,
    Fate.LATE,
    Fate.CRASH_BEFORE,
    Fate.CRASH_AFTER,
)
KEY_MANAGER_FATES: Final = (
    Fate.LOST,
    Fate.ANSWER_LOST,
    Fate.LATE,
    Fate.TWICE,
    Fate.OVERLOADED,
    Fate.FAILING,
    Fate.HANGING,
    Fate.GARBLED,
    Fate.CRASH_BEFORE,
    Fate.CRASH_AFTER,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Probabilities, each of one call or of one step."""

    commits: tuple[tuple[Fate, float], ...] = ()
    calls: tuple[tuple[Fate, float], ...] = ()
    """Of the key managers."""
    unread: float = 0.0
    """A read of the catalog fails."""
    slow: float = 0.2
    """A call takes its time."""
    answers: float = 0.0
    """An answer to a client is lost."""
    crash: float = 0.0
    pause: float = 0.0
    cut: float = 0.0
    """A node is cut from the catalog or from a key manager."""
    skew: float = 0.0
    """The time of day of a node is set."""
    leap: float = 0.0
    """Time passes, and nobody does anything."""
    flip: float = 0.0
    """A bit of what is stored changes."""
    swap: float = 0.0
    """Two stored keys change places."""
    customer: float = 0.0
    """The customer disables, enables, rotates or deletes a root key, deletes or restores a standard key."""
    administration: float = 0.1
    """An administrator acts."""
    makes: float = 0.3
    """Of what clients do: they make a key."""
    fetches: float = 0.4
    """They fetch one, or several."""
    ends: float = 0.2
    """They revoke or destroy one; what is left of their steps they spend on searching and prying."""

    @classmethod
    def drawn(cls, random: Random) -> "Weather":
        """A weather with some of the faults."""

        def some(most: float) -> float:
            return random.uniform(0.2, 1) * most if random.random() < 0.5 else 0.0

        return cls(
            commits=tuple((fate, share) for fate in CATALOG_FATES if (share := some(0.03))),
            calls=tuple((fate, share) for fate in KEY_MANAGER_FATES if (share := some(0.04))),
            unread=some(0.01),
            slow=random.uniform(0, 0.5),
            answers=some(0.05),
            crash=some(0.04),
            pause=some(0.03),
            cut=some(0.06),
            skew=some(0.04),
            leap=some(0.06),
            flip=some(0.04),
            swap=some(0.05),
            customer=some(0.12),
            administration=random.uniform(0.05, 0.3),
            makes=random.uniform(0.15, 0.4),
            fetches=random.uniform(0.2, 0.4),
            ends=random.uniform(0.05, 0.2),
        )

    def without(self, *names: str) -> "Weather":
        """The same without some of the faults."""
        return replace(self, **{name: type(getattr(self, name))() for name in names})

    def told(self) -> str:
        """What there is, in a line."""
        kinds = [f"{fate.name.lower()} {share:.3f}" for fate, share in (*self.commits, *self.calls)]
        others = [(each.name, getattr(self, each.name)) for each in fields(self)]
        kinds += [f"{name} {value:.3f}" for name, value in others if isinstance(value, float) and value]
        return ", ".join(kinds)


CALM: Final = Weather(slow=0.0, administration=0.0)
"""Nothing goes wrong."""


def fate_of(random: Random, table: tuple[tuple[Fate, float], ...]) -> Fate:
    """What becomes of the next call."""
    if not table:
        return Fate.WELL
    drawn = random.random()
    for fate, share in table:
        drawn -= share
        if drawn < 0:
            return fate
    return Fate.WELL
