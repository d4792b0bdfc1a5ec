"""How quickly something long gets on, from looking at it now and then: nobody has to keep when it began."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 30.0
"""Seconds that are looked back."""
SHORTEST: Final = 0.9
"""Seconds between two looks that tell a pace."""
MOST: Final = 256
"""Things that are watched at one time."""


@dataclass(slots=True)
class Paces:
    """The last looks at each thing."""

    _seen: "OrderedDict[str, deque[tuple[float, int]]]" = field(default_factory=OrderedDict)

    def seen(self, what: str, left: int, at: float) -> float | None:
        """How many were done in a second, as far as looks tell: ``left`` are still to be done at this time.

        ``None`` where it was not looked for long enough.
        """
        looks = self._seen.setdefault(what, deque())
        self._seen.move_to_end(what)
        while len(self._seen) > MOST:
            self._seen.popitem(last=False)
        if looks and left > looks[-1][1]:
            looks.clear()  # It has begun anew.
        looks.append((at, left))
        while at - looks[0][0] > WINDOW:
            looks.popleft()
        began, then = looks[0]
        return (then - left) / (at - began) if at - began >= SHORTEST else None
